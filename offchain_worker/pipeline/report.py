"""How far a converted model is from its original, and how far it may be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from offchain_worker.errors import CheckFailed

LEAST_VARIATION = 1e-3
"""How far outputs for two inputs must differ at least, relative to their size; below, a check would say nothing."""


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
    same_bits: bool = False
    """Whether every bit of every output was the same."""

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
        if self.same_bits:
            found["same_bits"] = True
        return {**found, "accepted_error": True} if accepted else found


def require_variation(varied: Mapping[str, float]) -> None:
    """Check that each output varied with the input.

    Raises:
        CheckFailed: One did not, so that a comparison of it says nothing.
    """
    if still := [name for name, how_far in varied.items() if how_far < LEAST_VARIATION]:
        raise CheckFailed(
            f"expected outputs that vary with the input, got {still[0]!r}, which varies by {varied[still[0]]:.1e}: "
            "a check of it would say nothing"
        )


def variation(array: np.ndarray[Any, Any], first: np.ndarray[Any, Any]) -> float:
    """Return how far an output is from that for another input, relative to its size."""
    size = float(np.sqrt(np.mean(np.square(first, dtype=np.float64))))
    change = float(np.sqrt(np.mean(np.square(array - first, dtype=np.float64))))
    return change / max(size, 1e-30)


def cosine_of(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """Return the cosine of the angle between two vectors, 0 if one has no length."""
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else 0.0
