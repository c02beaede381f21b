"""storage.disk

sync
├── on macOS: the disk's own memory is flushed, too
├── on macOS, when the file system cannot do that: the file is synced as elsewhere
└── elsewhere: the file is synced
write_at, read_at
└── any part comes back, up to the end of the file
"""

import fcntl
import os

import pytest

from offchain_worker.storage import disk


@pytest.fixture
def done(monkeypatch):
    """What was asked of the system, in order."""
    asked = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: asked.append("fsync"))
    return asked


@pytest.mark.parametrize(("can", "expected"), [(True, ["full"]), (False, ["full", "fsync"])])
def test_sync__on_macos__flushes_the_disk_if_it_can(done, monkeypatch, can, expected):
    def flush(descriptor, command):
        done.append("full")
        if not can:
            raise OSError(45, "not supported")

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", flush)

    disk.sync(1)

    assert done == expected


def test_sync__elsewhere__syncs(done, monkeypatch):
    monkeypatch.delattr(fcntl, "F_FULLFSYNC", raising=False)

    disk.sync(1)

    assert done == ["fsync"]


def test_read_at__gives_what_write_at_wrote_up_to_the_end(tmp_path):
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    disk.write_at(descriptor, memoryview(b"world"), 5)
    disk.write_at(descriptor, memoryview(b"hello"), 0)
    place = disk.memory(4096)

    counts = [disk.read_at(descriptor, place[:4], 3), disk.read_at(descriptor, place[4:], 8)]
    os.close(descriptor)

    assert (counts, bytes(place[:6])) == ([4, 2], b"lowold")
