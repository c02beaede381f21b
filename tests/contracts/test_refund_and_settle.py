"""InferenceRouter.refund and InferenceRouter.settle

refund
├── when the deadline has not passed
│   └── it reverts with RouterTooEarly(time, from)
├── when the job is settled, answered or refunded
│   └── it reverts with RouterJobMismatch(jobId, state)
├── when the job is open
│   └── it refunds, and nobody is blamed again
├── when it was taken with a bond
│   └── the requester gets the bond as well
└── it gives everything back, by anyone, and costs the provider reputation
settle
├── when the job is not answered
│   └── it reverts with RouterJobMismatch(jobId, state)
├── when the output or the units are not those answered, or the time or the claim
│   └── it reverts with RouterJobMismatch(jobId, state)
├── when the resolution has not decided
│   └── it reverts with RouterNotFinal(jobId, finalAt)
├── when the answer is overturned
│   └── it refunds the requester and costs the provider reputation
├── when the resolution refuses the claim
│   └── the answer reverts and the job stays assigned
└── when the answer is upheld
    └── it pays the offer
"""

import ape
import pytest
from eth_abi import encode
from eth_utils import keccak
from system import ASK, INPUT, MODEL_PRICE, NATIVE, OUTPUT

PRICE = ASK + MODEL_PRICE
UPHELD, OVERTURNED = 1, 2


@pytest.fixture
def asked(system, provider):
    """A job assigned to `provider`."""
    return system.request()


@pytest.fixture
def resolution(accounts, project):
    """A resolution that decides what it is told to."""
    return accounts[0].deploy(project.MockListener)


@pytest.fixture
def reviewed(system, provider, resolution, model_owner):
    """A job under a policy with a resolution."""
    policy = (system.verifier.address, NATIVE, resolution.address)
    system.registry.allowPolicy(system.model_id, system.policy_id(policy), True, sender=model_owner)
    market = system.market_of(system.model_id, policy=policy)
    system.open_offer(provider, market)
    return system.request(market=market)


@pytest.fixture
def answered(system, provider, reviewed):
    """The same job, answered and not decided."""
    system.answer(reviewed, provider, proofs=[system.sign(reviewed, provider.operator), b"root"])
    return reviewed


def test_refund__when_deadline_has_not_passed__reverts(system, asked, chain, stranger):
    chain.pending_timestamp = asked.job["deadline"]

    with ape.reverts(system.router.RouterTooEarly, **{"from": asked.job["deadline"] + 1}):
        system.router.refund(asked.id, asked.job, sender=stranger)


def test_refund__when_settled__reverts(system, provider, asked, chain, stranger):
    system.answer(asked, provider)
    chain.pending_timestamp = asked.job["deadline"] + 1

    with ape.reverts(system.router.RouterJobMismatch, **{"jobId": asked.id, "state": 4}):
        system.router.refund(asked.id, asked.job, sender=stranger)


def test_refund__when_answered_and_undecided__reverts(system, answered, chain, stranger):
    chain.pending_timestamp = answered.job["deadline"] + 1

    with ape.reverts(system.router.RouterJobMismatch, **{"state": 3}):
        system.router.refund(answered.id, answered.job, sender=stranger)


def test_refund__when_refunded_already__reverts(system, asked, chain, stranger):
    chain.pending_timestamp = asked.job["deadline"] + 1
    system.router.refund(asked.id, asked.job, sender=stranger)

    with ape.reverts(system.router.RouterJobMismatch, **{"state": 6}):
        system.router.refund(asked.id, asked.job, sender=stranger)


def test_refund__when_open__blames_nobody_again(system, provider, asked, chain, stranger):
    declined = system.decline(asked, provider)
    before = system.router.offer(provider.offer)
    chain.pending_timestamp = asked.job["deadline"] + 1

    system.router.refund(asked.id, declined.job, sender=stranger)

    assert system.state(asked.id) == "Refunded"
    assert system.router.offer(provider.offer) == before


