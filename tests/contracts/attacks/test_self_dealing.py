"""Self-dealing: a provider is its own customer

It hopes to look better than it is, or to be paid by others for doing nothing.
"""

import pytest
from system import ASK, ETHER, FEE_BPS, MODEL_PRICE, NATIVE, OUTPUT, ROYALTY_BPS, begin

pytestmark = pytest.mark.usefixtures("books")

PRICE = ASK + MODEL_PRICE


@pytest.fixture
def schemer(system, accounts):
    """One account that is owner, operator, payout and customer. A day begins: evidence is counted by days."""
    begin(86_400)
    ready = system.provider(accounts[7], accounts[7], accounts[7])
    system.open_offer(ready)
    system.vault.deposit(accounts[7], NATIVE, ETHER, value=ETHER, sender=accounts[7])
    system.vault.allowModule(system.router, True, sender=accounts[7])
    return ready


def deal(system, schemer, units=1, sender=None):
    """Ask itself, answer, and record it."""
    value = 0 if sender is None else units * PRICE
    asked = system.request(
        sender=sender or schemer.owner, value=value, offerId=schemer.offer, units=units
    )
    system.answer(asked, schemer, units=units)
    system.reputation.recordSuccess(asked.id, asked.job, units, OUTPUT, sender=schemer.owner)


def test_self_dealing__loses_fee_and_royalty_each_time(system, schemer, model_owner):
    before = system.free(schemer.owner)
    for _ in range(3):
        deal(system, schemer)

    system.router.claim(schemer.offer, system.market, sender=schemer.owner)

    fee = 3 * PRICE * FEE_BPS // 10_000
    lost = before - system.free(schemer.owner)
    assert lost >= fee + 3 * ASK * ROYALTY_BPS // 10_000 * (10_000 - FEE_BPS) // 10_000
    assert system.router.revenueOf(system.model_id, 1).fees == fee
    assert lost == fee + system.free(model_owner)


def test_self_dealing__buys_less_standing_with_every_deal(system, schemer):
    """A hundred times the fee of one payer counts ten times."""
    deal(system, schemer)
    one = system.reputation.evidenceOf(schemer.number).good

    deal(system, schemer, units=99)

    assert system.reputation.evidenceOf(schemer.number).good == pytest.approx(10 * one, rel=1e-3)


def test_self_dealing__cannot_hide_a_miss(system, schemer, stranger, chain):
    """Anybody shows it; afterwards the score is below what it was."""
    for _ in range(5):
        deal(system, schemer)
    good = system.reputation.scoreOf(schemer.number)
    missed = system.request(offerId=schemer.offer)
    chain.pending_timestamp = missed.job["deadline"] + 1
    system.router.refund(missed.id, missed.job, sender=stranger)

    system.reputation.recordMiss(missed.id, missed.job, sender=stranger)

    assert system.reputation.scoreOf(schemer.number) < good
