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

from offchain_worker.errors import BadArtifact
from offchain_worker.storage.possession_hash import (
    BLOCK_DEPTH,
    EMPTY,
    GROUP_LEAVES,
    LEAF_BYTES,
    MEBIBYTE,
    block_hash,
    fold,
    group_hash,
    group_hashes,
    leaf_hash,
    leaf_hashes,
    node_hash,
)

SHARD_BYTES = 128 << 20

_LEAVES = MEBIBYTE // LEAF_BYTES
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
        return fold(list(self.blocks), _depth(len(self.blocks)))[-1][0] if self.blocks else EMPTY

    @property
    def shards(self) -> tuple[bytes, ...]:
        """The nodes over its shards; a stream of at most one shard has one: its root."""
        if len(self.blocks) <= _SHARD_BLOCKS:
            return (self.root,)
        parts = range(0, len(self.blocks), _SHARD_BLOCKS)
        return tuple(fold(list(self.blocks[i : i + _SHARD_BLOCKS]), 7)[-1][0] for i in parts)

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
        hashes = leaf_hashes(mebibyte)
        whole = _depth(-(-leaves // GROUP_LEAVES))
        low = fold(group_hashes(hashes), min(whole, BLOCK_DEPTH))
        if low[-1][0] != self.blocks[block]:
            raise BadArtifact(
                f"expected MiB {block} of the stream with node {self.blocks[block].hex()}, "
                f"got {len(mebibyte)} bytes with {low[-1][0].hex()}: the file was changed"
            )
        high = fold(list(self.blocks), whole - len(low) + 1)
        others = hashes[group * GROUP_LEAVES :][:GROUP_LEAVES]
        others += [EMPTY] * (GROUP_LEAVES - len(others))
        others.pop(member)
        leaf = mebibyte[at * LEAF_BYTES : (at + 1) * LEAF_BYTES]
        return Proof(index, leaf, (*others, *_beside(low, group), *_beside(high, block)))


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
            self._blocks.append(block_hash(self._rest))
            self._rest.clear()
        view = memoryview(piece)
        while len(piece) - at >= MEBIBYTE:
            self._blocks.append(block_hash(view[at : at + MEBIBYTE]))
            at += MEBIBYTE
        self._rest += view[at:]

    def finish(self) -> Tree:
        """Return the tree of all that came. The builder is used up."""
        if self._rest:
            self._blocks.append(rest_hash(self._rest, is_all=not self._blocks))
        return Tree(self._size_bytes, tuple(self._blocks))


def rest_hash(rest: bytes | bytearray | memoryview, *, is_all: bool) -> bytes:
    """Return the node over the last bytes of a stream, fewer than a mebibyte; a stream of only these is less deep."""
    if not is_all:
        return block_hash(rest)
    groups = group_hashes(leaf_hashes(rest))
    return fold(groups, _depth(len(groups)))[-1][0]


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


def _beside(levels: list[list[bytes]], at: int) -> list[bytes]:
    """Return the nodes beside the way from place `at` of the lowest level up to, and without, the top."""
    path = []
    for level in levels[:-1]:
        other = at ^ 1
        path.append(level[other] if other < len(level) else EMPTY)
        at >>= 1
    return path
