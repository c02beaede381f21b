"""storage.possession: the Merkle tree over leaves of 1 KiB, and the proofs from it.

tree_of
├── when the stream is empty: the root is zero
├── roots are what the definition says, written down a second time
├── pieces of any lengths give the same tree
└── shards are the nodes over 128 MiB
Tree.prove
├── when there is no such leaf: it raises BadArtifact
├── when a byte of the mebibyte was changed: it raises BadArtifact
└── every leaf is proved
Proof.proves
├── when the root, index, leaf, path or size is another: it does not
└── a node does not pass for a leaf, nor a leaf for a node
another process
├── it builds the same tree
├── when it is left early: it ends
└── when it dies: there is an error, not a wait
"""

import os
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offchain_worker.errors import BadArtifact, WorkerError
from offchain_worker.storage.possession import (
    EMPTY,
    LEAF_BYTES,
    MEBIBYTE,
    SHARD_BYTES,
    Proof,
    Tree,
    TreeBuilder,
    group_hash,
    leaf_count,
    leaf_hash,
    node_hash,
    path_length,
    root_of,
    tree_of,
)
from offchain_worker.storage.possession_process import PLACES, tree_process


def content(size):
    return np.random.default_rng(size).bytes(size)


def plain_root(data):
    """The definition: hash the leaves, then groups of 8, then pairs, with zeros where nothing is."""
    hashes = [
        sha256(b"\0" + data[i : i + LEAF_BYTES]).digest() for i in range(0, len(data), LEAF_BYTES)
    ]
    hashes += [bytes(32)] * (-len(hashes) % 8)
    level = [sha256(b"\2" + b"".join(hashes[i : i + 8])).digest() for i in range(0, len(hashes), 8)]
    while len(level) > 1:
        if len(level) % 2:
            level.append(bytes(32))
        level = [
            sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=True)
        ]
    return level[0] if level else bytes(32)


def prove(data, index):
    start = index * LEAF_BYTES // MEBIBYTE * MEBIBYTE
    return tree_of(data).prove(index, data[start : start + MEBIBYTE])


@pytest.mark.parametrize(
    "size",
    [
        0,
        1,
        1023,
        1024,
        1025,
        2048,
        2049,
        8 * 1024,
        8 * 1024 + 1,
        5000,
        MEBIBYTE - 1,
        MEBIBYTE,
        MEBIBYTE + 1,
        3 * MEBIBYTE + 7,
    ],
)
def test_tree_of__has_the_root_of_the_definition(size):
    data = content(size)

    assert tree_of(data).root == plain_root(data)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_update__when_pieces_have_any_length__gives_the_same_tree(data):
    stream = content(data.draw(st.integers(0, 3 * MEBIBYTE)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    builder = TreeBuilder()

    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        builder.update(stream[start:end])

    assert builder.finish() == tree_of(stream)


@given(st.integers(1, 2 * MEBIBYTE + 5000), st.data())
@settings(max_examples=25, deadline=None)
def test_prove__proves_every_leaf(size, data):
    stream = content(size)
    index = data.draw(st.integers(0, leaf_count(size) - 1))

    proof = prove(stream, index)

    assert proof.proves(tree_of(stream).root, size)
    assert proof.leaf == stream[index * LEAF_BYTES : (index + 1) * LEAF_BYTES]
    assert len(proof.path) == path_length(leaf_count(size))


def test_proves__when_anything_is_another__does_not():
    stream = content(5000)
    root = tree_of(stream).root
    proof = prove(stream, 2)

    assert proof.proves(root, 5000)
    assert not proof.proves(EMPTY, 5000)
    assert not proof.proves(root, 5000 + LEAF_BYTES * 8)
    assert not replace(proof, index=3).proves(root, 5000)
    assert not replace(proof, index=2 + 8).proves(root, 5000)
    assert not replace(proof, leaf=proof.leaf[:-1] + b"?").proves(root, 5000)
    assert not replace(proof, path=proof.path[:-1]).proves(root, 5000)
    assert not replace(prove(stream, 4), leaf=prove(stream, 4).leaf + b"\0").proves(root, 5000)


def test_proves__when_a_node_or_group_is_given_as_leaf__does_not():
    stream = content(9 * 1024)
    leaves = [leaf_hash(stream[i : i + 1024]) for i in range(0, len(stream), 1024)]
    groups = [group_hash(leaves[:8]), group_hash(leaves[8:])]
    root = tree_of(stream).root
    others = (EMPTY,) * 7

    assert root == node_hash(*groups)
    for inner in (b"".join(leaves[:8]), b"".join(groups)):
        assert not Proof(0, inner, others).proves(root, len(inner))
        assert root_of(0, inner, others) != root
        assert leaf_hash(inner) not in (root, *groups)


@pytest.mark.parametrize("index", [-1, 5])
def test_prove__when_there_is_no_such_leaf__raises(index):
    with pytest.raises(BadArtifact, match="expected a leaf below 5"):
        tree_of(content(5000)).prove(index, content(5000))


def test_prove__when_a_byte_was_changed__raises():
    data = bytearray(content(MEBIBYTE + 5))
    tree = tree_of(bytes(data))
    data[77] ^= 1

    with pytest.raises(BadArtifact, match="expected MiB 0 of the stream"):
        tree.prove(900, bytes(data[:MEBIBYTE]))


def test_shards__are_the_nodes_over_128_mib():
    blocks = tuple(sha256(bytes([i])).digest() for i in range(130))
    tree = Tree(130 * MEBIBYTE, blocks)

    first, second = tree.shards

    assert SHARD_BYTES == 128 * MEBIBYTE
    assert node_hash(first, second) == tree.root
    assert first == Tree(SHARD_BYTES, blocks[:128]).root
    assert Tree(5, blocks[:1]).shards == (blocks[0],)


def send(builder, data, length):
    for start in range(0, len(data), length):
        piece = data[start : start + length]
        place = builder.place()
        place[: len(piece)] = piece
        builder.update(place[: len(piece)])


@pytest.mark.parametrize("size", [0, 5000, 20 * MEBIBYTE + 7])
@pytest.mark.parametrize("length", [MEBIBYTE, 700_000])
def test_process__builds_the_same_tree(size, length):
    data = content(size)

    with tree_process() as builder:
        send(builder, data, length)
        tree = builder.finish()

    assert tree == tree_of(data)


def test_process__when_left_early__ends():
    with tree_process() as builder:
        send(builder, os.urandom(3 * MEBIBYTE), MEBIBYTE)

    assert builder._process.poll() is not None


def test_process__when_it_dies__says_so_and_does_not_wait():
    def run():
        with tree_process() as builder:
            builder._process.kill()
            send(builder, bytes(2 * PLACES * MEBIBYTE), MEBIBYTE)
            builder.finish()

    with pytest.raises(WorkerError, match="the process that builds it, which died"):
        run()
