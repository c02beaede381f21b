"""pipeline

import_magika
├── when the package is missing, or of another version: it raises ToolNotInstalled with the command to install it
├── when the folder exists: it raises FileExistsError
└── it packages the model, its config and its manifest, with the same CID each time
write_xor
└── it has the same CID each time, which is that of examples/job.json
add_packaged_as
├── when no packaged model has the CID: it says no
├── when a model's package is missing: it goes on with the others
└── it adds the model with the CID
"""

import importlib.util
from importlib import metadata
from pathlib import Path

import magika
import pytest

from offchain_worker.errors import ToolNotInstalled
from offchain_worker.job import Job
from offchain_worker.manifest import load
from offchain_worker.pipeline import (
    PACKAGED,
    add_packaged,
    add_packaged_as,
    magika_model,
    xor_model,
)
from offchain_worker.storage.cid import RAW, Cid

EXAMPLE = Path(__file__).parents[3] / "examples" / "job.json"
XOR_CID = "bafybeiegu6vrv72g72nsbviebaz4dkrjszsvgpnazwv37t4ftl3c35wzpe"
MAGIKA_CID = "bafybeihmfuyz26sbgo3s5hlm5ebvginqabjlr7vvnkxugwnkgjopfsxdmy"


@pytest.fixture
def no_magika(monkeypatch):
    monkeypatch.setattr(magika_model, "find_spec", lambda name: None)


@pytest.mark.usefixtures("no_magika")
def test_import_magika__when_not_installed__says_how_to_install_it(tmp_path):
    with pytest.raises(ToolNotInstalled, match=r"not installed: pip install magika==1\.0\.3"):
        magika_model.import_magika(tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_import_magika__when_of_another_version__says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "2.0.0")

    with pytest.raises(ToolNotInstalled, match=r"magika 1\.0\.3, got 2\.0\.0: pip install"):
        magika_model.import_magika(tmp_path / "to")


def test_import_magika__when_folder_exists__raises_file_exists(tmp_path):
    with pytest.raises(FileExistsError):
        magika_model.import_magika(tmp_path)


def test_import_magika__packages_model_config_and_manifest(tmp_path):
    package = Path(magika.__file__).parent

    manifest = magika_model.import_magika(tmp_path / "to")

    assert load(tmp_path / "to") == manifest
    assert {path.name for path in (tmp_path / "to").iterdir()} == {
        "manifest.json",
        "model.onnx",
        "config.min.json",
        "content_types_kb.min.json",
    }
    model = package / "models" / "standard_v3_3" / "model.onnx"
    assert (tmp_path / "to" / "model.onnx").read_bytes() == model.read_bytes()
    assert importlib.util.find_spec("magika") is not None


@pytest.mark.parametrize(("name", "cid"), [("xor", XOR_CID), ("magika", MAGIKA_CID)])
def test_add_packaged__has_the_same_cid_each_time(store, name, cid):
    assert str(add_packaged(name, store)) == str(add_packaged(name, store)) == cid


def test_packaged__names_are_those_of_this_test():
    assert set(PACKAGED) == {"xor", "magika"}


def test_example_job__asks_for_xor():
    assert Job.from_json(EXAMPLE.read_bytes()).model_cid == XOR_CID


def test_write_xor__writes_what_its_manifest_says(tmp_path):
    assert xor_model.write_xor(tmp_path / "to") == load(tmp_path / "to")


def test_add_packaged_as__when_none_has_the_cid__says_no(store):
    assert not add_packaged_as(Cid.of(RAW, b"other"), store)


@pytest.mark.usefixtures("no_magika")
def test_add_packaged_as__when_a_package_is_missing__goes_on(store):
    assert not add_packaged_as(Cid.parse(MAGIKA_CID), store)
    assert add_packaged_as(Cid.parse(XOR_CID), store)


@pytest.mark.parametrize("cid", [XOR_CID, MAGIKA_CID])
def test_add_packaged_as__adds_the_model(store, cid):
    assert add_packaged_as(Cid.parse(cid), store)
    assert store.has(Cid.parse(cid))
