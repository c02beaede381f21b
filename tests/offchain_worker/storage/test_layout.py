"""storage.layout: the same CIDs as other implementations of the profile unixfs-v1-2025.

The expected CIDs come from npm ipfs-unixfs-importer 17.1.1, run once outside this repository:

    importer(source, blockstore, {cidVersion: 1, rawLeaves: true, chunker: fixedSize({chunkSize: 1048576}),
        layout: balanced({maxChildrenPerNode: 1024}), reduceSingleLeafToSelf: true})

They are those of `ipfs add --cid-version=1 --raw-leaves --chunker=size-1048576 --max-file-links=1024 --hidden -r`.

import_file
├── files of 0, 1, 1 MiB - 1, 1 MiB, 1 MiB + 1 and some MiB have the expected CIDs
├── and so have 1,024, 1,025 and 2,049 leaves
└── it never holds more than one chunk
import_folder
├── when a symlink or a special file is in it: it raises BadArtifact
├── when a name is not UTF-8 or has a backslash: it raises BadArtifact
├── when folders are too deep, or entries too many, to be read back: it raises BadArtifact
└── flat, nested and empty folders have the expected CIDs
read_file
├── when it is a folder, too long, or contradicts itself: it raises an error
├── when its graph is deep, or has empty parts without end: it raises BadArtifact
└── it gives back what import_file took
"""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain_worker.errors import ArtifactMissing, ArtifactTooLarge, BadArtifact
from offchain_worker.storage import layout
from offchain_worker.storage.cid import DAG_PB, Cid
from offchain_worker.storage.dag import Node, encode_file, encode_folder, leaf
from offchain_worker.storage.layout import (
    CHUNK_BYTES,
    MAX_DEPTH,
    MAX_FOLDERS_DEEP,
    import_file,
    import_folder,
    join,
    keep_nothing,
    read_file,
)

MIB = 1 << 20


def pattern(size):
    """Return bytes whose number i is (7 i + floor(i / 256)) mod 256."""
    at = np.arange(size, dtype=np.uint64)
    return (at * 7 + (at >> 8)).astype(np.uint8).tobytes()


def tree(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


class Blocks(dict):
    """Blocks in memory."""

    def put(self, cid, block):
        self[cid] = block

    def get_block(self, cid):
        if cid not in self:
            raise ArtifactMissing(str(cid))
        return self[cid]

    def add(self, made):
        node, block = made
        self[node.cid] = block
        return node


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
        (1, "bafkreidogqfzz75tpkmjzjke425xqcrmpcib2p5tg44hnbirumdbpl5adu"),
        (MIB - 1, "bafkreiewspj2ubx3msbc6g7qniwwsix2aqdiiocpdlvak4getxsmmogmpm"),
        (MIB, "bafkreia7qzd5jtjpowkmgxcbhzmc4aiitqajfhoueopn3vo62pka6ms5km"),
        (MIB + 1, "bafybeieofemmtv5mcmqqgckmrzjctyofxv4h2exgvbfjpg3ddjkxwpyln4"),
        (3 * MIB + 5, "bafybeifq7l3afo2t6cqbvstspwxrio2mcoytsebwr2bmffwfbdqnl3w3ze"),
    ],
)
def test_import_file__has_the_expected_cid(size, expected):
    assert str(import_file(io.BytesIO(pattern(size)), keep_nothing).cid) == expected


@pytest.mark.parametrize(
    ("leaf_bytes", "leaves", "expected"),
    [
        (MIB, 1024, "bafybeibqawkaltgjfdebq4no6nmfcvkcw7k52xqzclkwfmrkn6oxw7srmy"),
        (MIB, 1025, "bafybeigt7wofv4vnxbg3titijasuw4ptg5kfztec4smsk7opdt7z6djoxq"),
        # With leaves of 1 KiB, as the importer writes sizes from 2 GiB wrongly; see test_dag.py.
        (1024, 2049, "bafybeidbx7n3uxxxyhhdcck3fzxaftudleo4poki65ruaurpzto5onhbnq"),
    ],
)
def test_join__of_zeros__has_the_expected_cid(leaf_bytes, leaves, expected):
    assert str(join([leaf(bytes(leaf_bytes))] * leaves, keep_nothing).cid) == expected


