"""Where each block lies: in packs, files that hold many blocks one after the other, and an index that says where.

A pack is written once and synced once. Then one commit of the index makes all its blocks part of the store, so they are
all there or none of them, and a file that the index does not name is what a crash left behind. A pack ends with the
places of its blocks, from which an index that was lost is made anew.
"""

import errno
import fcntl
import os
import sqlite3
import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar
from uuid import uuid4

from offchain_worker.errors import ArtifactMissing
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.disk import read_at, sync_folder

LOCK = "lock"
"""File in the store's folder: whoever adds holds it with others, whoever deletes or makes an index holds it alone."""
BUSY_S = 60.0
"""How long to wait for another process that changes the index, in seconds."""
SMALL_HOLES_BYTES = 1 << 20
"""Holes in a pack that are not worth writing it anew."""

_RECORD = struct.Struct(">36sQI")
_FOOTER = struct.Struct(">Q8s")
_MAGIC = b"lattice1"

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
        """Open them; an index that is not there is made.

        Raises:
            OSError: The folder or the index cannot be used; it says what to do.
        """
        self._folder = root / "packs"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = Lock()
        index = root / "index.sqlite"
        if not index.exists():
            with (root / LOCK).open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not index.exists():
                    _create(index, self._folder)
        try:
            self._index = sqlite3.connect(
                index, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
        except sqlite3.DatabaseError as error:
            raise _failed(error) from error
        self._rows("PRAGMA synchronous = FULL")
        self._rows("PRAGMA fullfsync = ON")  # macOS

    def new(self) -> Path:
        """Return a path for a new pack."""
        return self._folder / uuid4().hex

    def path(self, place: Place) -> Path:
        """Return the file that a place is in."""
        return self._folder / place.pack

    def find(self, cid: Cid) -> Place | None:
        """Return where a block lies."""
        found = self._rows("SELECT pack, offset, length FROM blocks WHERE cid = ?", cid.data)
        return Place(*found[0]) if found else None

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
        for pack, size in self._rows("SELECT pack, SUM(length) FROM blocks GROUP BY pack"):
            with suppress(FileNotFoundError):
                holes = (self._folder / pack).stat().st_size - size
                if holes > max(size, SMALL_HOLES_BYTES):
                    yield self._blocks(pack)

    def sweep(self) -> None:
        """Delete the files that the index does not name. The caller holds the store alone."""
        named = {pack for (pack,) in self._rows("SELECT DISTINCT pack FROM blocks")}
        for path in self._folder.iterdir():
            if path.name not in named:
                path.unlink()

    def _blocks(self, pack: str) -> dict[Cid, Place]:
        rows = self._rows(
            "SELECT cid, pack, offset, length FROM blocks WHERE pack = ? ORDER BY offset", pack
        )
        return {Cid(cid): Place(*place) for cid, *place in rows}

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        """Ask the index.

        Raises:
            OSError: It cannot be read.
        """
        with self._lock:
            try:
                return self._index.execute(sql, values).fetchall()
            except sqlite3.DatabaseError as error:
                raise _failed(error) from error

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
                if isinstance(error, sqlite3.DatabaseError):
                    raise _failed(error) from error
                raise


def _read(path: Path, place: Place) -> bytes:
    with path.open("rb", buffering=0) as file:
        file.seek(place.offset_bytes)
        return file.read(place.size_bytes) or b""


_ADVICE = {
    sqlite3.SQLITE_CORRUPT: (errno.EIO, "look at the disk; deleted, it is made anew"),
    sqlite3.SQLITE_NOTADB: (errno.EIO, "look at the disk; deleted, it is made anew"),
    sqlite3.SQLITE_FULL: (errno.ENOSPC, "make room on this disk"),
    sqlite3.SQLITE_IOERR: (errno.EIO, "look at the disk, and whether it is full"),
    sqlite3.SQLITE_BUSY: (errno.EBUSY, "another process has had it for too long: try again"),
    sqlite3.SQLITE_READONLY: (errno.EACCES, "it has to belong to who runs this"),
    sqlite3.SQLITE_CANTOPEN: (
        errno.EACCES,
        "it cannot be opened: whose is the folder of the store?",
    ),
}


def _failed(error: sqlite3.DatabaseError) -> OSError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # above is what exactly failed
    number, advice = _ADVICE.get(code, (errno.EIO, "look at the disk"))
    return OSError(number, f"index of the store: {error}: {advice}")


def trailer(places: Mapping[Cid, Place]) -> bytes:
    """Return what a pack ends with: where each block is, and how many there are."""
    records = [_RECORD.pack(c.data, at.offset_bytes, at.size_bytes) for c, at in places.items()]
    return b"".join(records) + _FOOTER.pack(len(records), _MAGIC)


def _read_trailer(path: Path) -> list[tuple[bytes, str, int, int]]:
    """Return the rows of a pack; none for a file that is no whole one."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(end - _FOOTER.size, 0))
        footer = file.read()
        count, magic = _FOOTER.unpack(footer) if len(footer) == _FOOTER.size else (0, b"")
        start = end - _FOOTER.size - count * _RECORD.size
        if magic != _MAGIC or start < 0:
            return []
        file.seek(start)
        records = _RECORD.iter_unpack(file.read(count * _RECORD.size))
        return [(cid, path.name, offset, length) for cid, offset, length in records]


def _create(index: Path, packs: Path) -> None:
    """Make an index of the packs that are there, mostly none."""
    for suffix in (
        "-wal",
        "-shm",
    ):  # of an index that was lost: SQLite would add them to the new one
        index.with_name(index.name + suffix).unlink(missing_ok=True)
    made = index.with_name(f"{index.name}.new")
    made.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(made)) as connection:
            connection.executescript(_SCHEMA)
            for path in packs.iterdir():
                rows = _read_trailer(path)
                connection.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?)", rows)
            connection.commit()
    except sqlite3.DatabaseError as error:
        raise _failed(error) from error
    made.rename(index)
    sync_folder(index.parent)
