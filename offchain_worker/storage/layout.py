"""How files and folders become blocks and come back: the profile `unixfs-v1-2025` (IPIP-499).

CIDv1, raw leaves, chunks of 1 MiB, at most 1,024 links to a block, balanced: every leaf is equally deep. Same as
`ipfs add --cid-version=1 --raw-leaves --chunker=size-1048576 --max-file-links=1024 --hidden -r`.
Files pass through one chunk at a time; what is kept is about 200 bytes a chunk, so 2 MB for a file of 10 GiB.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from offchain_worker.errors import ArtifactTooLarge, BadArtifact
from offchain_worker.storage.cid import Block, Cid
from offchain_worker.storage.dag import (
    MAX_BLOCK_BYTES,
    Directory,
    FilePart,
    Node,
    decode,
    encode_file,
    encode_folder,
    leaf,
)

CHUNK_BYTES = 1 << 20
MAX_LINKS = 1024
MAX_DEPTH = 64
"""Deepest nesting of folders and of blocks that is read: a bound against hostile graphs."""
MAX_FOLDERS_DEEP = MAX_DEPTH - 4
"""Deepest nesting of folders that is stored, so that it can be read again: files have up to three levels of blocks."""
MAX_ENTRIES = 1 << 14
"""Most files and folders below one root: a bound against small graphs that unfold into very many."""
MAX_NAME_BYTES = 255
"""Longest name that file systems take."""
LINK_BYTES = 64
"""What a link in a folder's block has beside the name, at most: its CID, a size, and what is around them."""

Put = Callable[[Cid, Block], None]
"""Takes a block with its CID; the block's memory is only lent until it returns."""
Get = Callable[[Cid], bytes]
Add = Callable[[str, Path], Node]


def keep_nothing(cid: Cid, block: Block) -> None:
    """A `Put` for those who only want the CID."""


def import_file(file: BinaryIO, put: Put) -> Node:
    """Cut a file into blocks, give each to `put`, and return its root."""

    def leaves() -> Iterator[Node]:
        chunk = file.read(CHUNK_BYTES)
        while True:
            node = leaf(chunk)
            put(node.cid, chunk)
            yield node
            if not (chunk := file.read(CHUNK_BYTES)):
                return

    return join(leaves(), put)


def join(parts: Iterable[Node], put: Put) -> Node:
    """Build the balanced tree over leaves (at least one) and return its root."""
    level = list(parts)
    while len(level) > 1:
        parents = []
        for start in range(0, len(level), MAX_LINKS):
            node, block = encode_file(level[start : start + MAX_LINKS])
            put(node.cid, block)
            parents.append(node)
        level = parents
    return level[0]


def import_folder(folder: Path, put: Put) -> Node:
    """Cut a folder with all that is in it into blocks, give each to `put`, and return its root.

    Errors as `walk_folder`.
    """

    def add(_: str, path: Path) -> Node:
        with path.open("rb") as file:
            return import_file(file, put)

    return walk_folder(folder, put, add)


def walk_folder(folder: Path, put: Put, add: Add) -> Node:
    """Give each file below `folder` and its path in it to `add`, each folder's block to `put`; return the root.

    Files come in the order of the folders' links: sorted by the bytes of their names, depth first. What could not be
    read back is refused.

    Raises:
        BadArtifact: Something in it is neither a file nor a folder (symlinks are not followed), a name is not UTF-8 or
            has a backslash, folders are nested too deeply, one has too many entries, or all of them together have.
    """
    return _Walk(put, add).folder(folder, "", 0)


