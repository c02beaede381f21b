"""manifest

parse
├── when it is not JSON, or a field is missing, unknown, double or wrong: it raises BadModel that names it
├── when a path leaves the folder: it raises BadModel
└── it gives back what to_json wrote
inside
├── when there is a symlink on the way: it raises BadModel
└── when there is no such file: it raises BadModel
load
├── when a model file is missing, or the manifest is huge: it raises BadModel
└── it reads the manifest of a folder
"""

import json
import shutil
from dataclasses import replace

import pytest

from offchain_worker.errors import BadModel
from offchain_worker.manifest import FILE_NAME, MAX_BYTES, inside, load, parse
from offchain_worker.pipeline.magika_model import MANIFEST as MAGIKA
from offchain_worker.pipeline.xor_model import MANIFEST as XOR

SCALAR = {"name": "x", "dtype": "float32", "shape": []}
FIXED = {"name": "y", "dtype": "float32", "shape": [1, 2]}
OUTSIDE = ["../x", "a/../../x", "/etc/passwd", "a//b", "./a", "a\\b", "C:x", "a\0b", ""]


def changed(**changes):
    return json.dumps(json.loads(XOR.to_json()) | changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "in JSON"),
        ("[" * 100_000, "in JSON"),
        ("[]", "a map in the manifest"),
        ('{"lattice": 1, "lattice": 1}', "a field twice"),
        (changed(runtime={"x": float("nan")}), "NaN, which is no JSON"),
        ('{"lattice": 1}', "expected field 'name' in the manifest"),
        (changed(licence_=1), r"got 'licence_'; did you mean 'licence'\?"),
        (changed(lattice=2), '"lattice": 1, got 2'),
        (changed(lattice=True), '"lattice": 1, got True'),
        (changed(name=""), "text that is not empty in name"),
        (changed(units="inferences"), r"got 'inferences'; did you mean 'inference'\?"),
        (changed(format="x" * 17), "format of at most 16 characters in ASCII, got 'xxxx"),
        (changed(format="ø"), "format of at most 16 characters in ASCII, got 'ø'"),
        (changed(inputs=[{"name": "x", "dtype": [], "shape": []}]), "a dtype of"),
        (changed(inputs=[{"name": "x", "dtype": {}, "shape": []}]), "a dtype of"),
        (changed(files=[]), "at least one entry in files"),
        (changed(files="x"), "at least one entry in files"),
        (changed(inputs=[]), "at least one entry in inputs"),
        (changed(inputs=[{"name": "x", "dtype": "float32"}]), "field 'shape' in inputs"),
        (changed(inputs=[{"name": "x", "dtype": "f4", "shape": []}]), "a dtype of"),
        (changed(outputs=[{"name": "x", "dtype": "float32", "shape": [-2]}]), "a list of sizes"),
        (changed(outputs=[{"name": "x", "dtype": "float32", "shape": []}] * 2), "different names"),
        (changed(preprocess="tensor"), 'preprocess as a map with "kind"'),
        (changed(postprocess={}), 'postprocess as a map with "kind"'),
        (changed(runtime=[]), "runtime as a map"),
        (changed(runtime={"x": None}), "as runtime.x"),
        (changed(runtime={"x": 1e999}), "as runtime.x|Infinity"),
        (changed(max_batch=0), "max_batch from 1 to 64, got 0"),
        (changed(max_batch=65), "max_batch from 1 to 64, got 65"),
        (changed(max_batch=True), "max_batch from 1 to 64, got True"),
        (changed(max_batch=2, inputs=[SCALAR]), "tensors whose first size is free for max_batch 2"),
        (changed(max_batch=2, outputs=[FIXED]), "tensors whose first size is free for max_batch 2"),
    ],
)
def test_parse__when_wrong__names_the_field(text, message):
    with pytest.raises(BadModel, match=message):
        parse(text)


@pytest.mark.parametrize("name", OUTSIDE)
def test_parse__when_path_leaves_the_folder__raises_bad_model(name):
    with pytest.raises(BadModel, match=r"inside the artifact folder|not empty"):
        parse(changed(files=[name]))


@pytest.mark.parametrize(
    "manifest", [XOR, MAGIKA, replace(XOR, max_batch=8)], ids=["xor", "magika", "batches"]
)
def test_parse__gives_back_what_to_json_wrote(manifest):
    assert parse(manifest.to_json()) == manifest


def test_inside__when_a_symlink_is_on_the_way__raises_bad_model(tmp_path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "up").symlink_to(tmp_path)

    with pytest.raises(BadModel, match="no symlink"):
        inside(tmp_path / "folder", "up/secret")


def test_inside__when_there_is_no_file__raises_bad_model(tmp_path):
    (tmp_path / "sub").mkdir()

    with pytest.raises(BadModel, match="a file 'sub'"):
        inside(tmp_path, "sub")


def test_load__when_model_file_is_missing__raises_bad_model(xor_folder, tmp_path):
    shutil.copytree(xor_folder, tmp_path / "xor")
    (tmp_path / "xor" / XOR.files[0]).unlink()

    with pytest.raises(
        BadModel, match=r"'xor\.safetensors' in the artifact folder, which has none"
    ):
        load(tmp_path / "xor")


def test_load__when_manifest_is_huge__raises_bad_model(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b" " * (MAX_BYTES + 1))

    with pytest.raises(BadModel, match="at most 1048576 bytes"):
        load(tmp_path)


def test_load__reads_the_manifest_of_a_folder(xor_folder):
    assert load(xor_folder) == XOR
