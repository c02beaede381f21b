"""Writes a model in one of the formats as an artifact folder: its files, and the manifest that says what it is."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from offchain_worker.backends.base import PAST
from offchain_worker.errors import ConversionFailed, ToolNotInstalled, did_you_mean
from offchain_worker.generation import INPUT, OUTPUT, POSITION, PRESENT
from offchain_worker.lengths import OPTION, Lengths
from offchain_worker.manifest import Manifest, Step, TensorSpec
from offchain_worker.pipeline import write_manifest
from offchain_worker.pipeline.steps import past_of
from offchain_worker.transformers_model import (
    CONFIG,
    POOLING,
    WEIGHTS,
    Original,
    draw,
    weight_files,
)

ONNX_FILE = "model.onnx"
COREML_PACKAGE = "model.mlpackage"
FORMATS = ("torch", "onnx", "coreml", "mlx")
SHAPES = ("fixed", "enumerated", "flexible")
"""Lengths of a text: one; 16 and its doubles; any."""
COMPUTE_UNITS = ("all", "cpu_and_ne", "cpu_and_gpu", "cpu_only")
PRECISIONS = ("float32", "float16", "int8", "int4", "int4-palettes")

_RUNTIME: dict[str, dict[str, str | int | float | bool]] = {
    "onnx": {"intra_op_num_threads": 1, "graph_optimization_level": "all"}
}
_EXTRAS = {
    "torch": "torch",
    "onnx": "pipeline,torch",
    "coreml": "coreml,torch",
    "mlx": "mlx,torch",
}
"""What to install for a converter."""
_FREE = {"tokens": (0, 1), "mask": (0, 1), "image": (0,)}


@dataclass(frozen=True, slots=True)
class CoreMl:
    """How Core ML programs are made; other formats have no such choice."""

    shapes: str = "fixed"
    """Of texts: one of `SHAPES`."""
    compute_units: str = "all"
    """What the program is to run on: one of `COMPUTE_UNITS`."""


@dataclass(frozen=True, slots=True)
class About:
    """What is said of a model and does not follow from it."""

    name: str
    task: str
    source: str
    licence: str
    preprocess: Step = field(default_factory=lambda: Step("tensor"))
    postprocess: Step = field(default_factory=lambda: Step("tensor"))
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Files of pre- and postprocessing, such as `tokenizer.json`."""
    coreml: CoreMl = field(default_factory=CoreMl)


def write_package(
    original: Original, source: Path, to: Path, format: str, precision: str, about: About
) -> Manifest:
    """Convert a model and write its artifact folder. Nothing is checked: see `check.py`.

    Args:
        original: The model, loaded from `source`.
        source: Folder with its config.json and model.safetensors.
        to: Folder to write; it must not exist, its parent must.
        format: One of `FORMATS`.
        precision: One of `PRECISIONS`.
        about: Name, licence and so on.

    Raises:
        ConversionFailed: The model cannot be had in this format and precision.
        ToolNotInstalled: A converter is not installed.
    """
    _require_known(format, precision, about.coreml)
    to.mkdir()
    runtime = dict(_RUNTIME.get(format, {}))
    try:
        if format == "onnx":
            inputs, outputs = _onnx(original, to, precision, about)
        elif format == "coreml":
            inputs, outputs = _coreml(original, to, precision, about, runtime)
        else:
            inputs, outputs = _WRITERS[format](original, source, to, precision)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package == "offchain_worker":
            raise
        raise ToolNotInstalled(
            f"expected package {package!r} for format {format!r}, which is not installed: pip install "
            f"'lattice[{_EXTRAS[format]}]'"
        ) from error
    files = sorted(file.relative_to(to).as_posix() for file in to.rglob("*") if file.is_file())
    files.sort(key=lambda name: not name.endswith((".onnx", ".mlmodel", WEIGHTS)))
    for name, data in about.files.items():
        (to / name).write_bytes(data)
    manifest = Manifest(
        name=about.name,
        task=about.task,
        format=format,
        precision=precision,
        files=tuple(files),
        inputs=inputs,
        outputs=outputs,
        preprocess=about.preprocess,
        postprocess=about.postprocess,
        runtime=runtime,
        source=about.source,
        licence=about.licence,
        units="inference",
    )
    write_manifest(to, manifest)
    return manifest


def _require_known(format: str, precision: str, how: CoreMl) -> None:
    """Check that there is such a format, in such a precision, made so."""
    if format not in FORMATS:
        hint = did_you_mean(format, FORMATS)
        raise ConversionFailed(f"expected a format of {', '.join(FORMATS)}, got {format!r}{hint}")
    if precision not in PRECISIONS:
        hint = did_you_mean(precision, PRECISIONS)
        raise ConversionFailed(
            f"expected a precision of {', '.join(PRECISIONS)}, got {precision!r}{hint}"
        )
    if precision == "int4-palettes" and format != "coreml":
        raise ConversionFailed(
            f"expected format 'coreml' for precision {precision!r}, got {format!r}"
        )
    if how.shapes not in SHAPES or how.compute_units not in COMPUTE_UNITS:
        raise ConversionFailed(
            f"expected shapes of {', '.join(SHAPES)} and compute units of {', '.join(COMPUTE_UNITS)}, got {how}"
        )


Tensors = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]
"""Inputs and outputs."""


