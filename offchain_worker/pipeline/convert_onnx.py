"""To ONNX, opset 18: by PyTorch's exporter, with free batch and length where the model allows them."""

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from offchain_worker.backends.base import PAST
from offchain_worker.errors import ConversionFailed
from offchain_worker.generation import INPUT, OUTPUT, PRESENT
from offchain_worker.manifest import TensorSpec
from offchain_worker.pipeline.steps import GrowingStep, past_of
from offchain_worker.transformers_model import Original, draw

OPSET = 18

_FREE = {"tokens": (0, 1), "mask": (0, 1), "image": (0,)}
"""Axes that stay free, by kind of input: batch and length of a text, batch of images."""


def convert(original: Original) -> Any:
    """Return the model as a float32 `onnx.ModelProto`, with the names of the original.

    Raises:
        ConversionFailed: No way leads to a model that ONNX accepts; the message has the reasons.
    """
    reasons = []
    for way in (_free_shapes, _fixed_shapes, _by_trace):
        try:
            with (
                warnings.catch_warnings(),
                torch.no_grad(),
                tempfile.TemporaryDirectory() as folder,
            ):
                warnings.simplefilter("ignore")  # of the exporter, about its own future
                logging.getLogger("torch.onnx").setLevel(logging.ERROR)
                model = way(original, Path(folder) / "model.onnx")
                _rename_outputs(model, original.outputs)
                onnx.checker.check_model(model)
                return model
        except Exception as error:  # the exporter has no common root for what it raises
            reasons.append(f"{way.__name__[1:]}: {' '.join(str(error).split())[:200]}")
    raise ConversionFailed(
        f"expected a model that torch {torch.__version__} exports to ONNX, got: {'; '.join(reasons)}"
    )


def convert_step(original: Original) -> Any:
    """Return a model that writes text as a float32 `onnx.ModelProto` of `steps.GrowingStep`.

    Raises:
        ConversionFailed: The model has no such cache, or PyTorch does not export it.
    """
    free = torch.export.Dim.DYNAMIC
    try:
        with (
            warnings.catch_warnings(),
            torch.no_grad(),
            tempfile.TemporaryDirectory() as folder,
        ):
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            # Neither size is 1, which would be taken for one that never changes, nor are they the same.
            sample = (torch.ones((1, 3), dtype=torch.int32), past_of(original, 5))
            program = torch.onnx.export(
                GrowingStep(original.model).eval(),
                sample,
                input_names=[INPUT, PAST],
                dynamo=True,
                dynamic_shapes=({1: free}, {3: free}),
                opset_version=OPSET,
                verbose=False,
            )
            program.save(str(Path(folder) / "model.onnx"))
            model = onnx.load(str(Path(folder) / "model.onnx"))
        _rename_outputs(model, (OUTPUT, PRESENT))
        onnx.checker.check_model(model)
    except Exception as error:  # the exporter has no common root for what it raises
        raise ConversionFailed(
            f"expected a model whose step torch {torch.__version__} exports to ONNX, got: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    return model


def tensors_of(values: Any) -> tuple[TensorSpec, ...]:
    """Return inputs or outputs of an ONNX graph, -1 where a size is free."""
    return tuple(
        TensorSpec(
            value.name,
            onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
            tuple(
                size.dim_value if size.HasField("dim_value") else -1
                for size in value.type.tensor_type.shape.dim
            ),
        )
        for value in values
    )


def _samples(original: Original, batch: int) -> tuple[torch.Tensor, ...]:
    rng = np.random.default_rng(0)
    arrays = [draw(spec, rng, 0) for spec in original.inputs]
    return tuple(torch.from_numpy(np.repeat(array, batch, axis=0)) for array in arrays)


def _free_shapes(original: Original, to: Path) -> Any:
    if not all(spec.kind in _FREE for spec in original.inputs):
        raise ValueError("shapes of sound stay fixed")
    shapes = tuple(
        dict.fromkeys(_FREE[spec.kind], torch.export.Dim.DYNAMIC) for spec in original.inputs
    )
    # A batch of one would be taken for a size that never changes.
    return _export(original, to, 2, (shapes,))


def _fixed_shapes(original: Original, to: Path) -> Any:
    return _export(original, to, 1, None)


def _export(original: Original, to: Path, batch: int, shapes: Any) -> Any:
    program = torch.onnx.export(
        original,
        _samples(original, batch),
        input_names=[spec.name for spec in original.inputs],
        dynamo=True,
        dynamic_shapes=shapes,
        opset_version=OPSET,
        verbose=False,
    )
    program.save(str(to))
    return onnx.load(str(to))


def _by_trace(original: Original, to: Path) -> Any:
    torch.onnx.export(
        original,
        _samples(original, 1),
        str(to),
        dynamo=False,
        input_names=[spec.name for spec in original.inputs],
        opset_version=17,
    )
    return onnx.load(str(to))


def _rename_outputs(model: Any, names: tuple[str, ...]) -> None:
    """Name the outputs of an ONNX model. The exporter, asked to do it, makes clashes with inner names."""
    for output, name in zip(model.graph.output, names, strict=True):
        old = output.name
        if old == name:
            continue
        for node in model.graph.node:
            _replace(node.output, name, f"{name}.inner")
            _replace(node.input, name, f"{name}.inner")
        for node in model.graph.node:
            _replace(node.output, old, name)
            _replace(node.input, old, name)
        output.name = name


def _replace(names: Any, old: str, new: str) -> None:
    for at, name in enumerate(names):
        if name == old:
            names[at] = new
