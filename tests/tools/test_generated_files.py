"""Generated files are committed, and as they would be generated now.

generated files
├── oracle/manifest.json is what `ape run manifest` writes
└── docs/errors.md is what `python tools/error_page.py` writes
"""

import subprocess
import sys
from pathlib import Path

from scripts.manifest import PATH, build

ROOT = Path(__file__).parents[2]


def test_manifest__is_not_stale(project):
    assert PATH.read_text() == build(), "run `ape run manifest`"


def test_error_page__is_not_stale():
    done = subprocess.run(
        [sys.executable, "tools/error_page.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
