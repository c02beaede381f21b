"""Blocks of files and folders: dag-pb nodes that hold UnixFS data. Pure: bytes in, bytes out.

A block is written in one way only (links before data, fields in order, smallest varints), which is what makes the same
folder have the same CID everywhere. Blocks of others are read more leniently, as their hash already fixes them.

PBNode { repeated Links = 2 { Hash = 1, Name = 2, Tsize = 3 }; Data = 1 }
UnixFS { Type = 1 (0 raw, 1 directory, 2 file, 5 sharded directory), Data = 2, filesize = 3, repeated blocksizes = 4 }
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from offchain_worker.errors import BadArtifact
from offchain_worker.storage.cid import DAG_PB, RAW, Block, Cid

MAX_BLOCK_BYTES = 2 << 20
"""Longest block that other nodes pass on."""
MAX_FOLDER_BYTES = 256 << 10
"""Longest folder block. Kubo shards folders above this (it counts a little less, so this is the stricter reading)."""

_DIRECTORY, _FILE = 1, 2
_KINDS = {0: "raw", 3: "metadata", 4: "symlink", 5: "sharded folder (HAMT)"}


@dataclass(frozen=True, slots=True)
class Node:
    """A block that a parent may link to."""

    cid: Cid
    size_bytes: int
    """Bytes of content below it; 0 for a folder."""
    total_bytes: int
    """Bytes of all blocks from here down: the Tsize of a link to it."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link as read from a block."""

    cid: Cid
    name: str
    total_bytes: int


@dataclass(frozen=True, slots=True)
class Directory:
    """A folder as read from a block."""

    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file, or a part of one, as read from a block: first its own bytes, then the parts it links to."""

    data: bytes
    links: tuple[Link, ...]
    size_bytes: int
    """Bytes of content below it, as it says itself."""
    sizes: tuple[int, ...] = ()
    """Bytes of content below each link, as it says itself."""


def leaf(chunk: Block) -> Node:
    """Return the node of one chunk of a file; its block is the chunk itself."""
    return Node(Cid.of(RAW, chunk), len(chunk), len(chunk))


def encode_file(parts: Sequence[Node]) -> tuple[Node, bytes]:
    """Return node and block of a file made of `parts`, in their order."""
    size = sum(part.size_bytes for part in parts)
    unixfs = _number(1, _FILE) + _number(3, size)
    unixfs += b"".join(_number(4, part.size_bytes) for part in parts)
    return _node([(b"", part) for part in parts], unixfs, size)


def encode_folder(entries: dict[str, Node]) -> tuple[Node, bytes]:
    """Return node and block of a folder with these entries. Links are ordered by the bytes of their names.

    Raises:
        BadArtifact: The folder has so many entries that others would shard it.
    """
    links = sorted((name.encode(), node) for name, node in entries.items())
    node, block = _node(links, _number(1, _DIRECTORY), 0)
    if len(block) > MAX_FOLDER_BYTES:
        raise BadArtifact(
            f"expected a folder whose block is at most {MAX_FOLDER_BYTES} bytes, got {len(block)} bytes for "
            f"{len(entries)} entries: put them into subfolders (sharded folders, HAMT, are not supported)"
        )
    return node, block


def decode(cid: Cid, block: bytes) -> Directory | FilePart:
    """Read a block whose hash has been checked.

    Raises:
        BadArtifact: It is malformed, or of a kind that is not supported.
    """
    if cid.codec == RAW:
        return FilePart(block, (), len(block))
    links: list[Link] = []
    unixfs = None
    for field, value in _fields(cid, block):
        if field == 2 and isinstance(value, bytes):
            links.append(_link(cid, value))
        elif field == 1 and isinstance(value, bytes) and unixfs is None:
            unixfs = value
        else:
            raise BadArtifact(f"expected links and data in block {cid}, got field {field}")
    if unixfs is None:
        raise BadArtifact(f"expected UnixFS data in block {cid}, got none")
    return _unixfs(cid, unixfs, tuple(links))


def _unixfs(cid: Cid, data: bytes, links: tuple[Link, ...]) -> Directory | FilePart:
    kind, content, size = -1, b"", 0
    sizes: list[int] = []
    for field, value in _fields(cid, data):
        if field == 1 and isinstance(value, int):
            kind = value
        elif field == 2 and isinstance(value, bytes):
            content = value
        elif field == 3 and isinstance(value, int):
            size = value
        elif field == 4 and isinstance(value, int):
            sizes.append(value)
    if kind == _DIRECTORY:
        return Directory(links)
    if kind not in (0, _FILE):
        raise BadArtifact(
            f"expected a file or a folder in block {cid}, got {_KINDS.get(kind, f'UnixFS type {kind}')}"
        )
    if len(sizes) != len(links):
        raise BadArtifact(f"expected {len(links)} block sizes in block {cid}, got {len(sizes)}")
    return FilePart(content, links, size, tuple(sizes))


def _link(cid: Cid, data: bytes) -> Link:
    target, name, total = None, "", 0
    for field, value in _fields(cid, data):
        if field == 1 and isinstance(value, bytes):
            target = Cid(value)
        elif field == 2 and isinstance(value, bytes):
            try:
                name = value.decode()
            except UnicodeDecodeError:
                raise BadArtifact(f"expected UTF-8 names in block {cid}, got {value!r}") from None
        elif field == 3 and isinstance(value, int):
            total = value
    if target is None:
        raise BadArtifact(f"expected a CID in every link of block {cid}, got a link without")
    return Link(target, name, total)


def _node(links: Sequence[tuple[bytes, Node]], unixfs: bytes, size: int) -> tuple[Node, bytes]:
    encoded = [
        _bytes(2, _bytes(1, node.cid.data) + _bytes(2, name) + _number(3, node.total_bytes))
        for name, node in links
    ]
    block = b"".join(encoded) + _bytes(1, unixfs)
    total = len(block) + sum(node.total_bytes for _, node in links)
    return Node(Cid.of(DAG_PB, block), size, total), block


def varint(value: int) -> bytes:
    """Return a number, at least 0, as protobuf and CAR have it: seven bits to a byte, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def _fields(cid: Cid, data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield field number and value of each field of a protobuf message."""
    at = 0
    while at < len(data):
        key, at = _read_varint(cid, data, at)
        value, at = _read_varint(cid, data, at)
        if key & 7 == 0:
            yield key >> 3, value
        elif key & 7 == 2 and at + value <= len(data):
            yield key >> 3, data[at : at + value]
            at += value
        else:
            raise BadArtifact(
                f"expected a protobuf message in block {cid}, got bad field at byte {at}"
            )


def _read_varint(cid: Cid, data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise BadArtifact(f"expected a varint in block {cid}, got none at byte {at}")
