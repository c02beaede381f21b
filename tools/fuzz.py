"""Runs the properties and the economy of tests/forge with forge: `make fuzz`, or a little of it in `make test`.

The economy is a random sequence of what people do, against a model of who should have what. A step that reverts fails
it, because the model says that it is allowed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "tests/forge/foundry.toml"


@dataclass(frozen=True, slots=True)
class Stage:
    """One run of forge: the test `contract`, and how many arguments, or runs of how many steps."""

    contract: str
    runs: int
    steps: int = 1

    @property
    def calls(self) -> int:
        """Calls that forge has to make in each test."""
        return self.runs * self.steps


THOROUGH = [
    Stage("LibrariesTest", 10_000),
    Stage("RegistryTest", 10_000),
    Stage("EconomyTest", 1_000, 100),
    Stage("LongEconomyTest", 1, 100_000),
]
QUICK = [Stage("LibrariesTest", 256), Stage("RegistryTest", 256), Stage("EconomyTest", 20, 50)]


class FuzzFailed(Exception):
    """Forge found a counter-example, or made fewer calls than asked; the message is what it printed."""


def run(stage: Stage, seed: int) -> str:
    """Run a stage; returns forge's summary.

    Raises:
        FuzzFailed: see there.
    """
    version = json.loads((ROOT / "package.json").read_text())["dependencies"]["solc"]
    command = [
        *(ROOT / ".venv/bin/forge", "test", "--root", ROOT),
        *("--use", f".solcx/solc-v{version}", "--fuzz-seed", hex(seed)),
        *("--match-contract", f"^{stage.contract}$"),
    ]
    settings = {
        "FOUNDRY_CONFIG": str(CONFIG),
        "FOUNDRY_FUZZ_RUNS": str(stage.runs),
        "FOUNDRY_INVARIANT_RUNS": str(stage.runs),
        "FOUNDRY_INVARIANT_DEPTH": str(stage.steps),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FOUNDRY_")}
    done = subprocess.run(command, cwd=ROOT, env=kept | settings, capture_output=True, text=True)
    passed = [line for line in done.stdout.splitlines() if line.startswith("[PASS]")]
    made = [calls_of(line) for line in passed]
    if done.returncode != 0 or not made or min(made) < stage.calls:
        raise FuzzFailed(f"{stage} with seed {seed}:\n{shortened(done.stdout)}\n{done.stderr}")
    return "\n".join(passed)


def shortened(text: str, lines: int = 60) -> str:
    """Return the first and last `lines` lines: the steps that led to a failure may be 100,000."""
    every = text.splitlines()
    return text if len(every) <= 2 * lines else "\n".join([*every[:lines], "...", *every[-lines:]])


def calls_of(line: str) -> int:
    """Return how many calls a line of forge's summary tells of."""
    found = re.search(r"calls: (\d+)", line) or re.search(r"runs: (\d+)", line)
    return int(found[1]) if found else 0


def main() -> int:
    """Run all stages; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="repeats a run")
    chosen = parser.parse_args().seed
    seed = secrets.randbits(32) if chosen is None else chosen
    print(f"make fuzz SEED={seed}", flush=True)
    for stage in THOROUGH:
        try:
            print(run(stage, seed), flush=True)
        except FuzzFailed as failure:
            print(failure, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
