"""A boasting offer: a provider claims to take far more jobs at once than it can, or is free and never there

It hopes to win every draw: at a higher price than honest rivals, or with a reputation that no longer counts.
"""

import pytest
from eth_utils import keccak
from system import ASK, ETHER, drawn_tickets

pytestmark = pytest.mark.usefixtures("books")

MOST = 65_535


@pytest.fixture
def boaster(system, accounts):
    """A registered provider that has no offer yet."""
    return system.provider(accounts[7], accounts[8], accounts[7])


def winners(system, market, times=12):
    """Offers that got the jobs for which one ticket of each of two offers was drawn; loads stay as they are."""
    market_id = system.router.marketIdOf(market)
    tickets = [system.router.ticketAt(market_id, i) for i in range(2)]
    got = []
    for _ in range(times):
        asked = system.request(market=market, maxPrice=ETHER)
        first, second = drawn_tickets(asked.id, tickets)
        if first != second:
            got.append(asked.job["offerId"])
    assert len(got) > times // 4
    return got


def test_boast__of_a_huge_capacity__does_not_outbid_a_cheaper_offer(system, accounts, boaster):
    """What an offer says of its size costs nothing, so it must not be worth more than a price."""
    honest = system.provider(accounts[4], accounts[5], accounts[6])
    model = system.register_model(accounts[6], keccak(b"wanted"))
    market = system.market_of(model)
    cheap = system.open_offer(honest, market, capacity=12)
    system.open_offer(boaster, market, capacity=MOST, ask=3 * ASK)

    assert set(winners(system, market)) == {cheap}


def test_boast__of_working_for_nothing__does_not_make_up_for_silence(
    system, accounts, boaster, stranger, chain
):
    """Among offers that cost nothing, too, those who answer get the jobs."""
    honest = system.provider(accounts[4], accounts[5], accounts[6])
    model = system.register_model(accounts[6], keccak(b"free"), price=0)
    market = system.market_of(model)
    silent = system.open_offer(boaster, market, ask=0)
    missed = system.request(market=market, offerId=silent)
    chain.pending_timestamp = missed.job["deadline"] + 1
    system.router.refund(missed.id, missed.job, sender=stranger)
    good = system.open_offer(honest, market, ask=0)

    assert set(winners(system, market)) == {good}
