"""Deals and places as the chain has them: what is offered, what we hold, what is owed. Reads only.

What it keeps in memory are events that no reorg can undo, so that it reads each block's events once.
"""

import time
from dataclasses import dataclass
from typing import Any

from offchain_worker.storage.cid import DAG_PB, Cid
from offchain_worker.storage.possession import leaf_count, path_length
from oracle.chain.contracts import Contracts
from oracle.chain.fees import suggest
from oracle.chain.history import read_logs
from oracle.chain.listener import Head
from oracle.chain.transact import HIGHEST_FEE_WEI
from oracle.services.pin_rules import MAX_MISSED, owed

JOIN_GAS = 95_000
CLAIM_GAS = 60_000
RANGE_BLOCKS = 5_000
REREAD_EVERY_S = 3_600.0
"""How often all events are read again, in seconds."""
UNSURE_BLOCKS = 128
"""Newest blocks, whose events are read again each time: deeper reorgs need a restart."""
CONTRACT = "IPFSIncentives"


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
    claimed: int
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


class PinPlaces:
    """Looks at the deals for the account `address`."""

    def __init__(self, contracts: Contracts, address: str) -> None:
        self._contracts = contracts
        self._address = address
        self._past: dict[tuple[str, str], _Past] = {}
        self._cids: dict[tuple[bytes, int], Cid] = {}
        self._read_at = time.monotonic()

    def refresh(self) -> None:
        """Forget the events that are known after an hour: an endpoint may have left some out."""
        if time.monotonic() - self._read_at > REREAD_EVERY_S:
            self._read_at = time.monotonic()
            self._past.clear()

    def offered(self) -> list[Offered]:
        """Deals with a place for us, the most profitable first."""
        now_s = int(self._contracts.rpc.head()["timestamp"], 16)
        joined = {number for number, _ in self.joined()}
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
            cid=self._cid_of(bytes(event["modelId"]), event["version"]),
            size_bytes=deal["sizeBytes"],
            pay_wei=deal["pay"],
            bond_wei=deal["bond"],
            challenges=deal["challenges"],
            samples=deal["samples"],
            places_left=left,
            join_until_s=deal["joinUntil"],
            profit_wei=deal["pay"] * deal["challenges"] - gas * price_wei,
        )

    def held(self) -> list[Held]:
        """Our places, oldest first."""
        us = self._address
        paid: dict[int, int] = {}
        for event in self._events("RewardClaimed", us):
            paid[event["dealId"]] = paid.get(event["dealId"], 0) + event["pay"]
        found = []
        for number, cid in self.joined():
            deal = self._contracts.read(CONTRACT, "deal", number)
            place = self._contracts.read(CONTRACT, "place", number, us)
            has_ended = ended(deal, place)
            counts = {name: place[name] for name in ("proved", "claimed", "missed", "settled")}
            found.append(
                Held(
                    deal_id=number,
                    cid=cid,
                    size_bytes=deal["sizeBytes"],
                    challenges=deal["challenges"],
                    proved=place["proved"],
                    claimed=place["claimed"],
                    missed=place["missed"],
                    decided=place["decided"],
                    next_round=place["round"],
                    owed_wei=owed(deal["pay"], deal["bond"], ended=has_ended, **counts),
                    earned_wei=paid.get(number, 0),
                    ended=has_ended,
                    settled=place["settled"],
                )
            )
        return found

    def joined(self) -> list[tuple[int, Cid]]:
        """Number and root of every deal that we joined."""
        versions = {
            event["dealId"]: (bytes(event["modelId"]), event["version"])
            for event in self._events("DealOpened")
        }
        numbers = [event["dealId"] for event in self._events("PinnerJoined", self._address)]
        known = [number for number in numbers if number in versions]  # one may have been left out
        return [(number, self._cid_of(*versions[number])) for number in known]

    def cid(self, deal_id: int) -> Cid:
        """Root of the version of a deal."""
        event = next(event for event in self._events("DealOpened") if event["dealId"] == deal_id)
        return self._cid_of(bytes(event["modelId"]), event["version"])

    def _cid_of(self, model_id: bytes, version: int) -> Cid:
        """Root of a version, which never changes."""
        key = (model_id, version)
        if key not in self._cids:
            found = self._contracts.read("ModelRegistry", "version", *key)
            self._cids[key] = Cid.of_digest(DAG_PB, found["digest"])
        return self._cids[key]

    def _events(self, name: str, pinner: str = "") -> list[dict[str, Any]]:
        """All events of a kind, those of one pinner if it is named; the contract's first topic is the deal."""
        event = self._contracts.event(CONTRACT, name)
        topics: list[str | list[str] | None] = [event.topic]
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
                (past.events if is_sure else unsure).append(event.read(log))
            past.next_block = max(past.next_block, min(end, sure) + 1)
        return past.events + unsure


def ended(deal: dict[str, Any], place: dict[str, Any]) -> bool:
    """Whether a place has ended: all challenges are decided, or three were missed."""
    return bool(place["decided"] == deal["challenges"] or place["missed"] == MAX_MISSED)
