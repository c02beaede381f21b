"""Merkle tree over the items of a batch. Twin of `contracts/libraries/BatchTree.sol`.

A leaf is the Keccak-256 of the item's index and the Keccak-256 of the item, a word of 32 bytes each; a node that of its
two children, the smaller first. A node alone at the end of its row moves up as it is.
"""

from collections.abc import Sequence

from eth_hash.backends.pycryptodome import keccak256


def leaf(index: int, item: bytes) -> bytes:
    """Return the 32-byte leaf of the item at `index`, counted from 0."""
    return keccak256(index.to_bytes(32) + keccak256(item))


def root(items: Sequence[bytes]) -> bytes:
    """Return the 32-byte root over the items.

    Raises:
        ValueError: there are no items.
    """
    return _rows(items)[-1][0]


def prove(items: Sequence[bytes], index: int) -> list[bytes]:
    """Return the siblings (32 bytes each) from the item at `index` up to the root.

    Raises:
        ValueError: there is no such item.
    """
    if not 0 <= index < len(items):
        raise ValueError(f"expected an index from 0 to {len(items) - 1}, got {index}")
    proof = []
    for row in _rows(items)[:-1]:
        sibling = index ^ 1
        if sibling < len(row):
            proof.append(row[sibling])
        index //= 2
    return proof


def verify(root: bytes, index: int, item: bytes, proof: Sequence[bytes]) -> bool:
    """Return whether `item` is at `index` below `root`."""
    node = leaf(index, item)
    for sibling in proof:
        node = _parent(node, sibling)
    return node == root


def _rows(items: Sequence[bytes]) -> list[list[bytes]]:
    if not items:
        raise ValueError("expected at least one item, got none")
    rows = [[leaf(index, item) for index, item in enumerate(items)]]
    while len(rows[-1]) > 1:
        row = rows[-1]
        above = [_parent(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        rows.append(above + row[len(above) * 2 :])
    return rows


def _parent(one: bytes, other: bytes) -> bytes:
    return keccak256(min(one, other) + max(one, other))
