"""pipeline.check, on conversions of every family to Core ML

check
├── a faithful conversion passes, far below the limit
├── when one weight tensor of the package is damaged: it fails
├── when outputs do not vary with the input: it fails
├── when NaN comes out: it fails
└── limits: one is over, the other not
import_folder
├── when the error is too large: it raises CheckFailed and leaves no folder
└── ... unless it is accepted: the manifest says so
"""

import numpy as np
import pytest

from offchain_worker import manifest as manifests
from offchain_worker.errors import CheckFailed, WorkerError
from offchain_worker.mil.program import MODEL, WEIGHTS, Program
from offchain_worker.pipeline import check
from offchain_worker.pipeline.families import FAMILIES
from offchain_worker.pipeline.importing import import_folder
from offchain_worker.pipeline.package import About, write_package
from offchain_worker.pipeline.random_model import build, save
from offchain_worker.pipeline.report import LIMITS, Report

pytestmark = pytest.mark.extended

ABOUT = About("small", "test", "tests", "Apache-2.0")
"""MLX needs the weights as files; the others are made from the model in memory."""


def damage_largest_weight(package):
    """Flip the signs of the largest tensor in the weights file of a Core ML package."""
    import coremltools as ct

    spec = ct.proto.Model_pb2.Model()
    spec.ParseFromString((package / MODEL).read_bytes())
    blobs = [
        (int(np.prod([d.constant.size for d in value.type.tensorType.dimensions])), value)
        for function in spec.mlProgram.functions.values()
        for block in function.block_specializations.values()
        for operation in block.operations
        for value in operation.attributes.values()
        if value.WhichOneof("value") == "blobFileValue"
    ]
    count, value = max(blobs, key=lambda blob: blob[0])
    file = package / WEIGHTS / "weight.bin"
    data = np.frombuffer(file.read_bytes(), np.uint8).copy()
    header = data[value.blobFileValue.offset :][:64].view(np.uint64)
    size_bytes, start = int(header[1]), int(header[2])
    assert size_bytes == 4 * count
    data[start + 3 : start + size_bytes : 4] ^= 0x80
    file.write_bytes(data.tobytes())


@pytest.mark.parametrize("name", FAMILIES)
def test_check__of_a_family__passes_and_when_one_weight_is_damaged__fails(name, tmp_path):
    original = build(FAMILIES[name])
    folder = tmp_path / "coreml"
    manifest = write_package(original, tmp_path, folder, "coreml", "float32", ABOUT)

    report = check.check(original, folder, manifest)
    damage_largest_weight(folder / "model.mlpackage")

    assert report.max_abs <= 1e-3
    assert report.cosine >= 0.99999
    with pytest.raises(WorkerError) as caught:
        check.check(original, folder, manifest)
    assert type(caught.value).__name__ in ("CheckFailed", "BadOutput")


def test_check__when_outputs_do_not_vary__fails(tmp_path):
    original = build(FAMILIES["vit"])
    original.model.classifier.weight.zero_()
    folder = tmp_path / "coreml"
    manifest = write_package(original, tmp_path, folder, "coreml", "float32", ABOUT)

    with pytest.raises(
        CheckFailed, match="expected outputs that vary with the input, got 'logits'"
    ):
        check.check(original, folder, manifest)


@pytest.mark.parametrize(
    ("report", "limit", "reason"),
    [
        (Report(1e-4, 1.0, 1.0, 4), LIMITS["float32"], None),
        (
            Report(2e-3, 1.0, 1.0, 4),
            LIMITS["float32"],
            "differences of at most 1.0e-03",
        ),
        (Report(2e-3, 10.0, 1.0, 4), LIMITS["float32"], None),
        (
            Report(1e-4, 1.0, 0.9999, 4),
            LIMITS["float32"],
            "at least 0.99999, got 0.9999",
        ),
        (Report(0.1, 1.0, 0.99995, 4), LIMITS["float16"], None),
        (Report(0.1, 1.0, 0.98, 4), LIMITS["int8"], "at least 0.99, got 0.98"),
        (Report(0.1, 1.0, 0.98, 4), LIMITS["int4"], None),
        (Report(0.1, 1.0, float("nan"), 4), LIMITS["int4"], "at least 0.97, got nan"),
    ],
)
def test_report__says_what_is_over_the_limit(report, limit, reason):
    found = report.excess(limit)

    assert (found is None) if reason is None else (reason in found)


def test_import_folder__when_the_error_is_too_large__refuses_unless_accepted(tmp_path):
    source = tmp_path / "source"
    save(FAMILIES["llama"], source)
    about = {"name": "small", "origin": "tests", "licence": "Apache-2.0", "sequence": 16}

    with pytest.raises(CheckFailed, match=r"at least 0\.97, got .*small in onnx, int4"):
        _import_worse(source, tmp_path / "refused", about)
    (accepted,) = _import_worse(source, tmp_path / "accepted", {**about, "accept_error": True})

    assert not (tmp_path / "refused/onnx-int4").exists()
    assert manifests.load(accepted.folder).check["accepted_error"] is True


def _import_worse(source, to, about):
    """Import in int4 with the limit of int4 and weights that 4 bits cannot hold: a few are very large."""
    import safetensors.torch

    file = source / "model.safetensors"
    weights = safetensors.torch.load_file(file)
    for name, weight in weights.items():
        if weight.ndim == 2 and "embed" not in name:
            weight[:, ::16] *= 40
    worse = to.parent / f"{to.name}-source"
    worse.mkdir()
    (worse / "config.json").write_bytes((source / "config.json").read_bytes())
    safetensors.torch.save_file(weights, worse / "model.safetensors", metadata={"format": "pt"})
    return import_folder(worse, to, ["onnx"], "int4", **about)


def test_program__reads_what_the_converter_writes(tmp_path):
    original = build(FAMILIES["bert"])
    write_package(original, tmp_path, tmp_path / "coreml", "coreml", "float32", ABOUT)

    program = Program(tmp_path / "coreml/model.mlpackage")

    assert [spec.name for spec in program.inputs] == ["input_ids", "attention_mask"]
    assert [spec.name for spec in program.outputs] == ["last_hidden_state"]
