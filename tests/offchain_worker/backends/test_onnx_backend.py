"""backends.onnx

load
├── when the file is no ONNX model: it raises BadModel
├── when an option is unknown or out of range: it raises BadModel
└── when the manifest's inputs or outputs are not the model's: it raises BadModel
run
├── when the input is wrong: it raises BadInput
├── after close: it raises RuntimeError
├── it gives the same bits each time
└── it gives the bits that ONNX Runtime gives
"""

import shutil
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from offchain_worker.backends.onnx import Backend
from offchain_worker.errors import BadInput, BadModel
from offchain_worker.manifest import TensorSpec
from offchain_worker.pipeline.magika_model import MANIFEST

TOKENS = {"bytes": (np.arange(2 * 2048, dtype=np.int32) % 257).reshape(2, 2048)}


@pytest.fixture(scope="module")
def backend(magika_folder):
    backend = Backend()
    backend.load(magika_folder, MANIFEST)
    yield backend
    backend.close()


@pytest.mark.parametrize("data", [b"", b"no model", b"\x08\x07"])
def test_load__when_file_is_no_model__raises_bad_model(tmp_path, data):
    (tmp_path / "model.onnx").write_bytes(data)

    with pytest.raises(BadModel, match=r"that ONNX Runtime loads, got model\.onnx"):
        Backend().load(tmp_path, MANIFEST)


def test_load__when_file_was_cut__raises_bad_model(tmp_path, magika_folder):
    shutil.copytree(magika_folder, tmp_path / "cut")
    model = tmp_path / "cut" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1000])

    with pytest.raises(BadModel, match="that ONNX Runtime loads"):
        Backend().load(tmp_path / "cut", MANIFEST)


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        ({"threads": 1}, "got 'threads'"),
        ({"intra_op_num_threads": 0}, "from 1 to 64, got 0"),
        ({"intra_op_num_threads": True}, "from 1 to 64, got True"),
        ({"graph_optimization_level": "most"}, "of none, basic, extended, all, got 'most'"),
    ],
)
def test_load__when_option_is_wrong__raises_bad_model(magika_folder, runtime, message):
    with pytest.raises(BadModel, match=message):
        Backend().load(magika_folder, replace(MANIFEST, runtime=runtime))


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": (TensorSpec("byte", "int32", (-1, 2048)),)},
        {"inputs": (TensorSpec("bytes", "int64", (-1, 2048)),)},
        {"outputs": (*MANIFEST.outputs, TensorSpec("more", "float32", (-1,)))},
    ],
)
def test_load__when_manifest_is_not_the_models__raises_bad_model(magika_folder, changes):
    with pytest.raises(BadModel, match="puts of the manifest"):
        Backend().load(magika_folder, replace(MANIFEST, **changes))


def test_run__when_input_is_wrong__raises_bad_input(backend):
    with pytest.raises(BadInput, match=r"of shape \('any', 2048\)"):
        backend.run({"bytes": TOKENS["bytes"][:, :5]})


def test_run__after_close__raises_runtime_error(magika_folder):
    backend = Backend()
    backend.load(magika_folder, MANIFEST)
    backend.close()
    backend.close()

    with pytest.raises(RuntimeError, match="load"):
        backend.run(TOKENS)


def test_run__gives_the_same_bits_each_time(backend):
    first, second = backend.run(TOKENS), backend.run(TOKENS)

    assert first["target_label"].tobytes() == second["target_label"].tobytes()


def test_run__gives_the_bits_of_onnx_runtime(backend, magika_folder):
    session = onnxruntime.InferenceSession(
        magika_folder / "model.onnx", providers=["CPUExecutionProvider"]
    )

    found = backend.run(TOKENS)["target_label"]

    assert found.tobytes() == session.run(["target_label"], TOKENS)[0].tobytes()
