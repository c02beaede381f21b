"""The smallest model: exclusive or, in two dense layers of small integers. For examples and tests.

All its numbers are exact in float32, so every machine gives the same bits.
"""

from pathlib import Path

import numpy as np

from offchain_worker import safetensors
from offchain_worker.manifest import Manifest, Step, TensorSpec
from offchain_worker.pipeline import write_folder

_FILE = "xor.safetensors"

MANIFEST = Manifest(
    name="xor",
    task="exclusive-or",
    format="reference",
    precision="float32",
    files=(_FILE,),
    inputs=(TensorSpec("x", "float32", (-1, 2)),),
    outputs=(TensorSpec("y", "float32", (-1, 1)),),
    preprocess=Step("tensor"),
    postprocess=Step("tensor"),
    runtime={},
    source="offchain_worker/pipeline/xor_model.py",
    licence="Apache-2.0",
    units="inference",
)


def write_xor(to_folder: Path) -> Manifest:
    """Write the artifact folder, which must not exist. The same bytes each time, so the same CID.

    Input `x` of shape (batch, 2), float32, each 0 or 1; output `y` of shape (batch, 1), float32, 1 where they differ.
    """
    weights = {
        "w0": np.array([[1, 1], [1, 1]], dtype=np.float32),
        "b0": np.array([0, -1], dtype=np.float32),
        "w1": np.array([[1], [-2]], dtype=np.float32),
        "b1": np.array([0], dtype=np.float32),
    }
    write_folder(to_folder, MANIFEST, {_FILE: safetensors.write(weights)})
    return MANIFEST
