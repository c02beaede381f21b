"""tools/prove.py: what counts as proved

complaint
├── when a check failed or was not decided
│   └── names it
├── when a check was not run
│   └── names it
├── when there are no checks
│   └── says so
└── when all passed
    └── there is none
"""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "tools" / "prove.py"
SPEC = importlib.util.spec_from_file_location("prove", PATH)
assert SPEC is not None
assert SPEC.loader is not None
prove = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(prove)

PASSED = "\x1b[32m[PASS]\x1b[0m check_a(uint8) (paths: 7)\n"
UNDECIDED = "\x1b[33m[TIMEOUT]\x1b[0m check_b(uint8) (paths: 7)\n"


@pytest.mark.parametrize(
    ("output", "expected", "complaint"),
    [
        (PASSED + UNDECIDED, ["check_a", "check_b"], "not proved: check_b"),
        (PASSED + "[FAIL] check_b(uint8)", ["check_a", "check_b"], "not proved: check_b"),
        (PASSED, ["check_a", "check_b"], "not run: check_b"),
        ("", [], "there is nothing to prove"),
        (PASSED, ["check_a"], None),
    ],
)
def test_complaint__says_what_is_not_proved(
    output: str, expected: list[str], complaint: str | None
) -> None:
    assert prove.complaint(output, expected) == complaint


def test_checks__are_those_of_the_file() -> None:
    assert "check_ledger_conservesThroughAModule" in prove.checks(prove.PROOFS.read_text())
