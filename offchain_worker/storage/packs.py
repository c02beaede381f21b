"""Where each block lies: in packs, files that hold many blocks one after the other, and an index that says where.

A pack is written once and synced once. Then one commit of the index makes all its blocks part of the store, so they are
all there or none of them, and a file that the index does not name is what a crash left behind.
"""

import errno
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TypeVar
from uuid import uuid4

from offchain_worker.errors import ArtifactMissing
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.disk import read_at, sync_folder

BUSY_S = 60.0
"""How long to wait for another process that changes the index, in seconds."""
SPARSE = 2
"""A pack whose blocks are less than this part of it is written anew without the holes."""

Bytes = TypeVar("Bytes", bytes, memoryview)

_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE blocks (
    cid BLOB PRIMARY KEY, pack TEXT NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX blocks_of_a_pack ON blocks (pack, length);
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block lies."""

    pack: str
    offset_bytes: int
    size_bytes: int


class Packs:
    """The packs and the index of the store in `root`. Threads and processes may share them."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "packs"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = Lock()
        index = root / "index.sqlite"
        if not index.exists():
            _create(index)
        self._index = sqlite3.connect(
            index, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        self._index.execute("PRAGMA synchronous = FULL")
        self._index.execute("PRAGMA fullfsync = ON")  # macOS

    def new(self) -> Path:
        """Return a path for a new pack."""
        return self._folder / uuid4().hex

    def path(self, place: Place) -> Path:
        """Return the file that a place is in."""
        return self._folder / place.pack

    def find(self, cid: Cid) -> Place | None:
        """Return where a block lies."""
        with self._lock:
            found = self._index.execute(
                "SELECT pack, offset, length FROM blocks WHERE cid = ?", (cid.data,)
            ).fetchone()
        return Place(*found) if found else None

    def read(self, cid: Cid) -> bytes:
        """Return a block, unchecked.

        Raises:
            ArtifactMissing: It is not here.
        """
        return self._read(cid, _read)

    def read_into(self, cid: Cid, place: memoryview) -> memoryview:
        """Return a block, unchecked, in the first bytes of `place`, which is as long as any block. Errors as `read`."""

        def read(path: Path, at: Place) -> memoryview:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                return place[: read_at(descriptor, place[: at.size_bytes], at.offset_bytes)]
            finally:
                os.close(descriptor)

        return self._read(cid, read)

    def _read(self, cid: Cid, read: Callable[[Path, Place], Bytes]) -> Bytes:
        for _ in range(2):  # once more: it may have been moved just now
            if place := self.find(cid):
                with suppress(FileNotFoundError):
                    return read(self.path(place), place)
        raise ArtifactMissing(f"expected block {cid} in the store, which has none: fetch it first")

    def add(self, places: Mapping[Cid, Place]) -> None:
        """Make the blocks of a pack that was synced part of the store; where one was before, it is now here."""
        sync_folder(self._folder)
        rows = [(cid.data, at.pack, at.offset_bytes, at.size_bytes) for cid, at in places.items()]
        with self._changing() as index:
            index.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?)", rows)

    def remove(self, cids: Collection[Cid]) -> None:
        """Forget blocks. The caller holds the store alone; `sparse` and `sweep` then free the disk."""
        with self._changing() as index:
            index.executemany("DELETE FROM blocks WHERE cid = ?", [(cid.data,) for cid in cids])

    def sparse(self) -> Iterator[dict[Cid, Place]]:
        """Yield the blocks of each pack that is mostly holes."""
        with self._lock:
            packs = self._index.execute(
                "SELECT pack, SUM(length) FROM blocks GROUP BY pack"
            ).fetchall()
        for pack, size in packs:
            with suppress(FileNotFoundError):
                if size * SPARSE < (self._folder / pack).stat().st_size:
                    yield self._blocks(pack)

    def sweep(self) -> None:
        """Delete the files that the index does not name. The caller holds the store alone."""
        with self._lock:
            named = {pack for (pack,) in self._index.execute("SELECT DISTINCT pack FROM blocks")}
        for path in self._folder.iterdir():
            if path.name not in named:
                path.unlink()

    def _blocks(self, pack: str) -> dict[Cid, Place]:
        with self._lock:
            rows = self._index.execute(
                "SELECT cid, pack, offset, length FROM blocks WHERE pack = ? ORDER BY offset",
                (pack,),
            ).fetchall()
        return {Cid(cid): Place(*place) for cid, *place in rows}

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """Change the index, whole or not at all; durable when it is left.

        Raises:
            OSError: The disk is full or failed.
        """
        with self._lock:
            try:
                self._index.execute("BEGIN IMMEDIATE")
                yield self._index
                self._index.execute("COMMIT")
            except BaseException as error:
                if self._index.in_transaction:
                    self._index.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError):
                    raise OSError(errno.EIO, f"index of the store: {error}") from error
                raise


def _read(path: Path, place: Place) -> bytes:
    with path.open("rb", buffering=0) as file:
        file.seek(place.offset_bytes)
        return file.read(place.size_bytes) or b""


def _create(index: Path) -> None:
    """Make an empty index; of two processes, one wins."""
    made = index.with_name(f"{uuid4().hex}.new")
    with suppress(FileExistsError):
        try:
            connection = sqlite3.connect(made)
            connection.executescript(_SCHEMA)
            connection.close()
            os.link(made, index)
        finally:
            made.unlink(missing_ok=True)
    sync_folder(index.parent)
