"""OfferBook: openOffer, closeOffer, syncTickets, claim, and the draw

openOffer
├── when the caller does not own the provider
│   └── it reverts with OfferNotOwner(caller, owner)
├── when a term is out of range
│   └── it reverts with OfferTermsInvalid(capacity, inputUnits, minWindow)
├── when the provider has an open offer in the market
│   └── it reverts with OfferAlreadyOpen(offerId)
├── when the stake is too low for a ticket
│   └── it reverts with OfferStakeTooLow(stake, required)
├── when price and ask do not fit
│   └── it reverts with OfferPriceTooHigh(price, limit)
├── when model, version, epoch, token or policy do not allow it
│   └── it reverts with RegistryModelUnknown, RegistryVersionNotInUse, RegistryEpochNotCurrent,
│       RegistryTokenMismatch, RegistryPolicyNotAllowed, RegistryPolicyInvalid
├── when a member of the market has dirty upper bits
│   └── it reverts
├── it opens, with one ticket per least stake up to seven, also with the least of each term
└── where stakes are in a token of few decimals, it does too
closeOffer
├── when there is no such offer
│   └── it reverts with OfferUnknown(offerId)
├── when the caller does not own the provider, or it is closed
│   └── it reverts with OfferNotOwner, OfferIsClosed
├── it removes its own tickets and no others, whatever was opened and closed before
└── open jobs go on and earnings stay claimable
syncTickets
├── when the offer is closed, it reverts with OfferIsClosed(offerId)
└── it follows the stake, up and down to none
claim
├── when the market is not the offer's
│   └── it reverts with OfferMarketMismatch(marketId, expected)
├── when terms have changed since
│   └── it splits by the terms of the jobs
├── when the payout address was replaced
│   └── it pays the new one
├── it counts for the model what was earned, and the units that cost something
└── it splits between provider, model owner and protocol, by anyone, to the wei
draw
├── of two random tickets, it takes the offer that is cheaper, less loaded and better reputed
├── it never draws an offer that is closed or full while the other one fits
└── a provider with more stake is drawn more often
"""

from collections import Counter
from fractions import Fraction

import ape
import pytest
from eth_utils import keccak
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from system import (
    ASK,
    ETHER,
    FEE_BPS,
    MODEL_PRICE,
    NATIVE,
    ROYALTY_BPS,
    STAKE,
    drawn_tickets,
    offer_terms,
    terms,
)

PRICE = ASK + MODEL_PRICE
INPUT_UNIT = 128


@pytest.fixture
def newcomer(system, accounts):
    """A registered provider without an offer."""
    return system.provider(accounts[7], accounts[8], accounts[7])


def test_open_offer__when_caller_does_not_own_the_provider__reverts(system, newcomer, stranger):
    expected = {"caller": stranger.address, "owner": newcomer.owner.address}
    with ape.reverts(system.router.OfferNotOwner, **expected):
        system.router.openOffer(newcomer.number, system.market, offer_terms(), sender=stranger)


def test_open_offer__when_caller_is_only_the_operator__reverts(system, newcomer):
    with ape.reverts(system.router.OfferNotOwner):
        system.router.openOffer(
            newcomer.number, system.market, offer_terms(), sender=newcomer.operator
        )


@pytest.mark.parametrize("term", [{"capacity": 0}, {"inputUnits": 0}, {"minWindow": 9}])
def test_open_offer__when_a_term_is_out_of_range__reverts(system, newcomer, term):
    with ape.reverts(system.router.OfferTermsInvalid, **term):
        system.open_offer(newcomer, **term)


def test_open_offer__with_the_least_of_each_term__opens(system, newcomer):
    offer = system.open_offer(newcomer, **{"capacity": 1, "inputUnits": 1, "minWindow": 10})

    assert system.router.ticketsOf(offer) == 1


def test_open_offer__when_one_is_open__reverts(system, accounts):
    rich = system.provider(accounts[7], accounts[8], accounts[7], stake=2 * STAKE)
    system.open_offer(
        rich
    )  # two tickets, so that the next offer's number is not its ticket's place
    provider = system.provider(accounts[7], accounts[8], accounts[7])
    system.open_offer(provider)

    with ape.reverts(system.router.OfferAlreadyOpen, **{"offerId": provider.offer}):
        system.open_offer(provider)


