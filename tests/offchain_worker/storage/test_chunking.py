"""storage.chunking and storage.walk: one pass over a file or folder, and the way back.

scan
├── CID and possession root are those of the slow way, for files and folders, with one thread and several
├── and so is cid_of
├── shards cover each file, and each has the CID of its part as a file
├── when a file is cut while its CID is made: it raises BadArtifact
└── when an entry is a symlink: it raises BadArtifact
EmbeddedStore.add
├── what it stored reads back the same
└── when writing fails: it raises, and the next one works
EmbeddedStore.verify
├── when a block is damaged, truncated or missing: it raises an error that names it
├── when a leaf is not as long as its parent says: it raises BadArtifact
└── it counts blocks, files and bytes
visit
└── when a graph has entries, bytes or levels without end: it raises an error
Stream
└── read gives any part of the files, one after the other
"""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_damage import cut, flip, lose

from offchain_worker.errors import ArtifactMissing, ArtifactTooLarge, BadArtifact, CorruptedBlock
from offchain_worker.storage import chunking
from offchain_worker.storage.chunking import cid_of, scan
from offchain_worker.storage.dag import Node, encode_file, encode_folder, leaf
from offchain_worker.storage.layout import import_file, import_folder, keep_nothing
from offchain_worker.storage.possession import SHARD_BYTES, tree_of
from offchain_worker.storage.walk import Stat, Stream, stat

MIB = 1 << 20
PLENTY = 1 << 40

names = st.text("abcé", min_size=1, max_size=3)
trees = st.recursive(
    st.binary(max_size=3000),
    lambda inner: st.dictionaries(names, inner, max_size=4),
    max_leaves=8,
).filter(lambda made: isinstance(made, dict))


def write(path: Path, made) -> bytes:
    """Write a tree of dictionaries and bytes; returns its stream."""
    if isinstance(made, bytes):
        path.write_bytes(made)
        return made
    path.mkdir()
    ordered = sorted(made.items(), key=lambda item: item[0].encode())
    return b"".join(write(path / name, inner) for name, inner in ordered)


def content(size):
    return np.random.default_rng(size).bytes(size)


@pytest.fixture
def model(tmp_path):
    made = {"a": {"weights": content(3 * MIB + 10), "empty": b""}, "z.json": b"{}"}
    stream = write(tmp_path / "model", made)
    return tmp_path / "model", stream


@given(trees)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_scan__of_a_random_folder__is_the_slow_way(tmp_path_factory, made):
    folder = tmp_path_factory.mktemp("scan") / "folder"
    stream = write(folder, made)

    found = scan(folder)

    assert found.node == cid_of(folder, 2) == import_folder(folder, keep_nothing)
    assert found.tree == tree_of(stream)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 70 * MIB + 3])
def test_scan__of_a_file__is_the_slow_way(tmp_path, size, threads, monkeypatch):
    monkeypatch.setattr(chunking, "PROCESS_FROM_BYTES", 2 * MIB)
    path = tmp_path / "file"
    path.write_bytes(content(size))

    found = scan(path, threads=threads)

    with path.open("rb") as file:
        assert found.node == cid_of(path, threads) == import_file(file, keep_nothing)
    assert found.tree == tree_of(path.read_bytes())


def test_scan__of_a_sparse_file_of_two_shards__gives_their_cids(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(b"start")
        file.truncate(SHARD_BYTES + 5)

    found = scan(path, threads=2)

    assert [(shard.offset_bytes, shard.size_bytes) for shard in found.shards] == [
        (0, SHARD_BYTES),
        (SHARD_BYTES, 5),
    ]
    first = tmp_path / "first"
    with first.open("wb") as file:
        file.write(b"start")
        file.truncate(SHARD_BYTES)
    assert found.shards[0].cid == cid_of(first).cid
    assert found.shards[1].cid == leaf(bytes(5)).cid


def test_cid_of__when_a_file_is_cut_meanwhile__raises(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(bytes(3 * MIB))
    real = os.preadv

    def cut(descriptor, buffers, offset):
        os.truncate(path, MIB)
        return real(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", cut)
    with pytest.raises(BadArtifact, match="it was cut"):
        cid_of(path)


def test_scan__when_an_entry_is_a_symlink__raises(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/link").symlink_to(tmp_path)

    with pytest.raises(BadArtifact, match="a symlink"):
        scan(tmp_path / "folder")


@pytest.mark.parametrize("threads", [1, 2])
def test_add__what_it_stored_reads_back_the_same(store, model, threads, tmp_path):
    folder, stream = model

    found = store.add(folder, threads)

    assert store.verify(found.cid, PLENTY) == Stat(blocks=9, files=3, size_bytes=len(stream))
    store.export(found.cid, tmp_path / "copy", PLENTY)
    assert scan(tmp_path / "copy") == found
    for shard in found.shards:
        assert store.read(shard.cid, PLENTY) == (folder / shard.file).read_bytes()


def test_add__when_writing_fails__raises_and_the_next_one_works(store, model, monkeypatch):
    folder, stream = model

    def full(*_):
        raise OSError(28, "no space left")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="no space left"):
        store.add(folder, 2)
    monkeypatch.undo()

    assert store.verify(store.add(folder).cid, PLENTY).size_bytes == len(stream)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (flip, CorruptedBlock),
        (lambda store, cid: cut(store, cid, 100), CorruptedBlock),
        (lose, ArtifactMissing),
    ],
)
def test_verify__when_a_block_is_damaged__names_it(store, model, damage, error):
    found = store.add(model[0])
    with (model[0] / "a/weights").open("rb") as file:
        file.seek(2 * MIB)
        bad = leaf(file.read(MIB)).cid
    damage(store, bad)

    with pytest.raises(error, match=f"{bad}|got 0 other bytes"):  # cut off is what follows, too
        store.verify(found.cid, PLENTY)


def blocks_of(*made):
    """A `get` for these nodes with their blocks."""
    held = {node.cid: block for node, block in made}
    return held.__getitem__


def test_stat__when_a_leaf_is_not_as_long_as_its_parent_says__raises():
    small = leaf(b"abc")
    lying = encode_file([Node(small.cid, 5, 5)])

    with pytest.raises(BadArtifact, match="expected 5 bytes"):
        stat(lying[0].cid, blocks_of((small, b"abc"), lying), 1, PLENTY)


def test_visit__when_a_small_graph_unfolds_without_end__raises():
    made = [encode_folder({})]
    for _ in range(5):
        node = made[-1][0]
        made.append(encode_folder({f"{i:02}": node for i in range(50)}))

    with pytest.raises(ArtifactTooLarge, match="16384 entries"):
        stat(made[-1][0].cid, blocks_of(*made), 1, PLENTY)


def test_visit__when_there_are_more_bytes_than_allowed__raises(store, model):
    found = store.add(model[0])

    with pytest.raises(ArtifactTooLarge, match="expected at most 1000000 bytes"):
        store.verify(found.cid, 1_000_000)


@given(st.integers(0, 4 * MIB), st.integers(0, 2 * MIB))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_read__gives_any_part_of_the_stream(store, model, offset, length):
    folder, stream = model
    made = Stream(store.add(folder).cid, store.get, PLENTY)

    assert made.size_bytes == len(stream)
    assert made.read(offset, length) == stream[offset : offset + length]
