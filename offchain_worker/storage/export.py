"""Writes a file or folder from blocks to a disk: whole or not at all, and never outside its folder."""

import errno
import os
from pathlib import Path

from offchain_worker.errors import ArtifactTooLarge, BadArtifact
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.dag import Directory, Link
from offchain_worker.storage.disk import sync, sync_folder, work_folder, write_at
from offchain_worker.storage.layout import (
    MAX_DEPTH,
    MAX_ENTRIES,
    Get,
    is_name,
    read_block,
    read_file,
)

_BAD_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)
"""What a disk says to a name that it cannot have; any other error is the disk's own."""


def export(cid: Cid, get: Get, to: Path, max_bytes: int) -> None:
    """Write what `cid` names to `to`. Contract and errors as `Store.export`."""
    if to.exists() or to.is_symlink():
        raise FileExistsError(f"expected nothing at {to}")
    with work_folder(to) as work:
        writer = _Writer(cid, get, max_bytes)
        writer.write(cid, work / "root", depth=0)
        _move(work / "root", to)
        sync_folder(to.parent)


def _move(source: Path, to: Path) -> None:
    """Rename without replacing: of two exports to one place, the first wins and the second is told so."""
    if source.is_dir():
        try:
            source.rename(to)
        except OSError:
            if to.exists():
                raise FileExistsError(f"expected nothing at {to}") from None
            raise
    else:
        os.link(source, to)


class _Writer:
    def __init__(self, root: Cid, get: Get, max_bytes: int) -> None:
        self._root = root
        self._get = get
        self._max_bytes = max_bytes
        self._left_bytes = max_bytes
        self._left_entries = MAX_ENTRIES

    def write(self, cid: Cid, to: Path, depth: int) -> None:
        self._left_entries -= 1
        if self._left_entries < 0:
            raise ArtifactTooLarge(
                f"expected at most {MAX_ENTRIES} entries in {self._root}, got more"
            )
        if depth > MAX_DEPTH:
            raise BadArtifact(
                f"expected folders at most {MAX_DEPTH} deep in {self._root}, got deeper"
            )
        content = read_block(cid, self._get)
        try:
            if not isinstance(content, Directory):
                return self._write_file(cid, to)
            to.mkdir()
        except OSError as error:
            if error.errno not in _BAD_NAME:
                raise
            raise BadArtifact(
                f"expected names and paths that this disk can have in {self._root}, got {to.name!r}: {error.strerror}"
            ) from None
        names = [link.name for link in content.links]
        if len(set(names)) != len(names):
            raise BadArtifact(f"expected different names in folder {cid}, got one twice")
        for link in content.links:
            self.write(link.cid, to / _safe_name(cid, link), depth + 1)
        sync_folder(to)

    def _write_file(self, cid: Cid, to: Path) -> None:
        try:
            with to.open("xb", buffering=0) as file:
                size_bytes = 0
                for piece in read_file(cid, self._get, self._left_bytes):
                    self._left_bytes -= len(piece)
                    write_at(file.fileno(), memoryview(piece), size_bytes)
                    size_bytes += len(piece)
                sync(file.fileno())
        except ArtifactTooLarge as error:
            raise ArtifactTooLarge(
                f"expected at most {self._max_bytes} bytes in {self._root}, got more"
            ) from error
        except FileExistsError:
            raise BadArtifact(
                f"expected names that differ on this disk in {self._root}, got {to.name!r} twice"
            ) from None


def _safe_name(folder: Cid, link: Link) -> str:
    if not is_name(link.name):
        raise BadArtifact(f"expected names of files and folders in {folder}, got {link.name!r}")
    return link.name
