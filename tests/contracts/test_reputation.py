"""Reputation: recordSuccess, recordMiss, recordDisproved, scoreOf

deploy
└── when no fee counts as a success
    └── it reverts with ReputationUnitMissing
record
├── when the job goes on, or ended otherwise
│   └── it reverts with ReputationNotShown(jobId)
├── when it was settled with another output
│   └── it reverts with ReputationNotShown(jobId)
├── when the job was counted
│   └── it reverts with ReputationRecorded(jobId)
├── when it was refunded after a decline
│   └── it reverts with ReputationNobodyToBlame(jobId)
├── when it is paid in a token
│   └── it reverts with ReputationTokenUnsupported(token)
├── a success counts by its fee, and one payer's by the square root of their sum
├── many payers of little count by their fees
├── a miss counts by the fee that was not earned
├── a disproved answer counts ten times
└── anyone may record, and it moves no money
scoreOf
├── is low for a newcomer
├── rises with successes, falls with misses
└── goes back to a newcomer's with time
"""

import math

import ape
import pytest
from system import ASK, ETHER, FEE_BPS, MODEL_PRICE, NATIVE, OUTPUT, begin

from scripts._support.plan import UNIT_FEE

PRICE = ASK + MODEL_PRICE
WEIGHT = PRICE * FEE_BPS * 10**6 // (10_000 * UNIT_FEE)
"""Of the fee of one unit, in millionths of the fee that counts as one success."""
DAY = 86_400
NEWCOMER = 251
OVERTURNED = 2


@pytest.fixture
def reputation(system):
    """The module, at the beginning of a day: evidence is counted by days."""
    begin(DAY)
    return system.reputation


@pytest.fixture
def settled(system, provider):
    """Ask, answer; returns the job."""

    def settle(**changes):
        asked = system.request(**changes)
        system.answer(asked, provider, units=asked.job["units"])
        return asked

    return settle


@pytest.fixture
def missed(system, chain, stranger):
    """Ask and let the deadline pass; returns the refunded job."""

    def miss(**changes):
        asked = system.request(**changes)
        chain.pending_timestamp = asked.job["deadline"] + 1
        system.router.refund(asked.id, asked.job, sender=stranger)
        return asked

    return miss


def cheap_market(system, provider):
    """A market in which a job's fee is a small part of the fee that counts as one success."""
    model = system.register_model(system.model_owner, b"\x08" * 32, price=0)
    market = system.market_of(model)
    system.open_offer(provider, market, ask=UNIT_FEE)
    return market


def test_deploy__when_no_fee_counts_as_a_success__reverts(system, project, stranger, reputation):
    with pytest.raises(ape.exceptions.ContractLogicError) as refused:
        stranger.deploy(project.Reputation, system.router, 0)

    assert type(refused.value).__name__ == "ReputationUnitMissing"


def test_deploy__with_the_least_fee__works(project, system, stranger):
    assert stranger.deploy(project.Reputation, system.router, 1).UNIT_FEE() == 1


def record(reputation, asked, sender, units=1, output=OUTPUT):
    return reputation.recordSuccess(asked.id, asked.job, units, output, sender=sender)


def test_record__while_the_job_goes_on__reverts(system, provider, reputation, stranger):
    asked = system.request()

    with ape.reverts(reputation.ReputationNotShown, **{"jobId": asked.id}):
        record(reputation, asked, stranger)
    with ape.reverts(reputation.ReputationNotShown, **{"jobId": asked.id}):
        reputation.recordMiss(asked.id, asked.job, sender=stranger)


def test_record_miss__of_a_settled_job__reverts(provider, reputation, settled, stranger):
    asked = settled()

    with ape.reverts(reputation.ReputationNotShown, **{"jobId": asked.id}):
        reputation.recordMiss(asked.id, asked.job, sender=stranger)
    with ape.reverts(reputation.ReputationNotShown, **{"jobId": asked.id}):
        reputation.recordDisproved(asked.id, asked.job, 1, OUTPUT, sender=stranger)


def test_record_success__of_a_refunded_job__reverts(provider, reputation, missed, stranger):
    with ape.reverts(reputation.ReputationNotShown):
        record(reputation, missed(), stranger)


def test_record_success__with_another_output__reverts(reputation, settled, stranger):
    with ape.reverts(reputation.ReputationNotShown):
        record(reputation, settled(), stranger, output=b"another")


def test_record__twice__reverts(provider, reputation, settled, missed, stranger):
    done, lost = settled(), missed()
    record(reputation, done, stranger)
    reputation.recordMiss(lost.id, lost.job, sender=stranger)

    with ape.reverts(reputation.ReputationRecorded, **{"jobId": done.id}):
        record(reputation, done, stranger)
    with ape.reverts(reputation.ReputationRecorded, **{"jobId": lost.id}):
        reputation.recordMiss(lost.id, lost.job, sender=stranger)


def test_record_miss__after_a_decline__reverts(system, provider, reputation, chain, stranger):
    declined = system.decline(system.request(), provider)
    chain.pending_timestamp = declined.job["deadline"] + 1
    system.router.refund(declined.id, declined.job, sender=stranger)

    with ape.reverts(reputation.ReputationNobodyToBlame, **{"jobId": declined.id}):
        reputation.recordMiss(declined.id, declined.job, sender=stranger)


