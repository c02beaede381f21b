"""What makes bytes and names on the disk durable, folders to work in, and memory that begins with a page."""

import fcntl
import glob
import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LEFT_AFTER_S = 60.0
"""A work folder this old that nobody has locked was left by a process that was killed, in seconds."""


def memory(size_bytes: int) -> memoryview:
    """Return memory that begins with a page: reading into it takes two thirds of the time."""
    return memoryview(mmap.mmap(-1, size_bytes))


def write_at(descriptor: int, data: memoryview, offset_bytes: int) -> None:
    """Write to a place in a file, and ask the disk to begin at once."""
    start, length = offset_bytes, len(data)
    while data:
        count = os.pwrite(descriptor, data, offset_bytes)
        data, offset_bytes = data[count:], offset_bytes + count
    if hasattr(os, "posix_fadvise"):  # on Linux it starts writing; elsewhere the sync does
        os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_DONTNEED)


def read_at(descriptor: int, place: memoryview, offset_bytes: int) -> int:
    """Fill `place` from a place in a file; returns how many bytes there were."""
    at = 0
    while at < len(place):
        count = os.preadv(descriptor, [place[at:]], offset_bytes + at)
        if not count:
            break
        at += count
    return at


def sync(descriptor: int) -> None:
    """Make a file durable. On macOS `fsync` alone leaves it in the disk's memory; some file systems know no more."""
    if hasattr(fcntl, "F_FULLFSYNC"):
        with suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def work_folder(to: Path) -> Iterator[Path]:
    """Give a new folder beside `to`, on the same disk, that is removed when the context is left.

    Parents are made. What processes that were killed left there on the way to `to` is removed first.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    prefix, suffix = f".{to.name[:64]}.", ".partial"
    for left in to.parent.glob(glob.escape(prefix) + "*" + suffix):
        _remove_if_left(left)
    work = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=to.parent))
    descriptor = os.open(work, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network disks have no locks; nothing is removed there either
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # ends with the process, however that ends
        yield work
    finally:
        shutil.rmtree(work)
        os.close(descriptor)


def _remove_if_left(folder: Path) -> None:
    with suppress(OSError):  # it is gone, or in use: BlockingIOError is one
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if time.time() - os.fstat(descriptor).st_mtime > LEFT_AFTER_S:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
        finally:
            os.close(descriptor)