class _Walk:
    """Counts what it comes by."""

    def __init__(self, put: Put, add: Add) -> None:
        self._put = put
        self._add = add
        self._entries = 0

    def folder(self, folder: Path, name: str, depth: int) -> Node:
        self._count(folder)
        if depth > MAX_FOLDERS_DEEP:
            raise BadArtifact(
                f"expected folders at most {MAX_FOLDERS_DEEP} deep, got deeper ones: {folder}"
            )
        entries: dict[str, Node] = {}
        for path in sorted(folder.iterdir(), key=lambda entry: os.fsencode(entry.name)):
            if not is_name(path.name):
                raise BadArtifact(
                    f"expected names in UTF-8 without a backslash in {_shown(folder)}, got {os.fsencode(path.name)!r}"
                )
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                entries[path.name] = self.folder(path, f"{name}{path.name}/", depth + 1)
            elif stat.S_ISREG(mode):
                self._count(folder)
                entries[path.name] = self._add(name + path.name, path)
            else:
                kind = "a symlink" if stat.S_ISLNK(mode) else "a special file"
                raise BadArtifact(
                    f"expected only files and folders in {folder}, got {kind}: {path.name}"
                )
        node, block = encode_folder(entries)
        self._put(node.cid, block)
        return node

    def _count(self, folder: Path) -> None:
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise BadArtifact(
                f"expected at most {MAX_ENTRIES} files and folders together, got more, in {folder}: pack small files "
                "into one"
            )


def is_name(name: str) -> bool:
    """Whether a file or folder may have this name on any disk."""
    if name in ("", ".", "..") or any(sign in name for sign in "/\\\0"):
        return False
    try:
        return len(name.encode()) <= MAX_NAME_BYTES
    except UnicodeEncodeError:
        return False


def require_file(path: Path) -> None:
    """Check that a path leads to a file: a pipe would be waited for, and a device may have no end.

    Raises:
        BadArtifact: It leads to something else.
        FileNotFoundError: It leads nowhere.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise BadArtifact(f"expected a file or a folder, got something else: {path}")


def _shown(path: Path) -> str:
    return str(path).encode(errors="replace").decode()


def read_file(cid: Cid, get: Get, max_bytes: int) -> Iterator[bytes]:
    """Yield the content of a file in pieces of at most 2 MiB.

    Raises:
        ArtifactTooLarge: There is more than `max_bytes`; raised before the piece that goes over it.
        BadArtifact: It is not a file, or its blocks contradict each other.
    """
    part = read_block(cid, get)
    if isinstance(part, Directory):
        raise BadArtifact(f"expected a file at {cid}, got a folder")
    if part.size_bytes > max_bytes:
        raise ArtifactTooLarge(
            f"expected at most {max_bytes} bytes at {cid}, got {part.size_bytes}"
        )
    yield from _pieces(cid, part, get, depth=0)


def read_block(cid: Cid, get: Get) -> Directory | FilePart:
    """Return what one block holds, fetched with `get`, which checks its hash."""
    block = get(cid)
    if len(block) > MAX_BLOCK_BYTES:
        raise BadArtifact(
            f"expected a block of at most {MAX_BLOCK_BYTES} bytes at {cid}, got {len(block)}"
        )
    return decode(cid, block)


def _pieces(cid: Cid, part: FilePart, get: Get, depth: int) -> Iterator[bytes]:
    """Yield the content of a part.

    Each part must hold what it says, and something: else a small graph without bytes could keep us busy for ever.
    """
    if depth > MAX_DEPTH:
        raise BadArtifact(f"expected at most {MAX_DEPTH} levels of blocks above {cid}, got more")
    seen_bytes = 0
    for piece in _content(cid, part, get, depth):
        seen_bytes += len(piece)
        if seen_bytes > part.size_bytes:
            break
        yield piece
    if seen_bytes != part.size_bytes:
        raise BadArtifact(
            f"expected {part.size_bytes} bytes at {cid}, as it says, got {seen_bytes}"
        )


def _content(cid: Cid, part: FilePart, get: Get, depth: int) -> Iterator[bytes]:
    if part.data:
        yield part.data
    for link in part.links:
        child = read_block(link.cid, get)
        if isinstance(child, Directory):
            raise BadArtifact(f"expected a part of a file at {link.cid}, got a folder")
        if child.size_bytes == 0:
            raise BadArtifact(f"expected a part with bytes at {link.cid}, got an empty one")
        yield from _pieces(link.cid, child, get, depth + 1)
