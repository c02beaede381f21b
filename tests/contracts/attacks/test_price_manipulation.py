"""Price manipulation: filling a class of models with own requests, or keeping its work uncounted

A provider or owner hopes to earn from a higher surcharge; a requester hopes to keep it low; a rival hopes to make a
class dear for nothing. A model's owner hopes for the deposit of a requester that does not know how large it is.
"""

from types import SimpleNamespace

import ape
import pytest
from eth_utils import keccak
from system import ASK, ETHER, MODEL_PRICE, NATIVE, OUTPUT, begin, plain

pytestmark = pytest.mark.usefixtures("books")

PRICE = ASK + MODEL_PRICE
FLOOR, DEPOSIT, PERIOD = 10**12, 10**13, 3_600
HELD = ("requester", "classId", "units", "surcharge", "openUntil")


@pytest.fixture
def pricing(system, provider, accounts, requester):
    """A class with a target of one unit an hour, which begins; requester and provider's owner have opted in."""
    begin(PERIOD)
    rules = {"token": NATIVE, "floor": FLOOR, "cap": 1_000 * FLOOR, "deposit": DEPOSIT}
    system.pricing.openClass(rules | {"target": 1, "period": PERIOD}, sender=system.model_owner)
    system.pricing.setClass(system.model_id, 1, sender=system.model_owner)
    owner = provider.owner
    system.vault.deposit(owner, NATIVE, ETHER, value=ETHER, sender=owner)
    system.vault.allowModule(system.router, True, sender=owner)
    for account in (owner, requester):
        system.vault.allowModule(system.pricing, True, sender=account)
    return system.pricing


def ask(system, sender):
    receipt = system.pricing.request(system.asking(), ETHER, sender=sender)
    (asked,) = receipt.events.filter(system.router.InferenceRequested)
    (held,) = receipt.events.filter(system.pricing.SurchargeHeld)
    fields = dict(zip(HELD, held.held, strict=True)) | {"requester": sender.address}
    return SimpleNamespace(id=asked.jobId, job=plain(asked.job), held=fields)


def count(system, asked, sender):
    return system.pricing.count(asked.id, asked.held, asked.job, 1, OUTPUT, sender=sender)


def test_stuffing__raises_the_price_and_earns_nobody_anything(
    system, provider, pricing, requester, chain
):
    for _ in range(4):  # a provider fills four hours with its own requests
        for _ in range(2):
            own = ask(system, provider.owner)
            system.answer(own, provider)
            count(system, own, provider.owner)
        chain.pending_timestamp += PERIOD
        chain.mine()
    assert pricing.priceOf(1).price > FLOOR * 3 // 2
    parties = (provider.owner, provider.payout, system.model_owner, system.treasury)
    before = [system.free(party) for party in parties]
    insurance = system.free(system.vault)

    victim = ask(system, requester)
    system.answer(victim, provider)
    count(system, victim, requester)

    assert [system.free(party) for party in parties] == before
    assert system.free(system.vault) == insurance + victim.held["surcharge"]


def test_stuffing__moves_the_price_by_an_eighth_a_period(system, provider, pricing, chain):
    for _ in range(9):
        own = ask(system, provider.owner)
        system.answer(own, provider)
        count(system, own, provider.owner)
    chain.pending_timestamp += PERIOD
    chain.mine()

    assert pricing.priceOf(1).price == FLOOR + FLOOR // 8


def test_stuffing__with_work_that_costs_nothing__does_not_move_the_price(
    system, provider, pricing, chain
):
    """Any model can join a class: a rival puts one there that is free, and works for itself."""
    rival = provider.owner
    free = system.register_model(rival, keccak(b"free"), price=0)
    pricing.setClass(free, 1, sender=rival)
    market = system.market_of(free)
    offer = system.open_offer(provider, market, ask=0)
    receipt = pricing.request(
        system.asking(market=market, offerId=offer, units=10**9), ETHER, sender=rival
    )
    (asked,) = receipt.events.filter(system.router.InferenceRequested)
    (held,) = receipt.events.filter(pricing.SurchargeHeld)
    job = plain(asked.job)
    system.router.answer(asked.jobId, job, 10**9, OUTPUT, [b""], sender=provider.operator)
    fields = dict(zip(HELD, held.held, strict=True)) | {"requester": rival.address}

    pricing.count(asked.jobId, fields, job, 10**9, OUTPUT, sender=rival)

    assert tuple(pricing.priceOf(1)) == (FLOOR, 0)
    assert system.vault.locked(pricing, NATIVE) == 0


def test_swapped_class__with_a_huge_deposit__is_more_than_the_requester_allows(
    system, provider, pricing, requester, model_owner
):
    """Whoever counts late gets the deposit, and the owner hopes to be the one."""
    allowed, huge = 2 * DEPOSIT, 5 * ETHER
    rules = {"token": NATIVE, "floor": FLOOR, "cap": FLOOR, "deposit": huge}
    pricing.openClass(rules | {"target": 1, "period": PERIOD}, sender=model_owner)
    asked, before = system.asking(), system.free(requester)
    pricing.setClass(system.model_id, 2, sender=model_owner)  # a moment before the request

    with ape.reverts(pricing.PricingSurchargeTooHigh, **{"surcharge": huge, "allowed": allowed}):
        pricing.request(asked, allowed, sender=requester)

    assert system.free(requester) == before
    pricing.setClass(system.model_id, 1, sender=model_owner)
    pricing.request(asked, allowed, sender=requester)


def test_starving__costs_the_deposit(system, provider, pricing, requester, stranger, chain):
    """A requester that leaves its work uncounted pays whoever counts it."""
    asked = ask(system, requester)
    system.answer(asked, provider)
    with ape.reverts(pricing.PricingNotOver):
        pricing.giveBack(asked.id, asked.held, sender=requester)
    chain.pending_timestamp = asked.held["openUntil"] + 1
    before = system.free(requester)

    count(system, asked, stranger)

    assert system.free(stranger) == DEPOSIT
    assert system.free(requester) == before
    assert pricing.priceOf(1).units == 1
