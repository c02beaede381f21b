"""Transactions that have to reach the chain: one row per nonce, one live row per purpose, signed and stored.

`add` simulates, chooses fees and nonce, signs, and stores; it sends nothing. When the store has committed, the
submitter sends, and keeps at it until the transaction is deep in the chain. A purpose such as
`answer:31337:0xrouter:7` makes a second transaction for the same thing impossible however often somebody asks.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from oracle.chain.contracts import Contracts
from oracle.chain.fees import Fees, suggest
from oracle.chain.listener import Head
from oracle.chain.store import Store
from oracle.errors import OutboxFull

TRANSFER_GAS = 21_000
MOST_GAS = 16_777_216
"""Most gas of one transaction (EIP-7825)."""

RowState = Literal["signed", "sent", "mined", "final", "reverted", "cancelled", "freed"]


class TransactionSigner(Protocol):
    """What the outbox needs of a key; `oracle.keys.KeySigner` is one."""

    @property
    def address(self) -> str:
        """Address of the key, with checksum."""
        ...

    def sign_transaction(self, transaction: dict[str, Any]) -> tuple[str, bytes]:
        """Return hash and signed bytes of an EIP-1559 transaction."""
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed form of a row. `sent_block` is None until a node has it."""

    hash: str
    raw: bytes
    fees: Fees
    cancel: bool
    sent_block: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the outbox.

    Args:
        deadline_s: Chain time after which it is pointless; 0 for never.
        cancel: True when its nonce is to be used up by nothing instead.
        block_number: Block that it was mined in.
        attempts: Oldest first.
    """

    id: int
    nonce: int
    purpose: str
    job_id: int | None
    target: str
    data: bytes
    gas: int
    value_wei: int
    deadline_s: int
    state: RowState
    cancel: bool
    block_number: int | None
    success: bool
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """What to send: a function of one of our contracts, for a reason.

    Args:
        purpose: Unique name of the reason.
        contract, function, arguments: As for `Contracts.encode`.
        job_id: Job that it is about, if any.
        deadline_s: Chain time after which it is pointless; 0 for never.
        value_wei: Money to send along.
    """

    purpose: str
    contract: str
    function: str
    arguments: tuple[Any, ...]
    job_id: int | None = None
    deadline_s: int = 0
    value_wei: int = 0


class Outbox:
    """The rows of one sender.

    Args:
        head: Returns the latest block that was read.
        max_in_flight: Most rows that wait to be mined at once.
        max_fee_wei: Most to offer per gas.
    """

    def __init__(
        self,
        store: Store,
        contracts: Contracts,
        signer: TransactionSigner,
        head: Callable[[], Head],
        *,
        max_in_flight: int = 16,
        max_fee_wei: int = 500 * 10**9,
    ) -> None:
        self._store = store
        self._contracts = contracts
        self._signer = signer
        self._head = head
        self._max_in_flight = max_in_flight
        self.max_fee_wei = max_fee_wei
        self.sender = signer.address
        self.lowest_nonce = 0
        """The chain's count of the sender's transactions when it was last looked at."""
        self._fees: tuple[str, Fees] | None = None

    def add(self, call: Call) -> bool:
        """Sign and store a transaction. Returns False when there is one for this purpose already.

        Raises:
            OutboxFull: too many wait already. Reverted: it would fail; nothing is stored.
            RpcError: the chain could not be asked; nothing is stored.
        """
        if self.has(call.purpose):
            return False
        self.require_room()
        data = self._contracts.encode(call.contract, call.function, *call.arguments)
        target = self._contracts.address(call.contract)
        gas = self._contracts.simulate(self.sender, target, data, call.value_wei)
        fees = self.fees()
        row_id = self._insert(
            self.next_nonce(),
            call.purpose,
            target,
            data,
            min(gas * 6 // 5 + 5_000, MOST_GAS),
            job_id=call.job_id,
            deadline_s=call.deadline_s,
            value_wei=call.value_wei,
        )
        try:
            self.sign(row_id, fees)
        except BaseException:  # a row always has at least one attempt
            self._store.write("DELETE FROM outbox WHERE id = ?", (row_id,))
            raise
        return True

    @property
    def is_full(self) -> bool:
        """Whether as many transactions wait to be mined as may."""
        waiting = self._store.read(
            "SELECT COUNT(*) AS n FROM outbox WHERE sender = ? AND state IN ('signed', 'sent')",
            (self.sender,),
        )
        return bool(waiting[0]["n"] >= self._max_in_flight)

    @property
    def has_unsent(self) -> bool:
        """Whether there is an attempt that no node has yet."""
        return bool(
            self._store.read(
                "SELECT 1 FROM outbox JOIN attempts ON attempts.outbox_id = outbox.id WHERE sender = ? "
                "AND state IN ('signed', 'sent') AND sent_block IS NULL LIMIT 1",
                (self.sender,),
            )
        )

    def require_room(self) -> None:
        """Check that one more transaction may wait.

        Raises:
            OutboxFull: too many wait already.
        """
        if self.is_full:
            raise OutboxFull(f"{self._max_in_flight} transactions wait to be mined already")

    def fill(self, nonce: int) -> None:
        """Use up a nonce that nothing else uses, so that those above it can be mined."""
        purpose = f"fill:{self.sender}:{nonce}"
        row_id = self._insert(nonce, purpose, self.sender, b"", TRANSFER_GAS, cancel=True)
        self.sign(row_id, self.fees())

    def has(self, purpose: str) -> bool:
        """Whether a transaction for this purpose is under way or was successful."""
        return bool(
            self._store.read(
                "SELECT 1 FROM outbox WHERE purpose = ? AND cancel = 0 "
                "AND state IN ('signed', 'sent', 'mined', 'final')",
                (purpose,),
            )
        )

    def cancel_job(self, job_id: int) -> bool:
        """Withdraw what is under way for a job: its nonce will be used up by nothing. Returns whether there was any.

        What was final is marked too: should a deep reorg have undone it, it must not be sent again as it was.
        """
        return bool(
            self._store.write(
                "UPDATE outbox SET cancel = 1 WHERE job_id = ? AND sender = ? "
                "AND state IN ('signed', 'sent', 'mined', 'final')",
                (job_id, self.sender),
            ).rowcount
        )

    def fees(self) -> Fees:
        """Return fees for the next block; asked for once per block."""
        head = self._head()
        if self._fees is None or self._fees[0] != head.hash:
            fees = suggest(self._contracts.rpc, head.base_fee_wei, self.max_fee_wei)
            self._fees = (head.hash, fees)
        return self._fees[1]

    def gas_price_wei(self) -> int:
        """Return what one gas is likely to cost now, in wei: less than what is offered, in case the price rises."""
        fees = self.fees()
        return min(self._head().base_fee_wei + fees.tip_wei, fees.max_fee_wei)

    def next_nonce(self) -> int:
        """Return the nonce after all that are used or reserved."""
        highest = self._store.read(
            "SELECT MAX(nonce) AS n FROM outbox WHERE sender = ? AND state <> 'freed'",
            (self.sender,),
        )[0]["n"]
        return max(self.lowest_nonce, -1 if highest is None else highest + 1, 0)

    def sign(self, row_id: int, fees: Fees) -> None:
        """Sign a row once more, with these fees, and store the bytes. A cancelled row becomes a transfer of nothing."""
        row = self._store.read("SELECT * FROM outbox WHERE id = ?", (row_id,))[0]
        cancel = bool(row["cancel"])
        tx_hash, raw = self._signer.sign_transaction(
            {
                "type": 2,
                "chainId": self._contracts.deployment.chain_id,
                "nonce": row["nonce"],
                "to": self.sender if cancel else row["target"],
                "value": 0 if cancel else int(row["value_wei"]),
                "data": b"" if cancel else row["data"],
                "gas": TRANSFER_GAS if cancel else row["gas"],
                "maxFeePerGas": fees.max_fee_wei,
                "maxPriorityFeePerGas": fees.tip_wei,
            }
        )
        self._store.write(
            "INSERT OR IGNORE INTO attempts (outbox_id, hash, raw, max_fee_wei, tip_wei, cancel) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (row_id, tx_hash, raw, fees.max_fee_wei, fees.tip_wei, cancel),
        )

    def rows(self, *states: RowState, from_nonce: int = 0) -> list[Row]:
        """Return the rows in these states with at least this nonce, lowest nonce first."""
        marks = ", ".join("?" * len(states))
        found = self._store.read(
            f"SELECT * FROM outbox WHERE sender = ? AND nonce >= ? AND state IN ({marks}) ORDER BY nonce",  # noqa: S608
            (self.sender, from_nonce, *states),
        )
        return [self._row(row) for row in found]

    def _insert(
        self, nonce: int, purpose: str, target: str, data: bytes, gas: int, **more: Any
    ) -> int:
        cursor = self._store.write(
            "INSERT INTO outbox "
            "(sender, nonce, purpose, job_id, target, data, gas, value_wei, deadline_s, state, cancel) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'signed', ?)",
            (
                *(self.sender, nonce, purpose, more.get("job_id"), target, data, gas),
                *(str(more.get("value_wei", 0)), more.get("deadline_s", 0)),
                more.get("cancel", False),
            ),
        )
        assert cursor.lastrowid is not None  # noqa: S101  # set after every insert
        return cursor.lastrowid

    def _row(self, row: sqlite3.Row) -> Row:
        attempts = tuple(
            Attempt(
                item["hash"],
                item["raw"],
                Fees(item["max_fee_wei"], item["tip_wei"]),
                bool(item["cancel"]),
                item["sent_block"],
            )
            for item in self._store.read(
                "SELECT * FROM attempts WHERE outbox_id = ? ORDER BY id", (row["id"],)
            )
        )
        return Row(
            id=row["id"],
            nonce=row["nonce"],
            purpose=row["purpose"],
            job_id=row["job_id"],
            target=row["target"],
            data=row["data"],
            gas=row["gas"],
            value_wei=int(row["value_wei"]),
            deadline_s=row["deadline_s"],
            state=row["state"],
            cancel=bool(row["cancel"]),
            block_number=row["block_number"],
            success=bool(row["success"]),
            attempts=attempts,
        )
