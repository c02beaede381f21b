"""storage.store

get
├── when there is no such block: it raises ArtifactMissing that names the CID
└── when the block was damaged: it raises CorruptedBlock, a BadArtifact, that names the CID
put
└── when the block is not what the CID names: it raises CorruptedBlock and stores nothing
add
├── when a write fails: nothing half is left
├── when a stored block was damaged: it is written anew
├── when two processes add the same: both get the same CID, and all blocks are there
└── it gives back what was added: bytes, files, folders
adding
├── many threads may put; every block is whole, and no temporary file stays
└── when a disk fails on the way: it raises, and what is there is whole
"""

import errno
import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain_worker.errors import ArtifactMissing, ArtifactTooLarge, BadArtifact, CorruptedBlock
from offchain_worker.storage.base import Store
from offchain_worker.storage.cid import RAW, Cid
from offchain_worker.storage.store import EmbeddedStore


def files(store):
    """All files but the lock, which is always there."""
    found = store._blocks.parent.rglob("*")
    return [path for path in found if path.is_file() and path.name != "lock"]


def test_get__when_missing__names_the_cid(store):
    cid = Cid.of(RAW, b"x")

    with pytest.raises(ArtifactMissing, match=f"expected block {cid}"):
        store.get(cid)
    assert not store.has(cid)


@pytest.mark.parametrize("damaged", [b"", b"hellO", b"hello "])
def test_get__when_damaged__names_the_cid(store, damaged):
    cid = store.add_bytes(b"hello")
    store._path(cid).write_bytes(damaged)

    with pytest.raises(CorruptedBlock, match=f"expected the content of {cid}"):
        store.get(cid)
    with pytest.raises(BadArtifact):
        store.read(cid, 10)


def test_put__when_block_is_something_else__stores_nothing(store):
    with pytest.raises(CorruptedBlock):
        store.put(Cid.of(RAW, b"x"), b"y")
    assert files(store) == []


def test_add__when_a_write_fails__leaves_nothing_half(store, monkeypatch):
    def disk_full(_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", disk_full)

    with pytest.raises(OSError, match="no space left"):
        store.add_bytes(b"hello")
    assert files(store) == []


def test_add__when_a_block_was_damaged__writes_it_anew(store):
    cid = store.add_bytes(b"hello")
    store._path(cid).write_bytes(b"hellO")

    store.add_bytes(b"hello")

    assert store.get(cid) == b"hello"


def test_add__by_two_processes__gives_the_same(store, tmp_path):
    (tmp_path / "file").write_bytes(os.urandom(1 << 20) * 8)
    program = (
        "import sys, pathlib\n"
        "from offchain_worker.storage.store import EmbeddedStore\n"
        "print(EmbeddedStore(pathlib.Path(sys.argv[1])).add_file(pathlib.Path(sys.argv[2])))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "store"), str(tmp_path / "file")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    shown = [process.communicate()[0].strip() for process in running]

    assert shown[0] == shown[1] != ""
    assert store.read(Cid.parse(shown[0]), 8 << 20) == (tmp_path / "file").read_bytes()
    assert not any(path.parent.name == "incoming" for path in files(store))


@given(data=st.binary(max_size=200))
def test_read__gives_back_bytes(tmp_path_factory, data):
    store = EmbeddedStore(tmp_path_factory.mktemp("store"))

    cid = store.add_bytes(data)

    assert (store.has(cid), store.get(cid), store.read(cid, len(data))) == (True, data, data)


def test_read__when_too_long__raises_too_large(store):
    with pytest.raises(ArtifactTooLarge, match="at most 4 bytes"):
        store.read(store.add_bytes(b"hello"), 4)


def test_add_file__is_the_same_as_add_bytes(store, tmp_path):
    (tmp_path / "file").write_bytes(bytes(2_500_000))

    assert store.add_file(tmp_path / "file") == store.add_bytes(bytes(2_500_000))


def test_embedded_store__is_a_store(store):
    checked: Store = store

    assert checked is store


def test_adding__by_many_threads__puts_every_block_whole_and_leaves_nothing_else(tmp_path):
    store = EmbeddedStore(tmp_path)
    blocks = [os.urandom(100_000) for _ in range(300)]

    with store.adding() as put, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda block: put(Cid.of(RAW, block), memoryview(block)), blocks))

    assert [store.get(Cid.of(RAW, block)) for block in blocks] == blocks
    assert not list((tmp_path / "incoming").iterdir())


def test_adding__when_a_disk_fails_for_some__raises_and_leaves_nothing_half(tmp_path, monkeypatch):
    store = EmbeddedStore(tmp_path)
    blocks = [os.urandom(1000) for _ in range(200)]
    left, real = itertools.count(), os.fsync

    def fails_late(descriptor):
        if next(left) > 70:
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    def add():
        with store.adding() as put:
            for block in blocks:
                put(Cid.of(RAW, block), block)

    monkeypatch.setattr(os, "fsync", fails_late)
    with pytest.raises(OSError, match="Input/output"):
        add()

    monkeypatch.undo()
    assert not list((tmp_path / "incoming").iterdir())
    there = [block for block in blocks if store.has(Cid.of(RAW, block))]
    assert 0 < len(there) < 200
    assert all(store.get(Cid.of(RAW, block)) == block for block in there)
