"""The hashes of a possession tree, and the program of the process that makes them beside another.

It imports next to nothing, because that process is started for every large file: run by its path, it is there in a
quarter of the time that the package takes. The tree is described in `possession.py`.
"""

import mmap
import os
import sys
from hashlib import sha256

LEAF_BYTES = 1 << 10
GROUP_LEAVES = 8
MEBIBYTE = 1 << 20
BLOCK_DEPTH = 7
"""Levels from the groups up to the node over a mebibyte."""
HASH_BYTES = 32
EMPTY = bytes(HASH_BYTES)

_TAGGED = sha256(b"\x00")


def leaf_hash(leaf: bytes) -> bytes:
    """Return the lowest node above a leaf."""
    return sha256(b"\x00" + leaf).digest()


def group_hash(leaves: list[bytes]) -> bytes:
    """Return the node above the hashes of at most 8 leaves."""
    return sha256(b"\x02" + b"".join(leaves).ljust(HASH_BYTES * GROUP_LEAVES, b"\0")).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the node above two nodes; nothing is above nothing."""
    return EMPTY if left == right == EMPTY else sha256(b"\x01" + left + right).digest()


def leaf_hashes(data: bytes | bytearray | memoryview) -> list[bytes]:
    """Return `leaf_hash` of each leaf. Each is a copy of a hash with the tag, so that no leaf is copied behind one."""
    hashes = []
    with memoryview(data) as view:
        for start in range(0, len(view), LEAF_BYTES):
            hashed = _TAGGED.copy()
            hashed.update(view[start : start + LEAF_BYTES])
            hashes.append(hashed.digest())
    return hashes


def group_hashes(leaves: list[bytes]) -> list[bytes]:
    """Return the nodes above the hashes of leaves."""
    return [group_hash(leaves[i : i + GROUP_LEAVES]) for i in range(0, len(leaves), GROUP_LEAVES)]


def fold(level: list[bytes], levels: int) -> list[list[bytes]]:
    """Return this level and those above it; the last one is the root of `levels` levels alone."""
    all_levels = [level]
    for _ in range(levels):
        padded = level + [EMPTY] * (len(level) % 2)
        level = [node_hash(padded[i], padded[i + 1]) for i in range(0, len(padded), 2)]
        all_levels.append(level)
    return all_levels


def block_hash(mebibyte: bytes | bytearray | memoryview) -> bytes:
    """Return the node over a mebibyte of a stream, or over the rest after at least one."""
    return fold(group_hashes(leaf_hashes(mebibyte)), BLOCK_DEPTH)[-1][0]


def main() -> None:
    """Hash mebibytes of shared memory: a byte that comes in names one, and its node goes out."""
    descriptor, size = int(sys.argv[1]), int(sys.argv[2])
    shared = memoryview(mmap.mmap(descriptor, size))
    while names := os.read(0, size // MEBIBYTE):
        for name in names:
            os.write(1, block_hash(shared[name * MEBIBYTE : (name + 1) * MEBIBYTE]))


if __name__ == "__main__":
    main()
