"""The process of a provider: listen, advance, send, keep, and again, until it is told to end.

One thread, one database, one key; models run beside it. Between reading an event and sending its answer there are three
waits for the disk: for what was read, for what the model said, and for the signed transaction. A burst of jobs shares
them. The loop sleeps until the next look at the chain is due, a model has finished, or it is told to end.
"""

import logging
import random
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from offchain_worker.errors import ArtifactMissing
from offchain_worker.job import Inference
from oracle.chain.contracts import Contracts
from oracle.chain.heads import Heads
from oracle.chain.listener import Head, Listener
from oracle.chain.outbox import Outbox
from oracle.chain.pruning import prune
from oracle.chain.store import Store
from oracle.chain.submitter import Outcome, Submitter
from oracle.chain.together import most_gas
from oracle.config import Settings
from oracle.errors import KeyUnavailable, RpcError, RpcRateLimited, SignerUnavailable, StoreBusy
from oracle.faults import crash_point
from oracle.logs import line
from oracle.policy import Policy, Terms
from oracle.server.health import Pulse
from oracle.server.metrics import Metrics, Times
from oracle.services.answering import answer_together, sorted_out
from oracle.services.keeper import Duties, Keeper
from oracle.services.purse import Purse
from oracle.services.runner import Runner
from oracle.services.serve import Prover, Service, advance, conclude, inferred
from oracle.services.waker import Waker

JOBS_PER_TICK = 64
PRUNE_EVERY_S = 60.0
GROUP_MS = 10.0
"""How long a finished job may wait for others to share its commit, in milliseconds."""
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 15.0
"""How long to wait after a failure of the chain or the disk, doubled from the first to the longest, in seconds."""

_FAILURES = {
    RpcError: "chain unreachable",
    StoreBusy: "database busy",
    SignerUnavailable: "signer unavailable",
}

_log = logging.getLogger(__name__)


