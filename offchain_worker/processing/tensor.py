"""Kind "tensor": the payload holds the model's tensors themselves, and so does the answer."""

from pathlib import Path

import numpy as np

from offchain_worker.backends.base import Arrays
from offchain_worker.errors import BadInput
from offchain_worker.manifest import Manifest
from offchain_worker.payload import Values
from offchain_worker.processing import check_options
from offchain_worker.processing.base import Tensors


class Preprocess:
    """Takes tensors under the names of the model's inputs. The backend checks names, dtypes and shapes."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        check_options(manifest.preprocess, ())

    def __call__(self, values: Values) -> Tensors:
        """Pass tensors through."""
        for name, value in values.items():
            if not isinstance(value, np.ndarray):
                raise BadInput(f"expected a tensor at {name!r}, got {type(value).__name__}")
        return Tensors(values)


class Postprocess:
    """Answers with the model's outputs under their names."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        check_options(manifest.postprocess, ())

    def __call__(self, outputs: Arrays) -> Values:
        """Pass tensors through."""
        return dict(outputs)