def test_open_offer__when_one_is_open_without_tickets__reverts(system, provider):
    """Its seat would be overwritten, and the first offer could never be closed."""
    system.staking.startUnbonding(provider.number, STAKE, sender=provider.owner)
    system.router.syncTickets(provider.offer, sender=provider.owner)
    system.staking.stake(provider.number, STAKE, value=STAKE, sender=provider.owner)
    assert system.router.ticketsOf(provider.offer) == 0

    with ape.reverts(system.router.OfferAlreadyOpen, offerId=provider.offer):
        system.open_offer(provider)


def test_open_offer__when_stake_is_too_low__reverts(system, newcomer):
    system.staking.startUnbonding(newcomer.number, STAKE, sender=newcomer.owner)

    with ape.reverts(system.router.OfferStakeTooLow, **{"stake": 0, "required": STAKE}):
        system.open_offer(newcomer)


def test_open_offer__where_stakes_are_in_a_token_of_few_decimals__gives_tickets(
    system, newcomer, accounts, project
):
    deployer, owner, least = accounts[0], newcomer.owner, 100_000  # a tenth of a token with six
    token = deployer.deploy(project.MockToken, 0)
    staking = deployer.deploy(project.ProviderStaking, system.vault, token, least, system.access)
    s = system.router
    router = deployer.deploy(
        *(project.InferenceRouter, system.vault, system.registry, staking, system.treasury),
        *(s.FEE_BPS(), s.RING_BITS(), s.ACCESS(), s.SIGNATURE()),
    )
    token.mint(owner, 4 * least, sender=owner)
    token.approve(system.vault, 4 * least, sender=owner)
    system.vault.deposit(owner, token, 4 * least, sender=owner)
    system.vault.allowModule(staking, True, sender=owner)
    staking.register(newcomer.operator, owner, 3 * least, sender=owner)

    router.openOffer(1, system.market, offer_terms(), sender=owner)

    assert router.TICKET_STAKE() == least
    assert router.ticketCount(system.market_id) == router.ticketsOf(1) == 3


@pytest.mark.parametrize("member", [1, 2, 3, 4, 5, 6])
def test_open_offer__when_a_member_of_the_market_has_dirty_bits__reverts(system, newcomer, member):
    """Markets are hashed as they come, so one that reads like another must not have offers of its own."""
    call = system.router.openOffer.encode_input(newcomer.number, system.market, offer_terms())
    dirty = bytearray(call)
    dirty[4 + 32 * (1 + member)] = 1

    with ape.reverts():
        newcomer.owner.transfer(system.router, 0, data=bytes(dirty), gas=1_000_000)

    newcomer.owner.transfer(system.router, 0, data=bytes(call), gas=1_000_000)
    assert system.router.offerOf(newcomer.number, system.market_id) != 0


def test_open_offer__when_price_does_not_fit__reverts(system, newcomer):
    expected = {"price": 2**80 - 1 + MODEL_PRICE, "limit": 2**80 - 1}
    with ape.reverts(system.router.OfferPriceTooHigh, **expected):
        system.open_offer(newcomer, ask=2**80 - 1)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"modelId": b"\x09" * 32}, "RegistryModelUnknown"),
        ({"version": 2}, "RegistryVersionNotInUse"),
        ({"version": 0}, "RegistryVersionNotInUse"),
        ({"epoch": 2}, "RegistryEpochNotCurrent"),
        ({"token": "0x0000000000000000000000000000000000000001"}, "RegistryTokenMismatch"),
        ({"resolution": "0x0000000000000000000000000000000000000001"}, "RegistryPolicyNotAllowed"),
        ({"verifier": NATIVE}, "RegistryPolicyInvalid"),
    ],
)
def test_open_offer__when_registry_does_not_allow_it__reverts(system, newcomer, change, error):
    with ape.reverts(getattr(system.registry, error)):
        system.open_offer(newcomer, system.market | change)


