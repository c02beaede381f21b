"""Fetches what is missing of a file or folder from peers into the embedded store.

Several blocks at a time, each from any peer; a peer that fails is asked less, one that lies is not asked again. What
was checked is written down a few blocks at a time, so a fetch that breaks goes on where it was.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from offchain_worker.errors import (
    ArtifactMissing,
    ArtifactTooLarge,
    BadArtifact,
    CorruptedBlock,
    PeerFailed,
    PeerLied,
)
from offchain_worker.storage.car import CarReader
from offchain_worker.storage.cid import DAG_PB, Cid
from offchain_worker.storage.dag import MAX_BLOCK_BYTES, decode
from offchain_worker.storage.peers.base import CarPeer, Peer
from offchain_worker.storage.store import EmbeddedStore

Progress = Callable[[int, int], None]
"""Gets the blocks and the bytes that are here so far, counted by this fetch."""

BATCH_BLOCKS = 16
LEAST_BLOCK_BYTES = 64
"""A graph may have one block per this many allowed bytes, and a thousand more: a bound against tiny ones."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard to try.

    Args:
        parallel: Blocks that are fetched at a time.
        block_timeout_s: Longest time for one block from one peer, in seconds; then the next one is asked.
        tries: How often each peer is asked for a block.
        pause_s: First pause between rounds of tries, in seconds; it doubles each time, times 0.5 to 1.5 at random.
    """

    parallel: int = 8
    block_timeout_s: float = 30.0
    tries: int = 3
    pause_s: float = 0.5


@dataclass(slots=True)
class _State:
    seen: set[Cid]
    blocks: int = 0
    size_bytes: int = 0
    batch: list[tuple[Cid, bytes]] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    liars: set[str] = field(default_factory=set)


def nothing(blocks: int, size_bytes: int) -> None:
    """A `Progress` that shows nothing."""


class Fetch:
    """One fetch of what is below `root`, of at most `max_bytes` in all blocks together."""

    def __init__(
        self,
        root: Cid,
        store: EmbeddedStore,
        peers: Sequence[Peer],
        max_bytes: int,
        limits: Limits,
        progress: Progress = nothing,
    ) -> None:
        self._root = root
        self._store = store
        self._peers = list(peers)
        self._max_bytes = max_bytes
        self._limits = limits
        self._progress = progress
        self._state = _State({root})

    async def run(self) -> None:
        """Fetch all that is missing.

        Raises:
            ArtifactMissing: No peer gave some block. What came is kept, so call again to go on.
            ArtifactTooLarge: There is more than `max_bytes`, or very many tiny blocks.
            BadArtifact: A block is malformed, or of a kind that is not supported.
        """
        if self._peers and not self._store.has(self._root):
            await self._try_car()
        todo = [self._root]
        running: set[asyncio.Task[list[Cid]]] = set()
        try:
            while todo or running:
                while todo and len(running) < self._limits.parallel:
                    running.add(asyncio.create_task(self._take(todo.pop())))
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                # Each is asked, although the first error ends it: asyncio logs those that nobody asked for.
                for error in [task.exception() for task in done]:
                    if error is not None:
                        raise error
                for task in done:
                    todo += task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await self._write(least=1)

    async def _take(self, cid: Cid) -> list[Cid]:
        """Make sure that a block is here; return what it links to and was not seen before."""
        block = await asyncio.to_thread(self._local, cid)
        if block is None:
            block = await self._fetch(cid)
            self._state.batch.append((cid, block))
            await self._write(BATCH_BLOCKS)
        self._count(len(block))
        if cid.codec != DAG_PB:
            return []
        links = dict.fromkeys(link.cid for link in decode(cid, block).links)
        new = [link for link in links if link not in self._state.seen]
        self._state.seen.update(new)
        return new[::-1]

    def _local(self, cid: Cid) -> bytes | None:
        """Return the block if it is here undamaged."""
        try:
            return self._store.get(cid)
        except (ArtifactMissing, CorruptedBlock):
            return None

    def _count(self, length: int) -> None:
        state = self._state
        state.blocks += 1
        state.size_bytes += length
        most_blocks = 1_000 + self._max_bytes // LEAST_BLOCK_BYTES
        if state.size_bytes > self._max_bytes or state.blocks > most_blocks:
            raise ArtifactTooLarge(
                f"expected at most {self._max_bytes} bytes and {most_blocks} blocks in {self._root}, got more"
            )
        self._progress(state.blocks, state.size_bytes)

    async def _fetch(self, cid: Cid) -> bytes:
        """Return a block from whichever peer gives it first, after hashing it."""
        for attempt in range(self._limits.tries):
            if attempt:
                pause = self._limits.pause_s * 2 ** (attempt - 1)
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 -- no secret
            for peer in self._ranked():
                try:
                    return await self._ask(peer, cid)
                except PeerFailed as error:
                    self._blame(peer, error)
        reasons = "; ".join(self._state.reasons.values()) or "there is no peer to ask"
        raise ArtifactMissing(
            f"expected block {cid} of {self._root} from a peer, got none: {reasons}"
        )

    async def _ask(self, peer: Peer, cid: Cid) -> bytes:
        try:
            block = await asyncio.wait_for(peer.block(cid), self._limits.block_timeout_s)
        except TimeoutError:
            raise PeerFailed(
                f"{peer.name} was too slow: no block within {self._limits.block_timeout_s:g} s"
            ) from None
        if len(block) > MAX_BLOCK_BYTES or not await asyncio.to_thread(cid.matches, block):
            raise PeerLied(f"{peer.name} gave {len(block)} other bytes for {cid}")
        return block

    def _ranked(self) -> list[Peer]:
        """Peers that did not lie, those that failed least first, the rest at random."""
        state = self._state
        honest = [peer for peer in self._peers if peer.name not in state.liars]
        random.shuffle(honest)
        return sorted(honest, key=lambda peer: state.failures.get(peer.name, 0))

    def _blame(self, peer: Peer, error: Exception) -> None:
        state = self._state
        state.failures[peer.name] = state.failures.get(peer.name, 0) + 1
        state.reasons[peer.name] = str(error)
        if isinstance(error, PeerLied):
            state.liars.add(peer.name)
            _log.warning("%s; it is not asked again", error)

    async def _try_car(self) -> None:
        """Take all in one stream if a peer can; what it does not give is fetched block by block."""
        for peer in self._ranked():
            if not isinstance(peer, CarPeer):
                continue
            pieces = peer.car(self._root)
            try:
                await self._take_car(peer, pieces)
            except (BadArtifact, PeerFailed) as error:
                lied = isinstance(error, CorruptedBlock)
                self._blame(peer, (PeerLied if lied else PeerFailed)(f"{peer.name}: {error}"))
            finally:
                await pieces.aclose()
            await self._write(least=1)
            if self._store.has(self._root):
                return

    async def _take_car(self, peer: Peer, pieces: AsyncGenerator[bytes, None]) -> None:
        """Take the blocks of a CAR: none but those that belong to the graph, and each within the time for one."""
        reader, size, begun = CarReader(), 0, time.monotonic()
        wanted, had = {self._root}, set[Cid]()
        while True:
            left_s = begun + self._limits.block_timeout_s - time.monotonic()
            try:
                piece = await asyncio.wait_for(anext(pieces, b""), left_s)
            except TimeoutError:
                raise PeerFailed(
                    f"it was too slow: no block of the CAR within {self._limits.block_timeout_s:g} s"
                ) from None
            if not piece:
                break
            size += len(piece)
            if size > self._max_bytes:
                raise PeerFailed(f"expected a CAR of at most {self._max_bytes} bytes, got more")
            blocks = await asyncio.to_thread(reader.take, piece)
            for cid, block in blocks:
                if cid in had:
                    continue
                if cid not in wanted:
                    raise PeerFailed(f"the CAR has block {cid} of something else")
                wanted.remove(cid)
                had.add(cid)
                if cid.codec == DAG_PB:
                    wanted.update(
                        link.cid for link in decode(cid, block).links if link.cid not in had
                    )
                self._state.batch.append((cid, block))
            await self._write(BATCH_BLOCKS)
            if blocks:
                begun = time.monotonic()
        reader.finish()

    async def _write(self, least: int) -> None:
        """Write what was checked, if it is at least so many blocks."""
        if len(self._state.batch) >= least:
            batch, self._state.batch = self._state.batch, []
            await asyncio.to_thread(self._write_now, batch)

    def _write_now(self, batch: list[tuple[Cid, bytes]]) -> None:
        with self._store.adding() as put:
            for cid, block in batch:
                put(cid, block)
