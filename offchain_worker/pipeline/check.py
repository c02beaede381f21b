"""Compares a converted model with its original, on inputs that make the outputs vary.

That a conversion ended without an error proves nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from offchain_worker.backends import open_for
from offchain_worker.backends.base import Arrays, check_outputs
from offchain_worker.errors import CheckFailed
from offchain_worker.manifest import Manifest
from offchain_worker.transformers_model import Original, draw

INPUTS = 4
LEAST_VARIATION = 1e-3
"""How far outputs for two inputs must differ at least, relative to their size; below, a check would say nothing."""
BACKENDS = {"coreml": "coreml-cpu"}
"""Which backend checks a format, where that is not the one that serves it."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Worst error that passes."""

    cosine: float
    max_abs: float | None = None
    """Largest difference of two numbers, for outputs of size 1; larger outputs may differ in proportion."""


LIMITS: Mapping[str, Limit] = {
    "float32": Limit(0.99999, 1e-3),
    "float16": Limit(0.9999),
    "int8": Limit(0.99),
    "int4": Limit(0.97),
    "int4-palettes": Limit(0.97),
}
"""By precision."""


@dataclass(frozen=True, slots=True)
class Report:
    """How far a converted model was from its original, at worst over all inputs and outputs."""

    max_abs: float
    scale: float
    """Largest number in the original's outputs."""
    cosine: float
    inputs: int

    def excess(self, limit: Limit) -> str | None:
        """Return what is over the limit, or None."""
        if not self.cosine >= limit.cosine:  # so that NaN fails
            return f"expected a cosine of at least {limit.cosine}, got {self.cosine:.6f}"
        most = None if limit.max_abs is None else limit.max_abs * max(1.0, self.scale)
        if most is not None and not self.max_abs <= most:
            return f"expected differences of at most {most:.1e}, got {self.max_abs:.1e}"
        return None

    def to_manifest(self, accepted: bool) -> dict[str, str | int | float | bool]:
        """Return the report as a manifest's `check`, rounded so that one model gives one manifest."""
        found: dict[str, str | int | float | bool] = {
            "max_abs": float(f"{self.max_abs:.1e}"),
            "cosine": round(self.cosine, 6),
            "inputs": self.inputs,
        }
        return {**found, "accepted_error": True} if accepted else found


def random_inputs(original: Original, seed: int = 0) -> list[Arrays]:
    """Return inputs that the model may get, drawn at random."""
    rng = np.random.default_rng(seed)
    return [{spec.name: draw(spec, rng, at) for spec in original.inputs} for at in range(INPUTS)]


def compare(
    original: Original,
    folder: Path,
    manifest: Manifest,
    inputs: Sequence[Arrays] | None = None,
    backend: str | None = None,
) -> Report:
    """Run both on the same inputs.

    Args:
        original: What the artifact folder was made from.
        folder: Artifact folder.
        manifest: Its manifest.
        inputs: What to run them on; None for random ones. Real ones say more where weights were quantised.
        backend: What runs it; None for the one that checks its format on any machine.

    Raises:
        CheckFailed: The original's outputs hardly vary, so the check would say nothing.
        WorkerError: The artifact does not load or run.
    """
    converted = open_for(manifest.format, backend or BACKENDS.get(manifest.format))
    converted.load(folder, manifest)
    given_inputs = random_inputs(original) if inputs is None else inputs
    first: Arrays = {}
    varied: dict[str, float] = dict.fromkeys(original.outputs, 0.0)
    worst_difference, scale, cosine = 0.0, 0.0, 1.0
    try:
        for given in given_inputs:
            expected = _run(original, given)
            found = converted.run(given)
            check_outputs(found, manifest.outputs)
            first = first or expected
            for name, array in expected.items():
                right, got = _flat(array, given), _flat(found[name], given)
                if array.shape == first[name].shape:
                    varied[name] = max(varied[name], _variation(array, first[name]))
                worst_difference = max(worst_difference, float(np.abs(right - got).max()))
                scale = max(scale, float(np.abs(right).max()))
                cosine = min(cosine, _cosine(right, got))
    finally:
        converted.close()
    if still := [name for name, how_far in varied.items() if how_far < LEAST_VARIATION]:
        raise CheckFailed(
            f"expected outputs that vary with the input, got {still[0]!r}, which varies by {varied[still[0]]:.1e}: "
            "a check of it would say nothing"
        )
    return Report(worst_difference, scale, cosine, len(given_inputs))


def check(
    original: Original, folder: Path, manifest: Manifest, inputs: Sequence[Arrays] | None = None
) -> Report:
    """Compare, and hold the result to the limit of the manifest's precision.

    Raises:
        CheckFailed: It is over the limit; `error.report` has the figures. Or as `compare`.
    """
    report = compare(original, folder, manifest, inputs)
    if reason := report.excess(LIMITS[manifest.precision]):
        error = CheckFailed(
            f"{reason}: {manifest.name} in {manifest.format}, {manifest.precision}, does not compute what the original "
            "computes"
        )
        error.report = report
        raise error
    return report


def _run(original: Original, given: Arrays) -> Arrays:
    with torch.inference_mode():
        found = original(**{name: torch.from_numpy(array) for name, array in given.items()})
    return {name: tensor.numpy() for name, tensor in zip(original.outputs, found, strict=True)}


def _flat(array: np.ndarray[Any, Any], given: Arrays) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the numbers that count: what a model says at padded positions means nothing."""
    mask = given.get("attention_mask")
    if mask is not None and array.ndim > 2 and array.shape[:2] == mask.shape:
        array = array[mask.astype(bool)]
    return array.astype(np.float64).ravel()


def _variation(array: np.ndarray[Any, Any], first: np.ndarray[Any, Any]) -> float:
    size = float(np.sqrt(np.mean(np.square(first, dtype=np.float64))))
    change = float(np.sqrt(np.mean(np.square(array - first, dtype=np.float64))))
    return change / max(size, 1e-30)


def _cosine(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else 0.0
