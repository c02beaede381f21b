"""benchmarks/soak.py: which figures of a run condemn it.

faults_of
├── when all is well: nothing
└── when one figure is not: that one is named
"""

import runpy
from pathlib import Path

import pytest

faults_of = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/soak.py"))["faults_of"]

WELL = {
    **dict.fromkeys(("open", "lost", "paid_twice", "unaccounted_wei", "nonce_gaps"), 0),
    **{"unlike_the_chain": 0, "inferred_too_often": 0},
    **{"gas": 1_000_000, "wasted_gas": 100_000, "recovery_p99_s": 60.0},
}


def test_faults_of__when_all_is_well__is_empty():
    assert faults_of(WELL) == []
    assert faults_of({**WELL, "recovery_p99_s": None}) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 1) for name, value in WELL.items() if value == 0),
        ("wasted_gas", 100_001),
        ("recovery_p99_s", 60.1),
    ],
)
def test_faults_of__when_a_figure_is_wrong__names_it(name, value):
    (said,) = faults_of({**WELL, name: value})

    assert str(value) in said
    assert name.split("_")[0] in said
