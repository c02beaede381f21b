"""One pass over a file or folder: its CID, its shards and its possession tree.

A shard is 128 MiB of one file: 128 leaves of 1 MiB under a root of their own, so that it has a CID, and can be fetched
and checked, by itself. Every leaf of a shard is also a leaf of the file, so shards cost one small block each.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from threading import local
from typing import Protocol

from offchain_worker.errors import BadArtifact
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.dag import Node, leaf
from offchain_worker.storage.disk import memory, read_at
from offchain_worker.storage.layout import (
    CHUNK_BYTES,
    Put,
    join,
    keep_nothing,
    require_file,
    walk_folder,
)
from offchain_worker.storage.possession import SHARD_BYTES, Tree, TreeBuilder
from offchain_worker.storage.possession_process import tree_process

PROCESS_FROM_BYTES = 32 << 20
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


def scan(path: Path, put: Put = keep_nothing, threads: int = 1) -> Scan:
    """Read a file or folder once.

    Args:
        path: What to read.
        put: Gets every block.
        threads: How many cores to use. With two or more, the possession tree of what is 32 MiB or more is built with
            another process; more than two gain nothing.

    Raises:
        BadArtifact: It is neither file nor folder, or as `walk_folder`.
    """
    if not path.is_dir():
        require_file(path)
    with ExitStack() as stack:
        builder: _Builder = _OwnBuilder()
        if threads > 1 and size_on_disk(path) >= PROCESS_FROM_BYTES:
            builder = stack.enter_context(tree_process())
        shards: list[Shard] = []

        def add(name: str, file_path: Path) -> Node:
            with file_path.open("rb", buffering=0) as file:
                leaves = list(_leaves(file, builder, put))
            offset = 0
            for start in range(0, len(leaves), _SHARD_LEAVES):
                shard = join(leaves[start : start + _SHARD_LEAVES], put)
                shards.append(Shard(shard.cid, name, offset, shard.size_bytes))
                offset += shard.size_bytes
            return join(leaves, put)

        node = walk_folder(path, put, add) if path.is_dir() else add("", path)
        return Scan(node, tuple(shards), builder.finish())


def cid_of(path: Path, threads: int = 1) -> Node:
    """Return the root of a file or folder, without its possession tree.

    Args:
        path: What to read.
        threads: How many cores to use, at least 1.

    Raises:
        BadArtifact: As `scan`, or a file was cut while it was read.
    """
    buffers = local()
    with ThreadPoolExecutor(threads) as pool:
        spread = pool.map if threads > 1 else map

        def add(_: str, file_path: Path) -> Node:
            with file_path.open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size

                def node(offset: int) -> Node:
                    length = min(CHUNK_BYTES, size - offset)
                    if not hasattr(buffers, "own"):
                        buffers.own = memory(CHUNK_BYTES)
                    return _leaf_at(file, offset, buffers.own[:length])

                leaves = list(spread(node, range(0, max(size, 1), CHUNK_BYTES)))
            return join(leaves, keep_nothing)

        return walk_folder(path, keep_nothing, add) if path.is_dir() else add("", path)


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files of a folder together."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(entry.lstat().st_size for entry in path.rglob("*") if entry.is_file())


class _Builder(Protocol):
    def place(self) -> memoryview: ...

    def update(self, piece: memoryview) -> None: ...

    def finish(self) -> Tree: ...


class _OwnBuilder(TreeBuilder):
    """Builds the tree in this process, from one place that is used again and again."""

    def __init__(self) -> None:
        super().__init__()
        self._place = memory(CHUNK_BYTES)

    def place(self) -> memoryview:
        return self._place


def _leaves(file: FileIO, builder: _Builder, put: Put) -> Iterator[Node]:
    """Put and yield a file's chunks; an empty file has one empty chunk. Reads of special files may be short."""
    first = True
    while True:
        place = builder.place()
        length = 0
        while length < CHUNK_BYTES and (more := file.readinto(place[length:])):
            length += more
        if not length and not first:
            return
        chunk = place[:length]
        builder.update(chunk)
        node = leaf(chunk)
        put(node.cid, chunk)
        yield node
        if length < CHUNK_BYTES:
            return
        first = False


def _leaf_at(file: FileIO, offset: int, chunk: memoryview) -> Node:
    """Fill `chunk` from a place in a file, and return its node."""
    if read_at(file.fileno(), chunk, offset) < len(chunk):
        raise BadArtifact(
            f"expected {file.name} to stay as it is while it is read, but it was cut: try it again"
        )
    return leaf(chunk)
