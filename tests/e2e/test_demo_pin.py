"""The demo of pinning, as a user runs it: `ape run demo_pin`.

demo_pin
├── the pinner that keeps the model proves twelve times and gets its bond and all of the pay
├── the pinner that deleted it proves nothing, misses three times and gets nothing
└── no wei is missing
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_demo_pin__pays_who_keeps_the_model_and_nobody_else():
    ape = Path(sys.executable).parent / "ape"
    done = subprocess.run(
        [ape, "run", "demo_pin"],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "160", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    assert re.search(r"│ honest\s*│ 12\s*│ 0\s*│", done.stdout)
    assert re.search(r"│ careless\s*│ 0\s*│ 3\s*│ [\d.]+\s*│ 0\.000000\s*│", done.stdout)
    assert "paid in - paid out - held: 0 wei" in done.stdout
