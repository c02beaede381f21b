"""Proves tests/forge/Proofs.t.sol with Halmos: `make prove`.

Halmos runs each check on symbols in place of numbers, so a check that passes holds for all arguments of its types. It
wants other versions of some packages than Ape does, so it has a virtual environment of its own, `.venv-prove`, with the
versions of tools/prove.txt.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-prove"
VERSIONS = ROOT / "tools/prove.txt"
PROOFS = ROOT / "tests/forge/Proofs.t.sol"
SOLVER_TIMEOUT_MS = 300_000
"""For one question to the solver; the slowest takes a tenth of it."""


class ProofsFailed(Exception):
    """A check does not hold, or was not decided; the message is what Halmos printed."""


def set_up() -> None:
    """Make the virtual environment, once for each state of tools/prove.txt."""
    stamp = VENV / ".ready"
    if stamp.is_file() and stamp.read_text() == VERSIONS.read_text():
        return
    print("set-up: Halmos, into .venv-prove", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    pip = [VENV / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--requirement", VERSIONS], check=True)
    stamp.write_text(VERSIONS.read_text())


def checks(source: str) -> list[str]:
    """Names of the checks in a file of proofs."""
    return re.findall(r"function (check_\w+)\(", source)


def complaint(output: str, expected: list[str]) -> str | None:
    """What is wrong with Halmos' `output`: None when it says that every expected check passed, and no other failed."""
    passed = re.findall(r"\[PASS\]\S* (check_\w+)\(", output)
    others = re.findall(r"\[(?:FAIL|TIMEOUT|ERROR)\]\S* (check_\w+)\(", output)
    if others:
        return f"not proved: {', '.join(others)}"
    if missing := sorted(set(expected) - set(passed)):
        return f"not run: {', '.join(missing)}"
    return None if expected else "there is nothing to prove"


def prove() -> str:
    """Run Halmos; returns its lines about the checks.

    Raises:
        ProofsFailed: see there.
    """
    version = json.loads((ROOT / "package.json").read_text())["dependencies"]["solc"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FOUNDRY_")}
    settings = {
        "FOUNDRY_CONFIG": str(ROOT / "tests/forge/foundry.toml"),
        "FOUNDRY_SOLC": f".solcx/solc-v{version}",
        "PATH": f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}",
    }
    command = [
        *(VENV / "bin/halmos", "--root", ROOT, "--forge-build-out", ".build/forge/out"),
        *("--contract", "ProofsTest", "--solver-timeout-assertion", str(SOLVER_TIMEOUT_MS)),
    ]
    done = subprocess.run(command, cwd=ROOT, env=kept | settings, capture_output=True, text=True)
    if wrong := complaint(done.stdout, checks(PROOFS.read_text())):
        raise ProofsFailed(f"{wrong}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return "\n".join(line for line in done.stdout.splitlines() if "[PASS]" in line)


if __name__ == "__main__":
    set_up()
    try:
        print(prove())
    except ProofsFailed as failure:
        sys.exit(str(failure))
