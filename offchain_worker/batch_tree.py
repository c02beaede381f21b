"""How the items of a batch are packed, and the Merkle tree over them. Twin of `contracts/libraries/BatchTree.sol`.

Packed items stand one after the other, each after its length in two bytes, the higher byte first.

A leaf is the Keccak-256 of the item's index and the Keccak-256 of the item, a word of 32 bytes each; a node that of its
two children, the smaller first. A node alone at the end of its row moves up as it is.
"""

from collections.abc import Sequence

from eth_hash.backends.pycryptodome import keccak256


def pack(items: Sequence[bytes]) -> bytes:
    """Return the items as one byte string, as `Batches.request` and `Batches.answer` take them.

    Raises:
        ValueError: an item is empty, or longer than 65,535 bytes.
    """
    for index, item in enumerate(items):
        if not 1 <= len(item) < 1 << 16:
            raise ValueError(f"expected items of 1 to 65535 bytes, got {len(item)} at {index}")
    return b"".join(len(item).to_bytes(2) + item for item in items)


def unpack(packed: bytes) -> list[bytes]:
    """Return the items of a byte string that `pack` made, as the events of batches carry them.

    Raises:
        ValueError: an item is empty, or the bytes end within one.
    """
    items, at = [], 0
    while at < len(packed):
        length = int.from_bytes(packed[at : at + 2])
        item = packed[at + 2 : at + 2 + length]
        if at + 2 > len(packed) or not 1 <= length == len(item):
            raise ValueError(f"expected {length} bytes and more than none at {at}, got {len(item)}")
        items.append(item)
        at += 2 + length
    return items


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
