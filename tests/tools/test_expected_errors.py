"""Tests name the values of an error as the error does. Ape leaves out a name that it does not know, without a word.

ape.reverts
├── gets the values one by one, as `**{...}`
└── every name is one of the error's
"""

import ast
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "tests").rglob("*.py"))


def names_of_errors():
    manifest = json.loads((ROOT / "oracle/manifest.json").read_text())
    found = {}
    for contract in manifest["contracts"].values():
        for entry in contract["abi"]:
            if entry["type"] == "error":
                found.setdefault(entry["name"], set()).update(i["name"] for i in entry["inputs"])
    return found


def expectations(tree):
    """Yield line, error and names for each `ape.reverts(contract.Error, **values)`, where `values` is written out."""
    for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
        written = {
            node.targets[0].id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Dict)
        }
        for call in (n for n in ast.walk(function) if isinstance(n, ast.Call)):
            if getattr(call.func, "attr", "") != "reverts" or not call.args:
                continue
            error = getattr(call.args[0], "attr", None)
            for keyword in call.keywords:
                values = keyword.value
                if isinstance(values, ast.Name):
                    values = written.get(values.id)
                names = (
                    {keyword.arg} if keyword.arg else {k.value for k in getattr(values, "keys", [])}
                )
                yield call.lineno, error, names


def test_tests__name_the_values_of_an_error_as_the_error_does():
    known = names_of_errors()

    wrong = [
        f"{file.relative_to(ROOT)}:{line}: {error} has {sorted(known[error])}, not {name}"
        for file in FILES
        for line, error, names in expectations(ast.parse(file.read_text()))
        if error in known
        for name in names - known[error]
    ]

    assert wrong == []
