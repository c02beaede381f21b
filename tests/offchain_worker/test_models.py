"""models

get
├── when the model does not load: it raises, and the next one still loads
├── when there are more than max_models: the one not used for longest is closed
├── when they would take too much memory: as many of these are closed as needed
├── when one alone would take too much memory: it raises ModelTooLarge before loading, and the others stay
├── files that the manifest does not name count, too: a runtime may load them
├── the second time, nothing is loaded
├── when it was measured: it runs on the fastest, takes the memory that was measured, and batches if both agree
├── when it was measured after it was loaded: it moves to the fastest
├── when the fastest is gone: the next one
└── when a backend was chosen: it is obeyed, whatever was measured of others
too_large
├── when it would not fit: it says so, and nothing is unpacked
└── when it would, or is not there: None
measure
└── when two copies would not fit: it raises ModelTooLarge, and measures nothing
close
└── it closes all
"""

import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from offchain_worker import manifest as manifests
from offchain_worker.artifacts import Artifacts
from offchain_worker.backends import BACKENDS, FORMATS
from offchain_worker.backends.profile import Profile
from offchain_worker.backends.reference import Backend
from offchain_worker.backends.select import _file, _write
from offchain_worker.errors import BackendNotSupported, BadModel, ModelTooLarge
from offchain_worker.hardware import detect
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


def test_get__with_files_that_the_manifest_does_not_name__counts_them(
    artifacts, store, xor_folder, tmp_path, xor_cid
):
    shutil.copytree(xor_folder, tmp_path / "more")
    (tmp_path / "more/deep").mkdir()
    (tmp_path / "more/deep/weights").write_bytes(bytes(10_000))
    models = Models(artifacts, None, 9)

    more = models.get(str(store.add_folder(tmp_path / "more"))).memory_bytes

    assert more == models.get(xor_cid).memory_bytes + 3 * 10_000


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


class Figures:
    """What was measured, as `choose` would have kept it."""

    def __init__(self, artifacts):
        self.folder = artifacts.cache / "figures"

    def keep(self, cid, *backends, only=None, **changes):
        found = [
            replace(Profile(name, 1.0, 2.0, 1.0, 50, {"1": 1.0}, 1.0, 1 << 20), **changes)
            for name in backends
        ]
        _write(_file(cid, self.folder, detect(), only), found)
        return found


@pytest.fixture
def figures(artifacts):
    return Figures(artifacts)


@pytest.fixture
def twin(monkeypatch):
    """A second backend for the format of `xor`, by another name."""
    made = type("Twin", (Backend,), {"name": "integer"})
    module = SimpleNamespace(Backend=made)
    monkeypatch.setitem(FORMATS, "reference", ("reference", "integer"))
    monkeypatch.setitem(BACKENDS, "integer", "twin")
    monkeypatch.setitem(sys.modules, "twin", module)
    return made


def test_get__when_measured__takes_the_fastest_and_what_was_measured(
    artifacts, figures, twin, xor_cid
):
    (fastest, _) = figures.keep(xor_cid, "integer:cpu", "reference:cpu")

    model = Models(artifacts, None, 1).get(xor_cid)

    assert (model.backend.name, model.profile) == ("integer", fastest)
    assert model.memory_bytes == int(1.5 * (1 << 20))


def test_get__when_measured_after_it_was_loaded__moves_to_the_fastest(
    artifacts, figures, twin, xor_cid, closed
):
    models = Models(artifacts, None, 1)
    slow = models.get(xor_cid).backend
    assert not models.is_measured(xor_cid)
    figures.keep(xor_cid, "integer:cpu", "reference:cpu")

    assert models.get(xor_cid).backend.name == "integer"
    assert closed == [slow]
    assert models.is_measured(xor_cid)


def test_get__when_the_fastest_is_gone__takes_the_next(artifacts, figures, xor_cid):
    _, second = figures.keep(xor_cid, "integer:gpu", "reference:cpu")

    assert Models(artifacts, None, 1).get(xor_cid).profile == second


def test_get__when_a_backend_was_chosen__obeys(artifacts, figures, twin, xor_cid):
    figures.keep(xor_cid, "integer:cpu", "reference:cpu")
    (named,) = figures.keep(xor_cid, "reference:cpu", only="reference", p50_ms=9.0)

    model = Models(artifacts, "reference", 1).get(xor_cid)

    assert (model.backend.name, model.profile) == ("reference", named)


@pytest.mark.parametrize(
    ("allowed", "measured", "found"), [(1, 1, 1), (1, 8, 1), (8, 1, 1), (8, 8, 8), (4, 8, 4)]
)
def test_max_batch__is_what_manifest_and_measurement_agree_on(
    artifacts, figures, store, xor_folder, tmp_path, allowed, measured, found
):
    shutil.copytree(xor_folder, tmp_path / "batches")
    manifest = replace(manifests.load(xor_folder), max_batch=allowed)
    (tmp_path / "batches/manifest.json").write_text(manifest.to_json())
    cid = str(store.add_folder(tmp_path / "batches"))
    models = Models(artifacts, None, 1)

    assert models.max_batch(cid) == 1
    models.get(cid)
    assert models.max_batch(cid) == 1
    figures.keep(cid, "reference:cpu", max_batch=measured)
    models.get(cid)
    assert models.max_batch(cid) == found


def test_too_large__when_it_would_not_fit__says_so_before_unpacking(artifacts, figures, xor_cid):
    small = Models(artifacts, None, 1, 100)

    assert "at most 100 bytes of memory, got one that needs about" in small.too_large(xor_cid)
    assert not (artifacts.cache / xor_cid).exists()
    figures.keep(xor_cid, "reference:cpu", peak_bytes=1 << 20)
    assert f"about {3 << 19}" in Models(artifacts, None, 1, 1 << 20).too_large(xor_cid)


def test_too_large__when_it_would_fit_or_is_not_there__is_none(artifacts, xor_cid):
    models = Models(artifacts, None, 1, 1 << 20)

    assert models.too_large(xor_cid) is None
    assert models.too_large("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku") is None
    assert models.too_large("no CID") is None


def test_measure__when_two_copies_would_not_fit__measures_nothing(artifacts, xor_cid):
    needed = Models(artifacts, None, 1).get(xor_cid).memory_bytes
    models = Models(artifacts, None, 1, 2 * needed - 1)

    with pytest.raises(ModelTooLarge):
        models.measure(xor_cid, copies=2)
    assert not (artifacts.cache / "figures").exists()


def test_close__closes_all(artifacts, cids, closed):
    models = Models(artifacts, None, 3)
    backends = [models.get(cid).backend for cid in cids]

    models.close()

    assert sorted(map(id, closed)) == sorted(map(id, backends))
