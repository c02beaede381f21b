"""Properties of the pure libraries.

FeeSplit.split
├── the parts add up to the whole
└── nobody gets less than nothing, and the protocol never more than its fee
Belief
├── weight halves in thirty days, however often it is brought up to date
├── the lower bound is that of the formula, and within 0 and 1
└── it rises with successes and falls with failures
Tickets
└── behaves as a list from which the last item fills every hole
"""

import math

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


@QUICK
@given(weight=st.integers(0, 2**104), days=st.integers(0, 5_000), part=st.floats(0, 1))
def test_decayed__halves_in_thirty_days_in_any_steps(libraries, weight, days, part):
    first = int(days * part)

    at_once = libraries.decayed(weight, days)
    in_two = libraries.decayed(libraries.decayed(weight, first), days - first)

    error = 40 + weight * 1e-16  # of factors with 18 digits
    assert at_once <= weight
    assert at_once == pytest.approx(weight * 0.5 ** (days / 30), abs=error)
    assert in_two == pytest.approx(at_once, abs=error)


def lower_bound(good: int, bad: int) -> float:
    """The formula of Belief.lowerBound in floating point, in basis points."""
    a, b = 1 + good / 1e6, 1 + bad / 1e6
    mean = a / (a + b)
    return 10_000 * max(0.0, mean - 1.645 * math.sqrt(mean * (1 - mean) / (a + b + 1)))


@QUICK
@given(
    good=st.integers(0, 2**104 - 1) | st.integers(0, 10**9),
    bad=st.integers(0, 2**104 - 1) | st.integers(0, 10**9),
    more=st.integers(1, 10**9),
)
def test_lower_bound__is_that_of_the_formula(libraries, good, bad, more):
    bound = libraries.lowerBound(good, bad)

    assert 0 <= bound <= 10_000
    assert bound == pytest.approx(lower_bound(good, bad), abs=1.01)
    assert libraries.lowerBound(good, bad + more) <= bound
    assert libraries.lowerBound(good + more, bad) >= bound - 1


def test_lower_bound__of_what_nearly_always_fails__is_none(libraries):
    assert libraries.lowerBound(0, 10**9) == 0


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
