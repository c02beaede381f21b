"""Housekeeping that anyone may do: refunds expired jobs, settles decided ones, claims what offers have earned.

Each only when it brings in more than its gas costs, or when told to do it anyway.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from offchain_worker.job import NO_ADDRESS, Job
from oracle.chain.contracts import Contracts
from oracle.chain.events import to_terms
from oracle.chain.listener import Head
from oracle.chain.outbox import Call, Outbox
from oracle.chain.store import Store, StoredJob
from oracle.chain.together import add_together, groups
from oracle.errors import OutboxFull, Reverted, RpcError, SignerUnavailable
from oracle.logs import line
from oracle.services.serve import purpose

REFUND_GAS = 90_000
SETTLE_GAS = 120_000
CLAIM_GAS = 150_000
LATE_BLOCKS = 1_000
"""How many blocks behind the head the listener's second reading may still find that a job was settled."""
MOST_EPOCHS = 100
"""How many epochs of a model's terms are tried to find the one of an offer."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Duties:
    """What a keeper does.

    Args:
        refund: Refund expired jobs of our own requests, of anybody, or none.
        claim: Claim the earnings of our provider's offers.
        always: Do it even when it costs more gas than it brings in.
        every_s: How often to look, in seconds.
    """

    refund: Literal["own", "any", "none"] = "own"
    claim: bool = True
    always: bool = False
    every_s: float = 60.0


class Keeper:
    """Queues housekeeping transactions in the outbox.

    Args:
        provider: Our number; 0 when we only ask.
        requesters: Accounts whose requests are ours, in lower case.
        most_together: Most calls in one transaction.
    """

    def __init__(
        self,
        store: Store,
        contracts: Contracts,
        outbox: Outbox,
        duties: Duties,
        provider: int,
        requesters: frozenset[str] = frozenset(),
        most_together: int = 1,
    ) -> None:
        self._store = store
        self._contracts = contracts
        self._outbox = outbox
        self._duties = duties
        self._provider = provider
        self._requesters = requesters
        self._most_together = most_together
        self._markets: dict[int, Mapping[str, Any] | None] = {}
        self._read_up_to = 0
        self._looked_at = float("-inf")

    def tick(self, head: Head, gas: int) -> int:
        """Queue what is due, at most every `every_s` seconds. Returns how many calls were queued.

        Args:
            head: The latest block.
            gas: Most gas of calls that share a transaction, from `together.most_gas`.
        """
        now = time.monotonic()
        if now - self._looked_at < self._duties.every_s:
            return 0
        self._looked_at = now
        queued = 0
        try:
            for group in groups(self._due(head), self._most_together, gas):
                queued += self._queue(group)
        except (RpcError, OutboxFull, SignerUnavailable) as error:
            _log.info(line("keeper waits", reason=error))
        return queued

    def _due(self, head: Head) -> Iterator[Call]:
        """What is worth its gas now; whether it is possible is found out when it is queued."""
        for job in self._expired(head):
            yield from self._refund(job)
        for job in self._answered():
            yield from self._settle(job)
        if self._duties.claim and self._provider:
            for offer_id in self._offers(head):
                yield from self._claim(offer_id)

    def _expired(self, head: Head) -> list[StoredJob]:
        """Jobs to refund. Our own clock only says when to ask: the simulated next block decides."""
        anybodys = self._duties.refund == "any"
        if self._duties.refund == "none" or not (anybodys or self._requesters):
            return []
        now_s = max(head.time_s, int(time.time()))
        jobs = self._store.open_on_chain("assigned", "open", before_s=now_s)
        return [job for job in jobs if anybodys or job.job.requester.lower() in self._requesters]

    def _answered(self) -> list[StoredJob]:
        """Our answers that are not final yet."""
        if not self._provider:
            return []
        return self._store.open_on_chain("answered", provider=self._provider)

    def _refund(self, job: StoredJob) -> Iterator[Call]:
        ours = job.job.requester.lower() in self._requesters
        worth_wei = job.job.price if ours and job.job.token == NO_ADDRESS else 0
        told = self._duties.always or self._duties.refund == "any"
        if told or self._pays(worth_wei, REFUND_GAS):
            arguments = (job.job_id, to_terms(job.job))
            yield Call(
                purpose("refund", job.job), "InferenceRouter", "refund", arguments, job.job_id
            )

    def _settle(self, job: StoredJob) -> Iterator[Call]:
        gas = SETTLE_GAS + job.job.callback_gas
        if self._duties.always or self._pays(job.job.price, gas):
            (waiting,) = (
                event.fields["waiting"]
                for event in self._store.events_of(job.job_id)
                if event.kind == "answered"
            )
            yield Call(
                purpose("settle", job.job),
                "InferenceRouter",
                "settle",
                (job.job_id, to_terms(job.job), job.units, waiting, job.output),
                job.job_id,
                callback_gas=job.job.callback_gas,
            )

    def _offers(self, head: Head) -> list[int]:
        """Our offers that have earned something, their markets looked up once.

        Only the first look reads all jobs, which may be millions; further ones those that were settled since.
        """
        which, values = "provider = ?", [self._provider]
        if self._read_up_to:
            newly = "SELECT job_id FROM events WHERE kind = 'settled' AND block_number > ?"
            which += f" AND job_id IN ({newly})"
            values.append(self._read_up_to - LATE_BLOCKS)
        rows = self._store.read(
            "SELECT MAX(job_id) AS job_id, json_extract(job, '$.offer_id') AS offer_id FROM jobs "  # noqa: S608
            f"WHERE status = 'settled' AND {which} GROUP BY 2",
            values,
        )
        for row in rows:
            job = self._store.job(row["job_id"])
            if job is not None and row["offer_id"] not in self._markets:
                self._markets[row["offer_id"]] = self._market_of(job.job)
        self._read_up_to = head.number
        return [offer_id for offer_id, market in self._markets.items() if market]

    def _market_of(self, job: Job) -> Mapping[str, Any] | None:
        """The market of a job's offer. A job names all of it but the epoch of the model's terms: that is tried out.

        Its event would have to be searched for in the whole history, which takes minutes, and answers would wait.
        """
        newest = self._contracts.read("ModelRegistry", "model", job.model_id)["epoch"]
        for epoch in range(newest, max(newest - MOST_EPOCHS, 0), -1):
            market = {
                **{"modelId": job.model_id, "version": job.version, "epoch": epoch},
                **{"token": job.token, "verifier": job.verifier},
                **{"secondVerifier": job.second_verifier, "resolution": job.resolution},
            }
            with contextlib.suppress(Reverted):
                self._contracts.read("InferenceRouter", "offerIn", job.offer_id, market)
                return market
        _log.warning(
            line("not claimed", offer=job.offer_id, note="use `lattice provider claim` for it")
        )
        return None

    def _claim(self, offer_id: int) -> Iterator[Call]:
        market = self._markets[offer_id]
        assert market is not None  # noqa: S101  # others are not among `_offers`
        earned = self._contracts.read("InferenceRouter", "offer", offer_id)["earned"]
        native = market["token"] == NO_ADDRESS
        if earned == 0 or not (self._duties.always or (native and self._pays(earned, CLAIM_GAS))):
            return
        name = f"claim:{self._contracts.address('InferenceRouter')}:{offer_id}"
        round_number = len(
            self._store.read(
                "SELECT 1 FROM parts JOIN outbox ON id = outbox_id "
                "WHERE parts.purpose LIKE ? AND state = 'final'",
                (f"{name}:%",),
            )
        )
        yield Call(f"{name}:{round_number}", "InferenceRouter", "claim", (offer_id, market))

    def _pays(self, worth_wei: int, gas: int) -> bool:
        return worth_wei > gas * self._outbox.gas_price_wei()

    def _queue(self, group: list[Call]) -> int:
        """Queue what is possible of a group, in one transaction; what failed once, alone."""
        calls = [call for call in group if not self._outbox.has(call.purpose)]
        again = [call for call in calls if self._outbox.has_failed(call.purpose)]
        first = [call for call in calls if call not in again]
        for some in [first, *([call] for call in again)]:
            refused = add_together(self._outbox, some) if some else {}
            for name, error in refused.items():  # too early, or somebody else was first
                _log.debug(line("keeper", purpose=name, reason=error))
        queued = [call for call in calls if self._outbox.has(call.purpose)]
        for call in queued:
            _log.info(line("keeper", purpose=call.purpose))
        return len(queued)
