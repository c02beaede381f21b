"""storage.store

get
├── when there is no such block: it raises ArtifactMissing that names the CID
└── when the block was damaged: it raises CorruptedBlock, a BadArtifact, that names the CID
put
└── when the block is not what the CID names: it raises CorruptedBlock and stores nothing
add
├── when a write fails: nothing half is left
├── when a stored block was damaged: it is written anew
├── when it is a pipe or a device: it raises BadArtifact and does not wait
├── of 10,000 files: they can be checked and written out again
├── when two processes add the same: both get the same CID, and all blocks are there
└── it gives back what was added: bytes, files, folders
adding
├── many threads may put; every block is whole, and there is one pack, or more for very many blocks
├── when a disk fails on the way: it raises; packs that were done are whole, and no other is there
├── when it is killed at any write: what is there is whole, and the next one who opens the store frees the disk
└── while another process adds: opening the store leaves its pack alone
index
├── when it is lost: it is made anew from the packs, without what is no whole pack
├── when it is damaged: there is an OSError, and no pack is deleted
└── when it cannot be opened, another process has it, or the disk is full: there is an OSError that says so, and does
    not advise to delete it
unpin
└── frees the disk, also of packs of which another root needs a part
"""

import errno
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_damage import cut, flip, overwrite

from offchain_worker.errors import ArtifactMissing, ArtifactTooLarge, BadArtifact, CorruptedBlock
from offchain_worker.storage import disk, export, pack_writer
from offchain_worker.storage import packs as packs_module
from offchain_worker.storage.base import Store
from offchain_worker.storage.chunking import cid_of
from offchain_worker.storage.cid import RAW, Cid
from offchain_worker.storage.store import EmbeddedStore


def packs(folder):
    """Names of the packs on the disk."""
    return {path.name for path in (folder / "packs").iterdir()}


def test_get__when_missing__names_the_cid(store):
    cid = Cid.of(RAW, b"x")

    with pytest.raises(ArtifactMissing, match=f"expected block {cid}"):
        store.get(cid)
    assert not store.has(cid)


@pytest.mark.parametrize(
    "damage", [flip, lambda store, cid: cut(store, cid, 4), lambda store, cid: cut(store, cid, 0)]
)
def test_get__when_damaged__names_the_cid(store, damage):
    cid = store.add_bytes(b"hello")
    damage(store, cid)

    with pytest.raises(CorruptedBlock, match=f"expected the content of {cid}"):
        store.get(cid)
    with pytest.raises(BadArtifact):
        store.read(cid, 10)


@pytest.mark.parametrize("add", [EmbeddedStore.add, EmbeddedStore.add_file])
def test_add__of_a_pipe_or_a_device__raises_bad_artifact(store, tmp_path, add):
    os.mkfifo(tmp_path / "pipe")

    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(BadArtifact, match=f"expected a file or a folder, .*{path}"):
            add(store, path)
    assert store.pins.all() == []


def test_add__of_10000_files__can_be_written_out_again(store, tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "sync", lambda descriptor: None)  # 20,000 of these take a minute
    monkeypatch.setattr(export, "sync", lambda descriptor: None)
    for at in range(10):
        (tmp_path / f"many/{at}").mkdir(parents=True)
        for number in range(1_000):
            (tmp_path / f"many/{at}/{number}").write_bytes(b"%d" % (number % 7))

    cid = store.add(tmp_path / "many").cid
    store.export(cid, tmp_path / "copy", 1 << 20)

    assert store.verify(cid, 1 << 20).files == 10_000
    assert cid_of(tmp_path / "copy").cid == cid


def test_put__when_block_is_something_else__stores_nothing(store, tmp_path):
    with pytest.raises(CorruptedBlock):
        store.put(Cid.of(RAW, b"x"), b"y")
    assert packs(tmp_path / "store") == set()


