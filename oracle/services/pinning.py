"""The pinning manager: keeps the files of deals, answers challenges, claims what was earned.

What we joined, what is asked and what is owed is read from the chain each time, and what is sent goes through an outbox
(`pin_sender.py`), so it may be killed at any line: nothing is forgotten, and nothing is sent twice.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from offchain_worker.errors import BadArtifact, WorkerError
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.possession import Tree, TreeBuilder
from offchain_worker.storage.possession_hash import MEBIBYTE
from offchain_worker.storage.store import EmbeddedStore
from offchain_worker.storage.walk import Stat, Stream
from oracle.chain.contracts import Contracts
from oracle.chain.outbox import Call
from oracle.errors import (
    OutboxFull,
    Reverted,
    RpcError,
    RpcRefused,
    SignerUnavailable,
    StoreBusy,
)
from oracle.logs import line
from oracle.services.pin_places import CONTRACT, PinPlaces, ended
from oracle.services.pin_sender import PinSender

_log = logging.getLogger(__name__)

Keep = Callable[[Cid, int], Awaitable[Stat]]
"""Fetches and pins a file of at most so many bytes."""


Made = TypeVar("Made")


async def beside(work: Coroutine[Any, Any, Made], do: Callable[[], None], every_s: float) -> Made:
    """Return what `work` gives, and call `do` every `every_s` seconds until then.

    Fetching a version may take hours, and challenges of other places have to be answered within minutes. When `do`
    fails, `work` is given up.
    """
    task = asyncio.create_task(work)
    try:
        while not (await asyncio.wait({task}, timeout=every_s))[0]:
            do()
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class PinningManager:
    """Works for the account of `sender`, with the files in `store`."""

    def __init__(
        self, contracts: Contracts, places: PinPlaces, sender: PinSender, store: EmbeddedStore
    ) -> None:
        self._contracts = contracts
        self.places = places
        """Deals and places on the chain; `tick` reads them anew now and then."""
        self._sender = sender
        self._store = store
        self._trees: dict[Cid, tuple[Tree, Stream]] = {}
        self._us = f"{contracts.deployment.chain_id}:{contracts.address(CONTRACT)}:{sender.address}"

    async def take(self, deal_id: int, keep: Keep) -> str:
        """Fetch and pin the version of a deal, check its possession root, and join; returns the purpose to wait for.

        Raises:
            BadArtifact: Root or size of the version are not those of its bytes: nobody could prove it. It is unpinned.
            Reverted: The deal takes nobody any more.
            OutboxFull: Too many transactions wait already.
            And whatever `keep` raises.
        """
        purpose = f"pin-join:{self._us}:{deal_id}"
        if self._sender.has(purpose):
            return purpose
        deal = self._contracts.read(CONTRACT, "deal", deal_id)
        join = Call(purpose, CONTRACT, "join", (deal_id,), value_wei=deal["bond"])
        self._sender.require(join)  # before hours of fetching, and once more after them
        cid = self.places.cid(deal_id)
        had = self._store.pins.has(cid)
        await keep(cid, deal["sizeBytes"])
        tree, _ = await asyncio.to_thread(self._tree, cid, deal["sizeBytes"])
        if (tree.root, tree.size_bytes) != (bytes(deal["root"]), deal["sizeBytes"]):
            self._trees.pop(cid)
            if not had:
                self._store.unpin(cid)
            raise BadArtifact(
                f"expected the bytes of {cid} to have root {bytes(deal['root']).hex()} and size {deal['sizeBytes']}, "
                f"as deal {deal_id} says, got {tree.root.hex()} and {tree.size_bytes}: do not join it"
            )
        self._sender.queue(join)
        return purpose

    def tick(self) -> int:
        """Go on with what was sent, answer what is asked, and claim what has ended; returns how many are new.

        What fails for one place is logged, and tried again with the next tick as long as there is time.

        Raises:
            RpcError, StoreBusy: Chain or disk cannot be used now; what was not committed is dropped.
        """
        try:
            self.places.refresh()
            self._sender.check()
            queued = sum(self._try_to_serve(number, cid) for number, cid in self.places.joined())
            self._sender.send()
        except (RpcError, StoreBusy):
            self._sender.forget()
            raise
        return queued

    def claim(self, deal_id: int) -> str | None:
        """Claim what a place has earned so far; returns the purpose to wait for, or None when nothing is owed.

        Raises:
            Reverted: We have no place in this deal.
        """
        held = next((held for held in self.places.held() if held.deal_id == deal_id), None)
        if held is not None and not held.owed_wei:
            return None
        name = f"pin-claim:{self._us}:{deal_id}"
        purpose = f"{name}:{held.claimed}:{held.ended}" if held else name
        arguments = (deal_id, self._sender.address)
        self._sender.queue(Call(purpose, CONTRACT, "claim", arguments))
        return purpose

    # --- internals

    def _try_to_serve(self, number: int, cid: Cid) -> bool:
        try:
            return self._serve(number, cid)
        except (Reverted, OutboxFull, RpcRefused, SignerUnavailable, WorkerError) as error:
            _log.warning(line("a challenge waits", deal=number, reason=error))
            return False

    def _serve(self, number: int, cid: Cid) -> bool:
        us = self._sender.address
        deal = self._contracts.read(CONTRACT, "deal", number)
        place = self._contracts.read(CONTRACT, "place", number, us)
        if place["settled"]:
            return False
        if ended(deal, place):
            purpose = f"pin-claim:{self._us}:{number}:{place['claimed']}:True"
            return self._sender.queue(Call(purpose, CONTRACT, "claim", (number, us)))
        round_, last_round, leaves = self._contracts.read(CONTRACT, "challengeOf", number, us)
        current = self._contracts.read("BlockRandomness", "currentRound")
        challenge = f"{self._us}:{number}:{place['decided']}"
        if current > last_round:
            self._sender.withdraw(f"pin-answer:{challenge}:")
            missed = Call(f"pin-missed:{challenge}", CONTRACT, "noteMissed", (number, us))
            if not self._sender.queue(missed):
                return False
            _log.warning(line("a challenge was missed", deal=number, round=round_))
            return True
        return bool(leaves) and self._answer(number, cid, deal["sizeBytes"], challenge, leaves)

    def _answer(
        self, number: int, cid: Cid, size_bytes: int, challenge: str, leaves: list[int]
    ) -> bool:
        """Answer once for these leaves. After a reorg the same challenge may ask for others: then not for the first."""
        name = f"pin-answer:{challenge}:"
        purpose = name + ".".join(map(str, leaves))
        if self._sender.has(purpose):
            return False
        self._sender.withdraw(name, but=purpose)
        tree, stream = self._tree(cid, size_bytes)
        proofs = []
        for index in leaves:
            start = index * 1024 // MEBIBYTE * MEBIBYTE
            proof = tree.prove(index, stream.read(start, MEBIBYTE))
            proofs.append((proof.leaf, proof.path))
        arguments = (number, self._sender.address, proofs)
        if not self._sender.queue(Call(purpose, CONTRACT, "answer", arguments)):
            return False
        _log.info(line("answered a challenge", purpose=purpose))
        return True

    def _tree(self, cid: Cid, size_bytes: int) -> tuple[Tree, Stream]:
        """Return tree and stream of a version, computed from the bytes in the store when first needed."""
        if cid not in self._trees:
            stream = Stream(cid, self._store.get, size_bytes)
            builder = TreeBuilder()
            for start in range(0, stream.size_bytes, MEBIBYTE):
                builder.update(stream.read(start, MEBIBYTE))
            self._trees[cid] = builder.finish(), stream
        return self._trees[cid]
