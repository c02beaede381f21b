"""One pass over a file or folder: its CID, its shards and its possession tree.

A shard is 128 MiB of one file: 128 leaves of 1 MiB under a root of their own, so that it has a CID, and can be fetched
and checked, by itself. Every leaf of a shard is also a leaf of the file, so shards cost one small block each.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from offchain_worker.storage.cid import Cid
from offchain_worker.storage.dag import Node, leaf
from offchain_worker.storage.layout import (
    CHUNK_BYTES,
    Put,
    join,
    keep_nothing,
    walk_folder,
)
from offchain_worker.storage.possession import SHARD_BYTES, Tree, TreeBuilder
from offchain_worker.storage.possession_process import ProcessTreeBuilder

AHEAD_PER_THREAD = 4
"""Chunks that wait for each thread: what is in memory is this many MiB for each."""
PROCESS_FROM_BYTES = 64 << 20
"""From this size on another process is worth its start."""

_SHARD_LEAVES = SHARD_BYTES // CHUNK_BYTES


@dataclass(frozen=True, slots=True)
class Shard:
    """128 MiB of one file, or its rest."""

    cid: Cid
    file: str
    """Path of the file below the folder; empty when a file alone was scanned."""
    offset_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Scan:
    """What one pass over a file or folder gives."""

    node: Node
    shards: tuple[Shard, ...]
    tree: Tree

    @property
    def cid(self) -> Cid:
        """The root."""
        return self.node.cid

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return self.tree.size_bytes


class _Builder(Protocol):
    def update(self, piece: bytes) -> None: ...

    def finish(self) -> Tree: ...


def scan(path: Path, put: Put = keep_nothing, threads: int = 1) -> Scan:
    """Read a file or folder once.

    Args:
        path: What to read.
        put: Gets every block; with more than one thread it is called from several of them.
        threads: How many cores to use, at least 1. With two or more, the possession tree of what is 64 MiB or more is
            built by another process.

    Raises:
        BadArtifact: A folder holds what is neither file nor folder, or too many entries.
    """
    with ExitStack() as stack:
        builder: _Builder = TreeBuilder()
        if threads > 1 and size_on_disk(path) >= PROCESS_FROM_BYTES:
            builder = stack.enter_context(ProcessTreeBuilder())
        scanner = _Scanner(put, builder.update, threads, stack)
        node = walk_folder(path, put, scanner.file) if path.is_dir() else scanner.file("", path)
        return Scan(node, tuple(scanner.shards), builder.finish())


def cid_of(path: Path, threads: int = 1) -> Node:
    """Return the root of a file without its possession tree."""
    with ExitStack() as stack:
        return _Scanner(keep_nothing, lambda _: None, threads, stack).file("", path)


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files of a folder together."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(entry.lstat().st_size for entry in path.rglob("*") if entry.is_file())


class _Scanner:
    def __init__(
        self, put: Put, also: Callable[[bytes], None], threads: int, stack: ExitStack
    ) -> None:
        self._put = put
        self._also = also
        self._threads = threads
        self._pool = stack.enter_context(ThreadPoolExecutor(threads)) if threads > 1 else None
        self.shards: list[Shard] = []

    def file(self, name: str, path: Path) -> Node:
        with path.open("rb", buffering=0) as file:
            leaves = list(self._leaves(file))
        offset = 0
        for start in range(0, len(leaves), _SHARD_LEAVES):
            shard = join(leaves[start : start + _SHARD_LEAVES], self._put)
            self.shards.append(Shard(shard.cid, name, offset, shard.size_bytes))
            offset += shard.size_bytes
        return join(leaves, self._put)

    def _leaves(self, file: BinaryIO) -> Iterator[Node]:
        waiting: deque[Future[Node]] = deque()
        for chunk in _chunks(file):
            if self._pool is None:
                node = self._leaf(chunk)
                self._also(chunk)
                yield node
                continue
            waiting.append(self._pool.submit(self._leaf, chunk))
            self._also(chunk)
            if len(waiting) > AHEAD_PER_THREAD * self._threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _leaf(self, chunk: bytes) -> Node:
        node = leaf(chunk)
        self._put(node.cid, chunk)
        return node


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file's chunks; an empty file has one empty chunk. Reads of special files may be short."""
    first = True
    while True:
        chunk = file.read(CHUNK_BYTES)
        while 0 < len(chunk) < CHUNK_BYTES and (more := file.read(CHUNK_BYTES - len(chunk))):
            chunk += more
        if not chunk and not first:
            return
        yield chunk
        if len(chunk) < CHUNK_BYTES:
            return
        first = False
