"""The IPFS service: one interface to store, retrieve, pin, unpin, stat and verify, whatever node is behind it.

The embedded store is always there. Peers give what it does not have; pinners keep copies elsewhere.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from offchain_worker.storage.chunking import Scan
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.fetch import Fetch, Limits, Progress, nothing
from offchain_worker.storage.layout import LINK_BYTES, MAX_ENTRIES, MAX_NAME_BYTES
from offchain_worker.storage.peers.base import Peer, Pinner
from offchain_worker.storage.store import EmbeddedStore
from offchain_worker.storage.walk import Stat


class StorageService:
    """Files and folders by CID. Safe to use from many tasks of one event loop."""

    def __init__(
        self,
        store: EmbeddedStore,
        peers: Sequence[Peer] = (),
        pinners: Sequence[Pinner] = (),
        limits: Limits | None = None,
        threads: int = 2,
    ) -> None:
        """Use `store`, fetch from `peers`, keep copies with `pinners`; hash with `threads` threads."""
        self._store = store
        self._peers = peers
        self._pinners = pinners
        self._limits = limits or Limits()
        self._threads = threads

    async def store(self, path: Path) -> Scan:
        """Store and pin a file or folder; durable when it returns.

        Raises:
            BadArtifact: As `layout.walk_folder`.
        """
        return await asyncio.to_thread(self._store.add, path, self._threads)

    async def retrieve(
        self, cid: Cid, to: Path, max_bytes: int, progress: Progress = nothing
    ) -> None:
        """Write a file or folder to `to`, which must not exist, after fetching what is missing.

        It appears whole or not at all. After an error that says "retry", call again: what came is not fetched again.

        Raises:
            FileExistsError: Something is at `to`.
            ArtifactMissing: No peer gave some block.
            ArtifactTooLarge: There is more than `max_bytes`.
            BadArtifact: It is malformed, or of a kind that is not supported.
        """
        if to.exists():
            raise FileExistsError(f"expected nothing at {to}")
        await self._fetch(cid, max_bytes, progress)
        await asyncio.to_thread(self._store.export, cid, to, max_bytes)

    async def export_car(self, cid: Cid, to: Path, max_bytes: int) -> None:
        """Write a file or folder as a CAR file, after fetching what is missing. Errors as `retrieve`."""
        if to.exists():
            raise FileExistsError(f"expected nothing at {to}")
        await self._fetch(cid, max_bytes, nothing)
        await asyncio.to_thread(self._store.export_car, cid, to, max_bytes)

    async def import_car(self, path: Path, max_bytes: int) -> Cid:
        """Store and pin what a CAR file holds; returns its root. Errors as `EmbeddedStore.add_car`."""
        return await asyncio.to_thread(self._store.add_car, path, max_bytes)

    async def pin(self, cid: Cid, max_bytes: int, progress: Progress = nothing) -> Stat:
        """Keep a file or folder here and with all pinners; return what there is.

        Raises:
            PeerFailed: A pinner does not keep it.
            ArtifactMissing, ArtifactTooLarge, BadArtifact: As `retrieve`; then it is not pinned here.
        """
        was_pinned = self._store.pins.has(cid)
        self._store.pins.add(cid)  # first: what comes in must not be deleted beside us
        try:
            await self._fetch(cid, max_bytes, progress)
            found = await self.verify(cid, max_bytes)
        except BaseException:  # a task that is cancelled is no Exception
            if not was_pinned:
                self._store.pins.remove(cid)
            raise
        await asyncio.gather(*(pinner.pin(cid) for pinner in self._pinners))
        return found

    async def unpin(self, cid: Cid) -> int:
        """Keep it no longer, here and with all pinners; return how many blocks were deleted here.

        Raises:
            PeerFailed: A pinner did not answer; it is unpinned here.
        """
        deleted = await asyncio.to_thread(self._store.unpin, cid)
        await asyncio.gather(*(pinner.unpin(cid) for pinner in self._pinners))
        return deleted

    async def stat(self, cid: Cid, max_bytes: int) -> Stat:
        """Return what is below `cid`, after fetching what is missing; errors as `retrieve`."""
        await self._fetch(cid, max_bytes, nothing)
        return await self.verify(cid, max_bytes)

    async def verify(self, cid: Cid, max_bytes: int) -> Stat:
        """Hash all of it that should be here.

        Raises:
            ArtifactMissing, CorruptedBlock: A block is missing or damaged.
            ArtifactTooLarge, BadArtifact: As `retrieve`.
        """
        return await asyncio.to_thread(self._store.verify, cid, max_bytes, self._threads)

    async def _fetch(self, cid: Cid, max_bytes: int, progress: Progress) -> None:
        # Blocks of files and folders count as well: far less than a tenth, and a link with its name for each entry.
        most = max_bytes + max_bytes // 10 + MAX_ENTRIES * (MAX_NAME_BYTES + LINK_BYTES)
        await Fetch(cid, self._store, self._peers, most, self._limits, progress).run()
