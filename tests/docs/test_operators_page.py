"""The figures of docs/operators.md are those of the benchmark.

docs/operators.md
└── the gas of answers that share a transaction is that of benchmarks/results/gas.json, and sharing is always cheaper
"""

import itertools
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = " ".join((ROOT / "docs/operators.md").read_text().split())


def test_gas__is_what_the_benchmark_says():
    actions = json.loads((ROOT / "benchmarks/results/gas.json").read_text())["actions"]
    shown = re.search(
        r"alone ([\d,]+), of two ([\d,]+), of eight ([\d,]+), of thirty-two ([\d,]+)\.", TEXT
    )
    measured = [actions[f"answer_of_{count}"]["gas"] for count in (1, 2, 8, 32)]

    assert [int(text.replace(",", "")) for text in shown.groups()] == measured
    for suffix in ("", "_output_1024"):
        gas = [actions[f"answer_of_{count}{suffix}"]["gas"] for count in (1, 2, 8, 32)]
        assert all(more > less for more, less in itertools.pairwise(gas))
