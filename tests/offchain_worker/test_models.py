"""models

get
├── when the model does not load: it raises, and the next one still loads
├── when there are more than max_models: the one not used for longest is closed
├── when they would take too much memory: as many of these are closed as needed
├── when one alone would take too much memory: it raises ModelTooLarge before loading, and the others stay
└── the second time, nothing is loaded
close
└── it closes all
"""

import shutil

import pytest

from offchain_worker.artifacts import Artifacts
from offchain_worker.backends.reference import Backend
from offchain_worker.errors import BackendNotSupported, BadModel, ModelTooLarge
from offchain_worker.models import Models


@pytest.fixture
def closed(monkeypatch):
    """Return the list of reference backends that were closed."""
    found = []
    monkeypatch.setattr(Backend, "close", lambda self: found.append(self))
    return found


@pytest.fixture
def artifacts(store, tmp_path):
    return Artifacts(store, tmp_path / "cache", 1 << 30)


@pytest.fixture
def cids(store, xor_folder, tmp_path):
    """Return the CIDs of three models that differ in name only."""
    made = []
    for name in ("one", "two", "three"):
        folder = tmp_path / name
        shutil.copytree(xor_folder, folder)
        text = (folder / "manifest.json").read_text()
        (folder / "manifest.json").write_text(text.replace('"xor"', f'"{name}"'))
        made.append(str(store.add_folder(folder)))
    return made


def test_get__when_it_does_not_load__the_next_one_does(
    artifacts, store, xor_folder, tmp_path, xor_cid
):
    shutil.copytree(xor_folder, tmp_path / "bad")
    (tmp_path / "bad" / "xor.safetensors").write_bytes(b"")
    models = Models(artifacts, None, 1)

    with pytest.raises(BadModel, match="safetensors"):
        models.get(str(store.add_folder(tmp_path / "bad")))
    assert models.get(xor_cid).manifest.name == "xor"


def test_get__when_the_chosen_backend_cannot__raises_not_supported(artifacts, xor_cid):
    with pytest.raises(BackendNotSupported, match="for format 'reference', got 'onnx'"):
        Models(artifacts, "onnx", 1).get(xor_cid)


def test_get__when_there_are_too_many__closes_the_one_not_used_for_longest(artifacts, cids, closed):
    models = Models(artifacts, None, 2)
    one, two = models.get(cids[0]), models.get(cids[1])
    models.get(cids[0])

    models.get(cids[2])

    assert closed == [two.backend]
    assert models.get(cids[0]) is one


def test_get__when_memory_is_short__closes_those_not_used_for_longest(artifacts, cids, closed):
    one = Models(artifacts, None, 9)
    needed = one.get(cids[0]).memory_bytes
    models = Models(artifacts, None, 9, 2 * needed)
    first, second = models.get(cids[0]), models.get(cids[1])
    models.get(cids[0])

    models.get(cids[2])

    assert closed == [second.backend]
    assert models.get(cids[0]) is first


def test_get__when_one_is_too_large_for_memory__refuses_it_and_keeps_the_others(
    artifacts, cids, closed, store, xor_folder, tmp_path
):
    larger = tmp_path / "larger"
    shutil.copytree(xor_folder, larger)
    weights = larger / "xor.safetensors"
    weights.write_bytes(weights.read_bytes() + bytes(1000))
    models = Models(artifacts, None, 9, 3 * 900)
    kept = models.get(cids[0])

    with pytest.raises(ModelTooLarge, match=r"at most 2700 bytes of memory, got .* about 3"):
        models.get(str(store.add_folder(larger)))
    assert closed == []
    assert models.get(cids[0]) is kept


def test_get__the_second_time__loads_nothing(artifacts, xor_cid):
    models = Models(artifacts, None, 1)

    assert models.get(xor_cid) is models.get(xor_cid)


def test_close__closes_all(artifacts, cids, closed):
    models = Models(artifacts, None, 3)
    backends = [models.get(cid).backend for cid in cids]

    models.close()

    assert sorted(map(id, closed)) == sorted(map(id, backends))
