"""Which answers go together, and what becomes of the jobs of a group. Each job alone is `serve.advance`.

All answers of a group happen, or none. So only jobs that nobody else can move for a while are in one, and what was in a
transaction that came to nothing is answered alone from then on.
"""

from offchain_worker.errors import WorkerError
from oracle.chain.listener import Head
from oracle.chain.outbox import Call
from oracle.chain.store import StoredJob
from oracle.chain.together import add_together, groups
from oracle.errors import OracleError, Reverted
from oracle.services.serve import (
    Service,
    answer_call,
    failed,
    is_whole,
    purpose,
    refused_by_contract,
    unforeseen,
)

CALM_S = 30
"""How much of a job's exclusive time has to be left: afterwards another provider may take it over."""


def sorted_out(
    jobs: list[StoredJob], service: Service, head: Head, gas: int
) -> list[list[StoredJob]]:
    """Return inferred jobs in groups, one for each transaction; first those that go alone, since they may be urgent.

    A group needs `gas` at most, which is from `together.most_gas`.
    """
    calls = {job.job_id: _sketch(job) for job in jobs if _is_calm(job, service, head)}
    by_id = {job.job_id: job for job in jobs}
    together = [
        [by_id[call.job_id] for call in group if call.job_id is not None]
        for group in groups(calls.values(), service.most_together, gas)
    ]
    return [[job] for job in jobs if job.job_id not in calls] + together


def answer_together(jobs: list[StoredJob], service: Service) -> None:
    """Answer several inferred jobs in one transaction. Safe to call again after a crash at any line.

    Raises:
        WorkerError, OracleError: only those that say "stop"; the jobs stay where they are.
    """
    calls = {job.job_id: call for job in jobs if (call := _call(job, service)) is not None}
    refused: dict[str, Reverted] = {}
    problem: Exception | None = None
    try:
        if calls:
            refused = add_together(service.outbox, list(calls.values()))
    except OSError:  # the disk or the memory of this machine: for a person, not for another try
        raise
    except Exception as error:
        problem = error
    for job in jobs:
        call = calls.get(job.job_id)
        if call is None:
            continue
        if service.outbox.has(call.purpose):
            service.store.move(job.job_id, "queued")
        elif call.purpose in refused:
            refused_by_contract(job, refused[call.purpose], service)
        elif problem is not None:
            _went_wrong(job, problem, service)


def _call(job: StoredJob, service: Service) -> Call | None:
    """The call that answers a job; None when there is none, and then the job has been seen to."""
    try:
        if job.inference is not None and is_whole(job, job.inference, service):
            return answer_call(job, job.inference, service)
    except OSError:
        raise
    except Exception as error:
        _went_wrong(job, error, service)
    return None


def _went_wrong(job: StoredJob, error: Exception, service: Service) -> None:
    if isinstance(error, WorkerError | OracleError):
        failed(job, error, service)
    else:
        unforeseen(job, error, service)


def _is_calm(job: StoredJob, service: Service, head: Head) -> bool:
    """Whether a job may share a transaction: nobody else can move it soon, and it has not failed before."""
    left_s = min(job.job.exclusive_until_s, job.job.deadline_s) - head.time_s
    name = purpose("answer", job.job)
    return left_s > CALM_S and not service.outbox.has_failed(name)


def _sketch(job: StoredJob) -> Call:
    """An answer as far as its size is concerned."""
    output = job.inference.output if job.inference else b""
    return Call("", "", "", (output,), job.job_id, callback_gas=job.job.callback_gas)
