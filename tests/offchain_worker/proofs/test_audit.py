"""proofs.audit

commit
├── it is 258 bytes, the same each time
└── when the state is too small or not finite: it raises BadInput
compare
├── with the same state: nothing differs
├── with small noise: it is the same computation
├── with other numbers: it is not
├── with noise as commitment: it is not, and nothing breaks
└── when the commitment has another length: it raises BadInput
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offchain_worker.errors import BadInput
from offchain_worker.proofs.audit import SIZE_BYTES, TOP, Agreement, commit, compare

STATE = np.random.default_rng(0).standard_normal((1, 40, 64)).astype(np.float32)


def test_commit__is_small_and_repeatable():
    assert commit(STATE) == commit(STATE.copy())
    assert len(commit(STATE)) == SIZE_BYTES == 258


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(TOP, 70_000))
def test_compare__with_the_same_state__nothing_differs(seed, size):
    state = np.random.default_rng(seed).standard_normal(size).astype(np.float32)

    assert compare(state, commit(state)) == Agreement(0, 0.0)


def test_compare__with_states_that_repeat_their_numbers__nothing_differs():
    state = np.tile(np.float32([1, -1, 2, -2]), 500)

    assert compare(state, commit(state)) == Agreement(0, 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_compare__with_small_noise__is_the_same_computation(seed):
    noise = np.random.default_rng(seed + 1).standard_normal(STATE.shape).astype(np.float32)

    found = compare(STATE + 0.003 * noise, commit(STATE))

    assert found.same
    assert found.differing > 0 or found.mantissa > 0


@pytest.mark.parametrize("seed", range(5))
def test_compare__with_other_numbers__is_not(seed):
    other = np.random.default_rng(seed + 1).standard_normal(STATE.shape).astype(np.float32)

    assert not compare(other, commit(STATE)).same
    assert not compare(-STATE, commit(STATE)).same
    assert not compare(STATE[:, ::-1], commit(STATE)).same


@settings(deadline=None, max_examples=20)
@given(st.binary(min_size=SIZE_BYTES, max_size=SIZE_BYTES))
def test_compare__with_noise_as_commitment__is_not_the_same(data):
    try:
        assert not compare(STATE, data).same
    except BadInput:
        assert data[:2] in (b"\0\0", b"\0\1")


@pytest.mark.parametrize("state", [STATE[0, 0], STATE * np.nan, STATE * np.inf, np.float32([])])
def test_commit__when_state_cannot_be_committed_to__raises_bad_input(state):
    with pytest.raises(BadInput, match="at least 128 finite numbers"):
        commit(state)


@pytest.mark.parametrize("length", [0, 257, 259])
def test_compare__when_commitment_has_another_length__raises_bad_input(length):
    with pytest.raises(BadInput, match="a commitment of 258 bytes"):
        compare(STATE, bytes(length))