class Provider:
    """Everything a provider runs, wired together.

    Args:
        settings: Settings of its home folder.
        contracts: The deployment it serves.
        store: Its job database.
        outbox: Transactions of its operator key.
        runner: Where models run.
        prover: Makes the proofs.
        listener: Reads the chain into the database.
        too_large: Says of a model's CID why it would not fit into memory here; None when it would.
    """

    def __init__(
        self,
        settings: Settings,
        contracts: Contracts,
        store: Store,
        outbox: Outbox,
        runner: Runner,
        prover: Prover,
        listener: Listener,
        too_large: Callable[[str], str | None] = lambda model_cid: None,
    ) -> None:
        self._settings = settings
        self._contracts = contracts
        self._store = store
        self._outbox = outbox
        self._listener = listener
        self._runner = runner
        self._waker = Waker()
        self._stop_by: float | None = None
        self._draining = False
        self._listened_at = float("-inf")
        self._pruned_at = float("-inf")
        self._poll_interval_s = settings.chain.poll_interval_s
        self._drain_s = settings.limits.drain_s
        self._heads = (
            Heads(settings.chain.ws_url, self._waker.wake) if settings.chain.ws_url else None
        )
        self._started = False
        self._reorgs_seen = 0
        self.failures = 0
        """How often in a row the chain or the disk failed."""
        self._recovered: set[int] = set()
        limits = settings.limits
        self._submitter = Submitter(
            store,
            contracts,
            outbox,
            confirmations=settings.chain.confirmations,
            bump_after_blocks=limits.bump_after_blocks,
        )
        signature = contracts.address("SignatureVerifier")
        policy = Policy(_terms_of(settings, signature), self.head, outbox.gas_price_wei, too_large)
        self.purse = Purse(contracts, outbox, settings.provider.number)
        self.pulse = Pulse(settings.server.stale_head_s)
        contracts.rpc.beat = self.pulse.beat
        self._times = Times()
        self.metrics = Metrics(
            store.path, listener, contracts.rpc, self.purse, self.pulse, self._times
        )
        self._service = Service(
            store,
            policy,
            runner,
            prover,
            outbox,
            max_tries=limits.max_tries,
            most_together=limits.answers_together,
            signature=signature,
        )
        keep = settings.keeper
        self._keeper = Keeper(
            store,
            contracts,
            outbox,
            Duties(keep.refund, keep.claim, keep.always, keep.every_s),
            settings.provider.number,
            frozenset(address.lower() for address in keep.requesters),
            limits.answers_together,
        )

    def head(self) -> Head:
        """Return the latest block that was read."""
        return self._listener.current()

    def check_key(self) -> None:
        """See that our key can be used and is the operator of the provider.

        Raises:
            KeyUnavailable: it cannot, or is not. SignerUnavailable: the remote signer does not answer.
        """
        self._outbox.check_signer()
        number = self._settings.provider.number
        operator = self._contracts.read("ProviderStaking", "operatorOf", number)
        if operator != self._outbox.sender:
            raise KeyUnavailable(
                f"the key of {self._outbox.sender} is not the operator of provider {number}, which is {operator}: "
                "use that key, or make this one the operator (`setOperator`)"
            )

    def start(self) -> None:
        """Catch up with the chain and pick up what the last process left."""
        self.check_key()
        head = self._listener.start()
        self._submitter.start()
        for disowned in self._outbox.disown():
            conclude(Outcome(disowned, "freed"), self._service)
        for row in self._store.read("SELECT job_id, tries, begun FROM jobs WHERE state = 'seen'"):
            self._recovered.add(row["job_id"])
            if row["begun"]:
                reason = "the process ended while the model ran"
                self._store.postpone(row["job_id"], reason, row["tries"] + 1, 0.0)
        self._store.commit()
        self._started = True
        _log.info(
            line(
                "ready",
                provider=self._settings.provider.number,
                operator=self._outbox.sender,
                chain=self._contracts.deployment.chain_id,
                block=head.number,
                jobs=dict(self._store.counts()),
            )
        )

    def tick(self, *, listen: bool = True) -> bool:
        """Listen, begin, answer, send, keep. Returns whether there is more to do at once.

        Args:
            listen: Whether to ask the chain for news first; not when only a model has finished.

        Raises:
            WorkerError, OracleError: only those that say "stop".
        """
        self._collect()  # first: what a model may use ends in time while the chain is away, too
        head = self._listen() if listen else self.head()
        if (
            head.number < self._listener.calm_from
        ):  # what was final is not: wait for a branch that stays
            self._store.commit()
            return False
        self.purse.look(head)
        if self.is_stopping and not self._draining:
            self._draining = True
            self._runner.drain()
        if not self.is_stopping and not self.purse.is_empty:
            self._begin()
        self._collect()
        more = self._answer(head)
        if not self.is_stopping:
            self._keeper.tick(head, self._most_gas(head))
            self._prune(head)
        self._flush(head)
        return more

    def _listen(self) -> Head:
        """Read what is new on the chain, and what became of our transactions."""
        self._listened_at = time.monotonic()
        head = self._listener.tick()
        if len(self._listener.reorgs) > self._reorgs_seen:
            self._reorgs_seen = len(self._listener.reorgs)
            self._submitter.doubt()
        for outcome in self._submitter.check(head):
            conclude(outcome, self._service)
        return head

    def _begin(self) -> None:
        """Give new jobs to the models, oldest first."""
        busy = set(self._runner.busy)
        for job_id in self._store.ready("seen", JOBS_PER_TICK + len(busy)):
            if job_id in busy:
                continue
            if self._runner.room <= 0:
                return
            job = self._store.job(job_id)
            if job is None:
                continue
            if job_id in self._recovered:  # it may be what ended the last process: leave a mark
                self._store.mark_begun(job_id)
                self._store.commit()
                self._recovered.discard(job_id)
            advance(job, self._service)
            self._times.queue_wait.add(max(time.time() - job.read_at_ms / 1000, 0.0))

    def _collect(self) -> None:
        """Make durable what the models said."""
        done = self._runner.finished()
        for item in done:
            inferred(item, self._service)
            if isinstance(item.outcome, ArtifactMissing):
                self.pulse.no_artifact = " ".join(str(item.outcome).split())
            if isinstance(item.outcome, Inference):
                self.pulse.no_artifact = ""
                self._times.note(item.outcome)
                _log.info(line("inferred", **_figures(item.outcome)))
        if done:
            self._store.commit()
            crash_point("inferred")

    def _answer(self, head: Head) -> bool:
        """Sign what is inferred. Returns whether more waits than was done."""
        self._outbox.sign_waiting()
        ready = self._store.ready("inferred", JOBS_PER_TICK)
        jobs = [job for job_id in ready if (job := self._store.job(job_id)) is not None]
        for group in sorted_out(jobs, self._service, head, self._most_gas(head)):
            if self._outbox.signer_rests:
                return False
            if len(group) > 1:
                answer_together(group, self._service)
            else:
                advance(group[0], self._service)
            if self._store.open_for_ms > GROUP_MS:
                self._flush(head)
        return len(ready) == JOBS_PER_TICK and not self._outbox.is_full

    def _prune(self, head: Head) -> None:
        """Forget the bulk of old jobs, now and then. Not what is read again: it would come back."""
        if time.monotonic() - self._pruned_at < PRUNE_EVERY_S:
            return
        self._pruned_at = time.monotonic()
        below = min(head.number - self._settings.limits.keep_blocks, self._listener.reread_from)
        if forgotten := prune(self._store, below):
            _log.info(line("pruned", jobs=forgotten, below_block=below))

    def _most_gas(self, head: Head) -> int:
        return most_gas(self._outbox, head, self.purse.balance_wei)

    def _flush(self, head: Head) -> None:
        """Make everything durable, then send what is new."""
        self._store.commit()
        self._submitter.send(head)
        self._store.commit()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; then let models finish, send what is signed, and return.

        Raises:
            WorkerError, OracleError: something that a person has to look at.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        if self._heads is not None:
            self._heads.start()
        wait_s = self.step()
        while not self._is_drained():
            self._waker.wait(wait_s, self._runner.filenos())
            wait_s = self.step()
        if self._heads is not None:
            self._heads.close()
        _log.info(line("stopped", jobs=dict(self._store.counts())))

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to end."""
        return self._stop_by is not None

    def _is_drained(self) -> bool:
        """Whether nothing is left to be done before the end, or the time for it is over."""
        if self._stop_by is None:
            return False
        if time.monotonic() > self._stop_by:
            _log.warning(line("drain cut off", jobs=sorted(self._runner.busy)))
            return True
        return not self._runner.busy and (self.failures > 0 or not self._outbox.has_unsent)

    def step(self) -> float:
        """Start if that has not been done, and tick once. Returns how long to wait before the next step, in seconds.

        The chain is asked when that is due, and not each time that a model has finished.

        When the chain, the disk or the signer fails, what was not committed is forgotten, and the wait grows with every
        failure.

        Raises:
            WorkerError, OracleError: only those that say "stop".
        """
        self.pulse.beat()
        try:
            if not self._started:
                if self.is_stopping:
                    return 0.0
                self.start()
            due_s = self._listened_at + self._poll_interval_s - time.monotonic()
            told = self._heads is not None and self._heads.news()
            more = self.tick(listen=told or due_s <= 0 or self.failures > 0)
        except (RpcError, StoreBusy, SignerUnavailable) as error:
            self._store.rollback()
            if error.action != "retry":
                raise
            self.failures += 1
            self.pulse.failure = " ".join(str(error).split())
            kind = next(word for kind, word in _FAILURES.items() if isinstance(error, kind))
            jitter = random.uniform(0.5, 1.0)  # noqa: S311  # keeps workers apart, nothing secret
            wait_s = min(FIRST_WAIT_S * 2.0 ** min(self.failures - 1, 10), LONGEST_WAIT_S) * jitter
            if isinstance(error, RpcRateLimited):
                wait_s = max(wait_s, error.wait_s)
            _log.warning(line(kind, reason=error, retry_in_s=wait_s))
            return wait_s
        self.failures = 0
        self._note_pulse()
        if more:
            return 0.0
        return max(self._listened_at + self._poll_interval_s - time.monotonic(), 0.0)

    def _note_pulse(self) -> None:
        """Write down how it goes, for the pages that are read from outside."""
        pulse, rpc = self.pulse, self._contracts.rpc
        pulse.started, pulse.failure = self._started, ""
        pulse.saw(self.head().number, self.head().time_s)
        pulse.tx_waits_since = self._submitter.waits_since
        pulse.halted_until = self._listener.calm_from
        pulse.funds_low = self.purse.is_empty
        pulse.no_signer = self._outbox.signer_trouble
        pulse.no_models = self._runner.trouble
        if pulse.no_artifact and not self._store.counts().get("seen"):
            pulse.no_artifact = ""
        pulse.endpoints, pulse.endpoints_needed = len(rpc.endpoints), rpc.quorum
        pulse.endpoints_in_sync = rpc.in_sync
        self.metrics.killed = self._runner.killed

    def stop(self) -> None:
        """End `run` soon: take nothing more on, and let what is in a model finish. At once when called again."""
        if self.is_stopping:
            self._stop_by = 0.0
        else:
            self._stop_by = time.monotonic() + self._drain_s
        self.pulse.stopping = True
        self._waker.wake()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        _log.info(line("stopping", signal=signal.Signals(number).name, within_s=self._drain_s))
        self.stop()


def _terms_of(settings: Settings, signature: str) -> Terms:
    """What the settings say of jobs that are taken; `signature` is the only verifier that we make proofs for."""
    limits = settings.limits
    return Terms(
        models=frozenset(model.lower() for model in settings.provider.models),
        verifiers=frozenset({signature.lower()}),
        max_input_bytes=limits.max_input_bytes,
        max_callback_gas=limits.max_callback_gas,
        least_time_s=limits.least_time_s,
        price_to_gas=limits.price_to_gas,
    )


def _figures(inference: Inference) -> dict[str, Any]:
    """What a run took."""
    return {
        "job": inference.job_id,
        "backend": f"{inference.backend}:{inference.device}",
        "ms": round(inference.duration_ms, 3),
        "memory_mib": inference.memory_bytes >> 20,
        "batch": inference.batch,
    }
