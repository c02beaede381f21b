"""The demo's path, as a user runs it: `ape run demo`.

demo
├── it ends with exit 0 and the books at zero
├── it has answered at least eight kinds of files, one through a contract, some across a kill -9
└── it has refunded the request whose provider stayed dead
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shown():
    """What the demo printed."""
    ape = Path(sys.executable).parent / "ape"
    done = subprocess.run(
        [ape, "run", "demo"],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "160", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    return done.stdout


def test_demo__ends_with_balanced_books(shown):
    assert re.search(r"paid in - paid out - held\s*│\s*0\s*│", shown)
    assert re.search(r"ether in the Vault - held\s*│\s*0\s*│", shown)


def test_demo__answers_real_files_with_what_the_model_says(shown):
    expected = {
        "README.md": "markdown",
        "deploy.sh": "shell",
        "Vault.sol": "solidity",
        "pixel.png": "png",
        "archive.zip": "zip",
        "paper.pdf": "pdf",
        "note.txt": "txt",
        "jobs.sqlite": "sqlite",
    }
    for name, label in expected.items():
        assert re.search(rf"│ {re.escape(name)}\s*│\s*\d+\s*│ {label}\s*│", shown), name
    assert "FileGate was called back and keeps: deploy.sh is shell" in shown
    assert len(re.findall(r"signature .*kill -9", shown)) == 4


def test_demo__refunds_the_request_of_the_dead_provider(shown):
    assert re.search(r"none\s*│\s*│ 2 \(dead\).*refunded", shown)
