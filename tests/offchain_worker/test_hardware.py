"""hardware

detect
├── it names chip, cores, memory and versions of this machine
├── the same machine has the same identity; another version of a package has another
└── when a program is missing or hangs: it is left out
usable
└── it says of each backend and device that it can be used, or why not
"""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from offchain_worker import hardware
from offchain_worker.backends import BACKENDS


def test_detect__describes_this_machine():
    found = hardware.detect()

    assert found.chip
    assert found.cores >= 1
    assert found.memory_bytes > 1 << 28
    assert found.neural_engine == (sys.platform == "darwin" and "Apple" in found.chip)
    assert found.versions["numpy"] == np.__version__


def test_identity__is_of_the_machine_and_its_versions():
    found = hardware.detect()

    newer = replace(found, versions={**found.versions, "numpy": "99"})

    assert found.identity == hardware.detect().identity
    assert newer.identity != found.identity


@pytest.mark.parametrize(
    "error", [FileNotFoundError(), subprocess.TimeoutExpired("nvidia-smi", 10)]
)
def test_detect__when_a_program_does_not_answer__goes_on(monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(subprocess, "run", fail)

    assert hardware.detect().cores >= 1


def test_usable__says_of_each_backend_whether_and_why_not():
    found = hardware.usable()

    assert {name.partition(":")[0] for name in found} == set(BACKENDS)
    assert found["reference:cpu"] == found["onnx:cpu"] == "ok"
    for name, state in found.items():
        assert state == "ok" or "not installed" in state or "lacks" in state, name
