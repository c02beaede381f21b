"""A crowd: so many offers, items or calls that something gets too dear or stuck

The attacker hopes that a loop somewhere grows with what it adds, until others cannot afford their own action.
"""

import ape
import pytest
from system import STAKE, offer_terms

from offchain_worker import batch_tree

pytestmark = pytest.mark.usefixtures("books")

SMALL, LARGE = 4, 64


def test_crowd__of_offers__does_not_change_what_a_request_costs(
    system, project, accounts, provider
):
    """Forty more offers, all with tickets in the market."""
    crowd = accounts[8].deploy(project.MockCrowd)

    def grow(count):
        crowd.join(
            *(system.staking, system.router, system.market),
            *(tuple(offer_terms().values()), provider.operator, count),
            value=count * STAKE,
            sender=accounts[8],
        )

    def costs():
        return min(system.request().receipt.gas_used for _ in range(3))

    grow(SMALL)
    system.request()  # first use of some words
    few = costs()
    grow(LARGE)
    system.request()

    assert costs() <= few + 20_000  # a fresh word of a job cell at most, nothing that grows


def test_crowd__of_items__is_refused_beyond_the_limit(system, provider, requester):
    system.vault.allowModule(system.batches, True, sender=requester)
    asked = system.asking()
    limit = system.batches.MAX_ITEMS()

    with ape.reverts(system.batches.BatchSize, **{"count": limit + 1, "limit": limit}):
        system.batches.request(
            *(system.market, provider.offer, asked["deadline"], 2**96),
            batch_tree.pack([b"\x01"] * (limit + 1)),
            sender=requester,
        )


@pytest.mark.parametrize("tickets", [0, 3, 7, 9])
def test_crowd__of_tickets__is_bounded_for_each_offer(system, accounts, tickets):
    rich = system.provider(accounts[7], accounts[8], accounts[7], stake=max(1, tickets) * STAKE)
    offer = system.open_offer(rich)

    assert system.router.ticketsOf(offer) == min(7, max(1, tickets))


def test_spam__of_requests__pays_the_provider_and_takes_nothing_from_others(
    system, accounts, provider, requester, stranger
):
    """A spammer fills an offer: it pays for each job, and whoever comes then is told and keeps its money."""
    small = system.provider(accounts[7], accounts[8], accounts[7])
    offer = system.open_offer(small, capacity=3)
    price = system.router.offer(offer).price
    spam = [system.request(sender=stranger, value=price, offerId=offer) for _ in range(3)]
    before = system.free(requester)

    with ape.reverts(system.router.RouterNoOfferFits, **{"load": 3, "capacity": 3}):
        system.request(offerId=offer)
    assert system.free(requester) == before
    for asked in spam:
        system.answer(asked, small)

    assert system.router.offer(offer).earned == 3 * price
    assert system.state(system.request(offerId=offer).id) == "Assigned"
