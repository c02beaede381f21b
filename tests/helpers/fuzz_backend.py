"""Loads and runs damaged copies of an artifact folder: `python fuzz_backend.py BACKEND FOLDER INPUTS SEEDS`.

A process of its own, so that a crash of native code shows as its exit code. Prints how many copies were refused.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from offchain_worker import manifest as manifests
from offchain_worker import safetensors
from offchain_worker.backends import open_backend
from offchain_worker.backends.base import check_outputs
from offchain_worker.errors import WorkerError


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """Return `data` cut, grown, or with some bytes changed, most often near its beginning, where formats keep sizes."""
    array = np.frombuffer(data, np.uint8).copy()
    kind = rng.integers(4)
    if kind == 0:
        return data[: int(rng.integers(len(data)))]
    if kind == 1:
        return data + rng.bytes(int(rng.integers(1, 64)))
    most = len(array) if kind == 2 else min(len(array), 512)
    for at in rng.integers(0, most, int(rng.integers(1, 9))):
        array[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)])
    return array.tobytes()


def main(name: str, folder: Path, inputs: Path, seeds: int) -> None:
    manifest = manifests.load(folder)
    given = dict(safetensors.read(inputs.read_bytes()))
    refused = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        with tempfile.TemporaryDirectory() as temporary:
            copy = Path(temporary) / "copy"
            shutil.copytree(folder, copy)
            file = copy / manifest.files[seed % len(manifest.files)]
            file.write_bytes(damage(file.read_bytes(), rng))
            backend = open_backend(name)
            try:
                backend.load(copy, manifest)
                check_outputs(backend.run(given), manifest.outputs)
            except WorkerError:
                refused += 1
            finally:
                backend.close()
    print(refused)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
