"""storage.export

export
├── when something is at the place: it raises FileExistsError and leaves it alone
├── when a block is missing, or it is too large: it raises, and nothing is left behind
├── when a name leaves the folder, is there twice, or entries are too many: it raises BadArtifact
├── when a name or a path is too long for this disk: it raises BadArtifact, as the model is to blame and not the disk
├── when the process ends half-way: nothing is at the place
├── when another export was faster: it raises FileExistsError
└── it writes files and folders as they were added
"""

import pytest
from store_damage import lose

from offchain_worker.errors import ArtifactMissing, ArtifactTooLarge, BadArtifact
from offchain_worker.storage import export as module
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.dag import Node, encode_folder
from offchain_worker.storage.layout import MAX_DEPTH

FILES = {"a.bin": bytes(range(256)) * 8192, "sub/deep/b": b"b", "sub/empty": b"", "é": b"e"}
MUCH = 1 << 30


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def added(store, tmp_path):
    """Return a folder and its CID."""
    folder = tmp_path / "source"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder, store.add_folder(folder)


def crafted(store, *names):
    """Return the CID of a folder with these names, whatever they are."""
    inner = store.add_bytes(b"x")
    placeholders = [f"{at:04}" for at in range(len(names))]
    _, block = encode_folder({name: Node(inner, 1, 1) for name in placeholders})
    for placeholder, name in zip(placeholders, names, strict=True):
        assert len(name.encode()) == 4
        block = block.replace(placeholder.encode(), name.encode())
    cid = Cid.of(0x70, block)
    store.put(cid, block)
    return cid


def test_export__when_something_is_there__leaves_it_alone(store, added, tmp_path):
    (tmp_path / "to").write_text("mine")

    with pytest.raises(FileExistsError):
        store.export(added[1], tmp_path / "to", MUCH)
    assert (tmp_path / "to").read_text() == "mine"


def test_export__when_a_block_is_missing__leaves_nothing(store, added, tmp_path):
    _, cid = added
    lose(store, store.add_bytes(b"b"))

    with pytest.raises(ArtifactMissing):
        store.export(cid, tmp_path / "out" / "to", MUCH)
    assert list((tmp_path / "out").iterdir()) == []


def test_export__when_too_large__leaves_nothing(store, added, tmp_path):
    _, cid = added
    size = sum(map(len, FILES.values()))

    with pytest.raises(ArtifactTooLarge, match=f"at most {size - 1} bytes in {cid}"):
        store.export(cid, tmp_path / "out" / "to", size - 1)
    assert list((tmp_path / "out").iterdir()) == []
    store.export(cid, tmp_path / "out" / "to", size)


@pytest.mark.parametrize("name", ["../x", "a/bc", "a\\bc", "a\0bc"])
def test_export__when_a_name_leaves_the_folder__raises_bad_artifact(store, tmp_path, name):
    with pytest.raises(BadArtifact, match="names of files and folders"):
        store.export(crafted(store, name), tmp_path / "to", MUCH)
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("names", [["x" * 256], ["ü" * 128], ["y" * 250] * 40])
def test_export__when_a_name_is_too_long_for_a_disk__raises_bad_artifact(store, tmp_path, names):
    node = Node(store.add_bytes(b"x"), 1, 1)
    for name in names:
        node, block = encode_folder({name: node})
        store.put(node.cid, block)

    with pytest.raises(BadArtifact, match="expected names"):
        store.export(node.cid, tmp_path / "out/to", MUCH)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_export__when_a_name_is_dots__raises_bad_artifact(store, tmp_path, name):
    node, block = encode_folder({name: Node(store.add_bytes(b"x"), 1, 1)})
    store.put(node.cid, block)

    with pytest.raises(BadArtifact, match="names of files and folders"):
        store.export(node.cid, tmp_path / "to", MUCH)


def test_export__when_a_name_is_there_twice__raises_bad_artifact(store, tmp_path):
    with pytest.raises(BadArtifact, match="one twice"):
        store.export(crafted(store, "same", "same"), tmp_path / "to", MUCH)


def test_export__when_a_small_graph_unfolds_into_very_many__raises(store, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_ENTRIES", 100)
    node = Node(store.add_bytes(b""), 0, 0)
    for _ in range(8):
        node, block = encode_folder({str(at): node for at in range(10)})
        store.put(node.cid, block)

    with pytest.raises(ArtifactTooLarge, match="at most 100 entries"):
        store.export(node.cid, tmp_path / "to", MUCH)


def test_export__when_folders_are_very_deep__raises_bad_artifact(store, tmp_path):
    node = Node(store.add_bytes(b"x"), 1, 1)
    for _ in range(MAX_DEPTH + 2):
        node, block = encode_folder({"d": node})
        store.put(node.cid, block)

    with pytest.raises(BadArtifact, match="at most 64 deep"):
        store.export(node.cid, tmp_path / "to", MUCH)


def test_export__when_it_ends_half_way__nothing_is_there(store, added, tmp_path, monkeypatch):
    def power_cut(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_move", power_cut)

    with pytest.raises(KeyboardInterrupt):
        store.export(added[1], tmp_path / "out" / "to", MUCH)
    assert not (tmp_path / "out" / "to").exists()


@pytest.mark.parametrize("what", ["folder", "file"])
def test_export__when_another_was_faster__raises_and_keeps_the_first(
    store, added, tmp_path, monkeypatch, what
):
    cid = added[1] if what == "folder" else store.add_bytes(b"x")
    to = tmp_path / "to"
    real_sync = module.sync

    def other_wins(descriptor):
        if not to.exists():
            if what == "folder":
                to.mkdir()
                (to / "first").write_text("first")
            else:
                to.write_text("first")
        real_sync(descriptor)

    monkeypatch.setattr(module, "sync", other_wins)

    with pytest.raises(FileExistsError):
        store.export(cid, to, MUCH)
    assert (to / "first" if what == "folder" else to).read_text() == "first"


def test_export__writes_a_folder_as_it_was(store, added, tmp_path):
    folder, cid = added
    (tmp_path / "out").mkdir()

    store.export(cid, tmp_path / "out" / "to", MUCH)

    assert contents(tmp_path / "out" / "to") == contents(folder) == FILES
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["to"]
    assert store.add_folder(tmp_path / "out" / "to") == cid


def test_export__writes_a_file_as_it_was(store, tmp_path):
    data = bytes(3 << 20)

    store.export(store.add_bytes(data), tmp_path / "to", MUCH)

    assert (tmp_path / "to").read_bytes() == data
