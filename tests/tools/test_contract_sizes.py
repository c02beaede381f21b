"""tools/contract_sizes.py

contract_sizes
├── when nothing was compiled → it fails and says what to run
├── when a contract is one byte too large → it fails and names it, recorded or not
├── when a size is not the recorded one, or a contract came or went → it fails and says what changed
├── when the largest just fits → it passes
├── with --write → it records the sizes
└── interfaces, mocks, libraries and contracts of others are left out
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools/contract_sizes.py"


@pytest.fixture
def check_sizes(tmp_path):
    """Run the tool on contracts of the given sizes in bytes; the sources are contracts/Name.sol unless given."""
    record = tmp_path / "sizes.json"

    def run(sizes, recorded=None, *options, sources=None) -> subprocess.CompletedProcess[str]:
        types = {
            name: {
                "runtimeBytecode": {} if size is None else {"bytecode": "0x" + "00" * size},
                "sourceId": (sources or {}).get(name, f"contracts/{name}.sol"),
            }
            for name, size in sizes.items()
        }
        manifest = tmp_path / "manifest.json"
        manifest.write_text(json.dumps({"contractTypes": types}))
        if recorded is not None:
            record.write_text(json.dumps(recorded))
        return subprocess.run(
            [sys.executable, TOOL, manifest, "--record", record, *options],
            capture_output=True,
            text=True,
        )

    run.record = record
    return run


def test_sizes__when_nothing_was_compiled__says_what_to_run(tmp_path):
    done = subprocess.run(
        [sys.executable, TOOL, tmp_path / "none.json"], capture_output=True, text=True
    )

    assert done.returncode == 1
    assert "ape compile" in done.stderr


def test_sizes__when_one_is_too_large__names_it(check_sizes):
    sizes = {"Small": 10, "Large": 24_577}

    done = check_sizes(sizes, sizes)

    assert (done.returncode, done.stderr) == (1, "Large is 1 bytes too large to deploy\n")


def test_sizes__when_the_record_says_otherwise__says_what_changed(check_sizes):
    done = check_sizes(
        {"Same": 5, "New": 7, "Grown": 1_001}, {"Same": 5, "Gone": 3, "Grown": 1_000}
    )

    assert done.returncode == 1
    assert done.stderr.splitlines()[:3] == [
        "Gone: 3 -> 0 bytes",
        "Grown: 1,000 -> 1,001 bytes",
        "New: 0 -> 7 bytes",
    ]
    assert "--write" in done.stderr


def test_sizes__pass_when_the_largest_just_fits(check_sizes):
    done = check_sizes({"Large": 24_576}, {"Large": 24_576})

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "24,576 of 24,576 bytes  Large\n"


def test_sizes__with_write__are_recorded(check_sizes):
    done = check_sizes({"Small": 1, "Large": 2}, {"Small": 7}, "--write")

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(check_sizes.record.read_text()) == {"Large": 2, "Small": 1}


def test_sizes__leave_out_what_is_not_deployed(check_sizes):
    sources = {
        "Lib": "contracts/libraries/Lib.sol",
        "Mock": "contracts/mocks/Mock.sol",
        "Other": "contracts/.cache/openzeppelin/Other.sol",
    }

    done = check_sizes({"IThing": None, "Lib": 57, "Mock": 9, "Other": 9}, {}, sources=sources)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
