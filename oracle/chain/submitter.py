"""Sends what the outbox holds until it is deep in the chain: again when it vanished, dearer when it is stuck.

It never waits: `check` looks once at what became of each row, `send` hands over what no node has yet. Bytes are stored
and committed before they are sent, so after a crash the same transaction goes out, not a second one. A replacement has
the same nonce, calldata and gas. A row is done when its receipt lies on the canonical chain, `confirmations` deep.
"""

import logging
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from oracle.chain.contracts import Contracts
from oracle.chain.fees import raised
from oracle.chain.listener import Head
from oracle.chain.outbox import Outbox, Row, RowState
from oracle.chain.store import Store
from oracle.errors import Reverted, RpcError, RpcRefused, SignerUnavailable
from oracle.faults import crash_point
from oracle.logs import line

RESEND_AFTER_S = 5.0
"""How often rows are looked at while no new block comes, in seconds."""
RETRY_AFTER_S = 1.0
"""How long a row that a node refused is left alone while no new block comes, in seconds."""
COUNT_EVERY_S = 15.0
"""How often the chain's count of the sender's transactions is looked at while nothing is under way, in seconds."""
STRIKES = 3
"""How often a nonce has to be seen used by a transaction that is not ours before we believe it."""

_TOO_CHEAP = ("underpriced", "less than block base fee", "fee too low")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row, for whoever owns its job.

    Args:
        kind: "final" (succeeded), "reverted" (failed on chain), "freed" (it will never be mined).
        reverted: Why it failed, if that could still be found out; never for one that was for several things.
    """

    row: Row
    kind: Literal["final", "reverted", "freed"]
    reverted: Reverted | None = None


class Submitter:
    """Brings the rows of an outbox onto the chain.

    Args:
        confirmations: Blocks from a transaction's own to the one that makes it final, both included.
        bump_after_blocks: Blocks after which a transaction that is not mined is replaced by a dearer one.
    """

    def __init__(
        self,
        store: Store,
        contracts: Contracts,
        outbox: Outbox,
        *,
        confirmations: int,
        bump_after_blocks: int = 3,
    ) -> None:
        self._store = store
        self._contracts = contracts
        self._rpc = contracts.rpc
        self._outbox = outbox
        self._confirmations = confirmations
        self._bump_after_blocks = bump_after_blocks
        self._strikes: Counter[int] = Counter()
        self._refused_since: dict[int, int] = {}
        """Blocks at which nodes first refused a row that is for several things."""
        self._refused: dict[int, tuple[str, str, float]] = {}
        """Rows that nodes refused: the attempt, the head then, and when, monotonic."""
        self._hashes: dict[int, str | None] = {}
        """Hashes of blocks by number, as they are during one `check`."""
        self._looked_at: tuple[str, float] = ("", 0.0)
        self._counted_at = time.monotonic()
        self._waiting: dict[int, float] = {}
        """Rows that wait to be mined, and since when this process has known of them, monotonic."""
        self._doubts = False

    def start(self) -> None:
        """Look at the sender's nonce, so that the next one follows it, and fill what is missing below ours."""
        self._outbox.lowest_nonce = self._mined_count(Head.of(self._rpc.head()))
        self._close_gaps(self._outbox.lowest_nonce)

    def check(self, head: Head) -> list[Outcome]:
        """Look at every row once, if the head is new or a while has passed. The caller commits."""
        now = time.monotonic()
        if self._looked_at[0] == head.hash and now - self._looked_at[1] < RESEND_AFTER_S:
            return []
        self._looked_at = (head.hash, now)
        self._waiting = {row: self._waiting.get(row, now) for row in self._outbox.waiting}
        if not self._outbox.rows("signed", "sent", "mined") and not self._doubts:
            self._look_for_strangers(head, now)
            return []
        count = self._mined_count(head)
        self._outbox.lowest_nonce = count
        self._close_gaps(count)
        self._doubts = False
        self._hashes.clear()
        outcomes = []
        for row in self._outbox.rows("signed", "sent", "mined"):
            if row.nonce < count:
                outcomes += self._look_for_receipt(row, head)
            else:
                self._push(row, head)
        return outcomes

    @property
    def waits_since(self) -> float | None:
        """Since when the oldest row that is not mined has waited, monotonic; None when none waits."""
        return min(self._waiting.values(), default=None)

    def _look_for_strangers(self, head: Head, now: float) -> None:
        """See now and then, while nothing is under way, whether another program uses the key."""
        if now - self._counted_at < COUNT_EVERY_S:
            return
        self._counted_at = now
        ours, count = self._outbox.next_nonce(), self._mined_count(head)
        if count > ours:
            self._say_stranger(nonce=ours)
        self._outbox.lowest_nonce = count

    @staticmethod
    def _say_stranger(**fields: Any) -> None:
        note = "another program uses this key"
        _log.error(line("nonce used elsewhere", **fields, note=note))

    def doubt(self) -> None:
        """A reorg undid blocks: look again at what was final, even if nothing else is under way."""
        self._doubts = True
        self._looked_at = ("", 0.0)

    def send(self, head: Head) -> int:
        """Hand over every attempt that no node has yet, lowest nonce first. Returns how many went out.

        Commit before you call this. What it writes can wait for the next commit: sending twice does no harm.
        """
        sent = 0
        for row in self._outbox.rows("signed", "sent"):
            if not row.attempts or row.attempts[-1].sent_block is not None:
                continue
            if self._was_refused(row, head):
                continue
            crash_point("signed")
            if not self._hand_over(row):
                self._refused[row.id] = (row.attempts[-1].hash, head.hash, time.monotonic())
                self._take_apart(row, head)
                continue
            crash_point("broadcast")
            sent += 1
            self._refused.pop(row.id, None)
            self._refused_since.pop(row.id, None)
            self._store.write(
                "UPDATE attempts SET sent_block = ? WHERE hash = ?",
                (head.number, row.attempts[-1].hash),
            )
            self._put(row, "sent")
            for part in row.parts:
                if part.job_id is not None and part.purpose.startswith("answer:"):
                    self._store.mark_sent(part.job_id)
                    self._log_sent(part.job_id, row)
        return sent

    def _hand_over(self, row: Row) -> bool:
        """Send the newest attempt. False when the node refuses it for now.

        What was not mined in time goes to every endpoint: one may have kept it for itself.
        """
        tell = self._rpc.call if len(row.attempts) == 1 else self._rpc.tell_all
        try:
            tell("eth_sendRawTransaction", "0x" + row.attempts[-1].raw.hex())
        except RpcRefused as error:
            text = error.text.lower()
            if error.has_it_already or "nonce too low" in text:
                return (
                    True  # it is there, or its nonce is used up: the next check finds out by what
                )
            if any(phrase in text for phrase in _TOO_CHEAP):
                self._refused_since.pop(row.id, None)  # a matter of money, not of size
                self._raise_fees(row)
            _log.warning(line("not sent", purpose=row.purpose, nonce=row.nonce, reason=error.text))
            return False
        return True

    def _was_refused(self, row: Row, head: Head) -> bool:
        """Whether nodes refused the same a moment ago, and nothing has happened since."""
        attempt, at_head, when = self._refused.get(row.id, ("", "", 0.0))
        same = (attempt, at_head) == (row.attempts[-1].hash, head.hash)
        return same and time.monotonic() - when < RETRY_AFTER_S

    def _take_apart(self, row: Row, head: Head) -> None:
        """What is for several things, and no node takes it for a while, is withdrawn: each of them goes alone then."""
        if len(row.parts) < 2 or row.cancel:
            return
        since = self._refused_since.setdefault(row.id, head.number)
        if head.number - since >= self._bump_after_blocks:
            del self._refused_since[row.id]
            self._withdraw(row)
            _log.warning(line("taken apart", purpose=row.purpose, nonce=row.nonce))

    def _withdraw(self, row: Row) -> None:
        """Let the nonce of a row be used up by nothing."""
        self._store.write("UPDATE outbox SET cancel = 1 WHERE id = ?", (row.id,))
        if row.attempts:
            self._raise_fees(row)

    def _look_for_receipt(self, row: Row, head: Head) -> list[Outcome]:
        """The nonce is used up: by which of our attempts, and how deep?"""
        for attempt in reversed(row.attempts):
            receipt = self._rpc.agreed(
                "eth_getTransactionReceipt", attempt.hash, what_counts=_essence
            )
            if receipt and self._is_canonical(receipt):
                self._strikes.pop(row.id, None)
                return self._mined(row, attempt.cancel, receipt, head)
        if row.state == "mined":
            self._put(row, "sent")
        self._strikes[row.id] += 1
        if self._strikes[row.id] < STRIKES:
            return []
        del self._strikes[row.id]
        self._say_stranger(nonce=row.nonce, purpose=row.purpose)
        self._put(row, "freed")
        return [Outcome(row, "freed")]

    def _mined(
        self, row: Row, cancelled: bool, receipt: dict[str, Any], head: Head
    ) -> list[Outcome]:
        number, success = int(receipt["blockNumber"], 16), receipt["status"] == "0x1"
        self._store.write(
            "UPDATE outbox SET state = 'mined', block_number = ?, block_hash = ?, success = ?, gas_used = ? "
            "WHERE id = ?",
            (number, receipt["blockHash"], success, int(receipt["gasUsed"], 16), row.id),
        )
        if number + self._confirmations - 1 > head.number:
            return []
        if cancelled:
            self._put(row, "cancelled")
            return [Outcome(row, "freed")]
        if success:
            self._put(row, "final")
            return [Outcome(row, "final")]
        self._put(row, "reverted")
        reverted = self._why(row)
        reason = reverted.name if reverted else ""
        self._store.write("UPDATE outbox SET reason = ? WHERE id = ?", (reason, row.id))
        return [Outcome(row, "reverted", reverted)]

    def _why(self, row: Row) -> Reverted | None:
        """Ask again why a transaction fails; None when that is not sure, or when it is for several things."""
        if len(row.parts) > 1:
            return None
        try:
            self._outbox.gas_of(row.target, row.data, row.value_wei)
        except Reverted as reverted:
            return reverted
        except RpcError:
            return None  # whoever tries again finds out
        return None

    def _push(self, row: Row, head: Head) -> None:
        """The nonce is free: send again what vanished, replace what is stuck, withdraw what came too late."""
        if row.state == "mined":  # its block is no longer on the chain
            _log.warning(line("transaction unmined", purpose=row.purpose, nonce=row.nonce))
            self._put(row, "sent")
        if row.deadline_s and head.time_s > row.deadline_s and not row.cancel:
            _log.warning(line("too late", purpose=row.purpose, nonce=row.nonce))
            self._withdraw(row)
            return
        if not row.attempts:
            return  # the signer is away: `Outbox.sign_waiting` asks it again
        last = row.attempts[-1]
        if row.cancel and not last.cancel:
            self._raise_fees(row)
        elif last.sent_block is None:
            return  # `send` has not had its turn
        elif self._rpc.call("eth_getTransactionByHash", last.hash) is None:
            _log.warning(line("transaction vanished", purpose=row.purpose, nonce=row.nonce))
            self._store.write("UPDATE attempts SET sent_block = NULL WHERE hash = ?", (last.hash,))
        elif head.number - last.sent_block >= self._bump_after_blocks:
            self._raise_fees(row)

    def _raise_fees(self, row: Row) -> None:
        fees = raised(row.attempts[-1].fees, self._outbox.fees(), self._outbox.max_fee_wei)
        if fees is None:
            _log.warning(
                line(
                    "fee limit reached",
                    purpose=row.purpose,
                    nonce=row.nonce,
                    limit_wei=self._outbox.max_fee_wei,
                )
            )
            return
        try:
            self._outbox.sign(row.id, fees)
        except SignerUnavailable as error:  # the next look tries again
            _log.warning(line("not replaced", purpose=row.purpose, nonce=row.nonce, reason=error))
            return
        _log.info(
            line(
                "replaced",
                purpose=row.purpose,
                nonce=row.nonce,
                max_fee_wei=fees.max_fee_wei,
                tip_wei=fees.tip_wei,
            )
        )

    def _close_gaps(self, count: int) -> None:
        """See to it that every nonce from the chain's count up to our highest has a row that is being sent."""
        for row in self._outbox.rows("final", "reverted", "cancelled", from_nonce=count):
            _log.critical(
                line(
                    "finality violated",
                    purpose=row.purpose,
                    nonce=row.nonce,
                    note="a reorg deeper than `confirmations`",
                )
            )
            if not row.attempts:  # it was pruned: its nonce is a gap
                self._put(row, "freed")
                continue
            self._store.write(
                "UPDATE outbox SET state = 'sent', cancel = ? WHERE id = ?",
                (row.cancel or row.state != "final", row.id),
            )
        live = {row.nonce for row in self._outbox.rows("signed", "sent", "mined")}
        for nonce in range(count, max(live, default=count)):
            if nonce not in live:
                _log.warning(line("nonce gap filled", nonce=nonce))
                self._outbox.fill(nonce)

    def _mined_count(self, head: Head) -> int:
        """How many transactions of the sender are mined; of several endpoints, which may be late, at the same block."""
        block = "latest" if self._rpc.quorum == 1 else hex(head.number)
        return int(self._rpc.agreed("eth_getTransactionCount", self._outbox.sender, block), 16)

    def _is_canonical(self, receipt: dict[str, Any]) -> bool:
        number = int(receipt["blockNumber"], 16)
        if number not in self._hashes:
            block = self._rpc.block(number)
            self._hashes[number] = block["hash"] if block else None
        return bool(self._hashes[number] == receipt["blockHash"])

    def _put(self, row: Row, state: RowState) -> None:
        self._store.write("UPDATE outbox SET state = ? WHERE id = ?", (state, row.id))

    def _log_sent(self, job_id: int, row: Row) -> None:
        job = self._store.job(job_id)
        if job is not None and job.sent_at_ms is not None:
            _log.info(
                line(
                    "job",
                    job=job_id,
                    state="broadcast",
                    nonce=row.nonce,
                    ms_from_block=job.sent_at_ms - job.read_at_ms,
                    ms_in_model=job.inference.duration_ms if job.inference else 0.0,
                )
            )


def _essence(receipt: dict[str, Any] | None) -> list[Any] | None:
    """What several endpoints have to say alike about a receipt."""
    return [receipt["blockHash"], receipt["status"], receipt["gasUsed"]] if receipt else None
