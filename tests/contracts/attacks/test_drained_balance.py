"""A drained balance: a requester signs requests and takes the money away before they are settled

It hopes to get answers that nobody can charge for.
"""

import ape
import pytest
from system import ASK, ETHER, MODEL_PRICE, NATIVE

pytestmark = pytest.mark.usefixtures("books")

PRICE = ASK + MODEL_PRICE
DAY = 86_400


@pytest.fixture
def drainer(system, requester):
    """It has delayed money for just one request."""
    system.vault.allowModule(system.signed, True, sender=requester)
    system.vault.delay(NATIVE, PRICE, sender=requester)
    return requester


def settle(system, provider, signer, nonce, deadline):
    answer = system.sign_request(provider.offer, signer, nonce=nonce, deadline=deadline)
    return system.signed.settle(system.market, provider.offer, [answer], sender=provider.operator)


def test_draining__takes_a_day_in_which_requests_are_settled(system, provider, drainer, chain):
    deadline = chain.pending_timestamp + 600
    system.vault.announceUndelay(NATIVE, PRICE, sender=drainer)
    with ape.reverts(system.vault.VaultStillDelayed):
        system.vault.undelay(NATIVE, sender=drainer)

    settle(system, provider, drainer, 1, deadline)

    assert system.signed.earnedBy(provider.offer) == PRICE
    chain.pending_timestamp += DAY
    system.vault.undelay(NATIVE, sender=drainer)
    assert system.vault.delayed(drainer, NATIVE) == 0


def test_draining__by_an_announcement_of_long_ago__is_there_to_be_seen(system, drainer, chain):
    """It announces, waits, and takes nothing: from then on the money can go at once. A provider counts on what is
    delayed less what `leavingOf` tells."""
    system.vault.announceUndelay(NATIVE, PRICE, sender=drainer)
    chain.pending_timestamp += 2 * DAY
    system.vault.delay(NATIVE, 2 * PRICE, sender=drainer)

    leaving = system.vault.leavingOf(drainer, NATIVE).amount
    safe = system.vault.delayed(drainer, NATIVE) - leaving
    assert (leaving, safe) == (PRICE, 2 * PRICE)
    system.vault.undelay(NATIVE, sender=drainer)

    assert system.vault.delayed(drainer, NATIVE) == safe
    with ape.reverts(system.vault.VaultStillDelayed):
        system.vault.undelay(NATIVE, sender=drainer)


def test_draining__by_the_ordinary_door__does_not_reach_the_delayed_part(
    system, provider, drainer, chain
):
    free = system.free(drainer)
    with ape.reverts(system.vault.VaultBalanceTooLow, **{"free": free, "needed": free + 1}):
        system.vault.withdraw(NATIVE, free + 1, drainer, sender=drainer)
    system.vault.withdraw(NATIVE, free, drainer, sender=drainer)

    settle(system, provider, drainer, 1, chain.pending_timestamp + 600)

    assert system.signed.earnedBy(provider.offer) == PRICE


def test_overspending__with_two_requests__pays_one_and_reverts_the_other(
    system, provider, drainer, chain
):
    """The provider limits what it works ahead for one requester; the contract never goes below zero."""
    deadline = chain.pending_timestamp + 600
    settle(system, provider, drainer, 1, deadline)

    with ape.reverts(system.vault.VaultDelayedTooLow, **{"delayed": 0, "needed": PRICE}):
        settle(system, provider, drainer, 2, deadline)

    assert not system.signed.isNonceUsed(drainer, 2)
    assert system.vault.locked(system.signed, NATIVE) == PRICE < ETHER
