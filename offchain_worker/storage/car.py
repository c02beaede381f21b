"""CAR files, version 1: all blocks below one root in one stream, as `ipfs dag export` writes and gateways send.

The header is always that of one root, so it is compared and not parsed. Every block is hashed before it is given out.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from offchain_worker.errors import BadArtifact, CorruptedBlock
from offchain_worker.storage.cid import CID_BYTES, Cid
from offchain_worker.storage.dag import MAX_BLOCK_BYTES, varint
from offchain_worker.storage.disk import sync, sync_folder, work_folder
from offchain_worker.storage.layout import Get, Put
from offchain_worker.storage.walk import visit

_ROOTS = b"\xa2\x65roots\x81\xd8\x2a\x58\x25\x00"
_VERSION = b"\x67version\x01"
_HEADER_BYTES = len(_ROOTS) + CID_BYTES + len(_VERSION)


def write_car(cid: Cid, get: Get, max_bytes: int) -> Iterator[bytes]:
    """Yield the pieces of the CAR of a file or folder, depth first, each block once. Errors as `walk.visit`."""
    yield varint(_HEADER_BYTES) + _ROOTS + cid.data + _VERSION
    seen: set[Cid] = set()
    for found in visit(cid, get, max_bytes):
        if found.cid not in seen:
            seen.add(found.cid)
            block = get(found.cid)
            yield varint(CID_BYTES + len(block)) + found.cid.data + block


def export_car(cid: Cid, get: Get, to: Path, max_bytes: int) -> None:
    """Write the CAR of a file or folder to `to`, which must not exist. It appears whole or not at all.

    Raises:
        FileExistsError: Something is at `to`.
        And what `walk.visit` raises.
    """
    if to.exists() or to.is_symlink():
        raise FileExistsError(f"expected nothing at {to}")
    with work_folder(to) as work:
        with (work / "car").open("wb") as file:
            for piece in write_car(cid, get, max_bytes):
                file.write(piece)
            file.flush()
            sync(file.fileno())
        os.link(work / "car", to)
        sync_folder(to.parent)


class CarReader:
    """Takes a CAR apart as its bytes come in."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self.root: Cid | None = None
        """The root, as soon as the header is here."""

    def feed(self, data: bytes) -> Iterator[tuple[Cid, bytes]]:
        """Append bytes; yield the blocks that are complete now.

        Raises:
            BadArtifact: It is no CAR of version 1 with one root in the profile `unixfs-v1-2025`.
            CorruptedBlock: A block is not what its CID names.
        """
        self._rest += data
        while (section := self._section()) is not None:
            if self.root is None:
                self.root = _root(section)
                continue
            cid, block = Cid(section[:CID_BYTES]), section[CID_BYTES:]
            if not cid.matches(block):
                raise CorruptedBlock(
                    f"expected the content of {cid} in the CAR, got {len(block)} other bytes"
                )
            yield cid, block

    def take(self, data: bytes) -> list[tuple[Cid, bytes]]:
        """As `feed`, all at once."""
        return list(self.feed(data))

    def finish(self) -> Cid:
        """Return the root.

        Raises:
            BadArtifact: The CAR ends in the middle.
        """
        if self.root is None or self._rest:
            raise BadArtifact(f"expected a whole CAR, got one cut off with {len(self._rest)} bytes")
        return self.root

    def _section(self) -> bytes | None:
        """Take off the next section with its length in front, if it is all here."""
        length = shift = at = 0
        while True:
            if at == len(self._rest):
                return None
            byte = self._rest[at]
            at += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 28:
                raise BadArtifact("expected the length of a section in the CAR, got no varint")
        if length > CID_BYTES + MAX_BLOCK_BYTES:
            raise BadArtifact(
                f"expected sections of at most {CID_BYTES + MAX_BLOCK_BYTES} bytes in the CAR, got {length}"
            )
        if len(self._rest) < at + length:
            return None
        section = bytes(self._rest[at : at + length])
        del self._rest[: at + length]
        return section


def read_car(file: BinaryIO, put: Put) -> Cid:
    """Give every block of a CAR file to `put` and return its root. Errors as `CarReader`."""
    reader = CarReader()
    while piece := file.read(1 << 20):
        for cid, block in reader.feed(piece):
            put(cid, block)
    return reader.finish()


def _root(header: bytes) -> Cid:
    if (
        len(header) != _HEADER_BYTES
        or header != _ROOTS + header[len(_ROOTS) :][:CID_BYTES] + _VERSION
    ):
        raise BadArtifact(
            f"expected the header of a CAR of version 1 with one root, got 0x{header[:80].hex()}"
        )
    return Cid(header[len(_ROOTS) :][:CID_BYTES])
