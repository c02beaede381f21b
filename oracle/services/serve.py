"""One request's life on our side, on one screen: `advance`.

What the model says comes back through `inferred`, what the submitter finds out later through `conclude`, and what the
listener reads through the tracker.
"""

import logging
from dataclasses import dataclass
from typing import Protocol

from offchain_worker.commitment import payload_hash
from offchain_worker.errors import WorkerError
from offchain_worker.job import NO_ADDRESS, Inference, Job, Result
from oracle.chain.events import to_terms
from oracle.chain.outbox import Call, Outbox
from oracle.chain.reverts import meaning_of
from oracle.chain.store import LONGEST_WAIT_S, Store, StoredJob
from oracle.chain.submitter import Outcome
from oracle.chain.tracker import same_work
from oracle.errors import OracleError, OutboxFull, Reverted, RpcError, SignerUnavailable
from oracle.faults import crash_point
from oracle.logs import line
from oracle.policy import Policy
from oracle.services.runner import Done, Runner

_log = logging.getLogger(__name__)


class Prover(Protocol):
    """What makes proofs, with the key; `offchain_worker.worker.Worker` is one."""

    def prove(self, job: Job, inference: Inference) -> Result:
        """Make the proofs that the job's policy asks for."""
        ...


@dataclass(frozen=True, slots=True)
class Service:
    """What a job meets on its way.

    Args:
        runner: Where models run.
        prover: Makes the proofs.
        max_tries: How often a job may fail before it is given up.
        most_together: Most answers in one transaction.
        signature: Address of the verifier that asks for the operator's signature. Nothing is sent for it: the
            transaction is signed by the same key and says as much, for 7,000 gas less.
    """

    store: Store
    policy: Policy
    runner: Runner
    prover: Prover
    outbox: Outbox
    max_tries: int = 5
    most_together: int = 1
    signature: str = ""


def advance(job: StoredJob, service: Service) -> None:
    """Take one job one step further from whatever state it was left in. Safe to call again after a crash at any line.

    States: seen → inferred → queued → broadcast → mined → final, or declined, lost, dead (with the reason). Nothing is
    committed here: the caller makes inferences durable before they are signed, and signed bytes before they are sent.

    Raises:
        WorkerError, OracleError: only those that say "stop"; the job stays where it is.
    """
    try:
        match job.state:
            case "seen":
                if reason := service.policy.refuse(job.job):  # what the offer could not exclude
                    return give_back(job, reason, service)
                if job.tries >= service.max_tries:  # it ended the process, again and again
                    reason = f"gave up after {job.tries} tries: {job.reason}"
                    return give_back(job, reason, service, tries=job.tries)
                crash_point("stored")
                service.runner.begin(job.job)
            case "inferred" if job.inference is not None:
                answer(job, job.inference, service)
            case _:
                pass  # the submitter and the listener move it on
    except Reverted as error:
        refused_by_contract(job, error, service)
    except (WorkerError, OracleError) as error:
        failed(job, error, service)
    except OSError:  # the disk or the memory of this machine: for a person, not for another try
        raise
    except Exception as error:  # one job must not end the worker
        unforeseen(job, error, service)


def inferred(done: Done, service: Service) -> None:
    """Store what the model said, or what went wrong. Nothing is signed before the caller has committed.

    Raises:
        WorkerError, OracleError, OSError: only those that say "stop".
    """
    job = service.store.job(done.job.job_id)
    if job is None or job.state != "seen" or not same_work(job.job, done.job):
        return  # the chain has moved on while the model ran
    match done.outcome:
        case Inference():
            service.store.save_inference(job.job_id, done.outcome)
        case WorkerError():
            failed(job, done.outcome, service)
        case OSError():
            raise done.outcome
        case _:
            unforeseen(job, done.outcome, service)


def unforeseen(job: StoredJob, error: Exception, service: Service) -> None:
    """A mistake in a backend or in this program must not end the worker."""
    _log.error(line("worker failed", job=job.job_id), exc_info=error)
    try_later(job, f"the worker failed: {type(error).__name__}: {error}", service, counts=True)


def answer(job: StoredJob, inference: Inference, service: Service) -> None:
    """Prove and queue an inference; the submitter sends it."""
    if not is_whole(job, inference, service):
        return
    service.outbox.require_room()
    service.outbox.add(answer_call(job, inference, service))
    service.store.move(job.job_id, "queued")


def is_whole(job: StoredJob, inference: Inference, service: Service) -> bool:
    """Whether the stored output is what the model said; if not, the model has to say it again."""
    if payload_hash(inference.output) == inference.output_hash:
        return True
    service.store.save_inference(job.job_id, None)
    try_later(job, "stored output does not match its hash", service, counts=True)
    return False


def answer_call(job: StoredJob, inference: Inference, service: Service) -> Call:
    """Return the call that answers a job, with its proofs.

    Raises:
        WorkerError: a proof cannot be made.
    """
    return Call(
        purpose=purpose("answer", job.job),
        contract="InferenceRouter",
        function="answer",
        arguments=(
            *(job.job_id, to_terms(job.job), inference.units, inference.output),
            proofs_of(job.job, inference, service),
        ),
        job_id=job.job_id,
        deadline_s=job.job.deadline_s,
        callback_gas=job.job.callback_gas,
    )