def test_refund__when_taken_with_a_bond__gives_the_bond_to_the_requester(
    system, asked, accounts, chain, requester
):
    rival = system.provider(accounts[7], accounts[8], accounts[7])
    system.open_offer(rival)
    chain.pending_timestamp = asked.job["exclusiveUntil"] + 1
    taken = system.take(asked, rival, value=PRICE // 10)
    chain.pending_timestamp = asked.job["deadline"] + 1
    before = system.free(requester)

    receipt = system.router.refund(asked.id, taken.job, sender=rival.owner)

    amount = PRICE + PRICE // 10
    assert receipt.events == [system.router.InferenceRefunded(asked.id, requester, amount)]
    assert system.free(requester) == before + amount


def test_refund__gives_everything_back(system, provider, asked, chain, requester, stranger):
    before, offer = system.free(requester), system.router.offer(provider.offer)
    chain.pending_timestamp = asked.job["deadline"] + 1

    receipt = system.router.refund(asked.id, asked.job, sender=stranger)

    assert receipt.events == [system.router.InferenceRefunded(asked.id, requester, PRICE)]
    assert system.state(asked.id) == "Refunded"
    assert system.free(requester) == before + PRICE
    assert system.vault.locked(system.router, NATIVE) == 0
    after = system.router.offer(provider.offer)
    assert (after.load, after.earned) == (offer.load - 1, 0)
    assert after.reputation == offer.reputation - offer.reputation // 4


def test_settle__when_not_answered__reverts(system, asked, stranger):
    with ape.reverts(system.router.RouterJobMismatch, **{"jobId": asked.id, "state": 1}):
        system.settle(asked, stranger)


@pytest.mark.parametrize(("units", "output"), [(2, OUTPUT), (1, b"another")])
def test_settle__when_outcome_is_not_the_one_answered__reverts(
    system, answered, stranger, units, output
):
    with ape.reverts(system.router.RouterJobMismatch):
        system.settle(answered, stranger, output, units)


@pytest.mark.parametrize("change", [{"since": 1}, {"claimHash": b"\x01" * 32}])
def test_settle__when_time_or_claim_is_not_the_one_answered__reverts(
    system, answered, resolution, stranger, change
):
    resolution.decide(system.router, answered.id, UPHELD, sender=stranger)
    answered.waiting |= change

    with ape.reverts(system.router.RouterJobMismatch, **{"jobId": answered.id, "state": 3}):
        system.settle(answered, stranger)


def test_settle__when_resolution_has_not_decided__reverts(system, answered, stranger, chain):
    expected = {"jobId": answered.id, "finalAt": chain.blocks.head.timestamp + 3_601}
    with ape.reverts(system.router.RouterNotFinal, **expected):
        system.settle(answered, stranger)


def test_settle__when_overturned__refunds_the_requester(
    system, provider, answered, resolution, requester, stranger
):
    resolution.decide(system.router, answered.id, OVERTURNED, sender=stranger)
    before, offer = system.free(requester), system.router.offer(provider.offer)

    receipt = system.settle(answered, stranger)

    assert receipt.events == [system.router.InferenceRefunded(answered.id, requester, PRICE)]
    assert system.state(answered.id) == "Refunded"
    assert system.free(requester) == before + PRICE
    after = system.router.offer(provider.offer)
    assert (after.load, after.earned) == (0, 0)
    assert after.reputation == offer.reputation - offer.reputation // 4


def test_answer__when_resolution_refuses_the_claim__leaves_the_job_assigned(
    system, provider, reviewed, resolution
):
    with ape.reverts(resolution.MockClaimRefused):
        system.answer(reviewed, provider, proofs=[system.sign(reviewed, provider.operator), b""])

    assert system.state(reviewed.id) == "Assigned"


def test_answer__with_a_resolution__hands_it_the_statement(system, provider, answered, resolution):
    statement = (
        system.router.answerDigest(answered.id, answered.job, 1, keccak(OUTPUT)),
        *(answered.id, system.model_id, 1, provider.number, provider.operator.address, 1),
        *(keccak(INPUT), keccak(OUTPUT)),
    )
    types = ["(bytes32,uint256,bytes32,uint32,uint32,address,uint32,bytes32,bytes32)", "bytes"]

    told = keccak(encode(types, [statement, b"root"]))
    assert system.state(answered.id) == "Answered"
    assert [event.told for event in resolution.MockAnswered] == [told]
    assert system.router.offer(provider.offer).load == 1


def test_settle__when_upheld__pays_the_offer(system, provider, answered, resolution, stranger):
    resolution.decide(system.router, answered.id, UPHELD, sender=stranger)

    receipt = system.settle(answered, stranger)

    assert receipt.events == [
        system.router.InferenceSettled(answered.id, provider.number, 1, PRICE, True, OUTPUT)
    ]
    assert system.state(answered.id) == "Settled"
    offer = system.router.offer(provider.offer)
    assert (offer.load, offer.earned) == (0, PRICE)
