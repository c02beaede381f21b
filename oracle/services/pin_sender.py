"""Brings a pinner's transactions to the chain, each once: signed and stored before it is sent, and watched until final.

A purpose says what a transaction is for, down to the challenge and the value that chose its leaves. So there is never a
second one for the same thing, however often it is asked for and wherever the process was killed.
"""

import logging
import time
from typing import get_args

from oracle.chain.contracts import Contracts
from oracle.chain.listener import Head
from oracle.chain.outbox import Call, Outbox, Row, RowState, TransactionSigner
from oracle.chain.store import Store
from oracle.chain.submitter import Submitter
from oracle.errors import RpcUnreachable
from oracle.faults import crash_point
from oracle.logs import line

WAIT_S = 120.0
LOOK_EVERY_S = 0.1

_log = logging.getLogger(__name__)


class PinSender:
    """The outbox of one pinner.

    Args:
        database: Of this pinner alone; nobody else writes it.
        confirmations: Blocks from a transaction's own to the one that makes it final, both included.
        max_fee_wei: Most to offer per gas.
        bump_after_blocks: Blocks after which a transaction that is not mined is replaced by a dearer one.
    """

    def __init__(
        self,
        database: Store,
        contracts: Contracts,
        signer: TransactionSigner,
        *,
        confirmations: int,
        max_fee_wei: int,
        bump_after_blocks: int = 3,
    ) -> None:
        self._database = database
        self._contracts = contracts
        self._head: Head | None = None
        self._outbox = Outbox(
            database, contracts, signer, lambda: self._head or self._look(), max_fee_wei=max_fee_wei
        )
        self._submitter = Submitter(
            database,
            contracts,
            self._outbox,
            confirmations=confirmations,
            bump_after_blocks=bump_after_blocks,
        )
        self.address = signer.address

    def start(self) -> None:
        """Look at the chain, and go on with what a process before this one left."""
        self._look()
        self._submitter.start()
        self._database.commit()

    def check(self) -> None:
        """Look once at what became of what was sent."""
        head = self._look()
        self._outbox.sign_waiting()
        outcomes = self._submitter.check(head)
        if self._outbox.rows("mined"):
            crash_point("mined")
        if outcomes:
            crash_point("final")
        self._database.commit()
        for outcome in outcomes:
            if outcome.kind != "final":
                reason = outcome.reverted or outcome.kind
                _log.warning(line("not done", purpose=outcome.row.purpose, reason=reason))

    def send(self) -> None:
        """Send what no node has. Between `check` and this is the moment to withdraw what is too late."""
        self._submitter.send(self._head or self._look())
        self._database.commit()

    def forget(self) -> None:
        """Drop what was not committed, after an error."""
        self._database.rollback()

    def queue(self, call: Call) -> bool:
        """Sign and store a transaction for the next `send`. Returns False when there is one for its purpose already.

        Raises:
            OutboxFull: Too many wait already. Reverted: It would fail; nothing is stored.
            SignerUnavailable: The signer failed a moment ago; nothing is stored.
        """
        if not self._outbox.add(call):
            return False
        crash_point("queued")
        self._database.commit()
        return True

    def require(self, call: Call) -> None:
        """Check that a call would succeed now.

        Raises:
            Reverted: It would not. RpcError: The chain could not be asked, or there is too little money for it.
        """
        self._look()
        if (reverted := self._outbox.why_not(call)) is not None:
            raise reverted

    def has(self, purpose: str) -> bool:
        """Whether a transaction for this purpose is under way or was successful."""
        return self._outbox.has(purpose)

    def withdraw(self, prefix: str, but: str = "") -> None:
        """Use up the nonces of transactions with purposes that begin so by nothing, if they are not final yet."""
        withdrawn = self._database.write(
            "UPDATE outbox SET cancel = 1 WHERE sender = ? AND substr(purpose, 1, ?) = ? AND purpose <> ? "
            "AND cancel = 0 AND state IN ('signed', 'sent', 'mined')",
            (self.address, len(prefix), prefix, but),
        )
        if withdrawn.rowcount:
            self._submitter.doubt()  # signs what goes out instead
            self.check()

    def wait(self, purpose: str, timeout_s: float = WAIT_S) -> str:
        """Wait until a transaction is mined; returns its hash.

        Raises:
            Reverted: It failed on the chain.
            RpcUnreachable: It was not mined in time; it is still sent when this pinner is run.
        """
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            self._submitter.doubt()  # look now, whether or not there is a new block
            self.check()
            self.send()
            row = self._row(purpose)
            if row.state in ("mined", "final") and row.success:
                return self._hash(row)
            if row.state in ("mined", "reverted"):
                self._contracts.simulate(self.address, row.target, row.data, row.value_wei)
                raise RpcUnreachable(f"{purpose} failed on chain, and would succeed now: try again")
            time.sleep(LOOK_EVERY_S)
        raise RpcUnreachable(
            f"{purpose} was not mined within {timeout_s:.0f} s; `lattice pin run` goes on with it"
        )

    def _hash(self, row: Row) -> str:
        """Hash of the attempt that was mined."""
        for attempt in reversed(row.attempts):
            if self._contracts.rpc.call("eth_getTransactionReceipt", attempt.hash):
                return attempt.hash
        return row.attempts[-1].hash

    def _row(self, purpose: str) -> Row:
        rows = self._outbox.rows(*get_args(RowState))
        return [row for row in rows if row.purpose == purpose][-1]

    def _look(self) -> Head:
        """Read the head. When the last one is no longer on the chain, what was final is looked at again."""
        head = Head.of(self._contracts.rpc.head())
        before, self._head = self._head, head
        if before is not None and before.hash != head.hash:
            block = self._contracts.rpc.block(before.number)
            if block is None or block["hash"] != before.hash:
                _log.warning(line("reorg", block=before.number))
                self._submitter.doubt()
        return head
