"""storage.dag

encode_file, encode_folder
├── when a folder's block is longer than 256 KiB: it raises BadArtifact
├── folder links are in order of the bytes of their names
└── sizes from 2^31 on are written in full
decode
├── when it is malformed, or a kind that is not supported: it raises BadArtifact
├── when bytes are random: it raises nothing but BadArtifact
├── a file of others with data inside its block is read
└── it gives back what was encoded
"""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import varint

from offchain_worker.errors import BadArtifact
from offchain_worker.storage.cid import DAG_PB, RAW, Cid
from offchain_worker.storage.dag import (
    MAX_FOLDER_BYTES,
    Directory,
    FilePart,
    Link,
    Node,
    decode,
    encode_file,
    encode_folder,
    leaf,
)

LEAF = leaf(b"hello")
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


def field(number, value):
    return varint.encode(number << 3 | 2) + varint.encode(len(value)) + value


def block(unixfs, *links):
    return b"".join(field(2, link) for link in links) + field(1, unixfs)


def test_encode_folder__when_block_is_too_long__raises_bad_artifact():
    each = len(encode_folder({"00000": LEAF, "00001": LEAF})[1]) - len(
        encode_folder({"00000": LEAF})[1]
    )
    fits = (MAX_FOLDER_BYTES - 4) // each
    entries = {f"{at:05}": LEAF for at in range(fits + 1)}

    with pytest.raises(
        BadArtifact, match=r"at most 262144 bytes, got \d+ bytes for \d+ entries.*HAMT"
    ):
        encode_folder(entries)
    entries.popitem()
    assert len(encode_folder(entries)[1]) <= MAX_FOLDER_BYTES


@given(st.sets(names, max_size=6))
def test_encode_folder__orders_links_by_the_bytes_of_their_names(chosen):
    node, encoded = encode_folder(dict.fromkeys(chosen, LEAF))

    found = decode(node.cid, encoded)

    ordered = sorted(chosen, key=str.encode)
    assert found == Directory(tuple(Link(LEAF.cid, name, 5) for name in ordered))
    assert node == Node(Cid.of(DAG_PB, encoded), 0, len(encoded) + 5 * len(chosen))


# npm ipfs-unixfs 13.1.1 (protons-runtime 7.1.2) writes these sizes as 0 when bit 31 is set, so it is no witness here.
@pytest.mark.parametrize("size", [2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40 + 2**31])
def test_encode_file__writes_large_sizes_in_full(size):
    node, encoded = encode_file([Node(LEAF.cid, size, size)])

    number = varint.encode(size)
    assert encoded.endswith(b"\x08\x02\x18" + number + b"\x20" + number)
    assert decode(node.cid, encoded) == FilePart(
        b"", (Link(LEAF.cid, "", size),), size, (node.size_bytes,)
    )
    assert (node.size_bytes, node.total_bytes) == (size, size + len(encoded))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "UnixFS data in block .*, got none"),
        (b"\x0a", "a varint"),
        (b"\x0a\x05", "protobuf"),
        (b"\x0d\x00\x00\x00\x00", "protobuf"),
        (b"\xff" * 12, "a varint"),
        (b"\x1a\x00", "got field 3"),
        (block(b"\x08\x02") * 2, "got field 1"),
        (block(b""), "got UnixFS type -1"),
        (block(b"\x08\x03"), "got metadata"),
        (block(b"\x08\x04"), "got symlink"),
        (block(b"\x08\x05"), r"got sharded folder \(HAMT\)"),
        (block(b"\x08\x09"), "got UnixFS type 9"),
        (block(b"\x08\x01", b"\x12\x00"), "a CID in every link"),
        (block(b"\x08\x01", field(1, b"\x12\x20" + bytes(32))), "a CIDv1"),
        (block(b"\x08\x01", field(1, LEAF.cid.data) + field(2, b"\xff")), "UTF-8"),
        (block(b"\x08\x02", field(1, LEAF.cid.data)), "1 block sizes in block .*, got 0"),
    ],
)
def test_decode__when_malformed_or_not_supported__raises_bad_artifact(data, message):
    with pytest.raises(BadArtifact, match=message):
        decode(Cid.of(DAG_PB, data), data)


@given(st.one_of(st.binary(max_size=64), st.binary(max_size=40).map(lambda unixfs: block(unixfs))))
def test_decode__when_bytes_are_random__raises_nothing_but_bad_artifact(data):
    with suppress(BadArtifact):
        decode(Cid.of(DAG_PB, data), data)


def test_decode__reads_a_file_with_its_data_inside():
    data = block(b"\x08\x02\x12\x05hello\x18\x05")

    assert decode(Cid.of(DAG_PB, data), data) == FilePart(b"hello", (), 5)


def test_decode__a_raw_block_is_its_own_content():
    assert decode(Cid.of(RAW, b"hello"), b"hello") == FilePart(b"hello", (), 5)
