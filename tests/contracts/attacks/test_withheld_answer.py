"""A withheld answer: a provider takes jobs and stays silent, or races the refund at the deadline

It hopes to lock up requesters' money, to be paid late, or to keep its standing.
"""

import ape
import pytest
from system import ASK, MODEL_PRICE, NATIVE, STAKE

pytestmark = pytest.mark.usefixtures("books")

PRICE = ASK + MODEL_PRICE


def test_silence__costs_the_provider_and_not_the_requester(
    system, provider, requester, stranger, chain
):
    before, standing = system.free(requester), system.router.offer(provider.offer).reputation
    asked = system.request()
    chain.pending_timestamp = asked.job["deadline"] + 1

    system.router.refund(asked.id, asked.job, sender=stranger)

    assert system.free(requester) == before
    assert system.router.offer(provider.offer).reputation < standing
    assert system.router.offer(provider.offer).earned == 0


@pytest.mark.parametrize("ask", [ASK, 0])
def test_silence__of_one_who_took_the_job_over__pays_the_requester(
    system, provider, requester, accounts, stranger, chain, ask
):
    """Taking jobs from others only to sit on them costs a tenth of their price each, however cheap one's own offer is.
    It also frees the rest of what is locked, so that no other provider would do the job for it."""
    griefer = system.provider(accounts[7], accounts[8], accounts[7])
    system.open_offer(griefer, ask=ask)
    before = system.free(requester)
    asked = system.request(offerId=provider.offer)
    chain.pending_timestamp = asked.job["exclusiveUntil"] + 1
    taken = system.take(asked, griefer, value=PRICE // 10)
    chain.pending_timestamp = taken.job["deadline"] + 1

    system.router.refund(taken.id, taken.job, sender=stranger)

    assert system.free(requester) == before + PRICE // 10


def test_silence__is_not_forgotten_by_another_offer(system, provider, stranger, chain):
    """Whoever closes its offer and opens it again begins no better than it ended."""
    for _ in range(2):
        asked = system.request(offerId=provider.offer)
        chain.pending_timestamp = asked.job["deadline"] + 1
        system.router.refund(asked.id, asked.job, sender=stranger)
    ended = system.router.offer(provider.offer).reputation
    first = provider.offer
    system.router.closeOffer(first, sender=provider.owner)
    assert system.router.offerOf(provider.number, system.market_id) == 0

    again = system.open_offer(provider)

    assert again == system.router.offerOf(provider.number, system.market_id) != first
    assert system.router.offer(again).reputation == ended == 72


def test_silence__left_behind_with_a_closed_offer__counts_as_a_miss(system, provider):
    """The next offer is opened just before the jobs of the first are missed."""
    system.request(offerId=provider.offer)
    before = system.router.offer(provider.offer).reputation
    system.router.closeOffer(provider.offer, sender=provider.owner)

    again = system.open_offer(provider)

    assert system.router.offer(again).reputation == before - before // 4


def leave(system, griefer):
    """It took its stake away; its offer stands."""
    system.staking.startUnbonding(griefer.number, STAKE, sender=griefer.owner)


def go_to_jail(system, griefer):
    """It was found out, and slashed by half."""
    system.staking.allowSlasher(griefer.number, griefer.owner, True, sender=griefer.owner)
    system.staking.slash(
        *(griefer.number, bytes(32), STAKE, griefer.owner, 0, griefer.owner), sender=griefer.owner
    )


@pytest.mark.parametrize("end", [leave, go_to_jail])
def test_taking__by_one_with_nothing_at_stake__is_refused(system, provider, accounts, chain, end):
    """It could not open an offer, and answers by nobody's standards; the job stays open for others."""
    griefer = system.provider(accounts[7], accounts[8], accounts[7])
    system.open_offer(griefer)
    end(system, griefer)
    asked = system.request(offerId=provider.offer)
    chain.pending_timestamp = asked.job["exclusiveUntil"] + 1

    with ape.reverts(system.router.OfferStakeTooLow, **{"stake": 0, "required": STAKE}):
        system.take(asked, griefer, value=PRICE // 10)

    system.answer(asked, provider)
    assert system.router.offer(griefer.offer).load == 0


@pytest.mark.parametrize("late", [0, 1])
def test_race__at_the_deadline__one_side_wins_and_the_other_reverts(
    system, provider, stranger, chain, late
):
    """There is no second at which both an answer and a refund are possible."""
    asked = system.request()
    router, deadline = system.router, asked.job["deadline"]

    def answer():
        system.answer(asked, provider)

    def refund():
        router.refund(asked.id, asked.job, sender=stranger)

    loser, winner = (answer, refund) if late else (refund, answer)
    error = router.RouterTooLate if late else router.RouterTooEarly
    snapshot = chain.snapshot()
    chain.pending_timestamp = deadline + late
    with ape.reverts(error, **{"time": deadline + late}):
        loser()
    chain.restore(snapshot)

    chain.pending_timestamp = deadline + late
    winner()

    assert system.state(asked.id) == ("Refunded" if late else "Settled")
    earned = system.router.offer(provider.offer).earned
    assert system.vault.locked(router, NATIVE) == earned == (0 if late else PRICE)
