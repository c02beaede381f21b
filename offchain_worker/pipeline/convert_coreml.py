"""To Core ML: an ML program for iOS 18 and macOS 15 or later. Runs on any machine; nothing is loaded or predicted."""

import json
import logging
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import torch

from offchain_worker.backends.base import PAST
from offchain_worker.errors import ConversionFailed, one_line
from offchain_worker.generation import INPUT, OUTPUT, POSITION, PRESENT
from offchain_worker.lengths import SHORTEST, Lengths
from offchain_worker.pipeline import coreml_operators  # noqa: F401  (registers operators)
from offchain_worker.pipeline.steps import FixedStep, past_of, require_full_attention
from offchain_worker.transformers_model import Original, draw

Capture = Callable[[Original, list[torch.Tensor]], tuple[Any, dict[str, Any]]]

TARGET = ct.target.iOS18
_LOGGER = logging.getLogger("coremltools")


def convert(original: Original, precision: str = "float32", lengths: Lengths | None = None) -> Any:
    """Return the model as an `MLModel`, with the names of the original.

    It is captured by `torch.export`, and by tracing where that fails and the shapes of its inputs are fixed.

    Args:
        original: What to convert, for the shapes of its inputs.
        precision: Of computation and weights: "float32" or "float16".
        lengths: Lengths of a text that it has to take, if it is not to be the original's only.

    Raises:
        ConversionFailed: No way leads to a program; the message has the reasons.
    """
    tensors = [
        torch.from_numpy(draw(spec, np.random.default_rng(0), 0)) for spec in original.inputs
    ]
    reasons = []
    _LOGGER.setLevel(logging.ERROR)
    ways: tuple[Capture, ...] = (_export, _trace)
    if lengths is not None:
        ways = (partial(_export_free, lengths=lengths),)
    for capture in ways:
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")  # of the converter, about versions and rounding
                return _convert(original.outputs, *capture(original, tensors), precision)
        except Exception as error:  # the converter has no common root for what it raises
            reasons.append(
                f"{getattr(capture, '__name__', '_free lengths')[1:]}: {one_line(error)}"
            )
    raise ConversionFailed(
        f"expected a model that coremltools {ct.__version__} converts, got: {'; '.join(reasons)}"
    )


def convert_step(original: Original, length: int, precision: str = "float32") -> Any:
    """Return a model that writes text as an `MLModel` of `steps.FixedStep`.

    Args:
        original: What to convert.
        length: Most tokens of a text.
        precision: As in `convert`.

    Raises:
        ConversionFailed: The model has a window, or no such cache, or coremltools does not convert it.
    """
    require_full_attention(original)
    _LOGGER.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            sample = {
                INPUT: torch.ones((1, 1), dtype=torch.int32),
                POSITION: torch.ones(1, dtype=torch.int32),
                PAST: past_of(original, length),
            }
            step = FixedStep(original.model).eval()
            program = torch.export.export(step, (), sample, strict=False).run_decompositions({})
            return _convert((OUTPUT, PRESENT), program, {}, precision)
    except Exception as error:  # the converter has no common root for what it raises
        raise ConversionFailed(
            f"expected a model whose step coremltools {ct.__version__} converts, got: {one_line(error)}"
        ) from error


def save(model: Any, to: Path) -> None:
    """Write `model` as a package folder, whose `Manifest.json` is made the same for the same model."""
    model.save(str(to))
    (to / "executorch_debug_handle_mapping.json").unlink(missing_ok=True)  # nobody reads it
    canonical_manifest(to)


def canonical_manifest(package: Path) -> None:
    """Give the parts of a package fixed identifiers. coremltools draws random ones, which would change the CID."""
    file = package / "Manifest.json"
    plain = json.loads(file.read_text())
    entries = sorted(plain["itemInfoEntries"].items(), key=lambda item: item[1]["path"])
    named = {
        f"00000000-0000-4000-8000-{at:012d}": (key, item)
        for at, (key, item) in enumerate(entries, 1)
    }
    old_to_new = {key: new for new, (key, _) in named.items()}
    plain["itemInfoEntries"] = {new: item for new, (_, item) in named.items()}
    plain["rootModelIdentifier"] = old_to_new[plain["rootModelIdentifier"]]
    file.write_text(json.dumps(plain, indent=2, sort_keys=True) + "\n")


def _export(original: Original, tensors: list[torch.Tensor]) -> tuple[Any, dict[str, Any]]:
    named = {spec.name: tensor for spec, tensor in zip(original.inputs, tensors, strict=True)}
    return torch.export.export(original, (), named, strict=False).run_decompositions({}), {}


def _export_free(
    original: Original, tensors: list[torch.Tensor], lengths: Lengths
) -> tuple[Any, dict[str, Any]]:
    """Capture a model of texts with a length that is free, and tell Core ML which lengths there will be."""
    if any(spec.kind not in ("tokens", "mask") for spec in original.inputs):
        raise ConversionFailed("only texts have lengths")
    sizes, most = lengths.sizes, lengths.sizes[-1]
    free = torch.export.Dim("length", min=SHORTEST, max=max(most, SHORTEST + 1))
    shapes = (tuple({1: free} for _ in original.inputs),)
    program = torch.export.export(
        original, tuple(tensors), strict=False, dynamic_shapes=shapes
    ).run_decompositions({})
    if lengths.is_range:
        shape = ct.Shape((1, ct.RangeDim(sizes[0], most, default=most)))
    else:
        shape = ct.EnumeratedShapes(shapes=[(1, size) for size in sizes], default=(1, most))
    inputs = [
        ct.TensorType(name=spec.name, shape=shape, dtype=np.dtype(spec.spec.dtype).type)
        for spec in original.inputs
    ]
    return program, {"inputs": inputs}


def _trace(original: Original, tensors: list[torch.Tensor]) -> tuple[Any, dict[str, Any]]:
    program = torch.jit.trace(original, tuple(tensors), strict=False, check_trace=False)
    inputs = [
        ct.TensorType(name=spec.name, shape=spec.shape, dtype=np.dtype(spec.spec.dtype).type)
        for spec in original.inputs
    ]
    return program, {"inputs": inputs}


def _convert(outputs: Sequence[str], program: Any, options: dict[str, Any], precision: str) -> Any:
    return ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=TARGET,
        compute_precision=ct.precision.FLOAT16 if precision == "float16" else ct.precision.FLOAT32,
        skip_model_load=True,
        outputs=[ct.TensorType(name=name, dtype=np.float32) for name in outputs],
        **options,
    )
