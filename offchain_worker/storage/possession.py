"""Merkle tree over the leaves of 1 KiB of a byte stream: who can show random leaves of it has the stream.

Twin of `contracts/libraries/Possession.sol`. A leaf is SHA-256(0x00 ‖ bytes), a group SHA-256(0x02 ‖ its 8 leaves), and
above the groups the tree is binary: a node is SHA-256(0x01 ‖ left ‖ right). All leaves are equally deep; where there is
no leaf below a place, it counts as 32 zero bytes. A node 7 levels above the groups covers a mebibyte, one 14 levels
above them a shard of 128 MiB.

The stream of a folder is its files' bytes, one after the other, in the order of the folder's links, depth first.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from offchain_worker.errors import BadArtifact

LEAF_BYTES = 1 << 10
GROUP_LEAVES = 8
MEBIBYTE = 1 << 20
SHARD_BYTES = 128 << 20
EMPTY = bytes(32)

_LEAVES = MEBIBYTE // LEAF_BYTES
_BLOCK_DEPTH = 7
_TAGGED = sha256(b"\x00")
_SHARD_BLOCKS = SHARD_BYTES // MEBIBYTE


def leaf_count(size_bytes: int) -> int:
    """Number of leaves of a stream."""
    return -(-size_bytes // LEAF_BYTES)


def leaf_length(size_bytes: int, index: int) -> int:
    """Length of a leaf in bytes; the last one may be shorter than the others."""
    return min(LEAF_BYTES, size_bytes - index * LEAF_BYTES)


def path_length(leaves: int) -> int:
    """Number of hashes that lead from one of so many leaves to the root: its group's others, then one per level."""
    return GROUP_LEAVES - 1 + _depth(-(-leaves // GROUP_LEAVES))


def leaf_hash(leaf: bytes) -> bytes:
    """Return the lowest node above a leaf."""
    return sha256(b"\x00" + leaf).digest()


def group_hash(leaves: Sequence[bytes]) -> bytes:
    """Return the node above the hashes of at most 8 leaves."""
    return sha256(b"\x02" + b"".join(leaves).ljust(32 * GROUP_LEAVES, b"\0")).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the node above two nodes; nothing is above nothing."""
    return EMPTY if left == right == EMPTY else sha256(b"\x01" + left + right).digest()


def root_of(index: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """Return the root that a leaf, the 7 others of its group and the nodes beside the way up lead to."""
    index, at = divmod(index, GROUP_LEAVES)
    others = path[: GROUP_LEAVES - 1]
    node = group_hash([*others[:at], leaf_hash(leaf), *others[at:]])
    for sibling in path[GROUP_LEAVES - 1 :]:
        node = node_hash(node, sibling) if index & 1 == 0 else node_hash(sibling, node)
        index >>= 1
    return node


@dataclass(frozen=True, slots=True)
class Proof:
    """A leaf, the hashes of the 7 others of its group in their order, and the nodes beside the way up to the root."""

    index: int
    leaf: bytes
    path: tuple[bytes, ...]

    def proves(self, root: bytes, size_bytes: int) -> bool:
        """Whether this is leaf `index` of the stream with this root and size."""
        leaves = leaf_count(size_bytes)
        return (
            0 <= self.index < leaves
            and len(self.leaf) == leaf_length(size_bytes, self.index)
            and len(self.path) == path_length(leaves)
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
        return _fold(list(self.blocks), _depth(len(self.blocks)))[-1][0] if self.blocks else EMPTY

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
        group, member = divmod(at, GROUP_LEAVES)
        hashes = _leaf_hashes(mebibyte)
        whole = _depth(-(-leaves // GROUP_LEAVES))
        low = _fold(_group_hashes(hashes), min(whole, _BLOCK_DEPTH))
        if low[-1][0] != self.blocks[block]:
            raise BadArtifact(
                f"expected MiB {block} of the stream with node {self.blocks[block].hex()}, "
                f"got {len(mebibyte)} bytes with {low[-1][0].hex()}: the file was changed"
            )
        high = _fold(list(self.blocks), whole - len(low) + 1)
        others = hashes[group * GROUP_LEAVES :][:GROUP_LEAVES]
        others += [EMPTY] * (GROUP_LEAVES - len(others))
        others.pop(member)
        leaf = mebibyte[at * LEAF_BYTES : (at + 1) * LEAF_BYTES]
        return Proof(index, leaf, (*others, *_beside(low, group), *_beside(high, block)))

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

    def update(self, piece: bytes | memoryview) -> None:
        """Append a piece, which is not needed after that."""
        self._size_bytes += len(piece)
        at = 0
        if self._rest:
            at = min(MEBIBYTE - len(self._rest), len(piece))
            self._rest += piece[:at]
            if len(self._rest) < MEBIBYTE:
                return
            self._blocks.append(_block(self._rest))
            self._rest.clear()
        view = memoryview(piece)
        while len(piece) - at >= MEBIBYTE:
            self._blocks.append(_block(view[at : at + MEBIBYTE]))
            at += MEBIBYTE
        self._rest += view[at:]

    def finish(self) -> Tree:
        """Return the tree of all that came. The builder is used up."""
        if self._rest:
            groups = _group_hashes(_leaf_hashes(self._rest))
            levels = _BLOCK_DEPTH if self._blocks else _depth(len(groups))
            self._blocks.append(_fold(groups, levels)[-1][0])
        return Tree(self._size_bytes, tuple(self._blocks))


def tree_of(data: bytes) -> Tree:
    """Return the tree of bytes in memory."""
    builder = TreeBuilder()
    builder.update(data)
    return builder.finish()


def sample(size_bytes: int, count: int) -> list[int]:
    """Return `count` leaves of a stream that nobody can foresee."""
    leaves = leaf_count(size_bytes)
    return [int.from_bytes(os.urandom(16)) % leaves for _ in range(count)] if leaves else []


def _depth(nodes: int) -> int:
    """Levels of a binary tree above so many nodes."""
    return max(nodes - 1, 0).bit_length()


def _block(mebibyte: bytearray | memoryview) -> bytes:
    return _fold(_group_hashes(_leaf_hashes(mebibyte)), _BLOCK_DEPTH)[-1][0]


def _leaf_hashes(data: bytes | bytearray | memoryview) -> list[bytes]:
    """Return `leaf_hash` of each leaf. Each is a copy of a hash with the tag, so that no leaf is copied behind one."""
    hashes = []
    with memoryview(data) as view:
        for start in range(0, len(view), LEAF_BYTES):
            hashed = _TAGGED.copy()
            hashed.update(view[start : start + LEAF_BYTES])
            hashes.append(hashed.digest())
    return hashes


def _group_hashes(leaves: list[bytes]) -> list[bytes]:
    return [group_hash(leaves[i : i + GROUP_LEAVES]) for i in range(0, len(leaves), GROUP_LEAVES)]


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
