"""InferenceRouter.multicall: many calls of one sender in one transaction

multicall
├── when it carries value
│   └── it reverts, since each request in it would spend the same value
├── when one call reverts
│   └── it reverts with that call's error, here RouterJobMismatch(jobId, state), and none of them happened
├── when the sender is not the operator
│   └── it reverts with RouterNotOperator(caller, operator)
├── it asks for many jobs, paid from the Vault
├── it answers many jobs, as single answers would have
└── it refunds many jobs, by anyone
"""

import ape
import pytest
from system import ASK, MODEL_PRICE, OUTPUT

PRICE = ASK + MODEL_PRICE


def answering(system, asked, output=OUTPUT):
    """The call that answers a job under the signature policy."""
    return system.router.answer.encode_input(asked.id, asked.job, 1, output, [b""])


@pytest.fixture
def jobs(system, provider):
    """Three jobs of `provider`."""
    return [system.request() for _ in range(3)]


def test_multicall__with_value__reverts(system, provider, stranger):
    asking = system.router.request.encode_input(system.asking(maxPrice=PRICE))

    with ape.reverts():
        system.router.multicall([asking, asking], value=PRICE, sender=stranger)

    assert system.router.lastJobId() == 0


def test_multicall__when_one_call_reverts__does_nothing(system, provider, jobs):
    calls = [answering(system, asked) for asked in (*jobs, jobs[0])]

    with ape.reverts(system.router.RouterJobMismatch, **{"jobId": jobs[0].id, "state": 4}):
        system.router.multicall(calls, sender=provider.operator)

    assert [system.state(asked.id) for asked in jobs] == ["Assigned"] * 3


def test_multicall__of_a_stranger__answers_nothing(system, provider, jobs, stranger):
    expected = {"caller": stranger.address, "operator": provider.operator.address}

    with ape.reverts(system.router.RouterNotOperator, **expected):
        system.router.multicall([answering(system, jobs[0])], sender=stranger)


def test_multicall__asks_for_many_jobs(system, provider, requester):
    before = system.free(requester)
    asking = system.router.request.encode_input(system.asking())

    system.router.multicall([asking, asking], sender=requester)

    assert system.router.lastJobId() == 2
    assert system.free(requester) == before - 2 * PRICE


def test_multicall__answers_many_jobs(system, provider, jobs):
    outputs = [bytes([index + 1]) * 32 for index in range(3)]
    calls = [answering(system, asked, output) for asked, output in zip(jobs, outputs, strict=True)]

    receipt = system.router.multicall(calls, sender=provider.operator)

    assert receipt.events == [
        system.router.InferenceSettled(asked.id, provider.number, 1, PRICE, True, output)
        for asked, output in zip(jobs, outputs, strict=True)
    ]
    offer = system.router.offer(provider.offer)
    assert (offer.load, offer.earned) == (0, 3 * PRICE)


def test_multicall__refunds_many_jobs(system, jobs, requester, stranger, chain):
    before = system.free(requester)
    chain.pending_timestamp = jobs[-1].job["deadline"] + 1
    calls = [system.router.refund.encode_input(asked.id, asked.job) for asked in jobs]

    system.router.multicall(calls, sender=stranger)

    assert [system.state(asked.id) for asked in jobs] == ["Refunded"] * 3
    assert system.free(requester) == before + 3 * PRICE
