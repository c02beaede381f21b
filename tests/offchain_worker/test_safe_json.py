"""safe_json.loads

loads
├── when nested deeper than 32
│   └── it raises ValueError, however far the recursion limit was raised
├── when it is not JSON
│   └── it raises ValueError
└── it reads what json.loads reads, brackets in strings included
"""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain_worker import safe_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"[":'])
def test_loads__when_nested_too_deeply__raises(opening):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        with pytest.raises(ValueError, match="nested at most 32"):
            safe_json.loads(opening * 100_000)
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("text", ["", "[", "{]", '"', '"\\', b"\xff"])
def test_loads__when_not_json__raises(text):
    with pytest.raises(ValueError):  # noqa: PT011 -- whatever the standard library says
        safe_json.loads(text)


@given(values)
def test_loads__reads_what_json_reads(value):
    assert safe_json.loads(json.dumps(value)) == value
    assert safe_json.loads(json.dumps(value, ensure_ascii=False).encode()) == value


def test_loads__brackets_in_strings_do_not_count():
    assert safe_json.loads(json.dumps("[" * 100 + '\\"{')) == "[" * 100 + '\\"{'