def test_import_file__reads_one_chunk_at_a_time():
    class Counting(io.BytesIO):
        longest = 0

        def read(self, size=-1):
            self.longest = max(self.longest, size if size >= 0 else 1 << 60)
            return super().read(size)

    file = Counting(bytes(3 * MIB + 1))
    import_file(file, keep_nothing)

    assert file.longest == CHUNK_BYTES


def test_import_folder__when_a_symlink_is_in_it__raises_bad_artifact(tmp_path):
    folder = tree(tmp_path / "f", {"a": b"x"})
    (folder / "link").symlink_to("a")

    with pytest.raises(BadArtifact, match="got a symlink: link"):
        import_folder(folder, keep_nothing)


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\\b"])
def test_import_folder__when_a_name_could_not_be_read_back__raises_bad_artifact(tmp_path, name):
    (tmp_path / "f").mkdir()
    try:
        (tmp_path / "f" / os.fsdecode(name)).touch()
    except OSError:
        pytest.skip("this disk takes only names in UTF-8")

    with pytest.raises(BadArtifact, match="expected names in UTF-8 without a backslash"):
        import_folder(tmp_path / "f", keep_nothing)


def test_import_folder__when_folders_are_too_deep__raises_bad_artifact(tmp_path):
    (tmp_path / "/".join("f" * (MAX_FOLDERS_DEEP + 1))).mkdir(parents=True)
    import_folder(tmp_path / "f", keep_nothing)
    (tmp_path / "/".join("f" * (MAX_FOLDERS_DEEP + 2))).mkdir(parents=True)

    with pytest.raises(BadArtifact, match=f"expected folders at most {MAX_FOLDERS_DEEP} deep"):
        import_folder(tmp_path / "f", keep_nothing)


def test_import_folder__when_entries_are_too_many__raises_bad_artifact(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "MAX_ENTRIES", 5)
    folder = tree(tmp_path / "f", {"a/1": b"", "a/2": b"", "b": b""})
    import_folder(folder, keep_nothing)
    (folder / "c").touch()

    with pytest.raises(BadArtifact, match="expected at most 5 files and folders together"):
        import_folder(folder, keep_nothing)


def test_import_folder__when_a_pipe_is_in_it__raises_bad_artifact(tmp_path):
    folder = tree(tmp_path / "f", {})
    os.mkfifo(folder / "pipe")

    with pytest.raises(BadArtifact, match="got a special file: pipe"):
        import_folder(folder, keep_nothing)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"),
        (
            {"b.txt": b"bee", "a.txt": b"ay", "aa": b""},
            "bafybeiactoohu5n5brxjejszpjokyyefccoft7s3mo4cv43n4nyczreyt4",
        ),
        (
            {
                "model/weights.bin": pattern(MIB + 1),
                "model/deep/er/x": b"x",
                "manifest.json": b"{}",
                "Z": b"z",
                "é": b"e",
            },
            "bafybeiac4ipatn2b6puuyinuoqgyjmjbzypr3ucgfh2mhe5qeqzwodzb3m",
        ),
    ],
    ids=["empty", "flat", "nested"],
)
def test_import_folder__has_the_expected_cid(tmp_path, files, expected):
    assert str(import_folder(tree(tmp_path / "f", files), keep_nothing).cid) == expected


def test_import_folder__with_an_empty_folder__has_the_expected_cid(tmp_path):
    folder = tree(tmp_path / "f", {"a": b"a"})
    (folder / "empty").mkdir()

    found = import_folder(folder, keep_nothing)

    assert str(found.cid) == "bafybeibsrcv2cfpfcitor2im4blje6e3dwmazbazhxstf6osmkytmhdqqa"


def test_read_file__when_it_is_a_folder__raises_bad_artifact():
    blocks = Blocks()
    node = blocks.add(encode_folder({}))

    with pytest.raises(BadArtifact, match=r"a file at .*, got a folder"):
        list(read_file(node.cid, blocks.get_block, 10))


