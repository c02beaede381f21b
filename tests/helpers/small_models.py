"""One small model for each format, with inputs and the answer of the original, for tests of backends."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from integer_model import MANIFEST as INTEGER
from integer_model import write_integer

from offchain_worker.backends.base import Arrays
from offchain_worker.manifest import Manifest

FORMAT_OF = {
    "reference": "reference",
    "integer": "integer",
    "onnx": "onnx",
    "torch": "torch",
    "coreml": "coreml",
    "coreml-cpu": "coreml",
    "mlx": "mlx",
}
"""Format by backend."""


@dataclass(frozen=True)
class SmallModel:
    """An artifact folder and what it should answer."""

    folder: Path
    manifest: Manifest
    inputs: Arrays
    expected: Arrays
    tolerance: float

    def copy_to(self, to: Path) -> Path:
        """Copy the folder, so that it may be damaged."""
        shutil.copytree(self.folder, to)
        return to


def make_model(format: str, folder: Path) -> SmallModel:
    """Make the model of a format: a two-layer llama, but for `reference` (exclusive or) and `integer`."""
    if format == "integer":
        inputs, expected = write_integer(folder)
        return SmallModel(folder, INTEGER, inputs, expected, 0.0)
    if format == "reference":
        from offchain_worker.pipeline.xor_model import write_xor

        table = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
        manifest = write_xor(folder)
        expected = {"y": np.array([[0], [1], [1], [0]], np.float32)}
        return SmallModel(folder, manifest, {"x": table}, expected, 0.0)
    return _llama(format, folder)


def _llama(format: str, folder: Path) -> SmallModel:
    import torch

    from offchain_worker.pipeline.families import FAMILIES
    from offchain_worker.pipeline.package import About, write_package
    from offchain_worker.pipeline.random_model import save
    from offchain_worker.transformers_model import draw, from_folder

    source = folder.parent / f"{folder.name}-source"
    save(FAMILIES["llama"], source)
    original = from_folder(source, sequence=16)
    about = About("small-llama", "token-generation", "tests/helpers/small_models.py", "Apache-2.0")
    manifest = write_package(original, source, folder, format, "float32", about)
    rng = np.random.default_rng(1)
    inputs: dict[str, np.ndarray[Any, Any]] = {
        spec.name: draw(spec, rng, 0) for spec in original.inputs
    }
    with torch.no_grad():
        answer = original(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    expected = {name: t.numpy() for name, t in zip(original.outputs, answer, strict=True)}
    return SmallModel(folder, manifest, inputs, expected, 1e-4)
