"""The callback of InferenceRouter.answer and settle, and InferenceRouter.redeliver

callback
├── when the consumer reverts, burns its gas or returns a bomb
│   └── the provider is paid, the job is SettledUndelivered, and the event says so
├── when the transaction has too little gas for it
│   └── the answer reverts with RouterCallbackGasTooLow, or runs out of gas, and the job stays assigned
├── when the consumer calls back into the router
│   └── it cannot settle, refund or redeliver again
├── when none is asked for
│   └── nobody is called, and the job is Settled
└── it is called once, with at least the gas asked for
redeliver
├── when the caller is not the requester
│   └── it reverts with RouterNotRequester(caller, requester)
├── when the job was delivered
│   └── it reverts with RouterJobMismatch(jobId, state)
├── when it fails again
│   └── it reverts with RouterCallbackFailed(jobId) and can be tried once more
└── it delivers once
"""

import ape
import pytest
from eth_utils import keccak
from system import ASK, MODEL_PRICE, OUTPUT, Asked, plain

PRICE = ASK + MODEL_PRICE
STORE, REVERT, BURN_GAS, RETURN_BOMB, REDELIVER = range(5)


@pytest.fixture
def consumer(accounts, project, system):
    """A contract that asks and is called back."""
    return accounts[0].deploy(project.MockConsumer, system.router)


@pytest.fixture
def asked(system, provider, consumer, requester):
    """A job of the consumer with 100,000 gas for the callback."""
    receipt = consumer.ask(system.asking(callbackGas=100_000), value=PRICE, sender=requester)
    (event,) = receipt.events.filter(system.router.InferenceRequested)
    return Asked(event.jobId, plain(event.job), receipt)


@pytest.mark.parametrize("mood", [REVERT, BURN_GAS, RETURN_BOMB])
def test_callback__when_consumer_misbehaves__provider_is_paid(
    system, provider, consumer, asked, requester, mood
):
    consumer.setMood(mood, sender=requester)

    receipt = system.answer(asked, provider)

    (settled,) = receipt.events.filter(system.router.InferenceSettled)
    assert not settled.delivered
    assert system.state(asked.id) == "SettledUndelivered"
    assert system.router.offer(provider.offer).earned == PRICE
    assert receipt.gas_used < 300_000


@pytest.mark.parametrize("gas", range(120_000, 200_001, 5_000))
def test_callback__at_any_gas_limit__is_given_its_gas_or_nothing_happens(
    system, provider, consumer, asked, gas
):
    proof = system.sign(asked, provider.operator)

    try:
        system.router.answer(
            asked.id, asked.job, 1, OUTPUT, [proof], sender=provider.operator, gas_limit=gas
        )
    except ape.exceptions.TransactionError:
        assert system.state(asked.id) == "Assigned"
        assert gas < 180_000
        return

    assert system.state(asked.id) == "Settled"
    assert consumer.gasGiven() > 99_000  # what is left after the dispatch of the call


def test_callback__when_too_little_gas_is_left_for_it__reverts(system, provider, consumer, asked):
    """With a gas limit of its own Ape does not decode the error, but shows its bytes."""
    proof, router = system.sign(asked, provider.operator), system.router
    selector = repr(keccak(text="RouterCallbackGasTooLow(uint256,uint256)")[:4])[2:-1]

    with pytest.raises(ape.exceptions.ContractLogicError) as refused:
        router.answer(
            asked.id, asked.job, 1, OUTPUT, [proof], sender=provider.operator, gas_limit=160_000
        )

    assert selector in str(refused.value)
    assert (system.state(asked.id), consumer.calls()) == ("Assigned", 0)


def test_callback__when_consumer_calls_redeliver__changes_nothing(
    system, provider, consumer, asked, requester
):
    consumer.setJob(asked.job, sender=requester)
    consumer.setMood(REDELIVER, sender=requester)

    system.answer(asked, provider)

    assert system.state(asked.id) == "SettledUndelivered"
    assert consumer.calls() == 0


def test_callback__is_called_once_with_its_gas(system, provider, consumer, asked):
    system.answer(asked, provider)

    assert (consumer.calls(), consumer.lastJobId(), consumer.stored()) == (1, asked.id, OUTPUT)
    assert 99_000 < consumer.gasGiven() <= 100_000


def test_callback__when_none_is_asked_for__nobody_is_called(system, provider, consumer, requester):
    receipt = consumer.ask(system.asking(), value=PRICE, sender=requester)
    (event,) = receipt.events.filter(system.router.InferenceRequested)

    system.answer(Asked(event.jobId, plain(event.job), receipt), provider)

    assert system.state(event.jobId) == "Settled"
    assert consumer.calls() == 0


def test_callback__with_the_least_gas__is_called_in_vain(system, provider, consumer, requester):
    receipt = consumer.ask(system.asking(callbackGas=1), value=PRICE, sender=requester)
    (event,) = receipt.events.filter(system.router.InferenceRequested)

    system.answer(Asked(event.jobId, plain(event.job), receipt), provider)

    assert system.state(event.jobId) == "SettledUndelivered"


def test_callback__when_requester_is_no_contract__is_delivered(system, provider):
    asked = system.request(callbackGas=50_000)

    receipt = system.answer(asked, provider)

    (settled,) = receipt.events.filter(system.router.InferenceSettled)
    assert settled.delivered


def test_redeliver__when_caller_is_not_the_requester__reverts(
    system, provider, consumer, asked, requester, stranger
):
    consumer.setMood(REVERT, sender=requester)
    system.answer(asked, provider)

    expected = {"caller": stranger.address, "requester": consumer.address}
    with ape.reverts(system.router.RouterNotRequester, **expected):
        system.router.redeliver(asked.id, asked.job, 1, OUTPUT, sender=stranger)


def test_redeliver__when_delivered__reverts(system, provider, consumer, asked, requester):
    system.answer(asked, provider)

    with ape.reverts(system.router.RouterJobMismatch, **{"state": 4}):
        consumer.redeliver(asked.id, asked.job, 1, OUTPUT, sender=requester)


def test_redeliver__when_it_fails_again__can_be_tried_once_more(
    system, provider, consumer, asked, requester
):
    consumer.setMood(REVERT, sender=requester)
    system.answer(asked, provider)

    with ape.reverts(system.router.RouterCallbackFailed, **{"jobId": asked.id}):
        consumer.redeliver(asked.id, asked.job, 1, OUTPUT, sender=requester)

    assert system.state(asked.id) == "SettledUndelivered"


def test_redeliver__delivers_once(system, provider, consumer, asked, requester):
    consumer.setMood(REVERT, sender=requester)
    system.answer(asked, provider)
    consumer.setMood(STORE, sender=requester)

    receipt = consumer.redeliver(asked.id, asked.job, 1, OUTPUT, sender=requester)

    assert receipt.events == [system.router.InferenceRedelivered(asked.id)]
    assert (system.state(asked.id), consumer.calls()) == ("Settled", 1)
    with ape.reverts(system.router.RouterJobMismatch):
        consumer.redeliver(asked.id, asked.job, 1, OUTPUT, sender=requester)
