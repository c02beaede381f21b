"""hardware

detect
├── it names chip, cores, memory and versions of this machine
├── the same machine has the same identity; another version of a package has another
├── when a program is missing or hangs: it is left out
└── its memory is what a container or unit leaves it, where that is less than the machine's
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


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/\n", {"memory.max": "1000\n"}, 1000),
        ("0::/a/b\n", {"a/memory.max": "500\n", "a/b/memory.max": "max\n"}, 500),
        ("4:memory:/x\n0::/\n", {"memory/x/memory.limit_in_bytes": "700\n"}, 700),
        ("4:memory:/x\n", {"memory/memory.limit_in_bytes": "300\n"}, 300),
        ("4:memory:/x\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 10_000),
        ("0::/\n", {"memory.max": "max\n"}, 10_000),
        ("0::/\n", {"memory.max": "nonsense\n"}, 10_000),
        ("", {}, 10_000),
    ],
)
def test_least_memory__is_that_of_the_group_where_it_is_less(tmp_path, groups, limits, expected):
    (tmp_path / "groups").write_text(groups)
    for name, text in limits.items():
        (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / name).write_text(text)

    assert hardware.least_memory(10_000, tmp_path / "groups", tmp_path / "fs") == expected


def test_least_memory__where_there_are_no_groups__is_the_machines(tmp_path):
    assert hardware.least_memory(10_000, tmp_path / "none", tmp_path / "none") == 10_000