def test_add__when_a_write_fails__leaves_nothing_half(store, tmp_path, monkeypatch):
    def disk_full(_):
        raise OSError("no space left")

    monkeypatch.setattr(pack_writer, "sync", disk_full)

    with pytest.raises(OSError, match="no space left"):
        store.add_bytes(b"hello")
    assert packs(tmp_path / "store") == set()
    assert not store.has(Cid.of(RAW, b"hello"))


def test_add__when_a_block_was_damaged__writes_it_anew(store):
    cid = store.add_bytes(b"hello")
    overwrite(store, cid, b"hellO")

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
    assert store.verify(Cid.parse(shown[0]), 8 << 20).blocks == 9


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


def test_adding__by_many_threads__puts_every_block_whole_into_one_pack(tmp_path):
    store = EmbeddedStore(tmp_path)
    blocks = [os.urandom(100_000) for _ in range(300)]

    with store.adding() as put, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda block: put(Cid.of(RAW, block), memoryview(block)), blocks))

    assert [store.get(Cid.of(RAW, block)) for block in blocks] == blocks
    assert len(packs(tmp_path)) == 1


def test_adding__of_very_many_blocks__begins_a_new_pack_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr(pack_writer, "PACK_BLOCKS", 10)
    store = EmbeddedStore(tmp_path)
    blocks = [bytes([number]) for number in range(25)]

    with store.adding() as put:
        for block in blocks:
            put(Cid.of(RAW, block), block)

    assert len(packs(tmp_path)) == 3
    assert [store.get(Cid.of(RAW, block)) for block in blocks] == blocks


def test_adding__when_a_disk_fails_on_the_way__keeps_whole_packs_only(tmp_path, monkeypatch):
    store = EmbeddedStore(tmp_path)
    blocks = [os.urandom(100_000) for _ in range(200)]
    left, real = itertools.count(), pack_writer.sync

    def fails_late(descriptor):
        if next(left) == 2:
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    def add():
        with store.adding() as put:
            for block in blocks:
                put(Cid.of(RAW, block), block)

    monkeypatch.setattr(pack_writer, "PACK_BYTES", 4_000_000)
    monkeypatch.setattr(pack_writer, "sync", fails_late)
    with pytest.raises(OSError, match="Input/output"):
        add()
    monkeypatch.undo()

    there = [block for block in blocks if store.has(Cid.of(RAW, block))]
    assert there == blocks[:80]
    assert all(store.get(Cid.of(RAW, block)) == block for block in there)
    assert len(packs(tmp_path)) == 2


KILLED = """
import itertools, os, pathlib, signal, sys
from offchain_worker.storage import disk, export, pack_writer
from offchain_worker.storage import packs as packs_module
from offchain_worker.storage.store import EmbeddedStore

pack_writer.PACK_BYTES = 3 << 20
calls = itertools.count()

def dying(real):
    def call(*arguments):
        if next(calls) == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)
    return call

store = EmbeddedStore(pathlib.Path(sys.argv[1]))
for name in ("open", "pwrite", "fsync"):
    setattr(os, name, dying(getattr(os, name)))
store.add(pathlib.Path(sys.argv[2]))
"""


@pytest.mark.parametrize("call", range(0, 22, 3))
def test_add__when_killed_at_any_write__leaves_whole_blocks_and_no_pack_without_name(
    tmp_path, call
):
    (tmp_path / "file").write_bytes(os.urandom((8 << 20) + 9))
    root = cid_of(tmp_path / "file").cid
    command = [sys.executable, "-c", KILLED, *map(str, (tmp_path / "s", tmp_path / "file", call))]

    killed = subprocess.run(command).returncode
    store = EmbeddedStore(tmp_path / "s")
    left = packs(tmp_path / "s")

    if killed:
        assert killed == -signal.SIGKILL
        assert store.pins.all() == []
    else:  # it was done before
        assert store.pins.all() == [root]
    named = {pack for (pack,) in store._packs._index.execute("SELECT DISTINCT pack FROM blocks")}
    assert left == named
    for (cid,) in store._packs._index.execute("SELECT cid FROM blocks"):
        store.get(Cid(cid))
    assert store.add(tmp_path / "file").cid == root
    assert store.verify(root, 9 << 20).size_bytes == (8 << 20) + 9


