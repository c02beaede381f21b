"""InferenceRouter.decline and InferenceRouter.take

decline
├── when the caller is not the operator
│   └── it reverts with RouterNotOperator(caller, operator)
├── when the exclusive time has passed
│   └── it reverts with RouterTooLate(time, deadline)
├── when the job was taken with a bond
│   └── the bond goes to the requester
└── it opens the job, costs reputation and frees the offer's place
take
├── when the exclusive time has not passed
│   └── it reverts with RouterTooEarly(time, from)
├── when the caller does not operate the offer's provider
│   └── it reverts with RouterNotOperator(caller, operator)
├── when the provider has the job already
│   └── it reverts with RouterAlreadyAssigned(provider)
├── when the offer stands in another market
│   └── it reverts with OfferMarketMismatch(marketId, expected)
├── when its provider has no stake for a ticket, or is in jail
│   └── it reverts with OfferStakeTooLow(stake, required)
├── when the offer is dearer than what is locked
│   └── it reverts with RouterFeeTooLow(allowed, asked)
├── when the offer is full
│   └── it reverts with RouterNoOfferFits
├── when the job's deadline has passed
│   └── it reverts with RouterTooLate(time, deadline)
├── when the job is settled
│   └── it reverts with RouterJobMismatch(jobId, state)
├── when the offer is cheaper
│   └── the difference goes back to the requester
├── when it is taken from one who had taken it
│   └── the first taker's bond goes to the requester
├── after it, the first provider's answer
│   └── reverts with RouterJobMismatch
├── without value, when the operator has not opted in
│   └── it reverts with VaultModuleNotAllowed(account, module)
└── it assigns the job, locks a tenth of what was locked as bond, and the answer returns it
"""

import ape
import pytest
from eth_utils import keccak
from system import ASK, ETHER, MODEL_PRICE, NATIVE, STAKE

PRICE = ASK + MODEL_PRICE
BOND = PRICE // 10


@pytest.fixture
def asked(system, provider):
    """A job assigned to `provider` by name."""
    return system.request(offerId=provider.offer)


@pytest.fixture
def missed(asked, chain):
    """The same job, its exclusive time over."""
    chain.pending_timestamp = asked.job["exclusiveUntil"] + 1
    return asked


def test_decline__when_caller_is_not_the_operator__reverts(system, asked, stranger):
    with ape.reverts(system.router.RouterNotOperator):
        system.router.decline(asked.id, asked.job, sender=stranger)


def test_decline__when_exclusive_time_has_passed__reverts(system, provider, missed):
    expected = {"deadline": missed.job["exclusiveUntil"]}
    with ape.reverts(system.router.RouterTooLate, **expected):
        system.decline(missed, provider)


def test_decline__when_open_already__reverts(system, provider, asked):
    system.decline(asked, provider)

    with ape.reverts(system.router.RouterJobMismatch, **{"state": 2}):
        system.decline(asked, provider)


def test_decline__opens_the_job_and_costs_reputation(system, provider, asked, chain):
    before = system.router.offer(provider.offer)

    now = system.decline(asked, provider)

    after = system.router.offer(provider.offer)
    assert system.state(asked.id) == "Open"
    assert now.job == asked.job | {"provider": 0, "exclusiveUntil": chain.blocks.head.timestamp}
    assert (before.load, after.load) == (1, 0)
    assert after.reputation == before.reputation - before.reputation // 4


def test_decline__when_taken_with_a_bond__gives_the_bond_to_the_requester_once(
    system, rival, missed, requester, stranger, chain
):
    system.request()  # somebody else's money, which a second bond would be taken from
    taken = system.take(missed, rival, value=BOND)
    before = system.free(requester)

    now = system.decline(taken, rival)

    assert (now.job["provider"], now.job["bond"]) == (0, 0)
    assert system.free(requester) == before + BOND
    chain.pending_timestamp = now.job["deadline"] + 1
    system.router.refund(now.id, now.job, sender=stranger)
    assert system.free(requester) == before + BOND + PRICE
    assert system.vault.locked(system.router, NATIVE) == PRICE


def test_take__when_exclusive_time_has_not_passed__reverts(system, rival, asked):
    expected = {"from": asked.job["exclusiveUntil"] + 1}
    with ape.reverts(system.router.RouterTooEarly, **expected):
        system.take(asked, rival, value=BOND)


def test_take__when_caller_does_not_operate_the_offer__reverts(system, rival, missed, stranger):
    with ape.reverts(system.router.RouterNotOperator):
        system.router.take(missed.id, missed.job, rival.offer, sender=stranger, value=BOND)


def test_take__when_provider_has_the_job_already__reverts(system, provider, missed):
    with ape.reverts(system.router.RouterAlreadyAssigned, **{"provider": provider.number}):
        system.take(missed, provider, value=BOND)


def test_take__when_offer_stands_in_another_market__reverts(system, rival, missed, accounts):
    other = system.register_model(accounts[7], keccak(b"other"))
    system.open_offer(rival, system.market_of(other))

    with ape.reverts(system.router.OfferMarketMismatch):
        system.take(missed, rival, value=BOND)


