"""Models that name files outside of their folder: nothing outside is read

load
├── ONNX: external data at a path that leaves the folder, or an absolute one: it raises BadModel
├── Core ML: weights at a path that leaves the package: the name alone counts, so it raises BadModel
└── PyTorch: an index of weights that names a file elsewhere: it raises BadModel
"""

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_models import make_model

from offchain_worker.backends import open_backend
from offchain_worker.errors import BadModel
from offchain_worker.manifest import TensorSpec
from offchain_worker.mil.program import MODEL
from offchain_worker.pipeline.xor_model import MANIFEST as XOR

pytestmark = pytest.mark.extended

SECRET = np.full((2, 2), 42, np.float32)


@pytest.fixture
def folder(tmp_path):
    """An empty artifact folder, with a secret beside it."""
    (tmp_path / "secret.bin").write_bytes(SECRET.tobytes())
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


@pytest.mark.parametrize("place", ["../secret.bin", "x/../../secret.bin", "absolute"])
def test_load__of_onnx__with_external_data_outside__raises_bad_model(folder, place):
    secret = folder.parent / "secret.bin"
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 2])
    tensor.data_location = TensorProto.EXTERNAL
    location = str(secret) if place == "absolute" else place
    tensor.external_data.add(key="location", value=location)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "xy"]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [tensor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    manifest = replace(
        XOR,
        format="onnx",
        files=("model.onnx",),
        inputs=(TensorSpec("x", "float32", (1, 2)),),
        outputs=(TensorSpec("y", "float32", (1, 2)),),
    )

    with pytest.raises(BadModel, match="expected a model that ONNX Runtime loads"):
        open_backend("onnx").load(folder, manifest)
    assert onnx.load(str(folder / "model.onnx"), load_external_data=False).graph.name == "g"


def test_load__of_core_ml__with_weights_outside__raises_bad_model(tmp_path):
    import coremltools as ct

    model = make_model("coreml", tmp_path / "model")
    package = tmp_path / "model/model.mlpackage"
    weights = package / "Data/com.apple.CoreML/weights/weight.bin"
    shutil.move(weights, tmp_path / "model/outside.bin")
    spec = ct.proto.Model_pb2.Model()
    spec.ParseFromString((package / MODEL).read_bytes())
    for function in spec.mlProgram.functions.values():
        for block in function.block_specializations.values():
            for operation in block.operations:
                for value in operation.attributes.values():
                    if value.WhichOneof("value") == "blobFileValue":
                        escape = "@model_path/weights/../../../../outside.bin"
                        value.blobFileValue.fileName = escape
    (package / MODEL).write_bytes(spec.SerializeToString())
    files = tuple(name for name in model.manifest.files if not name.endswith("weight.bin"))

    with pytest.raises(BadModel):
        open_backend("coreml-cpu").load(tmp_path / "model", replace(model.manifest, files=files))


@pytest.mark.parametrize("place", ["../outside.safetensors", "absolute", "missing.safetensors"])
def test_load__of_torch__with_weights_outside__raises_bad_model(tmp_path, place):
    model = make_model("torch", tmp_path / "model")
    outside = tmp_path / "outside.safetensors"
    shutil.copy(tmp_path / "model/model.safetensors", outside)
    part = tmp_path / "model/model-00001-of-00002.safetensors"
    shutil.move(tmp_path / "model/model.safetensors", part)
    name = str(outside) if place == "absolute" else place
    index = {"metadata": {}, "weight_map": {"lm_head.weight": name}}
    (tmp_path / "model/model.safetensors.index.json").write_text(json.dumps(index))
    files = tuple(part.name if n == "model.safetensors" else n for n in model.manifest.files)

    with pytest.raises(BadModel, match="inside the model folder"):
        open_backend("torch").load(tmp_path / "model", replace(model.manifest, files=files))
