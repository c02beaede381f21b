"""BatchTree in Solidity and in Python are one tree.

root
├── both give the same
└── no two lists of items share one
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

    assert libraries.batchRoot(items) == root
    for place, expected in ((index, True), (wrong, False)):
        assert batch_tree.verify(root, place, items[index], proof) is expected
        assert libraries.batchContains(root, place, items[index], proof) is expected


@given(items=ITEMS, other=ITEMS)
def test_root__differs_when_the_items_do(items, other):
    assert (batch_tree.root(items) == batch_tree.root(other)) is (items == other)


def test_root__of_nothing__raises():
    with pytest.raises(ValueError, match="at least one item"):
        batch_tree.root([])


def test_prove__when_there_is_no_such_item__raises():
    with pytest.raises(ValueError, match="from 0 to 1, got 2"):
        batch_tree.prove([b"a", b"b"], 2)
