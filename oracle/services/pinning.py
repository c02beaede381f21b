"""The pinning manager: chooses deals, keeps their files, answers challenges, claims what was earned.

What we joined, what is asked and what is owed is read from the chain each time, so it may be killed at any line: a
challenge that was answered is simply not asked any more. Two answers to one challenge can only cost the gas of the
second. What it keeps in memory are events that no reorg can undo, so that it reads each block's events once.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from web3 import Web3

from offchain_worker.errors import BadArtifact, WorkerError
from offchain_worker.storage.cid import DAG_PB, Cid
from offchain_worker.storage.possession import Tree, TreeBuilder, leaf_count, path_length
from offchain_worker.storage.possession_hash import MEBIBYTE
from offchain_worker.storage.store import EmbeddedStore
from offchain_worker.storage.walk import Stat, Stream
from oracle.chain.contracts import Contracts
from oracle.chain.fees import suggest
from oracle.chain.history import read_logs
from oracle.chain.listener import Head
from oracle.chain.outbox import TransactionSigner
from oracle.chain.transact import HIGHEST_FEE_WEI, transact
from oracle.errors import Reverted
from oracle.logs import line
from oracle.services.pin_rules import MAX_MISSED, owed

JOIN_GAS = 95_000
CLAIM_GAS = 60_000
RANGE_BLOCKS = 5_000
UNSURE_BLOCKS = 128
"""Newest blocks, whose events are read again each time: deeper reorgs need a restart."""
CONTRACT = "IPFSIncentives"

_log = logging.getLogger(__name__)


def answer_gas(samples: int, size_bytes: int) -> int:
    """About what an answer costs: nearly all of it is its calldata."""
    return 23_500 + samples * (41 * (1_024 + 32 * path_length(leaf_count(size_bytes))) + 400)


@dataclass(frozen=True, slots=True)
class Offered:
    """A deal that takes pinners."""

    deal_id: int
    model_id: bytes
    version: int
    cid: Cid
    size_bytes: int
    pay_wei: int
    bond_wei: int
    challenges: int
    samples: int
    places_left: int
    join_until_s: int
    profit_wei: int
    """What a place earns, less the gas of joining, answering and claiming at today's price."""


@dataclass(frozen=True, slots=True)
class Held:
    """A place of ours."""

    deal_id: int
    cid: Cid
    size_bytes: int
    challenges: int
    proved: int
    missed: int
    decided: int
    next_round: int
    owed_wei: int
    earned_wei: int
    ended: bool
    settled: bool


@dataclass(slots=True)
class _Past:
    """Events of a kind, of all blocks below `next_block`."""

    next_block: int
    events: list[dict[str, Any]]


Keep = Callable[[Cid, int], Awaitable[Stat]]
"""Fetches and pins a file of at most so many bytes."""


