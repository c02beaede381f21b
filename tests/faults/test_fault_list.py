"""Every scenario has a test that carries its number."""

import re
from pathlib import Path

SCENARIOS = range(1, 37)
NOT_INJECTED: dict[int, str] = {}
"""Scenarios that cannot be injected here, and why."""


def test_faults__every_number_has_a_test_or_a_reason():
    names = "\n".join(file.read_text() for file in Path(__file__).parent.glob("test_fault_*.py"))
    found = {int(number) for number in re.findall(r"def test_fault_(\d\d)_", names)}

    assert found | set(NOT_INJECTED) == set(SCENARIOS)
    assert not found & set(NOT_INJECTED)
    assert len(NOT_INJECTED) <= 2
