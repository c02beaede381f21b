"""A deployed IPFSIncentives with one version that can be proved, and one-line versions of what people do with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import ape
import numpy as np
from eth_utils import keccak
from system import ETHER, NATIVE, System, version

from offchain_worker.storage.possession import (
    GROUP_LEAVES,
    MEBIBYTE,
    Tree,
    group_hash,
    leaf_count,
    leaf_hash,
    node_hash,
    path_length,
    tree_of,
)
from oracle.services.pin_rules import leaves_of

BLOCK_S = 60
PERIOD, WINDOW = 10, 4
"""In rounds, which are blocks."""
CHALLENGES, SAMPLES = 12, 8
RATE = 10**15
LONG = 10**6


def stream_of(size: int) -> bytes:
    """Bytes that stand for a version's files."""
    return np.random.default_rng(7).bytes(size)


@dataclass
class Pinning:
    """The contract, the version `stream` of a model, and who plays with it."""

    system: System
    randomness: Any
    incentives: Any
    funder: Any
    pinners: list[Any]
    stream: bytes
    tree: Tree = field(init=False)
    model_id: bytes = b""

    def __post_init__(self) -> None:
        self.tree = tree_of(self.stream)

    # --- what people do

    def terms(self, **changes: Any) -> dict[str, Any]:
        """Terms of a deal that anyone would join."""
        return {
            "rate": RATE,
            "bond": ETHER // 10,
            "period": PERIOD * BLOCK_S,
            "window": WINDOW * BLOCK_S,
            "challenges": CHALLENGES,
            "samples": SAMPLES,
            "copies": 2,
            "joinUntil": ape.chain.pending_timestamp + LONG,
        } | changes

    def open(self, value: int = ETHER, sender: Any = None, **changes: Any) -> int:
        """Open a deal; returns its number."""
        receipt = self.incentives.openDeal(
            self.model_id, 1, self.terms(**changes), value=value, sender=sender or self.funder
        )
        (event,) = receipt.events.filter(self.incentives.DealOpened)
        return int(event.dealId)

    def join(self, deal: int, pinner: Any) -> Any:
        """Take a place, with the bond from the call's value."""
        return self.incentives.join(deal, value=self.deal(deal).bond, sender=pinner)

    def answer(self, deal: int, pinner: Any, proofs: Any = None, sender: Any = None) -> Any:
        """Answer the current challenge truthfully, or with these proofs."""
        if proofs is None:
            proofs = self.proofs(deal, pinner)
        return self.incentives.answer(deal, pinner, proofs, sender=sender or pinner)

    def proofs(self, deal: int, pinner: Any) -> list[dict[str, Any]]:
        """Proofs of the leaves that the place's challenge asks for."""
        return [self.prove(index) for index in self.leaves(deal, pinner)]

    def prove(self, index: int) -> dict[str, Any]:
        """Proof of one leaf."""
        start = index * 1024 // MEBIBYTE * MEBIBYTE
        proof = self.tree.prove(index, self.stream[start : start + MEBIBYTE])
        return {"leaf": proof.leaf, "path": list(proof.path)}

    # --- what is

    def deal(self, deal: int) -> Any:
        return self.incentives.deal(deal)

    def place(self, deal: int, pinner: Any) -> SimpleNamespace:
        """A place as plain values."""
        names = ("round", "decided", "proved", "claimed", "missed", "settled")
        found = self.incentives.place(deal, pinner)
        return SimpleNamespace(**{name: getattr(found, name) for name in names})

    def leaves(self, deal: int, pinner: Any) -> list[int]:
        """The leaves that a challenge asks for which is open in the next transaction."""
        place, found = self.place(deal, pinner), self.deal(deal)
        if place.round > self.current():
            return []
        value = bytes(ape.chain.blocks[place.round].hash)
        return leaves_of(
            value, deal, pinner.address, place.decided, found.samples, leaf_count(found.sizeBytes)
        )

    def current(self) -> int:
        """The round that is current in the next transaction."""
        return int(ape.chain.blocks.height)

    def mine_to(self, round_: int) -> None:
        """Go on until `round_` is current in the next transaction; nothing when it is already."""
        if round_ > self.current():
            ape.chain.mine(round_ - self.current())

    def mine_to_challenge(self, deal: int, pinner: Any) -> None:
        self.mine_to(self.place(deal, pinner).round)

    def mine_past_window(self, deal: int, pinner: Any) -> None:
        self.mine_to(self.place(deal, pinner).round + WINDOW + 1)

    def free(self, account: Any) -> int:
        return int(self.system.free(account))

    def locked(self) -> int:
        return int(self.system.vault.locked(self.incentives, NATIVE))


class BigPinning(Pinning):
    """A version of 1 GiB that is the same 1,024 bytes again and again, so its tree has one node per level."""

    SIZE = 1 << 30
    LEAF = bytes(byte or 1 for byte in stream_of(1024))

    def __post_init__(self) -> None:
        leaf = leaf_hash(self.LEAF)
        self.path = [leaf] * (GROUP_LEAVES - 1)
        level = group_hash([leaf] * GROUP_LEAVES)
        while len(self.path) < path_length(leaf_count(self.SIZE)):
            self.path.append(level)
            level = node_hash(level, level)
        self.root = level

    @classmethod
    def deploy(cls, system: System) -> BigPinning:
        """Deploy on top of a system."""
        small = deploy_pinning(system, ape.accounts.test_accounts, ape.project)
        made = cls(*(system, small.randomness, small.incentives, small.funder, small.pinners, b""))
        made.model_id = register_provable(system, made.root, cls.SIZE)
        return made

    def terms(self, **changes: Any) -> dict[str, Any]:
        return super().terms(rate=10**12, **changes)

    def prove(self, index: int) -> dict[str, Any]:
        return {"leaf": self.LEAF, "path": self.path}

    def opened(self, run: int) -> Any:
        """Open a deal; returns the receipt."""
        terms = self.terms()
        return self.incentives.openDeal(self.model_id, 1, terms, value=ETHER, sender=self.funder)

    def answered(self, deal: int, pinner: Any) -> Any:
        """Answer the next challenge; returns the receipt."""
        self.mine_to_challenge(deal, pinner)
        return self.answer(deal, pinner)

    def claimed(self, deal: int, pinner: Any, sender: Any) -> Any:
        """Claim after an answer; returns the receipt."""
        self.answered(deal, pinner)
        return self.incentives.claim(deal, pinner, sender=sender)


def register_provable(system: System, root: bytes, size: int) -> bytes:
    """Register a model whose version has this possession root and size; returns its identifier."""
    digest = keccak(b"pinned %d" % size)
    content: dict[str, Any] = version(digest) | {"possessionRoot": root, "sizeBytes": size}
    owner = system.model_owner
    terms = {"receiver": owner, "price": 0, "royaltyBps": 0, "token": NATIVE}
    system.registry.register("pinned", content, terms, system.policy_id(), sender=owner)
    return system.registry.modelIdOf(owner, digest)


def deploy_pinning(system: System, accounts: Any, project: Any, size: int = 100_500) -> Pinning:
    """Deploy on top of a system and register a version of `size` bytes that can be proved."""
    deployer = system.deployer
    randomness = deployer.deploy(project.BlockRandomness, BLOCK_S * 1000)
    incentives = deployer.deploy(project.IPFSIncentives, system.vault, system.registry, randomness)
    made = Pinning(
        system, randomness, incentives, accounts[3], list(accounts[4:9]), stream_of(size)
    )
    made.model_id = register_provable(system, made.tree.root, size)
    return made
