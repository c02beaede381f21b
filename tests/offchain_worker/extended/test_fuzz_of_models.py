"""Damaged models: 24 copies for each backend, with bytes changed, cut off or added

a backend
├── it refuses a copy with an error of ours, or runs it: no other exception comes out
└── its process does not crash
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_models import FORMAT_OF, make_model

from offchain_worker import safetensors

pytestmark = pytest.mark.extended

HELPERS = Path(__file__).parents[2] / "helpers"
ROOT = HELPERS.parents[1]
COPIES = 24


@pytest.mark.parametrize("name", [name for name in FORMAT_OF if name != "coreml"])
def test_load_and_run__of_damaged_models__refuses_or_runs(name, tmp_path):
    model = make_model(FORMAT_OF[name], tmp_path / "model")
    inputs = tmp_path / "inputs.safetensors"
    inputs.write_bytes(safetensors.write(model.inputs))
    command = [sys.executable, HELPERS / "fuzz_backend.py", name, model.folder, inputs, str(COPIES)]

    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1200,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) >= COPIES // 4
