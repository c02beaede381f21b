"""A made-up backend for tests of what runs backends: `y = 2 x`, and whatever a row asks for by its first number."""

import os
import time

import numpy as np

from offchain_worker.backends.base import check_inputs
from offchain_worker.errors import BadModel

CRASH, HANG, FAIL, NOT_A_NUMBER, SLOW, FORK = 1001, 1002, 1003, 1004, 1005, 1006


class Backend:
    """Slow: 3 ms a run."""

    name, device = "made-up", "cpu"
    pause_s = 0.003

    def __init__(self, device: str = "cpu") -> None:
        self._manifest = None

    def load(self, folder, manifest) -> None:
        """Load nothing, and talk: runtimes do."""
        print("loading a made-up model")
        self._manifest = manifest

    def run(self, inputs):
        """Return twice the rows, unless one asks for something else."""
        check_inputs(inputs, self._manifest.inputs)
        x = inputs["x"]
        asked = set(x[:, 0].astype(int).tolist())
        if FORK in asked and os.fork() == 0:
            time.sleep(600)
        if {CRASH, FORK} & asked:
            os._exit(3)
        if HANG in asked:
            time.sleep(600)
        if FAIL in asked:
            raise BadModel("expected other rows, got one that fails")
        time.sleep(0.3 if SLOW in asked else self.pause_s)
        y = x * np.float32(2)
        y[x[:, 0] == NOT_A_NUMBER] = np.nan
        return {"y": y}

    def close(self) -> None:
        """Forget nothing."""
