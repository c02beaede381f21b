"""artifacts

folder
├── when the text is no CID, or names a file: it raises BadModel
├── when a block is missing: it raises ArtifactMissing
├── when a block was damaged: it raises CorruptedBlock
├── when it is too large: it raises ModelTooLarge
├── when it was published in another profile: it raises BadModel, and keeps nothing
├── when the cached folder was changed: it is exported again
└── it is exported once
"""

import pytest
from store_damage import overwrite

from offchain_worker.artifacts import Artifacts
from offchain_worker.errors import ArtifactMissing, BadModel, CorruptedBlock, ModelTooLarge
from offchain_worker.storage.cid import RAW, Cid
from offchain_worker.storage.dag import encode_file, encode_folder, leaf

MUCH = 1 << 30


@pytest.fixture
def artifacts(store, tmp_path):
    return Artifacts(store, tmp_path / "cache", MUCH)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("text", ["", "bafy", "xor"])
def test_folder__when_it_is_no_cid__raises_bad_model(artifacts, text):
    with pytest.raises(BadModel, match="as the model's CID"):
        artifacts.folder(text)


def test_folder__when_it_is_a_file__raises_bad_model(artifacts, store, tmp_path):
    with pytest.raises(BadModel):
        artifacts.folder(str(store.add_bytes(b"no folder")))
    assert not any((tmp_path / "cache").rglob("manifest.json"))


def test_folder__when_a_block_is_missing__raises_artifact_missing(artifacts):
    with pytest.raises(ArtifactMissing):
        artifacts.folder(str(Cid.of(RAW, b"not here")))


def test_folder__when_a_block_was_damaged__raises_corrupted_block(artifacts, store, xor_cid):
    overwrite(store, Cid.parse(xor_cid), b"damaged")

    with pytest.raises(CorruptedBlock, match=xor_cid):
        artifacts.folder(xor_cid)


def test_folder__when_too_large__raises_model_too_large(store, tmp_path, xor_cid):
    with pytest.raises(ModelTooLarge, match=r"at most 100 bytes .* raise max_model_bytes"):
        Artifacts(store, tmp_path / "cache", 100).folder(xor_cid)
    assert names(tmp_path / "cache") == []


def test_folder__when_published_in_another_profile__raises_bad_model(artifacts, store, tmp_path):
    parts = [leaf(b"two "), leaf(b"chunks")]
    file, file_block = encode_file(parts)
    folder, folder_block = encode_folder({"a": file})
    store.add_bytes(b"two ")
    store.add_bytes(b"chunks")
    store.put(file.cid, file_block)
    store.put(folder.cid, folder_block)

    with pytest.raises(BadModel, match=r"in the profile unixfs-v1-2025"):
        artifacts.folder(str(folder.cid))
    assert names(tmp_path / "cache") == []


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "xor.safetensors").write_bytes(b"changed"),
        lambda folder: (folder / "more").write_bytes(b""),
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "link").symlink_to("manifest.json"),
    ],
    ids=["changed", "added", "removed", "symlink"],
)
def test_folder__when_the_cached_one_was_changed__is_exported_again(
    artifacts, xor_cid, tmp_path, change
):
    change(artifacts.folder(xor_cid))

    assert names(artifacts.folder(xor_cid)) == ["manifest.json", "xor.safetensors"]
    assert names(tmp_path / "cache") == [xor_cid]


def test_folder__is_exported_once(artifacts, store, xor_cid, monkeypatch):
    first = artifacts.folder(xor_cid)
    monkeypatch.delattr(type(store), "export")

    assert artifacts.folder(xor_cid) == first
