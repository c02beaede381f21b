"""The embedded store: blocks on this disk, in packs (`packs.py`). No node, no network.

What is added is there whole and durable or not at all, and two processes may add the same thing at once. Reads hash
what they read.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import local
from typing import TypeVar

from offchain_worker.errors import (
    ArtifactMissing,
    ArtifactTooLarge,
    BadArtifact,
    CorruptedBlock,
)
from offchain_worker.storage.car import export_car, read_car
from offchain_worker.storage.chunking import Scan, scan
from offchain_worker.storage.cid import DAG_PB, Block, Cid
from offchain_worker.storage.dag import MAX_BLOCK_BYTES, Node, decode
from offchain_worker.storage.disk import memory
from offchain_worker.storage.export import export
from offchain_worker.storage.layout import (
    Put,
    import_file,
    import_folder,
    read_file,
    require_file,
)
from offchain_worker.storage.pack_writer import PackWriter
from offchain_worker.storage.packs import Packs
from offchain_worker.storage.pins import Pins
from offchain_worker.storage.walk import Stat, stat

Made = TypeVar("Made", Node, Scan)


class EmbeddedStore:
    """Keeps blocks under `root`. Contract and errors as `storage.base.Store`. Safe to share between threads."""

    def __init__(self, root: Path) -> None:
        """Open the store, and make its folder if there is none.

        Args:
            root: Folder of the store.
        """
        self._packs = Packs(root)
        self.pins = Pins(root)
        with self.pins.locked_if_free() as alone:
            if alone:
                self._packs.sweep()

    def has(self, cid: Cid) -> bool:
        """Whether the block is here; says nothing about the rest of its file or folder."""
        return self._packs.find(cid) is not None

    def get(self, cid: Cid) -> bytes:
        """Return one block, checked."""
        block = self._packs.read(cid)
        _check(cid, block)
        return block

    def add(self, path: Path, threads: int = 1) -> Scan:
        """Store a file or folder in one pass that also gives its shards and possession tree. Durable when it returns.

        Args:
            path: What to store.
            threads: How many cores to use, at least 1.

        Raises:
            BadArtifact: As `add_folder`.
        """
        return self._add(lambda put: scan(path, put, threads))

    def verify(self, cid: Cid, max_bytes: int, threads: int = 2) -> Stat:
        """Hash every block of a file or folder; return what there is.

        Args:
            cid: Root.
            max_bytes: Most to accept.
            threads: How many cores to use, at least 1.

        Raises:
            ArtifactMissing, CorruptedBlock: The first block that is missing or damaged.
            ArtifactTooLarge: All files together are longer than `max_bytes`.
            BadArtifact: The blocks contradict each other.
        """
        own = local()

        def length(leaf: Cid) -> int:
            if not hasattr(own, "place"):
                own.place = memory(MAX_BLOCK_BYTES)
            block = self._packs.read_into(leaf, own.place)
            _check(leaf, block)
            return len(block)

        return stat(cid, self.get, threads, max_bytes, length)

    def add_bytes(self, data: bytes) -> Cid:
        """Store `data` as a file."""
        return self._add(lambda put: import_file(io.BytesIO(data), put)).cid

    def add_file(self, path: Path) -> Cid:
        """Store a file."""
        require_file(path)
        with path.open("rb") as file:
            return self._add(lambda put: import_file(file, put)).cid

    def add_folder(self, path: Path) -> Cid:
        """Store a folder with all that is in it."""
        return self._add(lambda put: import_folder(path, put)).cid

    def add_car(self, path: Path, max_bytes: int) -> Cid:
        """Store what a CAR file holds, and pin its root, which is returned. Durable when it returns.

        Raises:
            CorruptedBlock: A block is not what its CID names; nothing of the pack that is being written is kept.
            ArtifactMissing: It lacks blocks of the file or folder; those that it has are kept, and the root not pinned.
            ArtifactTooLarge, BadArtifact: It is longer than `max_bytes`, or no CAR of the profile.
        """
        if path.stat().st_size > max_bytes:
            raise ArtifactTooLarge(f"expected at most {max_bytes} bytes in {path}, got more")
        with self.pins.locked(alone=False):
            with path.open("rb") as file, self.adding() as put:
                root = read_car(file, put)
            self.verify(root, max_bytes)
            self.pins.add(root)
        return root

    def export_car(self, cid: Cid, to: Path, max_bytes: int) -> None:
        """Write the CAR of a file or folder to `to`, whole or not at all. Errors as `export`."""
        export_car(cid, self.get, to, max_bytes)

    def put(self, cid: Cid, block: bytes) -> None:
        """Store one block that came from elsewhere. Durable when it returns.

        Raises:
            CorruptedBlock: `block` is not what `cid` names; nothing is stored.
        """
        if not cid.matches(block):
            raise CorruptedBlock(f"expected the content of {cid}, got {len(block)} other bytes")
        with self.adding() as put:
            put(cid, block)

    def read(self, cid: Cid, max_bytes: int) -> bytes:
        """Return the content of a file."""
        return b"".join(read_file(cid, self.get, max_bytes))

    def export(self, cid: Cid, to: Path, max_bytes: int) -> None:
        """Write a file or folder to `to`, whole or not at all."""
        export(cid, self.get, to, max_bytes)

    def _add(self, make: Callable[[Put], Made]) -> Made:
        """Store what `make` puts, and pin the root that it returns."""
        with self.pins.locked(alone=False):
            with self.adding() as put:
                made = make(put)
            self.pins.add(made.cid)
        return made

    @contextmanager
    def adding(self) -> Iterator[Put]:
        """Give a `Put` for blocks whose hash was checked, which threads may share; all are durable when it is left."""
        with self.pins.locked(alone=False), PackWriter(self._packs) as writer:

            def put(cid: Cid, block: Block) -> None:
                if not self._holds(cid, block):
                    writer.write(cid, block)

            yield put

    def unpin(self, cid: Cid) -> int:
        """Keep a root no longer, and delete its blocks, but for those that other roots need; returns how many.

        What is added stays until it is unpinned. What a fetch that failed left is deleted in the same way.
        """
        with self.pins.locked(alone=True):
            self.pins.remove(cid)
            needed: set[Cid] = set()
            for root in self.pins.all():
                self._reach(root, needed)
            mine: set[Cid] = set()
            self._reach(cid, mine)
            if not mine - needed:
                return 0
            self._packs.remove(mine - needed)
            self._close_holes()
            return len(mine - needed)

    def _close_holes(self) -> None:
        """Move the blocks of packs that are mostly holes to a new one, so that the disk gets free."""
        with PackWriter(self._packs) as writer:
            for blocks in self._packs.sparse():
                for cid in blocks:
                    writer.write(cid, self._packs.read(cid))
        self._packs.sweep()

    def _reach(self, cid: Cid, reached: set[Cid]) -> None:
        """Add all blocks below a root that are here; what is missing or damaged leads no further."""
        left = [cid]
        while left:
            at = left.pop()
            if at in reached or not self.has(at):
                continue
            reached.add(at)
            if at.codec == DAG_PB:
                with suppress(BadArtifact, ArtifactMissing):
                    left += [link.cid for link in decode(at, self.get(at)).links]

    def _holds(self, cid: Cid, block: Block) -> bool:
        """Whether this very block is stored already. A damaged one is not, and is written anew."""
        if self._packs.find(cid) is None:
            return False
        try:
            return self._packs.read(cid) == block
        except ArtifactMissing:  # its pack is gone
            return False


def _check(cid: Cid, block: Block) -> None:
    if not cid.matches(block):
        raise CorruptedBlock(
            f"expected the content of {cid} in this store, got {len(block)} other bytes: "
            "check this disk, then add the artifact again, which writes the block anew"
        )