def proofs_of(job: Job, inference: Inference, service: Service) -> list[bytes]:
    """Return the proofs that go with an answer; empty for the signature that our transaction is itself."""
    asked = [v.lower() for v in (job.verifier, job.second_verifier) if v != NO_ADDRESS]
    said = service.signature.lower()
    if set(asked) == {said}:  # nothing to make, and a remote signer makes no other signatures
        return [b""]
    made = service.prover.prove(job, inference).proofs
    return [b"" if verifier == said else proof for verifier, proof in zip(asked, made, strict=True)]


def give_back(job: StoredJob, reason: str, service: Service, *, tries: int | None = None) -> None:
    """Decline a job while that is possible; else bury it, and it is refunded after its deadline.

    With `tries`, it failed so often and that is the reason: then there is a letter about it in any case.
    """
    call = Call(
        purpose=purpose("decline", job.job),
        contract="InferenceRouter",
        function="decline",
        arguments=(job.job_id, to_terms(job.job)),
        job_id=job.job_id,
        deadline_s=job.job.exclusive_until_s,
    )
    try:
        service.outbox.add(call)
    except Reverted as error:
        service.store.bury(
            job.job_id, tries or job.tries, f"{reason}; it could not be declined either: {error}"
        )
        _log.error(line("job", job=job.job_id, state="dead", reason=reason))
        return
    except (RpcError, OutboxFull, SignerUnavailable) as error:
        return service.store.postpone(
            job.job_id, f"{reason}; cannot decline yet: {error}", job.tries, 0.5
        )
    service.store.move(job.job_id, "declined", reason)
    if tries is not None:
        service.store.write_letter(job.job_id, tries, f"{reason}; declined")
    _log.warning(line("job", job=job.job_id, state="declined", reason=reason))


def refused_by_contract(job: StoredJob, error: Reverted, service: Service) -> None:
    """The contract would refuse the answer: the table of errors says what that means."""
    match meaning_of(error.name).verdict:
        case "retry":
            try_later(job, str(error), service, counts=True)
        case "skip":
            service.store.move(job.job_id, "lost", str(error))
            _log.warning(line("job", job=job.job_id, state="lost", reason=error))
        case "stop":
            raise error


def failed(job: StoredJob, error: WorkerError | OracleError, service: Service) -> None:
    """Do what the error says: retry later, refuse the job, or stop."""
    match error.action:
        case "retry" if isinstance(error, OutboxFull | SignerUnavailable):
            pass  # until the next block is mined, or the signer is back
        case "retry":
            try_later(job, str(error), service, counts=not isinstance(error, RpcError))
        case "refuse":
            give_back(job, str(error), service, tries=job.tries + 1)
        case "stop":
            raise error


def try_later(job: StoredJob, reason: str, service: Service, *, counts: bool) -> None:
    """Leave a job for later; if this `counts`, at most `max_tries` times."""
    tries = job.tries + counts
    if tries >= service.max_tries:
        return give_back(job, f"gave up after {tries} tries: {reason}", service, tries=tries)
    wait_s = min(0.5 * 2**tries, LONGEST_WAIT_S) if counts else 0.5
    service.store.postpone(job.job_id, reason, tries, wait_s)
    _log.warning(
        line("job", job=job.job_id, state=job.state, tries=tries, retry_in_s=wait_s, reason=reason)
    )


def conclude(outcome: Outcome, service: Service) -> None:
    """Bring jobs up to date with what became of their transaction. What succeeded is the listener's to report."""
    if outcome.kind == "final":
        return
    for part in outcome.row.parts:
        job = None if part.job_id is None else service.store.job(part.job_id)
        if job is not None:
            _conclude(job, part.purpose, outcome, service)


def _conclude(job: StoredJob, what: str, outcome: Outcome, service: Service) -> None:
    row, shared = outcome.row, len(outcome.row.parts) > 1
    if what.startswith("decline:"):
        if job.state == "declined" and job.status == "assigned":
            service.store.bury(job.job_id, job.tries, f"{job.reason}; the decline was not accepted")
    elif job.state in ("queued", "broadcast") and not row.cancel:
        service.store.move(job.job_id, "inferred", "its transaction was not accepted")
        if outcome.kind == "reverted" and not shared:  # else one of the others may be to blame
            _after_revert(job, outcome.reverted, service)
    elif job.state in ("queued", "broadcast") and not service.outbox.has(what):
        if shared:
            return service.store.move(job.job_id, "inferred", "its transaction was withdrawn")
        service.store.move(
            job.job_id, "lost", "too late: its transaction was withdrawn after the deadline"
        )


def _after_revert(job: StoredJob, reverted: Reverted | None, service: Service) -> None:
    if reverted is None:  # it would succeed now: out of gas, or the state has changed
        try_later(job, "its transaction failed, and would succeed now", service, counts=True)
    else:
        refused_by_contract(job, reverted, service)


def purpose(word: str, job: Job) -> str:
    """Return the name under which the outbox knows a transaction: at most one for each."""
    return f"{word}:{job.chain_id}:{job.router}:{job.job_id}"
