"""From a static 8-bit ONNX model to a checked artifact folder of format "integer"."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from offchain_worker import safetensors
from offchain_worker.backends import open_for
from offchain_worker.backends.base import Arrays
from offchain_worker.backends.batching import largest_batch
from offchain_worker.errors import CheckFailed, ConversionFailed, one_line
from offchain_worker.integer.from_onnx import import_onnx
from offchain_worker.integer.graph import GRAPH_FILE, WEIGHTS_FILE, from_json
from offchain_worker.manifest import Manifest
from offchain_worker.pipeline import write_manifest
from offchain_worker.pipeline.replacing import replacing
from offchain_worker.pipeline.report import (
    Limit,
    Report,
    cosine_of,
    require_variation,
    variation,
)

INPUTS = 8
LIMIT = Limit(0.999)
"""Both compute the same integers. What may differ: tables of sigmoid by one step, and, on x86 CPUs without VNNI, sums
of weights beyond 7 bits, which ONNX Runtime saturates there."""
_FREE = (1, 16)
"""Values of free sizes: the batch, and any other."""


def import_integer(
    model: Path,
    to: Path,
    *,
    name: str,
    origin: str,
    licence: str,
    task: str = "tensors",
    accept_error: bool = False,
    progress: Callable[[str], None] = lambda step: None,
) -> tuple[Manifest, Report]:
    """Convert a static 8-bit ONNX model, and compare the engine with ONNX Runtime on it.

    Args:
        model: The ONNX file, in the QOperator or the QDQ form.
        to: Artifact folder to write. It takes the place of one that is there once it is whole.
        name: Of the model in the manifest.
        origin: Where it comes from, for people.
        licence: SPDX identifier.
        task: What it is for.
        accept_error: Keep a model that fails its check by its figures; the manifest says so.
        progress: Told what begins.

    Raises:
        BadModel: As `replacing`.
        ConversionFailed: As `import_onnx`.
        CheckFailed: The engine computes something else than ONNX Runtime, or outputs hardly vary. Nothing is left.
    """
    with replacing(to, model) as work:
        progress("converting to integers")
        manifest = import_onnx(model, work, name=name, task=task, source=origin, licence=licence)
        progress("checking the engine against ONNX Runtime")
        report, most = _compare(model, work, manifest)
        reason = report.excess(LIMIT)
        if reason and not accept_error:
            error = CheckFailed(
                f"{reason}: {name} in integers does not compute what ONNX Runtime computes; if a CPU without VNNI is "
                "the cause, quantise with reduce_range=True"
            )
            error.report = report
            raise error
        manifest = replace(manifest, check=report.to_manifest(bool(reason)), max_batch=most)
        write_manifest(work, manifest)
    return manifest, report


def _compare(model: Path, folder: Path, manifest: Manifest) -> tuple[Report, int]:
    """Return how far the engine is from ONNX Runtime, and how many rows it may be given at once."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    names = [spec.name for spec in manifest.outputs]
    try:
        original = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its errors have no public root
        raise ConversionFailed(
            f"expected a model that ONNX Runtime loads, got: {one_line(error)}"
        ) from error
    ours = open_for("integer")
    ours.load(folder, manifest)
    rng = np.random.default_rng(0)
    scales = _scales(folder)
    first: Arrays = {}
    varied = dict.fromkeys(names, 0.0)
    worst, scale, cosine, same = 0.0, 0.0, 1.0, True
    for _ in range(INPUTS):
        given = _draw(manifest, scales, rng)
        expected = dict(zip(names, original.run(names, given), strict=True))
        found = ours.run(given)
        first = first or expected
        for name, array in expected.items():
            right, got = (item.astype(np.float64).ravel() for item in (array, found[name]))
            varied[name] = max(varied[name], variation(array, first[name]))
            worst = max(worst, float(np.abs(right - got).max()))
            scale = max(scale, float(np.abs(right).max()))
            cosine = min(cosine, cosine_of(right, got))
            same = same and array.tobytes() == found[name].tobytes()
    require_variation(varied)
    return Report(worst, scale, cosine, INPUTS, same), largest_batch(ours, manifest)


def _scales(folder: Path) -> dict[str, tuple[float, int]]:
    """Return scale and zero point with which the model quantises its inputs, by name."""
    tensors = safetensors.read((folder / WEIGHTS_FILE).read_bytes())
    return {
        node.inputs[0]: (
            float(tensors[f"{node.output}.scale"]),
            int(tensors[f"{node.output}.output_zero"]),
        )
        for node in from_json((folder / GRAPH_FILE).read_bytes())
        if node.operator == "quantize"
    }


def _draw(
    manifest: Manifest, scales: dict[str, tuple[float, int]], rng: np.random.Generator
) -> Arrays:
    """Return inputs from all over the range that the model was calibrated for, and a little beyond."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for spec in manifest.inputs:
        shape = [_FREE[min(at, 1)] if size == -1 else size for at, size in enumerate(spec.shape)]
        if spec.dtype == "float32":
            scale, zero = scales.get(spec.name, (1.0, 0))
            values = rng.uniform(-160, 160, shape) + (127.5 if zero >= 0 else 0) - zero
            arrays[spec.name] = (values * scale).astype(np.float32)
        else:
            info = np.iinfo(spec.dtype)
            arrays[spec.name] = rng.integers(info.min, info.max + 1, shape).astype(spec.dtype)
    return arrays
