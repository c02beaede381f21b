"""`make check` fails on what slither finds and nobody explained, and on explanations that are out of date.

judge
├── a finding that is not explained                 → a complaint with its text
├── a finding that is explained, there or everywhere → no complaint
└── an explanation without a finding                 → a complaint

read_explanations
└── an explanation without a reason → ValueError
"""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location(
        "static_analysis", ROOT / "tools/static_analysis.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_judge__when_a_finding_is_not_explained__complains_with_its_text(tool):
    finding = tool.Finding("tx-origin", "Vault.withdraw", "uses tx.origin")

    complaints = list(tool.judge([finding], []))

    assert complaints == ["tx-origin at Vault.withdraw: uses tx.origin"]


@pytest.mark.parametrize("where", ["Vault.withdraw", "*"])
def test_judge__when_a_finding_is_explained__is_content(tool, where):
    finding = tool.Finding("timestamp", "Vault.withdraw", "uses the clock")

    assert list(tool.judge([finding], [tool.Explanation("timestamp", where, "minutes")])) == []


def test_judge__when_an_explanation_is_of_another_place__complains_twice(tool):
    finding = tool.Finding("timestamp", "Vault.withdraw", "uses the clock")

    complaints = list(
        tool.judge([finding], [tool.Explanation("timestamp", "Vault.delay", "minutes")])
    )

    assert len(complaints) == 2
    assert "remove it" in complaints[1]


def test_read_explanations__without_a_reason__says_which(tool, tmp_path):
    file = tmp_path / "explained.toml"
    file.write_text('[timestamp]\n"Vault.delay" = " "\n')

    with pytest.raises(ValueError, match=r"timestamp at Vault\.delay"):
        tool.read_explanations(file)


def test_where_of__when_slither_points_at_a_parameter__names_contract_function_and_parameter(tool):
    contract = {"type": "contract", "name": "Vault"}
    function = {
        "type": "function",
        "name": "delay",
        "type_specific_fields": {"parent": contract},
    }
    variable = {
        "type": "variable",
        "name": "amount",
        "type_specific_fields": {"parent": function},
    }

    assert tool.where_of({"elements": [variable]}) == "Vault.delay.amount"
