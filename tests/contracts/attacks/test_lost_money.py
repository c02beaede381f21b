"""Lost money: what a requester pays too much, or pays for an answer that never comes

A careless system keeps it; an attacker hopes to be near when it does.
"""

import ape
from system import ASK, ETHER, MODEL_PRICE, NATIVE, offer_terms

PRICE = ASK + MODEL_PRICE


def test_overpayment__stays_the_requesters(system, provider, stranger):
    asked = system.request(sender=stranger, value=ETHER, maxPrice=ETHER)
    assert asked.job["price"] == PRICE

    system.answer(asked, provider)
    free = system.free(stranger)
    before = stranger.balance
    receipt = system.vault.withdraw(NATIVE, free, stranger, sender=stranger)

    assert free == ETHER - PRICE
    assert stranger.balance == before + free - receipt.total_fees_paid


def test_dead_provider__holds_nobodys_money(system, provider, stranger, chain, accounts):
    """Its keys are lost, its owner is gone: anyone gives the requester everything back."""
    asked = system.request(sender=stranger, value=PRICE)
    with ape.reverts(system.router.RouterTooEarly):
        system.router.refund(asked.id, asked.job, sender=accounts[7])
    chain.pending_timestamp = asked.job["deadline"] + 1

    system.router.refund(asked.id, asked.job, sender=accounts[7])

    assert system.free(stranger) == PRICE
    assert system.vault.locked(system.router, NATIVE) == 0
    with ape.reverts(system.router.RouterJobMismatch):
        system.router.refund(asked.id, asked.job, sender=accounts[7])


def test_late_answer__after_the_refund__earns_nothing(system, provider, stranger, chain):
    """A provider that was refunded away sends its answer all the same, hoping to be paid from others' escrow."""
    other = system.request()
    asked = system.request(sender=stranger, value=PRICE)
    chain.pending_timestamp = asked.job["deadline"] + 1
    system.router.refund(asked.id, asked.job, sender=stranger)

    with ape.reverts(system.router.RouterJobMismatch):
        system.answer(asked, provider)

    assert system.router.offer(provider.offer).earned == 0
    assert system.vault.locked(system.router, NATIVE) == other.job["price"]


def test_free_model__divides_by_nothing(system, provider, model_owner, stranger):
    """Prices and limits of zero are numbers like others."""
    model = system.register_model(stranger, b"\x07" * 32, price=0)
    market = system.market_of(model)
    receipt = system.router.openOffer(
        provider.number, market, offer_terms(ask=0), sender=provider.owner
    )
    (event,) = receipt.events.filter(system.router.OfferOpened)
    asked = system.request(market=market, maxPrice=0)

    system.answer(asked, provider)
    system.router.claim(event.offerId, market, sender=stranger)

    assert system.state(asked.id) == "Settled"
    assert system.vault.locked(system.router, NATIVE) == 0


def test_forced_ether__is_nobodys_and_breaks_nothing(system, project, stranger, provider):
    """Money that comes without a deposit must not be counted, or it could be taken out again."""
    accounted, before = system.vault.accounted(NATIVE), system.vault.balance
    stranger.deploy(project.MockForcer, system.vault, value=ETHER)

    assert system.vault.balance == before + ETHER
    assert system.vault.accounted(NATIVE) == accounted
    with ape.reverts(system.vault.VaultBalanceTooLow):
        system.vault.withdraw(NATIVE, 1, stranger, sender=stranger)
    system.answer(system.request(), provider)
    assert system.router.offer(provider.offer).earned == PRICE
