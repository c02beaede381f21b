"""The smallest backend, which is the specification of the others: dense layers in NumPy.

The model is one safetensors file with `w0`, `b0`, `w1`, `b1`, ... in float32. The next layer begins with max(0, y).
"""

from pathlib import Path
from typing import Any

import numpy as np

from offchain_worker import safetensors
from offchain_worker.backends.base import Arrays, check_inputs, check_options, pick_device
from offchain_worker.errors import BadModel
from offchain_worker.manifest import Manifest, inside

Layer = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


class Backend:
    """Runs `y = max(0, x @ w0 + b0) @ w1 + b1 ...` in float32.

    Sums of float32 depend on the BLAS library in their last bits, unless all numbers are small integers.
    Not thread-safe: use one instance per worker thread.
    """

    name = "reference"

    def __init__(self, device: str = "cpu") -> None:
        self.device = pick_device(self.name, device, {"cpu": (lambda: True, "")})
        self._manifest: Manifest | None = None
        self._layers: list[Layer] = []

    def load(self, folder: Path, manifest: Manifest) -> None:
        """Load the layers. See `base.Backend.load`."""
        check_options(manifest.runtime, (), self.name)
        if len(manifest.inputs) != 1 or len(manifest.outputs) != 1 or len(manifest.files) != 1:
            raise BadModel(
                "expected one file, one input and one output of format 'reference', got "
                f"{len(manifest.files)}, {len(manifest.inputs)} and {len(manifest.outputs)}"
            )
        self._layers = _layers(safetensors.read(inside(folder, manifest.files[0]).read_bytes()))
        self._manifest = manifest
        width = (self._layers[0][0].shape[0], self._layers[-1][0].shape[1])
        for spec, size in zip((manifest.inputs[0], manifest.outputs[0]), width, strict=True):
            if spec.dtype != "float32" or len(spec.shape) != 2 or spec.shape[1] != size:
                raise BadModel(
                    f"expected {spec.name!r} of shape (any, {size}), float32, as the weights have it, "
                    f"got {spec.shape}, {spec.dtype}"
                )

    def run(self, inputs: Arrays) -> Arrays:
        """Run the layers once.

        Args:
            inputs: The manifest's only input of shape (batch, features), float32.

        Returns:
            The manifest's only output of shape (batch, classes), float32.

        Raises:
            BadInput: As `check_inputs`.
        """
        if self._manifest is None:
            raise RuntimeError("expected load() before run()")
        check_inputs(inputs, self._manifest.inputs)
        (weights, bias), *rest = self._layers
        with np.errstate(over="ignore", invalid="ignore"):  # the worker refuses what is not finite
            y = inputs[self._manifest.inputs[0].name] @ weights + bias
            for weights, bias in rest:
                y = np.maximum(y, np.float32(0)) @ weights + bias
        return {self._manifest.outputs[0].name: y}

    def close(self) -> None:
        """Free the layers."""
        self._layers, self._manifest = [], None


def _layers(tensors: Arrays) -> list[Layer]:
    count = len(tensors) // 2
    expected = {f"{letter}{at}" for at in range(count) for letter in "wb"}
    if not tensors or set(tensors) != expected:
        raise BadModel(f"expected tensors w0, b0, w1, b1, ..., got {sorted(tensors)[:8]}")
    layers: list[Layer] = []
    for at in range(count):
        weights, bias = tensors[f"w{at}"], tensors[f"b{at}"]
        features = layers[-1][0].shape[1] if layers else None
        fits = weights.ndim == 2 and features in (None, weights.shape[0])
        if (
            not fits
            or bias.shape != weights.shape[1:]
            or {weights.dtype.name, bias.dtype.name} != {"float32"}
        ):
            raise BadModel(
                f"expected w{at} of shape ({features or 'any'}, n) and b{at} of shape (n,), float32, got "
                f"{weights.shape} {weights.dtype} and {bias.shape} {bias.dtype}"
            )
        layers.append((weights, bias))
    return layers
