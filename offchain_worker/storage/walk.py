"""Walks the blocks below a root: what there is, whether it is whole, and where in the stream each part lies."""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from offchain_worker.errors import ArtifactTooLarge, BadArtifact
from offchain_worker.storage.cid import RAW, Cid
from offchain_worker.storage.dag import Directory, FilePart, Link
from offchain_worker.storage.layout import MAX_DEPTH, MAX_ENTRIES, Get, read_block

AHEAD = 8
"""Leaves that are fetched ahead of the one looked at, for each thread."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What there is below a root."""

    blocks: int
    """Blocks, each counted as often as it is linked to."""
    files: int
    size_bytes: int
    """Bytes of all files together."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A block on the way."""

    cid: Cid
    is_leaf: bool
    """A raw block that nobody has fetched yet; its size is what its parent says."""
    is_file: bool
    """The root of a file."""
    is_entry: bool
    """The root of a file or a folder."""
    content: bytes
    """What it holds itself, when it is not a leaf."""
    size_bytes: int
    """Bytes of the stream that it holds itself."""


def visit(cid: Cid, get: Get, max_bytes: int) -> Iterator[Visit]:
    """Yield all blocks below a root in the order of the stream, fetching all but the raw leaves.

    Raises:
        ArtifactTooLarge: All files together are longer than `max_bytes`, or there are more than `MAX_ENTRIES` of them.
        BadArtifact: Blocks contradict each other, or are of a kind that is not supported.
        And whatever `get` raises.
    """
    left = max_bytes
    entries = 0
    for found in _visit(cid, get, None, 0, True):
        left -= found.size_bytes
        entries += found.is_entry
        if left < 0:
            raise ArtifactTooLarge(f"expected at most {max_bytes} bytes in {cid}, got more")
        if entries > MAX_ENTRIES:
            raise ArtifactTooLarge(f"expected at most {MAX_ENTRIES} entries in {cid}, got more")
        yield found


def stat(
    cid: Cid,
    get: Get,
    threads: int,
    max_bytes: int,
    length: Callable[[Cid], int] | None = None,
) -> Stat:
    """Fetch every block below a root, leaves with several threads, and return what there is.

    `get` checks the hash of what it returns, and `length`, if it is given, that of a leaf whose length it returns. So
    this is also the check that all is there and undamaged. Errors as `visit`.
    """
    blocks = files = size = 0
    length = length or (lambda leaf: len(get(leaf)))
    waiting: deque[tuple[Visit, Future[int]]] = deque()

    def compare(found: Visit, got: int) -> None:
        if got != found.size_bytes:
            raise BadArtifact(
                f"expected {found.size_bytes} bytes at {found.cid}, as its parent says, got {got}"
            )

    def check() -> None:
        found, future = waiting.popleft()
        compare(found, future.result())

    with ThreadPoolExecutor(threads) as pool:
        for found in visit(cid, get, max_bytes):
            blocks += 1
            files += found.is_file
            size += found.size_bytes
            if found.is_leaf and threads == 1:  # another thread would only cost its handing over
                compare(found, length(found.cid))
            elif found.is_leaf:
                waiting.append((found, pool.submit(length, found.cid)))
            if len(waiting) > AHEAD * threads:
                check()
        while waiting:
            check()
    return Stat(blocks, files, size)


class Stream:
    """The bytes of a file, or of a folder's files one after the other, by their place."""

    def __init__(self, cid: Cid, get: Get, max_bytes: int) -> None:
        """Find out where the blocks lie, without fetching the leaves. Errors as `visit`."""
        self._get = get
        self._offsets: list[int] = []
        self._parts: list[Visit] = []
        self.size_bytes = 0
        for found in visit(cid, get, max_bytes):
            if found.size_bytes:
                self._offsets.append(self.size_bytes)
                self._parts.append(found)
                self.size_bytes += found.size_bytes

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Return a part of the stream; it ends where the stream ends.

        Raises:
            BadArtifact: A leaf is not as long as its parent says.
            And whatever `get` raises.
        """
        end = min(offset_bytes + length_bytes, self.size_bytes)
        pieces = []
        at = bisect_right(self._offsets, offset_bytes) - 1
        while offset_bytes < end:
            part = self._parts[at]
            content = self._get(part.cid) if part.is_leaf else part.content
            if len(content) != part.size_bytes:
                raise BadArtifact(
                    f"expected {part.size_bytes} bytes at {part.cid}, as its parent says, got {len(content)}"
                )
            start = offset_bytes - self._offsets[at]
            pieces.append(content[start : start + end - offset_bytes])
            offset_bytes += len(pieces[-1])
            at += 1
        return b"".join(pieces)


def _visit(cid: Cid, get: Get, expected: int | None, depth: int, is_file: bool) -> Iterator[Visit]:
    if depth > MAX_DEPTH:
        raise BadArtifact(f"expected at most {MAX_DEPTH} levels of blocks above {cid}, got more")
    if cid.codec == RAW and expected is not None:
        yield Visit(cid, True, is_file, is_file, b"", expected)
        return
    block = read_block(cid, get)
    if isinstance(block, Directory):
        if not is_file:
            raise BadArtifact(f"expected a part of a file at {cid}, got a folder")
        yield Visit(cid, False, False, True, b"", 0)
        for link in block.links:
            yield from _visit(link.cid, get, _leaf_size(link), depth + 1, True)
        return
    _check_sizes(cid, block, expected)
    yield Visit(cid, False, is_file, is_file, block.data, len(block.data))
    for link, size in zip(block.links, block.sizes, strict=True):
        yield from _visit(link.cid, get, size, depth + 1, False)


def _leaf_size(link: Link) -> int | None:
    return link.total_bytes if link.cid.codec == RAW else None


def _check_sizes(cid: Cid, part: FilePart, expected: int | None) -> None:
    """Each part must hold what it says, and something: else a small graph without bytes could keep us busy for ever."""
    own = len(part.data) + sum(part.sizes)
    if own != part.size_bytes or expected not in (None, own):
        raise BadArtifact(
            f"expected {part.size_bytes if expected is None else expected} bytes at {cid}, got {own}"
        )
    if 0 in part.sizes:
        raise BadArtifact(f"expected parts with bytes in {cid}, got an empty one")
