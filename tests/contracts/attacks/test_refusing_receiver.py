"""A refusing receiver: somebody who is to be paid takes no money

It hopes to hold up everybody who is paid with it, or to keep a refund from being final.
"""

import ape
import pytest
from system import ASK, ETHER, MODEL_PRICE, NATIVE, offer_terms

pytestmark = pytest.mark.usefixtures("books")

PRICE = ASK + MODEL_PRICE


@pytest.fixture
def refusing(system, project, stranger, books):
    """A contract without any way to receive."""
    contract = stranger.deploy(project.MockStorer)
    books.know(contract)
    return contract


def test_refusing_payout__holds_up_nobody(system, accounts, refusing, model_owner, stranger):
    poor = system.provider(accounts[4], accounts[5], refusing)
    system.open_offer(poor)
    system.answer(system.request(), poor)

    system.router.claim(poor.offer, system.market, sender=stranger)

    assert system.free(refusing) > 0  # it waits there, and holds up nobody
    paid = system.free(model_owner)
    assert paid > 0
    system.vault.withdraw(NATIVE, paid, model_owner, sender=model_owner)


def test_refusing_royalty_receiver__holds_up_nobody(
    system, provider, refusing, model_owner, stranger
):
    model = system.register_model(stranger, b"\x07" * 32)
    terms = {"receiver": refusing, "price": MODEL_PRICE, "royaltyBps": 1_000, "token": NATIVE}
    system.registry.openTerms(model, terms, sender=stranger)
    market = system.market_of(model, epoch=2)
    receipt = system.router.openOffer(provider.number, market, offer_terms(), sender=provider.owner)
    (event,) = receipt.events.filter(system.router.OfferOpened)
    system.answer(system.request(market=market), provider)

    system.router.claim(event.offerId, market, sender=stranger)

    assert system.free(provider.payout) > 0
    assert system.free(refusing) > 0


def test_refusing_requester__is_refunded_all_the_same(system, provider, refusing, stranger, chain):
    """The refund is a line in the books; only its own withdrawal fails."""
    system.vault.deposit(refusing, NATIVE, PRICE, value=PRICE, sender=stranger)
    refusing.allow(system.router, system.vault, sender=stranger)
    receipt = refusing.ask(system.router, system.asking(maxPrice=PRICE), sender=stranger)
    (event,) = receipt.events.filter(system.router.InferenceRequested)
    asked = system.request(sender=stranger, value=ETHER)
    assert event.requester == refusing.address
    chain.pending_timestamp = asked.job["deadline"] + 1

    system.router.refund(asked.id, asked.job, sender=stranger)

    assert system.state(asked.id) == "Refunded"
    with ape.reverts(system.vault.VaultPaymentRefused, **{"to": refusing.address}):
        system.vault.withdraw(NATIVE, 1, refusing, sender=stranger)
