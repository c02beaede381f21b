"""The figures of docs/storage.md are those of the benchmark and of the manager's own calculation.

docs/storage.md
├── gas figures are those of benchmarks/results/gas.json
└── gas and pay of a place, and the sizes from which on it pays, follow from them
"""

import json
import re
from pathlib import Path

import pytest

from oracle.services.pin_places import CLAIM_GAS, JOIN_GAS, answer_gas
from oracle.services.pin_rules import GIB

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/storage.md").read_text()
RATE_WEI = 10**12
GAS_PRICES_WEI = (10**7, 10**8, 10**9, 10**10)


def test_gas__is_what_the_benchmark_says():
    actions = json.loads((ROOT / "benchmarks/results/gas.json").read_text())["actions"]
    plain = " ".join(TEXT.split())
    shown = re.search(
        r"open a deal ([\d,]+) gas, join ([\d,]+), answer with one leaf ([\d,]+), "
        r"with eight leaves ([\d,]+), claim ([\d,]+)",
        plain,
    )
    names = ("open_deal", "join_deal", "answer_1_of_1_gib", "answer_8_of_1_gib", "claim_reward")

    assert [int(text.replace(",", "")) for text in shown.groups()] == [
        actions[name]["gas"] for name in names
    ]
    assert actions["answer_1_of_1_gib"]["gas"] <= 110_000


def breaks_even_gib(challenges, samples, days, gas_price_wei):
    size = GIB
    for _ in range(50):
        gas = JOIN_GAS + CLAIM_GAS + challenges * answer_gas(samples, int(size))
        size = gas * gas_price_wei / (RATE_WEI * days) * GIB
    return size / GIB


def test_table__says_from_which_size_on_a_deal_pays():
    rows = re.findall(r"\| (\d+) \S (\d+) \| (\d+) days \|(.+)\|", TEXT)

    assert len(rows) == 3
    for challenges, samples, days, cells in rows:
        shown = [float(cell.replace(",", "").split()[0]) for cell in cells.split("|")]
        gas = JOIN_GAS + CLAIM_GAS + int(challenges) * answer_gas(int(samples), GIB)
        expected = [
            gas / 10**6,
            RATE_WEI * int(days) / 10**9,
            *(
                breaks_even_gib(int(challenges), int(samples), int(days), price)
                for price in GAS_PRICES_WEI
            ),
        ]
        assert shown == [pytest.approx(value, rel=0.03) for value in expected]