@pytest.mark.parametrize(
    ("stake", "tickets"), [(STAKE, 1), (2 * STAKE - 1, 1), (3 * STAKE, 3), (9 * STAKE, 7)]
)
def test_open_offer__opens_with_a_ticket_per_unit_of_stake(system, accounts, stake, tickets):
    provider = system.provider(accounts[7], accounts[8], accounts[7], stake=stake)

    receipt = system.router.openOffer(
        provider.number, system.market, offer_terms(), sender=provider.owner
    )

    (event,) = receipt.events.filter(system.router.OfferOpened)
    offer = system.router.offer(event.offerId)
    assert event.price == PRICE == offer.price
    assert (offer.provider, offer.load, offer.capacity, offer.earned) == (
        provider.number,
        0,
        100,
        0,
    )
    assert system.router.offerOf(provider.number, system.market_id) == event.offerId
    assert (
        system.router.ticketsOf(event.offerId)
        == tickets
        == system.router.ticketCount(system.market_id)
    )
    held = [system.router.ticketAt(system.market_id, i) for i in range(tickets)]
    assert held == [event.offerId] * tickets


def test_close_offer__when_caller_does_not_own_the_provider__reverts(system, provider, stranger):
    with ape.reverts(system.router.OfferNotOwner):
        system.router.closeOffer(provider.offer, sender=stranger)


def test_close_offer__when_closed__reverts(system, provider):
    system.router.closeOffer(provider.offer, sender=provider.owner)

    with ape.reverts(system.router.OfferIsClosed, **{"offerId": provider.offer}):
        system.router.closeOffer(provider.offer, sender=provider.owner)


def test_close_offer__when_unknown__reverts(system, provider):
    with ape.reverts(system.router.OfferUnknown, **{"offerId": 99}):
        system.router.closeOffer(99, sender=provider.owner)


def test_close_offer__leaves_open_jobs_and_earnings(system, provider):
    asked = system.request()

    receipt = system.router.closeOffer(provider.offer, sender=provider.owner)

    assert receipt.events == [system.router.OfferClosed(provider.offer, provider.number)]
    assert system.router.ticketCount(system.market_id) == 0
    assert system.router.offerOf(provider.number, system.market_id) == 0
    system.answer(asked, provider)
    assert system.router.offer(provider.offer).earned == PRICE
    second = system.open_offer(provider)
    assert second == provider.offer == 2


def test_close_offer__tells_the_moved_tickets_owner(system, accounts, provider):
    big = system.provider(accounts[7], accounts[8], accounts[7], stake=3 * STAKE)
    system.open_offer(big)

    system.router.closeOffer(
        provider.offer, sender=provider.owner
    )  # its ticket was first: the last one moves there
    assert [system.router.ticketAt(system.market_id, i) for i in range(3)] == [big.offer] * 3
    system.router.closeOffer(big.offer, sender=big.owner)

    assert system.router.ticketCount(system.market_id) == 0


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(toggled=st.lists(st.integers(0, 3), min_size=4, max_size=12))
@example(toggled=[0, 3, 1, 0, 1])  # a ticket that moved is removed from where it is
@example(toggled=[0, 2, 0, 1, 2])  # and its owner knows which of its tickets that was
def test_close_offer__in_any_order__leaves_the_tickets_of_the_others(
    system, accounts, chain, toggled
):
    snapshot = chain.snapshot()
    stakes = (1, 2, 3, 7)
    providers = [
        system.provider(accounts[4 + i], accounts[0], accounts[0], stake=stakes[i] * STAKE)
        for i in range(4)
    ]
    held: dict[int, Counter[int]] = {}

    for i in toggled:
        if i in held:
            system.router.closeOffer(providers[i].offer, sender=providers[i].owner)
            del held[i]
        else:
            held[i] = Counter({system.open_offer(providers[i]): stakes[i]})
        count = system.router.ticketCount(system.market_id)
        tickets = (system.router.ticketAt(system.market_id, place) for place in range(count))
        assert Counter(tickets) == sum(held.values(), Counter())
    chain.restore(snapshot)


