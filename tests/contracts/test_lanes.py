"""Lanes: a tip for an answer in time

request
├── when the policy has a resolution
│   └── it reverts with LanePolicyUnsupported(resolution)
├── when the promised time has passed, or is beyond the deadline
│   └── it reverts with LaneDueOutOfRange(dueAt, earliest, latest)
├── when the requester has too little or has not opted in
│   └── it reverts with VaultBalanceTooLow(free, needed), RouterModuleNotAllowed(requester, module)
└── it asks in the caller's name and locks the tip
earn
├── when the lane is another, or its tip is gone
│   └── it reverts with LaneMismatch(jobId)
├── when the job is not settled with the output
│   └── it reverts with LaneNotSettled(jobId)
├── by the promised time, the provider gets the tip
└── later, it gets half, and the requester the rest
giveBack
├── while the job may still be answered, or was
│   └── it reverts with LaneNotOver(jobId, state, lapsesAt)
├── when the job was refunded, the tip comes back
└── when nobody earned it until it lapsed, it comes back, even of a job that is archived
"""

from types import SimpleNamespace

import ape
import pytest
from system import ASK, ETHER, MODEL_PRICE, NATIVE, OUTPUT, plain

PRICE = ASK + MODEL_PRICE
TIP = 10**15 + 1
WEEK = 7 * 86_400
SETTLED = 4


@pytest.fixture
def lanes(system, provider, requester):
    """The module; the requester has opted in."""
    system.vault.allowModule(system.lanes, True, sender=requester)
    return system.lanes


@pytest.fixture
def fast(system, lanes, requester, chain):
    """Asks in the fast lane, for an answer within a minute; returns job and lane."""

    def act(within=60, **changes):
        due = chain.pending_timestamp + within
        receipt = lanes.request(system.asking(**changes), TIP, due, sender=requester)
        (asked,) = receipt.events.filter(system.router.InferenceRequested)
        (opened,) = receipt.events.filter(lanes.LaneOpened)
        names = ("requester", "token", "tip", "dueAt", "lapsesAt")
        lane = dict(zip(names, opened.lane, strict=True))
        return SimpleNamespace(id=asked.jobId, job=plain(asked.job), lane=lane)

    return act


def earn(system, asked, sender, **changes):
    given = {"lane": asked.lane, "job": asked.job, "units": 1, "output": OUTPUT} | changes
    return system.lanes.earn(asked.id, *given.values(), sender=sender)


def test_request__under_a_resolution__reverts(system, lanes, requester, stranger):
    market = system.market | {"resolution": stranger.address}
    expected = {"resolution": stranger.address}
    with ape.reverts(lanes.LanePolicyUnsupported, **expected):
        lanes.request(system.asking(market=market), TIP, 2**40 - 1, sender=requester)


@pytest.mark.parametrize("late", [-1, 0, 601])
def test_request__when_the_promise_is_out_of_range__reverts(system, lanes, requester, chain, late):
    now = chain.pending_timestamp + 1
    asked, due = system.asking(deadline=now + 600), now + late
    chain.pending_timestamp = now  # of the block that the next transaction is in

    expected = {"dueAt": due, "earliest": now + 1, "latest": now + 600}
    with ape.reverts(lanes.LaneDueOutOfRange, **expected):
        lanes.request(asked, TIP, due, sender=requester)


def test_request__without_money_or_opt_in__reverts(system, lanes, requester, stranger):
    asked = system.asking()
    with ape.reverts(system.vault.VaultBalanceTooLow):
        lanes.request(asked, 11 * ETHER, asked["deadline"], sender=requester)
    with ape.reverts(system.router.RouterModuleNotAllowed):
        lanes.request(asked, TIP, asked["deadline"], sender=stranger)


def test_request__asks_in_the_callers_name_and_locks_the_tip(system, lanes, requester, fast):
    before = system.free(requester)

    asked = fast()

    assert asked.job["requester"] == requester.address
    assert before - system.free(requester) == PRICE + TIP
    assert system.vault.locked(lanes, NATIVE) == TIP


def test_earn__in_time__pays_the_tip(system, provider, lanes, fast, stranger):
    asked = fast()
    with ape.reverts(lanes.LaneNotSettled, **{"jobId": asked.id}):
        earn(system, asked, stranger)
    system.answer(asked, provider)
    with ape.reverts(lanes.LaneNotSettled):
        earn(system, asked, stranger, output=b"another")
    before = system.free(provider.payout)

    receipt = earn(system, asked, stranger)

    assert receipt.events == [lanes.TipEarned(asked.id, provider.number, TIP, 0)]
    assert system.free(provider.payout) == before + TIP
    assert system.vault.locked(lanes, NATIVE) == 0
    for again in (lambda: earn(system, asked, stranger), lambda: give_back(system, asked)):
        with ape.reverts(lanes.LaneMismatch, **{"jobId": asked.id}):
            again()


@pytest.mark.parametrize("change", [{"tip": TIP + 1}, {"dueAt": 2**40 - 1}, {"lapsesAt": 0}])
def test_earn__with_another_lane__reverts(system, provider, lanes, fast, stranger, change):
    asked, other = fast(), fast()
    system.answer(asked, provider)

    for lane in (asked.lane | change, other.lane | {"dueAt": other.lane["dueAt"] + 1}):
        with ape.reverts(lanes.LaneMismatch, **{"jobId": asked.id}):
            earn(system, asked, stranger, lane=lane)


def test_earn__late__returns_half(system, provider, lanes, fast, requester, stranger, chain):
    asked = fast()
    system.answer(asked, provider)
    before = [system.free(account) for account in (provider.payout, requester)]
    chain.pending_timestamp = asked.lane["dueAt"] + 1

    earn(system, asked, stranger)

    assert system.free(provider.payout) == before[0] + TIP // 2
    assert system.free(requester) == before[1] + TIP - TIP // 2
    assert system.vault.locked(lanes, NATIVE) == 0


def give_back(system, asked):
    return system.lanes.giveBack(asked.id, asked.lane, sender=system.requester)


def test_give_back__of_a_refunded_job(system, lanes, fast, requester, stranger, chain):
    asked = fast()
    with ape.reverts(lanes.LaneNotOver, **{"jobId": asked.id}):
        give_back(system, asked)
    chain.pending_timestamp = asked.job["deadline"] + 1
    system.router.refund(asked.id, asked.job, sender=stranger)
    before = system.free(requester)

    give_back(system, asked)

    assert system.free(requester) == before + TIP
    assert system.vault.locked(lanes, NATIVE) == 0


def test_give_back__of_a_tip_that_nobody_earned__once_it_lapsed(
    system, provider, lanes, fast, requester, chain
):
    asked = fast()
    system.answer(asked, provider)
    lapses = asked.job["deadline"] + WEEK
    expected = {"jobId": asked.id, "state": SETTLED, "lapsesAt": lapses}
    with ape.reverts(lanes.LaneNotOver, **expected):
        give_back(system, asked)
    before = system.free(requester)
    chain.pending_timestamp = lapses

    give_back(system, asked)

    assert system.free(requester) == before + TIP
