"""The process of a provider: listen, advance, send, keep, and again, until it is told to end.

One thread, one database, one key. Between reading an event and sending its answer there are two waits for the disk: one
for what was read, one for the inference together with the signed transaction. A burst of jobs shares them.
"""

import logging
import random
import signal
import threading
from types import FrameType

from oracle.chain.contracts import Contracts
from oracle.chain.listener import Head, Listener
from oracle.chain.outbox import Outbox
from oracle.chain.store import Store
from oracle.chain.submitter import Submitter
from oracle.config import Settings
from oracle.errors import KeyUnavailable, RpcError, RpcRateLimited, StoreBusy
from oracle.logs import line
from oracle.policy import Policy, Terms
from oracle.services.keeper import Duties, Keeper
from oracle.services.purse import Purse
from oracle.services.serve import Compute, Service, advance, conclude

JOBS_PER_TICK = 64
GROUP_MS = 10.0
"""How long a finished job may wait for others to share its commit, in milliseconds."""
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 15.0
"""How long to wait after a failure of the chain or the disk, doubled from the first to the longest, in seconds."""

_log = logging.getLogger(__name__)


class Provider:
    """Everything a provider runs, wired together.

    Args:
        settings: Settings of its home folder.
        contracts: The deployment it serves.
        store: Its job database.
        outbox: Transactions of its operator key.
        worker: What runs jobs.
        listener: Reads the chain into the database.
    """

    def __init__(
        self,
        settings: Settings,
        contracts: Contracts,
        store: Store,
        outbox: Outbox,
        worker: Compute,
        listener: Listener,
    ) -> None:
        self._settings = settings
        self._contracts = contracts
        self._store = store
        self._outbox = outbox
        self._listener = listener
        self._stopping = threading.Event()
        self._poll_interval_s = settings.chain.poll_interval_s
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
        terms = Terms(
            models=frozenset(settings.provider.models),
            verifiers=frozenset({contracts.address("SignatureVerifier").lower()}),
            max_input_bytes=limits.max_input_bytes,
            max_callback_gas=limits.max_callback_gas,
            least_time_s=limits.least_time_s,
            price_to_gas=limits.price_to_gas,
        )
        policy = Policy(terms, self.head, outbox.gas_price_wei)
        self.purse = Purse(contracts.rpc, outbox, terms.answer_gas)
        self._service = Service(store, policy, worker, outbox, limits.max_tries)
        keep = settings.keeper
        self._keeper = Keeper(
            store,
            contracts,
            outbox,
            Duties(keep.refund, keep.claim, keep.always, keep.every_s),
            settings.provider.number,
            frozenset(address.lower() for address in keep.requesters),
        )

    def head(self) -> Head:
        """Return the latest block that was read."""
        return self._listener.current()

    def check_key(self) -> None:
        """See that our key is the operator of the provider.

        Raises:
            KeyUnavailable: it is not.
        """
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

    def tick(self) -> bool:
        """Listen, advance, send, keep. Returns whether there is more to do at once.

        Raises:
            WorkerError, OracleError: only those that say "stop".
        """
        head = self._listener.tick()
        if len(self._listener.reorgs) > self._reorgs_seen:
            self._reorgs_seen = len(self._listener.reorgs)
            self._submitter.doubt()
        for outcome in self._submitter.check(head):
            conclude(outcome, self._service)
        if (
            head.number < self._listener.calm_from
        ):  # what was final is not: wait for a branch that stays
            self._store.commit()
            return False
        self.purse.look(head)
        ready = [] if self.purse.is_empty else self._store.ready(JOBS_PER_TICK)
        for job_id in ready:
            if self._stopping.is_set():
                break
            self._advance(job_id, head)
        if not self._stopping.is_set():
            self._keeper.tick(head)
        self._flush(head)
        return len(ready) == JOBS_PER_TICK and not self._outbox.is_full

    def _advance(self, job_id: int, head: Head) -> None:
        job = self._store.job(job_id)
        if job is None:
            return
        if job_id in self._recovered:  # it may be what ended the last process: leave a mark
            self._store.mark_begun(job_id)
            self._store.commit()
            self._recovered.discard(job_id)
        advance(job, self._service)
        if self._store.open_for_ms > GROUP_MS:
            self._flush(head)

    def _flush(self, head: Head) -> None:
        """Make everything durable, then send what is new."""
        self._store.commit()
        self._submitter.send(head)
        self._store.commit()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; then finish the job at hand, send what is signed, and return.

        Raises:
            WorkerError, OracleError: something that a person has to look at.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        while not self._stopping.is_set():
            self._stopping.wait(self.step())
        _log.info(line("stopped", jobs=dict(self._store.counts())))

    def step(self) -> float:
        """Start if that has not been done, and tick once. Returns how long to wait before the next step, in seconds.

        When the chain or the disk fails, what was not committed is forgotten, and the wait grows with every failure.

        Raises:
            WorkerError, OracleError: only those that say "stop".
        """
        try:
            if not self._started:
                self.start()
            more = self.tick()
        except (RpcError, StoreBusy) as error:
            self._store.rollback()
            if error.action != "retry":
                raise
            self.failures += 1
            kind = "chain unreachable" if isinstance(error, RpcError) else "database busy"
            jitter = random.uniform(0.5, 1.0)  # noqa: S311  # keeps workers apart, nothing secret
            wait_s = min(FIRST_WAIT_S * 2.0 ** min(self.failures - 1, 10), LONGEST_WAIT_S) * jitter
            if isinstance(error, RpcRateLimited):
                wait_s = max(wait_s, error.wait_s)
            _log.warning(line(kind, reason=error, retry_in_s=wait_s))
            return wait_s
        self.failures = 0
        return 0.0 if more else self._poll_interval_s

    def stop(self) -> None:
        """End `run` after the job at hand."""
        self._stopping.set()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        _log.info(line("stopping", signal=signal.Signals(number).name))
        self.stop()