def test_open__while_another_adds__leaves_its_pack_alone(tmp_path):
    store = EmbeddedStore(tmp_path)

    with store.adding() as put:
        put(Cid.of(RAW, b"hello"), b"hello")
        EmbeddedStore(tmp_path)

    assert store.get(Cid.of(RAW, b"hello")) == b"hello"


def remove_index(folder):
    for path in folder.glob("index.sqlite*"):
        path.unlink()


def test_open__when_the_index_is_lost__makes_it_anew(tmp_path):
    (tmp_path / "file").write_bytes(os.urandom((3 << 20) + 5))
    store = EmbeddedStore(tmp_path / "s")
    root, small, empty = (
        store.add(tmp_path / "file").cid,
        store.add_bytes(b"x"),
        store.add_bytes(b""),
    )
    del store
    remove_index(tmp_path / "s")
    for name, data in {"cut": b"abc", "none": b"", "other": bytes(100)}.items():
        (tmp_path / "s/packs" / name).write_bytes(data)

    store = EmbeddedStore(tmp_path / "s")

    assert store.verify(root, 4 << 20).size_bytes == (3 << 20) + 5
    assert (store.get(small), store.get(empty)) == (b"x", b"")
    assert sorted(store.pins.all()) == sorted([root, small, empty])
    assert len(packs(tmp_path / "s")) == 3


def test_open__when_the_index_is_damaged__raises_and_deletes_nothing(tmp_path):
    EmbeddedStore(tmp_path).add_bytes(b"hello")
    remove_index(tmp_path)
    (tmp_path / "index.sqlite").write_bytes(b"no database at all" * 1000)
    before = packs(tmp_path)

    with pytest.raises(OSError, match="index of the store"):
        EmbeddedStore(tmp_path)

    assert packs(tmp_path) == before != set()


def test_unpin__frees_the_disk_and_keeps_what_another_root_needs(tmp_path):
    def used():
        return sum(path.stat().st_size for path in (tmp_path / "s/packs").iterdir())

    shared, own = os.urandom(1 << 20), os.urandom(4 << 20)
    for name, parts in {"a": (shared, own), "b": (shared,)}.items():
        (tmp_path / name).mkdir()
        for at, part in enumerate(parts):
            (tmp_path / name / str(at)).write_bytes(part)
    store, other = EmbeddedStore(tmp_path / "s"), EmbeddedStore(tmp_path / "s")
    first, second = store.add(tmp_path / "a").cid, store.add(tmp_path / "b").cid
    whole = used()

    store.unpin(first)

    assert whole > 5 << 20
    assert 1 << 20 < used() < (1 << 20) + 10_000
    assert other.verify(second, 9 << 20).size_bytes == 1 << 20
    store.unpin(second)
    assert packs(tmp_path / "s") == set()


@pytest.mark.parametrize(
    "reason", ["another process", "make room on this disk", "cannot be opened"]
)
def test_index__when_it_cannot_be_used__says_why_and_not_to_delete_it(
    tmp_path, monkeypatch, reason
):
    monkeypatch.setattr(packs_module, "BUSY_S", 0.05)
    root, index = tmp_path / "store", tmp_path / "store/index.sqlite"
    store = EmbeddedStore(root)
    held = None
    if reason == "another process":
        held = sqlite3.connect(index, isolation_level=None)
        held.execute("BEGIN IMMEDIATE")
    elif reason == "make room on this disk":
        store._packs._rows("PRAGMA max_page_count = 1")
    else:
        index.rename(tmp_path / "elsewhere")
        index.mkdir()

    def add_many():
        with (EmbeddedStore(root) if index.is_dir() else store).adding() as put:
            for number in range(500):
                put(Cid.of(RAW, b"%d" % number), b"%d" % number)

    with pytest.raises(OSError, match=reason) as caught:
        add_many()

    assert "made anew" not in str(caught.value)
    if held is not None:
        held.close()
        assert store.read(store.add_bytes(b"x"), 1) == b"x"
