"""What makes bytes and names on the disk durable, and memory that begins with a page."""

import fcntl
import mmap
import os
from contextlib import suppress
from pathlib import Path


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
