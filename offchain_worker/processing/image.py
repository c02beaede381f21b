"""Kind "image": pixels become what a model of images takes. Decode the file first: the payload holds plain pixels.

The payload is `{"image": tensor}` of shape (height, width, 3), uint8, red, green, blue.
"""

from pathlib import Path
from typing import Any

import numpy as np

from offchain_worker.errors import BadInput, BadModel
from offchain_worker.manifest import Manifest
from offchain_worker.payload import Values
from offchain_worker.processing import check_options
from offchain_worker.processing.base import Tensors


class Preprocess:
    """Options: `mean` and `std` of each colour, for pixels from 0 to 1. The image is stretched to the model's size.

    Sizes change by area-weighted averages, so that the same pixels give the same numbers on every machine.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        check_options(manifest.preprocess, ("mean", "std"))
        given = [manifest.preprocess.options[name] for name in ("mean", "std")]
        try:
            self._mean, self._std = (np.array(item, np.float32).reshape(3) for item in given)
        except (TypeError, ValueError):
            raise BadModel(f"expected three numbers as mean and as std, got {given}") from None
        if not (np.isfinite(self._mean).all() and (self._std > 0).all()):
            raise BadModel(f"expected a finite mean and a positive std, got {given}")
        spec = manifest.inputs[0]
        if len(manifest.inputs) != 1 or len(spec.shape) != 4 or min(spec.shape[1:]) < 1:
            raise BadModel(
                f"expected one input of shape (batch, 3, height, width), got {spec.shape}"
            )
        self._name, self._height, self._width = spec.name, *spec.shape[2:]

    def __call__(self, values: Values) -> Tensors:
        """Turn an image into an array of shape (1, 3, height, width), float32."""
        image = values.get("image")
        if (
            set(values) != {"image"}
            or not isinstance(image, np.ndarray)
            or image.dtype != np.uint8
            or image.ndim != 3
            or image.shape[2] != 3
            or min(image.shape) < 1
        ):
            kinds = {
                name: f"{value.dtype} {value.shape}"
                if isinstance(value, np.ndarray)
                else type(value).__name__
                for name, value in values.items()
            }
            raise BadInput(f'expected {{"image": uint8 of shape (height, width, 3)}}, got {kinds}')
        pixels = image.astype(np.float64) / 255
        pixels = np.einsum("ab,bcd->acd", _averages(image.shape[0], self._height), pixels)
        pixels = np.einsum("ab,cbd->cad", _averages(image.shape[1], self._width), pixels)
        scaled = (pixels.astype(np.float32) - self._mean) / self._std
        return Tensors({self._name: np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])})


def _averages(before: int, after: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return weights of shape (after, before): how much each old pixel counts in each new one."""
    edges = np.arange(after + 1) * before / after
    starts, stops = edges[:-1, None], edges[1:, None]
    pixels = np.arange(before)[None]
    overlap = np.clip(np.minimum(stops, pixels + 1) - np.maximum(starts, pixels), 0, None)
    return np.asarray(overlap / overlap.sum(axis=1, keepdims=True))