class PinningManager:
    """Works for the account of `signer`, with the files in `store`."""

    def __init__(
        self, contracts: Contracts, signer: TransactionSigner, store: EmbeddedStore
    ) -> None:
        self._contracts = contracts
        self._signer = signer
        self._store = store
        self._trees: dict[Cid, tuple[Tree, Stream]] = {}
        self._past: dict[tuple[str, str], _Past] = {}
        self._cids: dict[tuple[bytes, int], Cid] = {}

    # --- choosing

    def offered(self) -> list[Offered]:
        """Deals with a place for us, the most profitable first."""
        now_s = int(self._contracts.rpc.head()["timestamp"], 16)
        joined = {number for number, _ in self._joined()}
        found = []
        for event in self._events("DealOpened"):
            number = event["dealId"]
            deal = self._contracts.read(CONTRACT, "deal", number)
            left = deal["copies"] - deal["active"]
            funded = deal["free"] >= deal["pay"] * deal["challenges"]
            if number in joined or not left or not funded or now_s > deal["joinUntil"]:
                continue
            found.append(self._offer(event, deal, left))
        return sorted(found, key=lambda offer: offer.profit_wei, reverse=True)

    def _offer(self, event: dict[str, Any], deal: dict[str, Any], left: int) -> Offered:
        gas = JOIN_GAS + CLAIM_GAS
        gas += deal["challenges"] * answer_gas(deal["samples"], deal["sizeBytes"])
        base_fee_wei = Head.of(self._contracts.rpc.head()).base_fee_wei
        fees = suggest(self._contracts.rpc, base_fee_wei, HIGHEST_FEE_WEI)
        price_wei = min(base_fee_wei + fees.tip_wei, fees.max_fee_wei)
        return Offered(
            deal_id=event["dealId"],
            model_id=bytes(event["modelId"]),
            version=event["version"],
            cid=self._cid(bytes(event["modelId"]), event["version"]),
            size_bytes=deal["sizeBytes"],
            pay_wei=deal["pay"],
            bond_wei=deal["bond"],
            challenges=deal["challenges"],
            samples=deal["samples"],
            places_left=left,
            join_until_s=deal["joinUntil"],
            profit_wei=deal["pay"] * deal["challenges"] - gas * price_wei,
        )

    async def take(self, deal_id: int, keep: Keep) -> str:
        """Fetch and pin the version of a deal, check its possession root, and join; returns the transaction's hash.

        Raises:
            BadArtifact: Root or size of the version are not those of its bytes: nobody could prove it. It is unpinned.
            Reverted: The deal takes nobody any more.
            And whatever `keep` raises.
        """
        deal = self._contracts.read(CONTRACT, "deal", deal_id)
        event = next(event for event in self._events("DealOpened") if event["dealId"] == deal_id)
        cid = self._cid(bytes(event["modelId"]), event["version"])
        had = self._store.pins.has(cid)
        await keep(cid, deal["sizeBytes"])
        tree, _ = self._tree(cid, deal["sizeBytes"])
        if (tree.root, tree.size_bytes) != (bytes(deal["root"]), deal["sizeBytes"]):
            self._trees.pop(cid)
            if not had:
                self._store.unpin(cid)
            raise BadArtifact(
                f"expected the bytes of {cid} to have root {bytes(deal['root']).hex()} and size {deal['sizeBytes']}, "
                f"as deal {deal_id} says, got {tree.root.hex()} and {tree.size_bytes}: do not join it"
            )
        return self._send("join", deal_id, value=deal["bond"])

    # --- keeping

    def tick(self) -> int:
        """Answer what is asked and claim what has ended; returns how many transactions were sent.

        What fails for one place is logged, and tried again with the next tick as long as there is time.
        """
        sent = 0
        for number, cid in self._joined():
            try:
                sent += self._serve(number, cid)
            except (Reverted, WorkerError) as error:
                _log.warning(line("a challenge waits", deal=number, reason=error))
        return sent

    def _serve(self, number: int, cid: Cid) -> int:
        us = self._signer.address
        deal = self._contracts.read(CONTRACT, "deal", number)
        place = self._contracts.read(CONTRACT, "place", number, us)
        if place["settled"]:
            return 0
        round_, last_round, leaves = self._contracts.read(CONTRACT, "challengeOf", number, us)
        current = self._contracts.read("BlockRandomness", "currentRound")
        if _ended(deal, place):
            self._send("claim", number, us)
            return 1
        if current > last_round:
            _log.warning(line("a challenge was missed", deal=number, round=round_))
            self._send("noteMissed", number, us)
            return 1
        if not leaves:
            return 0
        tree, stream = self._tree(cid, deal["sizeBytes"])
        proofs = []
        for index in leaves:
            start = index * 1024 // MEBIBYTE * MEBIBYTE
            proof = tree.prove(index, stream.read(start, MEBIBYTE))
            proofs.append((proof.leaf, proof.path))
        self._send("answer", number, us, proofs)
        _log.info(line("answered a challenge", deal=number, challenge=place["decided"]))
        return 1

    def claim(self, deal_id: int) -> str:
        """Claim what a place has earned so far; returns the transaction's hash."""
        return self._send("claim", deal_id, self._signer.address)

    # --- looking

    def held(self) -> list[Held]:
        """Our places, oldest first."""
        us = self._signer.address
        paid: dict[int, int] = {}
        for event in self._events("RewardClaimed", us):
            paid[event["dealId"]] = paid.get(event["dealId"], 0) + event["pay"]
        found = []
        for number, cid in self._joined():
            deal = self._contracts.read(CONTRACT, "deal", number)
            place = self._contracts.read(CONTRACT, "place", number, us)
            ended = _ended(deal, place)
            counts = {name: place[name] for name in ("proved", "claimed", "missed", "settled")}
            found.append(
                Held(
                    deal_id=number,
                    cid=cid,
                    size_bytes=deal["sizeBytes"],
                    challenges=deal["challenges"],
                    proved=place["proved"],
                    missed=place["missed"],
                    decided=place["decided"],
                    next_round=place["round"],
                    owed_wei=owed(deal["pay"], deal["bond"], ended=ended, **counts),
                    earned_wei=paid.get(number, 0),
                    ended=ended,
                    settled=place["settled"],
                )
            )
        return found

    # --- internals

    def _joined(self) -> list[tuple[int, Cid]]:
        """Number and root of every deal that we joined."""
        versions = {
            event["dealId"]: (bytes(event["modelId"]), event["version"])
            for event in self._events("DealOpened")
        }
        numbers = [event["dealId"] for event in self._events("PinnerJoined", self._signer.address)]
        return [(number, self._cid(*versions[number])) for number in numbers]

    def _cid(self, model_id: bytes, version: int) -> Cid:
        """Root of a version, which never changes."""
        key = (model_id, version)
        if key not in self._cids:
            found = self._contracts.read("ModelRegistry", "version", *key)
            self._cids[key] = Cid(b"\x01" + bytes([DAG_PB]) + b"\x12\x20" + bytes(found["digest"]))
        return self._cids[key]

    def _tree(self, cid: Cid, size_bytes: int) -> tuple[Tree, Stream]:
        """Return tree and stream of a version, computed from the bytes in the store when first needed."""
        if cid not in self._trees:
            stream = Stream(cid, self._store.get, size_bytes)
            builder = TreeBuilder()
            for start in range(0, stream.size_bytes, MEBIBYTE):
                builder.update(stream.read(start, MEBIBYTE))
            self._trees[cid] = builder.finish(), stream
        return self._trees[cid]

    def _events(self, name: str, pinner: str = "") -> list[dict[str, Any]]:
        """All events of a kind, those of one pinner if it is named; the contract's first topic is the deal."""
        event = self._contracts.handle(CONTRACT).events[name]()
        topics: list[str | list[str] | None] = ["0x" + event.topic.removeprefix("0x")]
        if pinner:
            topics += [None, "0x" + pinner[2:].lower().rjust(64, "0")]
        at = self._contracts.deployment.at(CONTRACT)
        past = self._past.setdefault((name, pinner), _Past(at.block, []))
        last = int(self._contracts.rpc.call("eth_blockNumber"), 16)
        sure = last - UNSURE_BLOCKS
        unsure: list[dict[str, Any]] = []
        first = past.next_block
        for end, logs in read_logs(
            self._contracts.rpc, at.address, topics, first, last, RANGE_BLOCKS
        ):
            for log in logs:
                is_sure = int(log["blockNumber"], 16) <= sure
                (past.events if is_sure else unsure).append(_read(event, log))
            past.next_block = max(past.next_block, min(end, sure) + 1)
        return past.events + unsure

    def _send(self, function: str, *arguments: Any, value: int = 0) -> str:
        receipt = transact(
            self._contracts, self._signer, CONTRACT, function, *arguments, value=value
        )
        return receipt.tx_hash


def _ended(deal: dict[str, Any], place: dict[str, Any]) -> bool:
    return bool(place["decided"] == deal["challenges"] or place["missed"] == MAX_MISSED)


def _read(event: Any, log: dict[str, Any]) -> dict[str, Any]:
    """The members of a raw log."""
    formatted = {
        **log,
        "topics": [bytes.fromhex(topic[2:]) for topic in log["topics"]],
        "data": bytes.fromhex(log["data"][2:]),
        "blockNumber": int(log["blockNumber"], 16),
        "logIndex": int(log["logIndex"], 16),
        "transactionIndex": int(log["transactionIndex"], 16),
        "address": Web3.to_checksum_address(log["address"]),
    }
    return dict(event.process_log(formatted)["args"])