def _torch(original: Original, source: Path, to: Path, precision: str) -> Tensors:
    if precision != "float32":
        raise ConversionFailed(f"expected precision float32 for format 'torch', got {precision!r}")
    for name in (CONFIG, *weight_files(source), POOLING):
        if (source / name).is_file():
            (to / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, to / name)
    free = tuple(
        TensorSpec(spec.name, spec.spec.dtype, _freed(spec.shape, _FREE.get(spec.kind, (0,))))
        for spec in original.inputs
    )
    return free, _any_outputs(original)


def _onnx(original: Original, to: Path, precision: str, about: About) -> Tensors:
    from offchain_worker.pipeline import convert_onnx, quantize_onnx

    model = None
    if about.preprocess.kind == "prompt":
        with suppress(ConversionFailed):  # without a cache it writes the same text, more slowly
            model = convert_onnx.convert_step(original)
    model = quantize_onnx.quantize(model or convert_onnx.convert(original), precision)
    (to / ONNX_FILE).write_bytes(model.SerializeToString(deterministic=True))
    return (
        convert_onnx.tensors_of(model.graph.input),
        convert_onnx.tensors_of(model.graph.output),
    )


def _coreml(
    original: Original,
    to: Path,
    precision: str,
    about: About,
    runtime: dict[str, str | int | float | bool],
) -> Tensors:
    from offchain_worker.pipeline import convert_coreml, quantize_coreml

    how, computed = about.coreml, "float16" if precision == "float16" else "float32"
    lengths, model = _lengths(original, how.shapes), None
    if about.preprocess.kind == "prompt" and lengths is None:
        longest = original.inputs[0].shape[1]
        with suppress(ConversionFailed):  # without a cache it writes the same text, more slowly
            model = convert_coreml.convert_step(original, longest, computed)
            tensors = _step_tensors(original, longest)
    if model is None:
        model = convert_coreml.convert(original, computed, lengths)
        tensors = _coreml_tensors(original, lengths)
    convert_coreml.save(quantize_coreml.quantize(model, precision), to / COREML_PACKAGE)
    if how.compute_units != "all":
        runtime["compute_units"] = how.compute_units
    if lengths is not None:
        runtime[OPTION] = str(lengths)
    return tensors


def _coreml_tensors(original: Original, lengths: Lengths | None) -> Tensors:
    inputs, outputs = tuple(spec.spec for spec in original.inputs), _fixed_outputs(original)
    if lengths is None:
        return inputs, outputs
    free = tuple(TensorSpec(spec.name, spec.dtype, (1, -1)) for spec in inputs)
    return free, tuple(
        TensorSpec(spec.name, spec.dtype, (1, *found.shape[1:]))
        for spec, found in zip(outputs, _any_outputs(original), strict=True)
    )


def _step_tensors(original: Original, length: int) -> Tensors:
    """Inputs and outputs of `steps.FixedStep`."""
    with torch.no_grad():
        layers, _, heads, _, size = past_of(original, 1).shape
    vocabulary = int(original.model.config.vocab_size)
    return (
        TensorSpec(INPUT, "int32", (1, 1)),
        TensorSpec(POSITION, "int32", (1,)),
        TensorSpec(PAST, "float32", (layers, 1, heads, length, size)),
    ), (
        TensorSpec(OUTPUT, "float32", (1, 1, vocabulary)),
        TensorSpec(PRESENT, "float32", (layers, 1, heads, 1, size)),
    )


def _lengths(original: Original, shapes: str) -> Lengths | None:
    longest = max((s.shape[1] for s in original.inputs if s.kind == "tokens"), default=0)
    if shapes == "fixed":
        return None
    if not longest:
        raise ConversionFailed(f"expected a model of texts for {shapes} shapes, got another")
    return Lengths.enumerated(longest) if shapes == "enumerated" else Lengths.flexible(longest)


def _mlx(original: Original, source: Path, to: Path, precision: str) -> Tensors:
    from offchain_worker.pipeline import convert_mlx

    convert_mlx.convert(source, to, precision)
    return (
        (TensorSpec("input_ids", "int32", (-1, -1)),),
        (TensorSpec("logits", "float32", (-1, -1, int(original.model.config.vocab_size))),),
    )


_WRITERS = {"torch": _torch, "mlx": _mlx}


def _freed(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-1 if at in axes else size for at, size in enumerate(shape))


def _answer(original: Original) -> list[tuple[int, ...]]:
    """Return the shapes of the outputs, for inputs of the sizes that the model is converted for."""
    tensors = [
        torch.from_numpy(draw(spec, np.random.default_rng(0), 0)) for spec in original.inputs
    ]
    with torch.no_grad():
        return [tuple(tensor.shape) for tensor in original(*tensors)]


def _fixed_outputs(original: Original) -> tuple[TensorSpec, ...]:
    shapes = _answer(original)
    return tuple(
        TensorSpec(name, "float32", shape)
        for name, shape in zip(original.outputs, shapes, strict=True)
    )


def _any_outputs(original: Original) -> tuple[TensorSpec, ...]:
    """Outputs whose first axis is free, and the second where it may follow a free length of the input."""
    lengths = {spec.shape[1] for spec in original.inputs if spec.kind in ("tokens", "mask")}
    return tuple(
        TensorSpec(
            spec.name,
            spec.dtype,
            tuple(
                -1 if at == 0 or (at == 1 and size in lengths and len(spec.shape) > 2) else size
                for at, size in enumerate(spec.shape)
            ),
        )
        for spec in _fixed_outputs(original)
    )