def test_sync_tickets__follows_the_stake(system, provider, stranger):
    system.staking.stake(provider.number, 3 * STAKE, value=3 * STAKE, sender=provider.owner)
    receipt = system.router.syncTickets(provider.offer, sender=stranger)
    assert receipt.events == [system.router.TicketsChanged(provider.offer, 4)]
    assert system.router.ticketsOf(provider.offer) == 4

    system.staking.startUnbonding(provider.number, 4 * STAKE, sender=provider.owner)
    system.router.syncTickets(provider.offer, sender=stranger)
    assert (
        system.router.ticketsOf(provider.offer) == 0 == system.router.ticketCount(system.market_id)
    )

    system.staking.stake(provider.number, STAKE, value=STAKE, sender=provider.owner)
    system.router.syncTickets(provider.offer, sender=stranger)
    assert system.router.ticketsOf(provider.offer) == 1


def test_sync_tickets__of_a_closed_offer__reverts(system, provider, stranger):
    system.router.closeOffer(provider.offer, sender=provider.owner)

    with ape.reverts(system.router.OfferIsClosed, **{"offerId": provider.offer}):
        system.router.syncTickets(provider.offer, sender=stranger)


def test_sync_tickets__of_an_offer_for_one_job__works(system, newcomer, stranger):
    offer = system.open_offer(newcomer, capacity=1)

    receipt = system.router.syncTickets(offer, sender=stranger)
    system.router.closeOffer(offer, sender=newcomer.owner)

    assert receipt.events == [system.router.TicketsChanged(offer, 1)]
    assert system.router.ticketsOf(offer) == 0


def test_claim__when_market_is_not_the_offers__reverts(system, provider, stranger):
    with ape.reverts(system.router.OfferMarketMismatch):
        system.router.claim(provider.offer, system.market | {"epoch": 2}, sender=stranger)


def test_claim__when_terms_have_changed__splits_by_the_terms_of_the_jobs(
    system, provider, model_owner, stranger
):
    system.answer(system.request(), provider)
    system.registry.openTerms(
        system.model_id, terms(stranger, price=0, royalty_bps=5_000), sender=model_owner
    )

    system.router.claim(provider.offer, system.market, sender=stranger)

    assert system.free(stranger) == 0
    assert system.free(model_owner) > 0


def test_claim__when_payout_was_replaced__pays_the_new_one(system, provider, stranger, accounts):
    system.answer(system.request(), provider)
    system.staking.setPayout(provider.number, accounts[8], sender=provider.owner)

    system.router.claim(provider.offer, system.market, sender=stranger)

    assert system.free(provider.payout) == 0
    assert system.free(accounts[8]) > 0


def test_claim__twice__pays_nothing_more(system, provider, stranger):
    system.answer(system.request(), provider)
    system.router.claim(provider.offer, system.market, sender=stranger)

    receipt = system.router.claim(provider.offer, system.market, sender=stranger)

    assert receipt.events == [
        system.router.Claimed(provider.offer, system.model_id, NATIVE, 0, 0, 0)
    ]


def test_claim__splits_to_the_wei(system, provider, model_owner, stranger):
    for _ in range(3):
        system.answer(system.request(), provider)
    earned = 3 * PRICE
    to_protocol = earned * FEE_BPS // 10_000
    rest = earned - to_protocol
    for_model = rest * MODEL_PRICE // PRICE
    to_model = for_model + (rest - for_model) * ROYALTY_BPS // 10_000
    to_provider = rest - to_model

    receipt = system.router.claim(provider.offer, system.market, sender=stranger)

    amounts = (to_provider, to_model, to_protocol)
    assert receipt.events == [
        system.router.Claimed(provider.offer, system.model_id, NATIVE, *amounts)
    ]
    assert tuple(system.free(payee) for payee in (provider.payout, model_owner)) == amounts[:2]
    assert sum(amounts) == earned
    assert system.vault.locked(system.router, NATIVE) == to_protocol
    assert system.free(system.treasury) == 0


