"""Merkle tree over the leaves of 1 KiB of a byte stream: who can show random leaves of it has the stream.

Twin of `contracts/libraries/Possession.sol`. A leaf is SHA-256(0x00 ‖ bytes) and a node SHA-256(0x01 ‖ left ‖ right).
All leaves are equally deep; where there is no leaf below a node, it counts as 32 zero bytes. A node 10 levels up covers
a mebibyte, one 17 levels up a shard of 128 MiB.

The stream of a folder is its files' bytes, one after the other, in the order of the folder's links, depth first.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from offchain_worker.errors import BadArtifact

LEAF_BYTES = 1 << 10
MEBIBYTE = 1 << 20
SHARD_BYTES = 128 << 20
EMPTY = bytes(32)

_LEAVES = MEBIBYTE // LEAF_BYTES
_BLOCK_DEPTH = 10
_SHARD_BLOCKS = SHARD_BYTES // MEBIBYTE


def leaf_count(size_bytes: int) -> int:
    """Number of leaves of a stream."""
    return -(-size_bytes // LEAF_BYTES)


def leaf_length(size_bytes: int, index: int) -> int:
    """Length of a leaf in bytes; the last one may be shorter than the others."""
    return min(LEAF_BYTES, size_bytes - index * LEAF_BYTES)


def depth(leaves: int) -> int:
    """Number of nodes beside the way from a leaf to the root."""
    return max(leaves - 1, 0).bit_length()


def leaf_hash(leaf: bytes) -> bytes:
    """Return the lowest node above a leaf."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the node above two nodes; nothing is above nothing."""
    return EMPTY if left == right == EMPTY else sha256(b"\x01" + left + right).digest()


def root_of(index: int, leaf: bytes, path: Iterable[bytes]) -> bytes:
    """Return the root that a leaf and the nodes beside its way, from the leaf up, lead to."""
    node = leaf_hash(leaf)
    for sibling in path:
        node = node_hash(node, sibling) if index & 1 == 0 else node_hash(sibling, node)
        index >>= 1
    return node


@dataclass(frozen=True, slots=True)
class Proof:
    """A leaf and the nodes beside its way to the root, from the leaf up."""

    index: int
    leaf: bytes
    path: tuple[bytes, ...]

    def proves(self, root: bytes, size_bytes: int) -> bool:
        """Whether this is leaf `index` of the stream with this root and size."""
        leaves = leaf_count(size_bytes)
        return (
            0 <= self.index < leaves
            and len(self.leaf) == leaf_length(size_bytes, self.index)
            and len(self.path) == depth(leaves)
            and root_of(self.index, self.leaf, self.path) == root
        )


