"""The tree of cases at the top of each file of contract tests agrees with the tests below it.

a file of tests/contracts
├── without a tree
│   └── fails
├── whose tree names an error that no test expects, or the other way round
│   └── fails
└── as it is
    └── passes
"""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "tests" / "contracts").glob("test_*.py"))
GENERATED = ("test_economy_properties.py", "test_incentives_properties.py", "test_forge.py")
"""Random sequences: what they check stands in their invariants."""
LEAF = re.compile(r"^[│ ]*[├└]── ", re.MULTILINE)


@pytest.fixture(scope="module")
def errors() -> set[str]:
    """Names of all errors of the contracts."""
    contracts = json.loads((ROOT / "oracle" / "manifest.json").read_text())["contracts"]
    return {
        entry["name"]
        for contract in contracts.values()
        for entry in contract["abi"]
        if entry["type"] == "error"
    }


def complaints(source: str, errors: set[str]) -> list[str]:
    """What is wrong with the tree of a file of tests."""
    tree = ast.get_docstring(ast.parse(source)) or ""
    if not LEAF.search(tree):
        return ["no tree of cases"]
    named = set(re.findall(r"\w+", tree)) & errors
    tested = set(re.findall(r"\w+", source.replace(tree, "", 1))) & errors
    return [
        *(f"the tree says {name}, no test does" for name in sorted(named - tested)),
        *(f"a test says {name}, the tree does not" for name in sorted(tested - named)),
    ]


@pytest.mark.parametrize(
    "file", [f for f in FILES if f.name not in GENERATED], ids=lambda f: f.stem
)
def test_tree__names_the_errors_that_the_tests_expect(file: Path, errors: set[str]) -> None:
    assert complaints(file.read_text(), errors) == []


TREE = '"""act\n\nact\n└── it reverts with VaultZeroAccount\n"""\n'


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('"""act"""', ["no tree of cases"]),
        (TREE, ["the tree says VaultZeroAccount, no test does"]),
        (
            TREE + "revert(VaultZeroAccount, VaultBalanceTooLow)",
            ["a test says VaultBalanceTooLow, the tree does not"],
        ),
        (TREE + "revert(VaultZeroAccount)", []),
    ],
)
def test_complaints__say_what_is_missing_where(
    source: str, expected: list[str], errors: set[str]
) -> None:
    assert complaints(source, errors) == expected
