"""The properties and the random economy of tests/forge, a little of each; `make fuzz` runs more.

forge
├── properties of the libraries, for any arguments
├── the economy against its model, after every step
└── when forge finds no test of that name → a failure, not a success
"""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SEED = 1


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz", ROOT / "tools/fuzz.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_forge__on_random_arguments_and_steps__finds_nothing(fuzz):
    for stage in fuzz.QUICK:
        fuzz.run(stage, SEED)


def test_forge__when_a_test_is_missing__is_not_content(fuzz):
    with pytest.raises(fuzz.FuzzFailed, match="NobodysTest"):
        fuzz.run(fuzz.Stage("NobodysTest", 1), SEED)
