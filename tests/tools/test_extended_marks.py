"""tests/**/extended: its files are read only when `extended` is chosen

a file of such a folder
└── marks all of its tests, or no command would run them
"""

from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "file", sorted(TESTS.glob("**/extended/test_*.py")), ids=lambda file: file.stem
)
def test_extended_file__marks_all_of_its_tests(file):
    assert "\npytestmark = pytest.mark.extended\n" in file.read_text()
