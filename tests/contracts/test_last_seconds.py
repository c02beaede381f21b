"""Clocks: the last second counts, and the next one does not

until
├── an answer, a decline, a take-over, the answer to a batch, joining a deal and access are in time in their last second
├── a licence and a result in the cache are good in it, and a lane's promise is kept in it
└── afterwards begins in the second after: taking over, refunds of jobs and batches, what a deal gives back
where the contract says otherwise
└── it reverts with RouterTooEarly(time, from), BatchTooEarly(time, from),
    IncentivesReclaimTooEarly(time, joinUntil), CacheOccupied(key, until)
"""

import ape
import pytest
from eth_utils import keccak
from pinning import deploy_pinning
from system import ASK, ETHER, INPUT, MODEL_PRICE, OUTPUT, plain

from offchain_worker import batch_tree

PRICE = ASK + MODEL_PRICE
BATCH = ("market", "offerId", "provider", "count", "deadline", "requester", "price", "inputsRoot")
BY_RULE, ALLOW_LIST = 2, 1


@pytest.fixture
def asked(system, provider):
    """A job of `provider`, by name."""
    return system.request(offerId=provider.offer)


@pytest.fixture
def batch(system, provider, requester, chain):
    """A batch of one item; its number and itself."""
    system.vault.allowModule(system.batches, True, sender=requester)
    deadline = chain.pending_timestamp + 600
    packed = batch_tree.pack([INPUT])
    asking = (system.market, provider.offer, deadline, ETHER, packed)
    receipt = system.batches.request(*asking, sender=requester)
    (event,) = receipt.events.filter(system.batches.BatchRequested)
    return event.batchId, dict(zip(BATCH, event.batch, strict=True))


def test_answer__in_the_last_second__is_in_time(system, provider, asked, chain):
    chain.pending_timestamp = asked.job["deadline"]

    system.answer(asked, provider)

    assert system.state(asked.id) == "Settled"


def test_decline__in_the_last_second__is_in_time(system, provider, asked, chain):
    chain.pending_timestamp = asked.job["exclusiveUntil"]

    system.router.decline(asked.id, asked.job, sender=provider.operator)

    assert system.state(asked.id) == "Open"


def test_take__in_the_last_exclusive_second__is_too_early(system, rival, asked, chain):
    chain.pending_timestamp = asked.job["exclusiveUntil"]

    with ape.reverts(system.router.RouterTooEarly, **{"from": asked.job["exclusiveUntil"] + 1}):
        system.take(asked, rival, value=PRICE // 10)


def test_take__in_the_last_second__is_in_time_and_ends_there(system, rival, asked, chain):
    chain.pending_timestamp = asked.job["deadline"]

    taken = system.take(asked, rival, value=PRICE // 10)

    assert taken.job["exclusiveUntil"] == asked.job["deadline"]


def test_batch__in_the_last_second__is_not_refunded(system, batch, chain, stranger):
    number, given = batch
    chain.pending_timestamp = given["deadline"]

    with ape.reverts(system.batches.BatchTooEarly, **{"from": given["deadline"] + 1}):
        system.batches.refund(number, given, sender=stranger)


def test_batch__in_the_last_second__is_answered_in_time(system, provider, batch, chain):
    number, given = batch
    packed = batch_tree.pack([OUTPUT])
    digest = system.batches.answerDigest(number, given, batch_tree.root([OUTPUT]))
    signature = provider.operator.sign_raw_msghash(digest)
    chain.pending_timestamp = given["deadline"]

    proofs = [signature.encode_rsv()]
    system.batches.answer(number, given, packed, proofs, sender=provider.operator)

    assert system.batches.stateOf(number) == 3


def test_access__in_the_last_second__is_granted(system, provider, requester, model_owner, chain):
    until = chain.pending_timestamp + 100
    system.registry.setAccess(system.model_id, ALLOW_LIST, sender=model_owner)
    system.registry.grantAccess(system.model_id, requester, until, sender=model_owner)
    chain.pending_timestamp = until

    assert system.state(system.request().id) == "Assigned"


def test_licence__in_the_last_second__is_good(system, provider, requester, model_owner, chain):
    until = chain.pending_timestamp + 100
    system.vault.allowModule(system.licences, True, sender=requester)
    system.registry.setAccessRule(system.model_id, system.licences, sender=model_owner)
    system.registry.setAccess(system.model_id, BY_RULE, sender=model_owner)
    system.licences.give(system.model_id, requester, 1, until, sender=model_owner)
    chain.pending_timestamp = until

    system.licences.request(system.asking(), sender=requester)

    assert system.router.lastJobId() == 1


@pytest.fixture
def kept(system, provider, requester, stranger):
    """A settled job whose result the cache has; what is asked to find it, and what was said when it was kept."""
    system.vault.allowModule(system.cache, True, sender=requester)
    asked = system.request()
    system.answer(asked, provider)
    receipt = system.cache.store(asked.id, asked.job, 1, 1, OUTPUT, sender=stranger)
    (event,) = receipt.events.filter(system.cache.ResultCached)
    query = {"market": system.market, "units": 1, "inputHash": keccak(INPUT)}
    return asked, query | {"provider": provider.number}, event


def test_cache__in_the_last_second__has_the_result(system, kept, requester, chain):
    _, query, event = kept
    chain.pending_timestamp = event.until

    hit = system.cache.hit(query, ETHER, OUTPUT, sender=requester)

    assert hit.events == [system.cache.CacheHit(event.key, requester, PRICE // 10)]


def test_cache__in_the_last_second__takes_no_other(system, kept, stranger, chain):
    asked, _, event = kept
    chain.pending_timestamp = event.until

    with ape.reverts(system.cache.CacheOccupied, **{"until": event.until}):
        system.cache.store(asked.id, asked.job, 1, 1, OUTPUT, sender=stranger)


def test_lane__in_the_promised_second__earns_the_whole_tip(system, provider, requester, chain):
    system.vault.allowModule(system.lanes, True, sender=requester)
    due = chain.pending_timestamp + 60
    receipt = system.lanes.request(system.asking(), 8, due, sender=requester)
    (asked,) = receipt.events.filter(system.router.InferenceRequested)
    (opened,) = receipt.events.filter(system.lanes.LaneOpened)
    job = plain(asked.job)
    answer = (asked.jobId, job, 1, OUTPUT, [b""])
    system.router.answer(*answer, sender=provider.operator)
    before = system.free(provider.payout)
    chain.pending_timestamp = due

    earned = (asked.jobId, tuple(opened.lane), job, 1, OUTPUT)
    system.lanes.earn(*earned, sender=provider.operator)

    assert system.free(provider.payout) == before + 8


def test_deal__in_the_last_second__gives_nothing_back(system, accounts, project, stranger, chain):
    pinning = deploy_pinning(system, accounts, project)
    number = pinning.open()
    until = pinning.deal(number).joinUntil
    chain.pending_timestamp = until

    with ape.reverts(pinning.incentives.IncentivesReclaimTooEarly, **{"joinUntil": until}):
        pinning.incentives.reclaim(number, sender=stranger)


def test_deal__in_the_last_second__takes_pinners(system, accounts, project, chain):
    pinning = deploy_pinning(system, accounts, project)
    number = pinning.open()
    chain.pending_timestamp = pinning.deal(number).joinUntil

    pinning.join(number, pinning.pinners[0])

    assert pinning.place(number, pinning.pinners[0]).round > 0
