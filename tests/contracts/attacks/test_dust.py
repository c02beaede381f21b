"""Dust: many small claims instead of one, or amounts that do not divide

Whoever rounds hopes to be rounded for; whoever waits hopes that crumbs are left for it.
"""

import pytest
from system import ASK, FEE_BPS, MODEL_PRICE, NATIVE

pytestmark = pytest.mark.usefixtures("books")

PRICE = ASK + MODEL_PRICE
ODD = 7
"""An ask that divides by nothing."""


def test_dust__of_many_claims__is_at_most_a_wei_each_and_the_providers(
    system, provider, model_owner, accounts, stranger
):
    """One offer is claimed for after each job, its twin once: the same to within a wei a claim, in sum exactly."""
    twin = system.provider(accounts[7], accounts[8], accounts[9])
    offers = [system.open_offer(twin, ask=ODD), None]
    other = system.provider(accounts[4], accounts[5], accounts[6])
    offers[1] = system.open_offer(other, ask=ODD)
    total, got = ODD + MODEL_PRICE, {}

    for provider_, offer, often in ((twin, offers[0], True), (other, offers[1], False)):
        before = [system.free(provider_.payout), system.free(model_owner)]
        fees = system.router.revenueOf(system.model_id, 1).fees
        for _ in range(5):
            system.answer(system.request(offerId=offer), provider_)
            if often:
                system.router.claim(offer, system.market, sender=stranger)
        system.router.claim(offer, system.market, sender=stranger)
        after = [system.free(provider_.payout), system.free(model_owner)]
        paid = [a - b for a, b in zip(after, before, strict=True)]
        got[often] = [*paid, system.router.revenueOf(system.model_id, 1).fees - fees]

    assert sum(got[True]) == sum(got[False]) == 5 * total
    assert 0 <= got[True][0] - got[False][0] <= 2 * 5
    assert got[True][2] <= got[False][2] == 5 * total * FEE_BPS // 10_000


def test_dust__of_claiming_nothing__is_nothing(system, provider, stranger):
    before = system.vault.accounted(NATIVE)

    for _ in range(3):
        system.router.claim(provider.offer, system.market, sender=stranger)
        system.router.collectFees(system.model_id, 1, sender=stranger)

    assert system.vault.accounted(NATIVE) == before
    assert system.free(system.treasury) == system.free(provider.payout) == 0


def test_dust__of_units_not_charged__goes_back(system, provider, requester):
    before = system.free(requester)
    asked = system.request(units=3)

    system.answer(asked, provider, units=2)

    assert system.free(requester) == before - 2 * PRICE
    assert system.router.offer(provider.offer).earned == 2 * PRICE