@pytest.mark.parametrize(("ask", "counted"), [(0, (0, 0)), (1, (3, 3))])
def test_claim__of_the_least_prices__counts_units_that_cost_something(
    system, provider, model_owner, stranger, ask, counted
):
    model = system.register_model(model_owner, keccak(b"free"), price=0)
    market = system.market_of(model)
    offer = system.open_offer(provider, market, ask=ask)
    for _ in range(3):
        system.answer(system.request(market=market), provider)

    system.router.claim(offer, market, sender=stranger)

    revenue = system.router.revenueOf(model, 1)
    assert (revenue.earned, revenue.units) == counted


def drawn(system, times=16, **changes):
    """Which offer got each of `times` jobs; every job is answered at once, so that loads stay equal."""
    return [system.request(**changes).job["offerId"] for _ in range(times)]


@pytest.fixture
def draw_like(system, chain):
    """Asks, and returns the offer that got the job and the one that the rule of `request` gives it."""

    def fits(offer, length, window):
        enough = length <= offer.inputUnits * INPUT_UNIT and window >= offer.minWindow
        return offer.load < offer.capacity and enough

    def weight(offer):
        price = (offer.price + 1) * (1 + Fraction(offer.load, offer.capacity))
        return price / (offer.reputation + 1)

    def act(length=16, window=600):
        market_id, router = system.market_id, system.router
        tickets = [router.ticketAt(market_id, i) for i in range(router.ticketCount(market_id))]
        offers = {number: router.offer(number) for number in tickets}
        asked = system.request(
            input=b"a" * length, deadline=chain.pending_timestamp + window, maxPrice=ETHER
        )
        first, second = drawn_tickets(asked.id, tickets)
        able = [each for each in (first, second) if fits(offers[each], length, window)]
        best = min(able, key=lambda number: weight(offers[number]))  # the first, when equal
        return asked.job["offerId"], best

    return act


def test_draw__is_the_better_of_two_random_tickets(system, provider, newcomer, accounts, draw_like):
    big = system.provider(accounts[4], accounts[5], accounts[6], stake=5 * STAKE)
    system.open_offer(newcomer, ask=ASK // 4, inputUnits=1, capacity=3)
    system.open_offer(big, ask=ASK // 2, minWindow=300, capacity=20)
    got = set()

    for number in range(40):
        length, window = (16, 129)[number % 2], (90, 660)[number % 3 > 0]
        try:
            offer, expected = draw_like(length, window)
        except ape.exceptions.TransactionError:
            continue  # neither of the two tickets' offers could take it
        assert offer == expected
        got.add(offer)

    assert got == {provider.offer, newcomer.offer, big.offer}


def test_draw__weighs_price_against_reputation(system, provider, newcomer, stranger, draw_like):
    """At three quarters of the price, an offer that failed once is still the better one, by a hair."""
    system.router.closeOffer(provider.offer, sender=provider.owner)
    system.open_offer(provider, ask=4 * ASK - MODEL_PRICE)
    failed = system.open_offer(newcomer, ask=3 * ASK - MODEL_PRICE)
    asked = system.request(offerId=failed)
    ape.chain.pending_timestamp = asked.job["deadline"] + 1
    system.router.refund(asked.id, asked.job, sender=stranger)
    assert [system.router.offer(n).reputation for n in (failed, provider.offer)] == [96, 128]
    got = []

    for _ in range(8):
        offer, expected = draw_like()
        assert offer == expected
        got.append(offer)

    assert got.count(failed) > 4


def test_draw__takes_the_one_that_fits(system, provider, newcomer):
    system.open_offer(newcomer, inputUnits=1, ask=1)

    for _ in range(8):
        try:
            offer = system.request(input=b"a" * 129).job["offerId"]
        except ape.exceptions.TransactionError:
            continue  # both tickets were the small one's
        assert offer == provider.offer


def test_draw__follows_the_stake(system, provider, accounts):
    big = system.provider(accounts[7], accounts[8], accounts[7], stake=7 * STAKE)
    system.open_offer(big, capacity=100)

    offers = drawn(system, times=24)

    assert offers.count(big.offer) > offers.count(provider.offer)
