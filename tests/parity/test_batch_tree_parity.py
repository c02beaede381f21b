"""BatchTree in Solidity and in Python are one tree.

root
├── both give the same
├── both refuse the same packed bytes
└── no two lists of items share one
pack
└── unpack gives the items back, and refuses what pack never makes
prove
└── shows each item at its place, and nothing else
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offchain_worker import batch_tree

ITEMS = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=33)


@pytest.fixture(scope="module")
def libraries(accounts, project):
    """Opens the internal libraries."""
    return accounts[0].deploy(project.MockLibraries)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(items=ITEMS, data=st.data())
def test_tree__is_the_same_on_both_sides(libraries, items, data):
    root = batch_tree.root(items)
    index = data.draw(st.integers(0, len(items) - 1))
    wrong = data.draw(st.integers(0, 40).filter(lambda other: other != index))
    proof = batch_tree.prove(items, index)

    packed = batch_tree.pack(items)
    assert tuple(libraries.batchRoot(packed, 40, 40)) == (root, len(items), len(packed))
    for place, expected in ((index, True), (wrong, False)):
        assert batch_tree.verify(root, place, items[index], proof) is expected
        assert libraries.batchContains(root, place, items[index], proof) is expected


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(items=ITEMS, data=st.data(), change=st.binary(max_size=3))
def test_packed__that_is_wrong__is_refused_on_both_sides(libraries, items, data, change):
    packed = batch_tree.pack(items)
    at = data.draw(st.integers(0, len(packed)))
    changed = packed[:at] + change + packed[at + data.draw(st.integers(0, 3)) :]
    try:
        expected = batch_tree.unpack(changed)
    except ValueError:
        expected = []

    root, count, stop = libraries.batchRoot(changed, 1_000, 1 << 16)

    assert (stop == len(changed)) is bool(expected or not changed)
    if expected:
        assert (root, count) == (batch_tree.root(expected), len(expected))


@pytest.mark.parametrize(
    ("items", "most", "longest", "found"),
    [
        ([b"abc", b"de"], 2, 3, (2, 9)),
        ([b"abc", b"de"], 1, 3, (1, 5)),
        ([b"abc", b"de"], 2, 2, (0, 0)),
        ([b"ab", b"cde"], 2, 2, (1, 4)),
    ],
)
def test_root__stops_at_the_limits(libraries, items, most, longest, found):
    assert tuple(libraries.batchRoot(batch_tree.pack(items), most, longest))[1:] == found


@given(items=ITEMS)
def test_unpack__gives_the_items_back(items):
    assert batch_tree.unpack(batch_tree.pack(items)) == items


@pytest.mark.parametrize("item", [b"", bytes(1 << 16)])
def test_pack__when_an_item_has_no_fitting_length__raises(item):
    with pytest.raises(ValueError, match="items of 1 to 65535 bytes"):
        batch_tree.pack([b"a", item])


@given(items=ITEMS, other=ITEMS)
def test_root__differs_when_the_items_do(items, other):
    assert (batch_tree.root(items) == batch_tree.root(other)) is (items == other)


def test_root__of_nothing__raises():
    with pytest.raises(ValueError, match="at least one item"):
        batch_tree.root([])


def test_prove__when_there_is_no_such_item__raises():
    with pytest.raises(ValueError, match="from 0 to 1, got 2"):
        batch_tree.prove([b"a", b"b"], 2)