@dataclass(frozen=True, slots=True)
class Tree:
    """The upper part of a stream's tree: all that is needed beside the stream itself to prove any leaf.

    `blocks` are the nodes over its mebibytes: 32 KiB for a GiB.
    """

    size_bytes: int
    blocks: tuple[bytes, ...]

    @property
    def root(self) -> bytes:
        """The possession root; 32 zero bytes for an empty stream."""
        return _fold(list(self.blocks), depth(len(self.blocks)))[-1][0] if self.blocks else EMPTY

    @property
    def shards(self) -> tuple[bytes, ...]:
        """The nodes over its shards; a stream of at most one shard has one: its root."""
        if len(self.blocks) <= _SHARD_BLOCKS:
            return (self.root,)
        parts = range(0, len(self.blocks), _SHARD_BLOCKS)
        return tuple(_fold(list(self.blocks[i : i + _SHARD_BLOCKS]), 7)[-1][0] for i in parts)

    def prove(self, index: int, mebibyte: bytes) -> Proof:
        """Prove a leaf.

        Args:
            index: Number of the leaf, from 0.
            mebibyte: The part of the stream that it lies in: bytes `index // 1024` MiB up to the next MiB or the end.

        Raises:
            BadArtifact: There is no such leaf, or `mebibyte` is not that part of this stream.
        """
        leaves = leaf_count(self.size_bytes)
        if not 0 <= index < leaves:
            raise BadArtifact(f"expected a leaf below {leaves}, got {index}")
        block, at = divmod(index, _LEAVES)
        parts = [mebibyte[i : i + LEAF_BYTES] for i in range(0, len(mebibyte), LEAF_BYTES)]
        whole = depth(leaves)
        low = _fold([leaf_hash(part) for part in parts], min(whole, _BLOCK_DEPTH))
        if low[-1][0] != self.blocks[block]:
            raise BadArtifact(
                f"expected MiB {block} of the stream with node {self.blocks[block].hex()}, "
                f"got {len(mebibyte)} bytes with {low[-1][0].hex()}: the file was changed"
            )
        high = _fold(list(self.blocks), whole - len(low) + 1)
        path = _beside(low, at) + _beside(high, block)
        return Proof(index, parts[at], tuple(path))

    def pack(self) -> bytes:
        """Return it as bytes: the size in 8 bytes, big-endian, then the nodes."""
        return self.size_bytes.to_bytes(8, "big") + b"".join(self.blocks)

    @classmethod
    def unpack(cls, data: bytes) -> "Tree":
        """Read what `pack` wrote.

        Raises:
            BadArtifact: It is not that.
        """
        size = int.from_bytes(data[:8], "big")
        if len(data) != 8 + 32 * -(-size // MEBIBYTE):
            raise BadArtifact(f"expected a packed possession tree, got {len(data)} bytes")
        return cls(size, tuple(data[i : i + 32] for i in range(8, len(data), 32)))


class TreeBuilder:
    """Builds the tree of a stream that comes in pieces of any length."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._rest = bytearray()
        self._size_bytes = 0
        # Leaves and nodes lie in rows with their tag in front, so that hashing them copies nothing per row.
        self._leaves = np.zeros((_LEAVES, 1 + LEAF_BYTES), np.uint8)
        self._leaf_rows = [memoryview(row) for row in self._leaves]
        self._nodes = np.ones((_LEAVES // 2, 65), np.uint8)
        self._node_rows = [memoryview(row) for row in self._nodes]

    def update(self, piece: bytes) -> None:
        """Append a piece."""
        self._size_bytes += len(piece)
        at = 0
        if self._rest:
            at = min(MEBIBYTE - len(self._rest), len(piece))
            self._rest += piece[:at]
            if len(self._rest) < MEBIBYTE:
                return
            self._blocks.append(self._block(memoryview(bytes(self._rest))))
            self._rest.clear()
        view = memoryview(piece)
        while len(piece) - at >= MEBIBYTE:
            self._blocks.append(self._block(view[at : at + MEBIBYTE]))
            at += MEBIBYTE
        self._rest += view[at:]

    def finish(self) -> Tree:
        """Return the tree of all that came. The builder is used up."""
        if self._rest:
            rest = bytes(self._rest)
            leaves = [leaf_hash(rest[i : i + LEAF_BYTES]) for i in range(0, len(rest), LEAF_BYTES)]
            levels = _BLOCK_DEPTH if self._blocks else depth(len(leaves))
            self._blocks.append(_fold(leaves, levels)[-1][0])
        return Tree(self._size_bytes, tuple(self._blocks))

    def _block(self, mebibyte: memoryview) -> bytes:
        self._leaves[:, 1:] = np.frombuffer(mebibyte, np.uint8).reshape(_LEAVES, LEAF_BYTES)
        level = b"".join([hashed.digest() for hashed in map(sha256, self._leaf_rows)])
        count = _LEAVES // 2
        while count:
            self._nodes[:count, 1:] = np.frombuffer(level, np.uint8).reshape(count, 64)
            level = b"".join([hashed.digest() for hashed in map(sha256, self._node_rows[:count])])
            count //= 2
        return level


def tree_of(data: bytes) -> Tree:
    """Return the tree of bytes in memory."""
    builder = TreeBuilder()
    builder.update(data)
    return builder.finish()


def sample(size_bytes: int, count: int) -> list[int]:
    """Return `count` leaves of a stream that nobody can foresee."""
    leaves = leaf_count(size_bytes)
    return [int.from_bytes(os.urandom(16)) % leaves for _ in range(count)] if leaves else []


def _fold(level: list[bytes], levels: int) -> list[list[bytes]]:
    """Return this level and those above it; the last one is the root of `levels` levels alone."""
    all_levels = [level]
    for _ in range(levels):
        padded = level + [EMPTY] * (len(level) % 2)
        level = [node_hash(padded[i], padded[i + 1]) for i in range(0, len(padded), 2)]
        all_levels.append(level)
    return all_levels


def _beside(levels: list[list[bytes]], at: int) -> list[bytes]:
    """Return the nodes beside the way from place `at` of the lowest level up to, and without, the top."""
    path = []
    for level in levels[:-1]:
        other = at ^ 1
        path.append(level[other] if other < len(level) else EMPTY)
        at >>= 1
    return path
