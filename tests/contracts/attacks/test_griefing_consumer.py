"""A griefing consumer: a requester that makes its callback fail, or a provider that starves it

The requester hopes to get an answer without paying, or to burn the provider's gas; the provider hopes to be paid for an
answer that never arrives.
"""

import ape
import pytest
from system import ASK, MODEL_PRICE, NATIVE, OUTPUT, Asked, plain

PRICE = ASK + MODEL_PRICE
REVERT, BURN_GAS, RETURN_BOMB, REDELIVER = range(1, 5)
CALLBACK_GAS = 100_000


@pytest.fixture
def consumer(accounts, project, system):
    """A contract that asks and is called back."""
    return accounts[0].deploy(project.MockConsumer, system.router)


@pytest.fixture
def asked(system, provider, consumer, requester):
    """A job of the consumer."""
    receipt = consumer.ask(system.asking(callbackGas=CALLBACK_GAS), value=PRICE, sender=requester)
    (event,) = receipt.events.filter(system.router.InferenceRequested)
    return Asked(event.jobId, plain(event.job), receipt)


@pytest.mark.parametrize("mood", [REVERT, BURN_GAS, RETURN_BOMB, REDELIVER])
def test_griefing_consumer__pays_all_the_same(system, provider, consumer, asked, requester, mood):
    consumer.setMood(mood, sender=requester)
    consumer.setJob(asked.job, sender=requester)

    receipt = system.answer(asked, provider)

    assert system.router.offer(provider.offer).earned == PRICE
    assert receipt.gas_used < 200_000 + CALLBACK_GAS
    with ape.reverts(system.router.RouterJobMismatch):
        system.router.refund(asked.id, asked.job, sender=requester)
    assert system.vault.locked(system.router, NATIVE) == PRICE


def test_starved_consumer__is_called_with_all_its_gas_or_the_provider_has_no_pay(
    system, provider, consumer, asked
):
    arguments = (asked.id, asked.job, 1, OUTPUT, [b""])

    with ape.reverts():
        system.router.answer(*arguments, gas=140_000, sender=provider.operator)

    assert consumer.calls() == 0
    assert system.router.offer(provider.offer).earned == 0
    system.router.answer(*arguments, gas=400_000, sender=provider.operator)
    assert consumer.calls() == 1
    assert consumer.gasGiven() >= CALLBACK_GAS - 3_000  # what its own dispatch has used by then
