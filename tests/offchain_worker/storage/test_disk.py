"""storage.disk

sync
├── on macOS: the disk's own memory is flushed, too
├── on macOS, when the file system cannot do that: the file is synced as elsewhere
└── elsewhere: the file is synced
write_at, read_at
└── any part comes back, up to the end of the file
work_folder
├── it is beside the place, and gone afterwards, after an error too
├── what a killed process left there for the same place is removed
└── what another process works in, what is new, and what is for another place is left alone
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


LONG_AGO = (1_000_000_000, 1_000_000_000)


def left_over(place, name="model"):
    folder = place / f".{name}.abc.partial"
    (folder / "root").mkdir(parents=True)
    (folder / "root/weights").write_bytes(b"half")
    os.utime(folder, LONG_AGO)
    return folder


def test_work_folder__is_beside_the_place_and_gone_afterwards(tmp_path):
    with disk.work_folder(tmp_path / "deep/model") as work:
        (work / "half").touch()
        assert work.parent == tmp_path / "deep"
    assert list((tmp_path / "deep").iterdir()) == []

    with pytest.raises(OSError, match="full"), disk.work_folder(tmp_path / "deep/model"):
        raise OSError("full")
    assert list((tmp_path / "deep").iterdir()) == []


def test_work_folder__removes_what_a_killed_process_left(tmp_path):
    left = left_over(tmp_path)

    with disk.work_folder(tmp_path / "model"):
        assert not left.exists()


@pytest.mark.parametrize("why", ["in use", "new", "for another place"])
def test_work_folder__leaves_alone_what_is_not_left_over(tmp_path, why):
    other = left_over(tmp_path, "models" if why == "for another place" else "model")
    if why == "new":
        os.utime(other)
    holder = os.open(other, os.O_RDONLY)
    if why == "in use":
        fcntl.flock(holder, fcntl.LOCK_EX)

    with disk.work_folder(tmp_path / "model"):
        pass

    assert (other / "root/weights").exists()
    os.close(holder)
