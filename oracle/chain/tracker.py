"""From the router's events to the rows of `jobs`: which jobs concern us, and what their events mean for our work."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from offchain_worker.job import Job
from offchain_worker.storage.cid import DAG_PB, Cid
from oracle.chain.contracts import Contracts
from oracle.chain.events import ChainJob, RouterEvent, add_up, to_job
from oracle.chain.store import OPEN_STATES, State, Store, StoredJob
from oracle.faults import crash_point
from oracle.logs import line

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Interest:
    """Whose jobs are kept.

    Args:
        provider: Jobs assigned to this provider; 0 for none.
        requesters: Jobs that these accounts asked for, addresses in lower case.
        everything: All jobs, to refund any that expires.
    """

    provider: int = 0
    requesters: frozenset[str] = frozenset()
    everything: bool = False

    def covers(self, event: RouterEvent) -> bool:
        """Whether an event is a reason to keep its job."""
        fields = event.fields
        ours = self.provider and self.provider in (fields.get("provider"), fields.get("missed"))
        requester = str(fields.get("job", fields).get("requester", "")).lower()
        return bool(ours) or requester in self.requesters or self.everything


class Tracker:
    """Keeps `jobs` in step with `events`.

    Args:
        cancel: Called with a job whose answer must not be sent any more (its terms changed, or it is gone).
    """

    def __init__(
        self, store: Store, contracts: Contracts, interest: Interest, cancel: Callable[[int], bool]
    ) -> None:
        self._store = store
        self._contracts = contracts
        self._interest = interest
        self._cancel = cancel
        self._cids: dict[tuple[str, int], str] = {}

    def select(self, events: Iterable[RouterEvent]) -> list[RouterEvent]:
        """Return the events of jobs that concern us, in order."""
        kept: list[RouterEvent] = []
        known: set[int] = set()
        for event in events:
            if (
                event.job_id in known
                or self._interest.covers(event)
                or self._store.knows(event.job_id)
            ):
                known.add(event.job_id)
                kept.append(event)
        return kept

    def refresh(self, job_ids: Iterable[int]) -> list[int]:
        """Add up the events of jobs anew. Returns the jobs whose request was not seen."""
        incomplete = []
        for job_id in job_ids:
            before = self._store.job(job_id)
            now = add_up(self._store.events_of(job_id))
            if now is not None and now.input is None:
                incomplete.append(job_id)
            elif now is not None:
                self._update(before, now)
            elif before is not None:
                self._cancel(job_id)
                self._store.undo_job(job_id)
                _log.warning(line("job undone", job=job_id, was=before.state))
        return incomplete

    def _update(self, before: StoredJob | None, now: ChainJob) -> None:
        job = self._job(now)
        has_transaction = before is not None and before.state in ("queued", "broadcast", "mined")
        keep = before is not None and same_work(before.job, job)
        if before is not None and has_transaction and before.job != job:
            self._cancel(job.job_id)  # it names terms that are no longer those of the job
            has_transaction = False
        inferred = keep and before is not None and before.inference is not None
        state, reason = next_state(before, now, self._interest.provider, inferred, has_transaction)
        self._store.put_job(now, job, state, reason, keep)
        crash_point(state)
        if before is not None and before.state in OPEN_STATES and state == "lost":
            self._cancel(job.job_id)
        if before is None or before.state != state:
            shown = {"reason": reason} if reason else {}
            _log.info(line("job", job=job.job_id, state=state, block=now.block_number, **shown))

    def _job(self, now: ChainJob) -> Job:
        deployment = self._contracts.deployment
        cid = self._model_cid(now.terms["modelId"], now.terms["version"])
        return to_job(now, deployment.chain_id, self._contracts.address("InferenceRouter"), cid)

    def _model_cid(self, model_id: str, version: int) -> str:
        """CID of a version's artifact folder. A version never changes, so it is asked for once."""
        if (model_id, version) not in self._cids:
            content = self._contracts.read(
                "ModelRegistry", "version", bytes.fromhex(model_id[2:]), version
            )
            self._cids[model_id, version] = str(Cid.of_digest(DAG_PB, content["digest"]))
        return self._cids[model_id, version]


def same_work(one: Job, other: Job) -> bool:
    """Whether the same inference answers both."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("model_id", "version", "input_hash", "units")
    )


def next_state(
    before: StoredJob | None, now: ChainJob, provider: int, inferred: bool, has_transaction: bool
) -> tuple[State, str]:
    """Return the state that a job of ours has after its events changed, and the reason.

    Args:
        before: The job until now, or None when it is new.
        now: What the chain says.
        provider: Our number; 0 when we only watch.
        inferred: Whether a stored inference answers the job.
        has_transaction: Whether an answer with the job's present terms is in the outbox.
    """
    was: State = before.state if before else "watched"
    reason = before.reason if before else ""
    ours = provider != 0 and now.provider == provider
    match now.status:
        case "assigned" if ours:
            if was in ("declined", "dead"):
                return was, reason
            if has_transaction:
                return ("queued" if was == "queued" else "broadcast"), ""
            return ("inferred" if inferred else "seen"), ""
        case "answered" | "settled" if ours:
            return ("final" if was == "final" else "mined"), ""
        case "open" if was in OPEN_STATES:
            return "declined", reason or "declined by another process"
        case "assigned" | "answered" | "settled" if was in OPEN_STATES:
            return "lost", f"provider {now.provider} took it"
        case "refunded" if was in OPEN_STATES:
            return "lost", "refunded after its deadline"
    return was, reason
