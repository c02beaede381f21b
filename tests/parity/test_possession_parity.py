"""possession.py against Possession.sol: the same leaf and path lead to the same root.

leaf counts, path lengths and leaf lengths
└── are the same for every size and index
root_of
├── a proof leads to the root
└── and with anything changed both lead to the same other node
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offchain_worker.storage import possession

QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
words = st.binary(min_size=32, max_size=32)


@pytest.fixture(scope="module")
def libraries(accounts, project):
    return accounts[0].deploy(project.MockLibraries)


@given(size=st.integers(1, 2**50), data=st.data())
@QUICK
def test_shape__is_the_same(libraries, size, data):
    leaves = possession.leaf_count(size)
    index = data.draw(st.integers(0, leaves - 1))

    assert tuple(libraries.possessionShape(size, index)) == (
        leaves,
        possession.path_length(leaves),
        possession.leaf_length(size, index),
    )


@given(
    index=st.integers(0, 2**40),
    leaf=st.binary(max_size=1024),
    path=st.lists(words, min_size=7, max_size=37),
)
@QUICK
def test_root_of__is_the_same(libraries, index, leaf, path):
    assert bytes(libraries.possessionRoot(index, leaf, path)) == possession.root_of(
        index, leaf, path
    )


@given(size=st.integers(1, 100_000), data=st.data())
@QUICK
def test_proof__leads_to_the_root(libraries, size, data):
    stream = bytes(range(256)) * (size // 256) + b"." * (size % 256)
    tree = possession.tree_of(stream)
    index = data.draw(st.integers(0, possession.leaf_count(size) - 1))
    proof = tree.prove(index, stream)

    assert bytes(libraries.possessionRoot(index, proof.leaf, proof.path)) == tree.root
