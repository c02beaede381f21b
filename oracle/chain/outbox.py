"""Transactions that have to reach the chain: one row per nonce, one live row per purpose, signed and stored.

Calls of one contract can share a row: they are sent as one `multicall`, and all of them happen or none.

`add` simulates, chooses fees and nonce, signs, and stores; it sends nothing. When the store has committed, the
submitter sends, and keeps at it until the transaction is deep in the chain. A purpose such as
`answer:31337:0xrouter:7` makes a second transaction for the same thing impossible however often somebody asks.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from oracle.chain.contracts import Contracts
from oracle.chain.fees import Fees, suggest
from oracle.chain.listener import Head
from oracle.chain.store import Store
from oracle.errors import KeyUnavailable, OutboxFull, Reverted, SignerUnavailable
from oracle.logs import line

TRANSFER_GAS = 21_000
MOST_GAS = 16_777_216
"""Most gas of one transaction (EIP-7825)."""

_log = logging.getLogger(__name__)

RowState = Literal["signed", "sent", "mined", "final", "reverted", "cancelled", "freed"]


class TransactionSigner(Protocol):
    """What the outbox needs of a key; `oracle.keys.KeySigner` and `oracle.remote_signer.RemoteSigner` are two.

    Attributes:
        is_remote: Whether the key is with another program, which may have signed what we never heard of.
        trouble: Why it failed the last time; empty when it did not.
    """

    is_remote: bool
    trouble: str

    @property
    def address(self) -> str:
        """Address of the key, with checksum."""
        ...

    @property
    def resting(self) -> bool:
        """Whether it failed a moment ago, so that it is not worth asking."""
        ...

    def check(self) -> None:
        """See that it answers and has the key; raises SignerUnavailable or KeyUnavailable."""
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
class Part:
    """One of the things that a row is for, and the job that it is about, if any."""

    purpose: str
    job_id: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the outbox.

    Args:
        purpose: Its only part's, or a name of its own when there are several.
        deadline_s: Chain time after which it is pointless; 0 for never.
        cancel: True when its nonce is to be used up by nothing instead.
        block_number: Block that it was mined in.
        attempts: Oldest first; none while the signer is away.
    """

    id: int
    nonce: int
    purpose: str
    target: str
    data: bytes
    gas: int
    value_wei: int
    deadline_s: int
    state: RowState
    cancel: bool
    block_number: int | None
    success: bool
    parts: tuple[Part, ...]
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """What to send: a function of one of our contracts, for a reason.

    Args:
        purpose: Unique name of the reason.
        contract, function, arguments: As for `Contracts.encode`.
        job_id: Job that it is about, if any.
        deadline_s: Chain time after which it is pointless; 0 for never.
        callback_gas: Most gas that a stranger's contract may use in it.
        value_wei: Money to send along; such a call shares its transaction with no other.
    """

    purpose: str
    contract: str
    function: str
    arguments: tuple[Any, ...]
    job_id: int | None = None
    deadline_s: int = 0
    callback_gas: int = 0
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

    def add(self, *calls: Call) -> bool:
        """Sign and store a transaction for one call, or for several of one contract: all of them happen or none.

        Returns False when there is one for each purpose already; calls for which there is one are left out.

        A remote signer may fail after it has signed. So what it is asked for is durable first, and when it fails, the
        same is asked for again, with the same nonce (`sign_waiting`).

        Raises:
            OutboxFull: too many wait already. Reverted: it would fail; nothing is stored.
            RpcError: the chain could not be asked; nothing is stored.
            SignerUnavailable: the signer failed a moment ago; nothing is stored.
        """
        calls = tuple(call for call in calls if not self.has(call.purpose))
        if not calls:
            return False
        self.require_room()
        if self._signer.resting:
            raise SignerUnavailable(self._signer.trouble)
        target, data = self._encoded(calls)
        (value_wei,) = {call.value_wei for call in calls}
        gas = self.gas_of(target, data, value_wei) * 6 // 5 + 5_000
        if len(calls) > 1:  # a callback that was idle just now must not starve the calls after it
            gas += sum(call.callback_gas for call in calls)
        fees, nonce = self.fees(), self.next_nonce()
        row_id = self._insert(
            nonce,
            calls[0].purpose if len(calls) == 1 else f"group:{nonce}",
            target,
            data,
            min(gas, MOST_GAS),
            parts=[Part(call.purpose, call.job_id) for call in calls],
            deadline_s=min((call.deadline_s for call in calls if call.deadline_s), default=0),
            value_wei=value_wei,
        )
        self._sign_new(row_id, fees)
        return True

    def gas_of(self, target: str, data: bytes, value_wei: int = 0) -> int:
        """Return the gas that a transaction of ours would need.

        Raises:
            Reverted: it would fail. RpcError: that is not sure, or the chain could not be asked.
        """
        block = self._head().number
        return self._contracts.simulate_surely(self.sender, target, data, block, value_wei)

    def _encoded(self, calls: tuple[Call, ...]) -> tuple[str, bytes]:
        """Target and calldata of a transaction that makes these calls."""
        encoded = [self._contracts.encode(c.contract, c.function, *c.arguments) for c in calls]
        (contract,) = {call.contract for call in calls}
        if len(calls) > 1:
            encoded = [self._contracts.encode(contract, "multicall", encoded)]
        return self._contracts.address(contract), encoded[0]

    def why_not(self, call: Call) -> Reverted | None:
        """Return why a call would fail by itself; None when it would not.

        Raises:
            RpcError: the chain could not be asked.
        """
        try:
            self.gas_of(*self._encoded((call,)), call.value_wei)
        except Reverted as reverted:
            return reverted
        return None

    def _sign_new(self, row_id: int, fees: Fees) -> None:
        if self._signer.is_remote:
            self._store.commit()
        try:
            self.sign(row_id, fees)
        except SignerUnavailable as error:
            _log.warning(line("not signed", reason=error))
        except BaseException:
            self._store.write("DELETE FROM outbox WHERE id = ?", (row_id,))
            raise

    def disown(self) -> list[Row]:
        """Give up what another key was to send, before the operator was replaced: the contract takes it no more.

        Returns the rows, for whoever owns their jobs.
        """
        found = self._store.read(
            "SELECT * FROM outbox WHERE sender <> ? AND state IN ('signed', 'sent', 'mined')",
            (self.sender,),
        )
        rows = [self._row(row) for row in found]
        for row in rows:
            _log.warning(line("disowned", purpose=row.purpose, nonce=row.nonce))
            self._store.write("UPDATE outbox SET state = 'freed' WHERE id = ?", (row.id,))
        return rows

    def check_signer(self) -> None:
        """See that the key can be used; raises SignerUnavailable or KeyUnavailable."""
        self._signer.check()

    @property
    def signer_trouble(self) -> str:
        """Why nothing can be signed; empty when it can."""
        return self._signer.trouble

    @property
    def signer_rests(self) -> bool:
        """Whether the signer failed a moment ago: nothing can be added now."""
        return self._signer.resting

    def sign_waiting(self) -> None:
        """Sign what a remote signer failed to sign, or see whether it is back."""
        if self._signer.resting:
            return
        unsigned = self._store.read(
            "SELECT id FROM outbox WHERE sender = ? AND state IN ('signed', 'sent') "
            "AND NOT EXISTS (SELECT 1 FROM attempts WHERE outbox_id = outbox.id) ORDER BY nonce",
            (self.sender,),
        )
        with contextlib.suppress(SignerUnavailable, KeyUnavailable):
            for row in unsigned:
                self.sign(row["id"], self.fees())
            if self._signer.trouble:
                self._signer.check()

    @property
    def waiting(self) -> list[int]:
        """Numbers of the rows that wait to be mined."""
        found = self._store.read(
            "SELECT id FROM outbox WHERE sender = ? AND state IN ('signed', 'sent')", (self.sender,)
        )
        return [row["id"] for row in found]

    @property
    def is_full(self) -> bool:
        """Whether as many transactions wait to be mined as may."""
        return len(self.waiting) >= self._max_in_flight

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
        self._sign_new(row_id, self.fees())

    def has(self, purpose: str) -> bool:
        """Whether a transaction for this purpose is under way or was successful."""
        return bool(
            self._store.read("SELECT 1 FROM parts WHERE purpose = ? AND live = 1", (purpose,))
        )

    def has_failed(self, purpose: str) -> bool:
        """Whether a transaction for this purpose came to nothing before."""
        return bool(
            self._store.read(
                "SELECT 1 FROM parts WHERE purpose = ? AND live = 0 LIMIT 1", (purpose,)
            )
        )

    def cancel_job(self, job_id: int) -> bool:
        """Withdraw what is under way for a job: its nonce will be used up by nothing. Returns whether there was any.

        Other jobs that share its transaction are answered anew once that is certain (`serve.conclude`).

        What was final is marked too: should a deep reorg have undone it, it must not be sent again as it was.
        """
        return bool(
            self._store.write(
                "UPDATE outbox SET cancel = 1 WHERE id IN (SELECT outbox_id FROM parts WHERE job_id = ?) "
                "AND sender = ? AND state IN ('signed', 'sent', 'mined', 'final')",
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
        """Sign a row once more, with these fees, and store the bytes. A cancelled row becomes a transfer of nothing.

        Raises:
            SignerUnavailable: a remote signer does not sign it now.
        """
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
            "(sender, nonce, purpose, target, data, gas, value_wei, deadline_s, state, cancel) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'signed', ?)",
            (
                *(self.sender, nonce, purpose, target, data, gas),
                *(str(more.get("value_wei", 0)), more.get("deadline_s", 0)),
                more.get("cancel", False),
            ),
        )
        assert cursor.lastrowid is not None  # noqa: S101  # set after every insert
        for part in more.get("parts", ()):
            self._store.write(
                "INSERT INTO parts (outbox_id, purpose, job_id) VALUES (?, ?, ?)",
                (cursor.lastrowid, part.purpose, part.job_id),
            )
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
        parts = tuple(
            Part(item["purpose"], item["job_id"])
            for item in self._store.read("SELECT * FROM parts WHERE outbox_id = ?", (row["id"],))
        )
        return Row(
            id=row["id"],
            nonce=row["nonce"],
            purpose=row["purpose"],
            target=row["target"],
            data=row["data"],
            gas=row["gas"],
            value_wei=int(row["value_wei"]),
            deadline_s=row["deadline_s"],
            state=row["state"],
            cancel=bool(row["cancel"]),
            block_number=row["block_number"],
            success=bool(row["success"]),
            parts=parts,
            attempts=attempts,
        )