def test_read_file__when_it_is_too_long__raises_before_reading_on():
    blocks = Blocks()
    node = blocks.add(encode_file([Node(Cid.of(DAG_PB, b"not here"), 11, 11)]))

    with pytest.raises(ArtifactTooLarge, match=r"at most 10 bytes at .*, got 11"):
        list(read_file(node.cid, blocks.get_block, 10))


@pytest.mark.parametrize("said", [1, 4, 6])
def test_read_file__when_it_says_a_wrong_size__raises_bad_artifact(said):
    blocks = Blocks()
    part = leaf(b"hello")
    blocks.put(part.cid, b"hello")
    node = blocks.add(encode_file([Node(part.cid, said, 5)]))

    with pytest.raises(BadArtifact, match=f"expected {said} bytes .* got 5"):
        list(read_file(node.cid, blocks.get_block, 10))


def test_read_file__when_a_part_is_a_folder__raises_bad_artifact():
    blocks = Blocks()
    folder = blocks.add(encode_folder({}))
    node = blocks.add(encode_file([Node(folder.cid, 5, 5)]))

    with pytest.raises(BadArtifact, match="a part of a file"):
        list(read_file(node.cid, blocks.get_block, 10))


@pytest.mark.parametrize("said", [0, 5])
def test_read_file__when_parts_are_empty__raises_bad_artifact(said):
    blocks = Blocks()
    empty = b"\x0a\x04\x08\x02\x18" + bytes(
        [said]
    )  # a file without links or data that says how long it is
    blocks.put(Cid.of(DAG_PB, empty), empty)
    node = blocks.add(
        encode_file([Node(Cid.of(DAG_PB, empty), 5, 5), *[Node(leaf(b"").cid, 0, 0)] * 999])
    )

    with pytest.raises(BadArtifact, match=r"a part with bytes|expected 5 bytes .* got 0"):
        list(read_file(node.cid, blocks.get_block, 10))


def test_read_file__when_a_small_graph_unfolds_into_much__stops_at_the_limit():
    blocks = Blocks()
    node = leaf(b"x" * 8)
    blocks.put(node.cid, b"x" * 8)
    for _ in range(10):  # 1,000 ^ 10 leaves, but it says that it has 8 bytes
        node = blocks.add(encode_file([Node(node.cid, 0, 8)] * 999 + [Node(node.cid, 8, 8)]))

    with pytest.raises(BadArtifact, match=r"expected 0 bytes|expected 8 bytes .* got 16"):
        list(read_file(node.cid, blocks.get_block, 10))


def test_read_file__when_blocks_are_very_deep__raises_bad_artifact():
    blocks = Blocks()
    node = leaf(b"x")
    blocks.put(node.cid, b"x")
    for _ in range(MAX_DEPTH + 2):
        node = blocks.add(encode_file([node]))

    with pytest.raises(BadArtifact, match="at most 64 levels"):
        list(read_file(node.cid, blocks.get_block, 10))


def test_read_file__when_a_block_is_too_long__raises_bad_artifact():
    blocks = Blocks()
    data = bytes((2 << 20) + 1)
    blocks.put(leaf(data).cid, data)

    with pytest.raises(BadArtifact, match="a block of at most 2097152 bytes"):
        list(read_file(leaf(data).cid, blocks.get_block, 1 << 30))


@given(sizes=st.lists(st.integers(1, 3), min_size=1, max_size=1100), start=st.integers(0, 255))
def test_read_file__gives_back_any_number_of_leaves(sizes, start):
    blocks = Blocks()
    chunks = [bytes([(start + at) % 256]) * size for at, size in enumerate(sizes)]
    for chunk in chunks:
        blocks.put(leaf(chunk).cid, chunk)
    root = join([leaf(chunk) for chunk in chunks], blocks.put)

    assert b"".join(read_file(root.cid, blocks.get_block, 1 << 20)) == b"".join(chunks)


@pytest.mark.parametrize("size", [0, 1, MIB, 2 * MIB + 1])
def test_read_file__gives_back_what_import_file_took(size):
    blocks = Blocks()
    data = pattern(size)
    node = import_file(io.BytesIO(data), blocks.put)

    assert b"".join(read_file(node.cid, blocks.get_block, size)) == data
    assert node.total_bytes >= node.size_bytes == size
