"""tests/plugins/allowed_skips.py: what `make test-extended` makes of a skip

a run
├── with a skip that is not listed
│   └── it fails and names the test
├── with a pattern that has no reason
│   └── it stops before any test
├── with a listed skip, and an expected failure
│   └── it passes
└── with a bracket in the listed id
    └── the bracket stands for itself
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[1] / "plugins"

SKIPPING = """
import pytest

@pytest.mark.parametrize("chip", ["gpu[0]"])
def test_needs(chip):
    pytest.skip("no chip here")

@pytest.mark.xfail
def test_expected_to_fail():
    assert False

def test_runs():
    pass
"""


@pytest.fixture
def run_suite(tmp_path):
    """Run a suite that skips one test; return the exit status and what was printed."""

    def run(allowed: str) -> tuple[int, str]:
        (tmp_path / "tests").mkdir()
        (tmp_path / "pytest.ini").touch()
        (tmp_path / "tests/test_suite.py").write_text(SKIPPING)
        (tmp_path / "tests/allowed_skips.toml").write_text(allowed)
        options = ["-p", "allowed_skips", "-p", "no:ape_test", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(PLUGINS)},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_run__when_a_skip_is_not_listed__fails_and_names_it(run_suite):
    status, printed = run_suite("")

    assert status == 1
    assert "tests/test_suite.py::test_needs[gpu[0]]: Skipped: no chip here" in printed
    assert "1 passed, 1 skipped, 1 xfailed" in printed


def test_run__when_a_pattern_has_no_reason__stops(run_suite):
    status, printed = run_suite('"*" = " "')

    assert status == pytest.ExitCode.USAGE_ERROR
    assert "expected a reason for '*'" in printed


@pytest.mark.parametrize(
    "pattern", ["tests/test_suite.py::test_needs*", "*::test_needs[[]gpu[[]0]]", "*[gpu[0]]"]
)
def test_run__passes_only_when_the_pattern_means_the_skipped_test(run_suite, pattern):
    status, _ = run_suite(f'"{pattern}" = "needs a chip that CI has not"')

    assert status == (1 if "[[]" in pattern else 0)