def test_take__when_the_stake_is_too_low__reverts(system, rival, missed):
    system.staking.startUnbonding(rival.number, STAKE, sender=rival.owner)

    with ape.reverts(system.router.OfferStakeTooLow, **{"stake": 0, "required": STAKE}):
        system.take(missed, rival, value=BOND)


def test_take__when_offer_is_dearer__reverts(system, accounts, missed):
    dear = system.provider(accounts[7], accounts[8], accounts[7])
    system.open_offer(dear, ask=ASK + 1)

    with ape.reverts(system.router.RouterFeeTooLow, **{"allowed": PRICE, "asked": PRICE + 1}):
        system.take(missed, dear, value=BOND)


def test_take__when_offer_is_full__reverts(system, accounts, missed):
    small = system.provider(accounts[7], accounts[8], accounts[7])
    system.open_offer(small, capacity=1)
    system.request(offerId=small.offer)

    expected = {
        "offerId": small.offer,
        "load": 1,
        "capacity": 1,
        "maxInputBytes": 0,
        "minWindow": 60,
    }
    with ape.reverts(system.router.RouterNoOfferFits, **expected):
        system.take(missed, small, value=BOND)


def test_take__when_deadline_has_passed__reverts(system, rival, asked, chain):
    chain.pending_timestamp = asked.job["deadline"] + 1

    with ape.reverts(system.router.RouterTooLate, **{"deadline": asked.job["deadline"]}):
        system.take(asked, rival, value=BOND)


def test_take__when_settled__reverts(system, provider, rival, missed):
    system.answer(missed, provider)

    with ape.reverts(system.router.RouterJobMismatch, **{"state": 4}):
        system.take(missed, rival, value=BOND)


def test_take__when_bond_is_not_covered__reverts(system, rival, missed):
    with ape.reverts(system.vault.VaultModuleNotAllowed):
        system.take(missed, rival, value=BOND - 1)


def test_take__when_offer_is_cheaper__returns_the_difference(system, accounts, missed, requester):
    cheap = system.provider(accounts[7], accounts[8], accounts[7])
    system.open_offer(cheap, ask=ASK // 2)
    before = system.free(requester)

    taken = system.take(missed, cheap, value=ETHER)

    assert taken.job["price"] == ASK // 2 + MODEL_PRICE
    assert (
        taken.job["bond"] == BOND
    )  # of what was locked: the rest is free now, so nobody else would do it for that
    assert system.free(requester) == before + ASK // 2
    system.answer(taken, cheap)
    assert system.free(cheap.operator) == ETHER
    assert system.router.offer(cheap.offer).earned == ASK // 2 + MODEL_PRICE


def test_take__when_taken_before__gives_the_bond_to_the_requester(
    system, provider, rival, missed, requester, chain
):
    taken = system.take(missed, rival, value=BOND)
    chain.pending_timestamp = taken.job["exclusiveUntil"] + 1
    before = system.free(requester)

    again = system.take(taken, provider, value=BOND)

    assert system.free(requester) == before + BOND
    assert again.job["provider"] == provider.number


def test_take__then_the_first_provider_cannot_answer(system, provider, rival, missed):
    system.take(missed, rival, value=BOND)

    with ape.reverts(system.router.RouterJobMismatch):
        system.answer(missed, provider)


def test_take__after_a_decline__needs_no_waiting(system, provider, rival, asked):
    declined = system.decline(asked, provider)

    taken = system.take(declined, rival, value=BOND)

    (event,) = taken.receipt.events.filter(system.router.InferenceTaken)
    assert event.missed == 0
    assert system.state(asked.id) == "Assigned"


def test_take__assigns_with_a_bond_that_the_answer_returns(system, provider, rival, missed, chain):
    before = system.router.offer(provider.offer)

    taken = system.take(missed, rival, value=BOND)

    assert taken.job == missed.job | {
        "offerId": rival.offer,
        "provider": rival.number,
        "bond": BOND,
        "exclusiveUntil": chain.blocks.head.timestamp + 60,
    }
    after = system.router.offer(provider.offer)
    assert (after.load, after.reputation) == (0, before.reputation - before.reputation // 4)
    assert system.router.offer(rival.offer).load == 1
    assert system.free(rival.operator) == 0
    system.answer(taken, rival)
    assert system.free(rival.operator) == BOND
    assert system.router.offer(rival.offer).earned == PRICE
    assert system.router.offer(provider.offer).earned == 0


def test_take__with_a_bond_of_one_wei__gets_it_back(system, accounts, provider, rival, chain):
    model = system.register_model(accounts[6], keccak(b"cheap"), price=0)
    market = system.market_of(model)
    for each in (provider, rival):
        system.open_offer(each, market, ask=10)
    asked = system.request(market=market, offerId=provider.offer)
    chain.pending_timestamp = asked.job["exclusiveUntil"] + 1

    taken = system.take(asked, rival, value=1)
    system.answer(taken, rival)

    assert taken.job["bond"] == 1
    assert system.free(rival.operator) == 1
    assert system.vault.locked(system.router, NATIVE) == 10
