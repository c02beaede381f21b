"""Properties of the pure libraries.

FeeSplit.split
├── the parts add up to the whole
└── nobody gets less than nothing, and the protocol never more than its fee
Tickets
└── behaves as a list from which the last item fills every hole
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def libraries(accounts, project):
    """Opens the internal libraries."""
    return accounts[0].deploy(project.MockLibraries)


@QUICK
@given(
    units=st.integers(0, 2**20),
    ask=st.integers(0, 2**79 - 1),
    model_price=st.integers(0, 2**79 - 1),
    royalty_bps=st.integers(0, 5_000),
    fee_bps=st.integers(0, 1_000),
)
def test_split__adds_up_to_the_whole(libraries, units, ask, model_price, royalty_bps, fee_bps):
    price = ask + model_price
    earned = units * price

    parts = libraries.split(earned, price, model_price, royalty_bps, fee_bps)

    assert sum(parts) == earned
    to_provider, to_model, to_protocol = parts
    assert to_protocol == earned * fee_bps // 10_000
    if earned:
        rest = earned - to_protocol
        for_model = rest * model_price // price
        assert to_model == for_model + (rest - for_model) * royalty_bps // 10_000
        assert to_provider >= rest - for_model - (rest - for_model) // 2


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.one_of(st.none(), st.integers(0, 2**16)), max_size=30))
def test_tickets__behave_as_a_list_whose_last_item_fills_holes(libraries, accounts, chain, steps):
    snapshot, expected = chain.snapshot(), []
    for number, step in enumerate(steps, start=1):
        if step is None or not expected:
            expected.append(number)
            libraries.push(number, sender=accounts[0])
        else:
            index, last = step % len(expected), expected.pop()
            if index < len(expected):
                expected[index] = last
            libraries.remove(index, sender=accounts[0])

    assert list(libraries.tickets()) == expected
    chain.restore(snapshot)
