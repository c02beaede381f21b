"""tools/contract_sizes.py

contract_sizes
├── when nothing was compiled → it fails and says what to run
├── when a contract is one byte too large → it fails and names it
└── when the largest just fits → it passes; interfaces count as 0
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools/contract_sizes.py"


@pytest.fixture
def check_sizes(tmp_path):
    """Run the tool on contracts of the given sizes in bytes; None is an interface."""

    def run(sizes: dict[str, int | None]) -> subprocess.CompletedProcess[str]:
        types = {
            name: {"runtimeBytecode": {} if size is None else {"bytecode": "0x" + "00" * size}}
            for name, size in sizes.items()
        }
        manifest = tmp_path / "manifest.json"
        manifest.write_text(json.dumps({"contractTypes": types}))
        return subprocess.run([sys.executable, TOOL, manifest], capture_output=True, text=True)

    return run


def test_sizes__when_nothing_was_compiled__says_what_to_run(tmp_path):
    done = subprocess.run(
        [sys.executable, TOOL, tmp_path / "none.json"], capture_output=True, text=True
    )

    assert done.returncode == 1
    assert "ape compile" in done.stderr


def test_sizes__when_one_is_too_large__names_it(check_sizes):
    done = check_sizes({"Small": 10, "Large": 24_577})

    assert (done.returncode, done.stderr) == (1, "Large is 1 bytes too large to deploy\n")


def test_sizes__pass_when_the_largest_just_fits(check_sizes):
    done = check_sizes({"Large": 24_576, "IThing": None})

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "24,576 of 24,576 bytes  Large\n     0 of 24,576 bytes  IThing\n"
