"""What disks do to the blocks of an embedded store."""

import os

from offchain_worker.storage.cid import Cid
from offchain_worker.storage.store import EmbeddedStore


def overwrite(store: EmbeddedStore, cid: Cid, data: bytes) -> None:
    """Put other bytes where a block begins."""
    place = store._packs.find(cid)
    with store._packs.path(place).open("r+b") as file:
        file.seek(place.offset_bytes)
        file.write(data)


def flip(store: EmbeddedStore, cid: Cid) -> None:
    """Change the last byte of a block."""
    block = store.get(cid)
    overwrite(store, cid, block[:-1] + bytes([block[-1] ^ 1]))


def cut(store: EmbeddedStore, cid: Cid, length: int) -> None:
    """Cut off the pack of a block so that only `length` bytes of the block are left."""
    place = store._packs.find(cid)
    os.truncate(store._packs.path(place), place.offset_bytes + length)


def lose(store: EmbeddedStore, cid: Cid) -> None:
    """Let the store have the block no longer."""
    store._packs.remove([cid])