def test_record__of_a_job_paid_in_a_token__reverts(system, provider, reputation, project, stranger):
    token = stranger.deploy(project.MockToken, 0)
    model = system.register_model(system.model_owner, b"\x07" * 32, token=token.address)
    market = system.market_of(model, token=token.address)
    system.open_offer(provider, market)
    token.mint(system.requester, ETHER, sender=stranger)
    token.approve(system.vault, ETHER, sender=system.requester)
    system.vault.deposit(system.requester, token, ETHER, sender=system.requester)
    asked = system.request(market=market)
    system.answer(asked, provider)

    with ape.reverts(reputation.ReputationTokenUnsupported, **{"token": token.address}):
        record(reputation, asked, stranger)


def test_record_success__counts_the_root_of_what_one_payer_paid(
    system, provider, reputation, settled, stranger
):
    first, second = settled(), settled(units=3)

    receipts = [record(reputation, first, stranger), record(reputation, second, stranger, units=3)]

    weights = [event.weight for receipt in receipts for event in receipt.events]
    assert weights[0] == math.isqrt(WEIGHT * 10**6)
    assert sum(weights) == math.isqrt(4 * WEIGHT * 10**6)
    evidence = reputation.evidenceOf(provider.number)
    assert (evidence.good, evidence.bad) == (sum(weights), 0)
    assert reputation.isRecorded(first.id)
    assert not reputation.isRecorded(second.id + 1)


def test_record_success__of_another_payer__counts_from_the_start(
    system, provider, reputation, settled, stranger
):
    record(reputation, settled(), stranger)

    receipt = record(reputation, settled(sender=stranger, value=PRICE), stranger)

    assert [event.weight for event in receipt.events] == [math.isqrt(WEIGHT * 10**6)]


def test_record_success__of_many_small_payers__counts_no_more_than_their_fees(
    system, provider, reputation, settled, accounts, stranger
):
    """Of numbers below one the root is larger, so accounts that pay next to nothing would be a bargain."""
    market = cheap_market(system, provider)
    payers, price = accounts[5:8], UNIT_FEE
    jobs = [settled(market=market, sender=payer, value=price) for payer in payers]

    weights = [
        event.weight
        for asked in jobs
        for event in record(reputation, asked, stranger).events.filter(reputation.JobRecorded)
    ]

    assert weights == [FEE_BPS * 10**6 // 10_000] * 3


def test_record_miss__counts_the_fee_of_the_job(provider, reputation, missed, stranger):
    asked = missed(units=2)

    receipt = reputation.recordMiss(asked.id, asked.job, sender=stranger)

    assert receipt.events == [reputation.JobRecorded(provider.number, asked.id, False, 2 * WEIGHT)]
    assert reputation.evidenceOf(provider.number).bad == 2 * WEIGHT


def test_record_disproved__counts_ten_times(
    system, provider, reputation, accounts, project, stranger
):
    resolution = accounts[0].deploy(project.MockResolution)
    policy = (system.verifier.address, NATIVE, resolution.address)
    system.registry.allowPolicy(
        system.model_id, system.policy_id(policy), True, sender=system.model_owner
    )
    market = system.market_of(system.model_id, policy=policy)
    system.open_offer(provider, market)
    asked = system.request(market=market)
    system.answer(asked, provider, proofs=[b"", b"claim"])
    resolution.decide(system.router, asked.id, OVERTURNED, sender=stranger)
    system.settle(asked, stranger)
    with ape.reverts(reputation.ReputationNotShown):
        reputation.recordMiss(asked.id, asked.job, sender=stranger)

    reputation.recordDisproved(asked.id, asked.job, 1, OUTPUT, sender=stranger)

    assert reputation.evidenceOf(provider.number).bad == 10 * WEIGHT


def test_score__rises_and_falls_and_goes_back_with_time(
    provider, reputation, settled, missed, chain, stranger
):
    scores = [reputation.scoreOf(provider.number)]
    for _ in range(3):
        record(reputation, settled(units=50), stranger, units=50)
        scores.append(reputation.scoreOf(provider.number))
    lost = missed(units=50)
    reputation.recordMiss(lost.id, lost.job, sender=stranger)
    after_miss = reputation.scoreOf(provider.number)

    assert scores[0] == NEWCOMER
    assert scores == sorted(set(scores))
    assert NEWCOMER < after_miss < scores[-1]
    chain.pending_timestamp += 30 * DAY
    chain.mine()
    half = reputation.evidenceOf(provider.number)
    assert half.bad == pytest.approx(50 * WEIGHT / 2, rel=1e-6)
    chain.pending_timestamp += 4_000 * DAY
    chain.mine()
    assert reputation.scoreOf(provider.number) == NEWCOMER


def test_record__moves_no_money(system, provider, reputation, settled, stranger):
    asked = settled()
    parties = [system.requester, provider.payout, system.model_owner, system.treasury, stranger]
    before = [system.free(party) for party in parties]

    record(reputation, asked, stranger)

    assert [system.free(party) for party in parties] == before
