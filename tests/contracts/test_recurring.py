"""Recurring: the same request again and again

open
├── when the caller is not the plan's requester
│   └── it reverts with RecurringNotRequester(caller, requester)
├── when the interval is too short, or no run is funded
│   └── it reverts with RecurringIntervalTooShort(every, least), RecurringRunsOutOfRange(runs, limit)
├── when the input is not the plan's
│   └── it reverts with RecurringInputMismatch(given, expected)
├── when the money is too little, or the requester has not opted in
│   └── it reverts with VaultBalanceTooLow(free, needed), VaultModuleNotAllowed(account, module)
└── when all is fine, it locks the money of all runs
run
├── when it is not due
│   └── it reverts with RecurringTooEarly(time, from)
├── when no run is left
│   └── it reverts with RecurringNotFunded(planId)
├── when plan or input differ from what was opened
│   └── it reverts with RecurringPlanMismatch(planId), RecurringInputMismatch(given, expected)
├── when no offer takes the job, or requests are paused
│   └── it reverts with RouterMarketEmpty(marketId), RouterPaused(time, until), and nothing is spent
├── when it comes late
│   └── the next is a whole interval later, and none is made up for
└── when all is fine
    ├── the job is the requester's, at the exact price; the rest is free, the tip the caller's
    └── a refund goes to the requester
fund
├── when the caller is not the requester, or the number cannot be counted
│   └── it reverts
└── it adds runs and locks their money
cancel
├── when the caller is not the requester
│   └── it reverts with RecurringNotRequester(caller, requester)
├── when it was cancelled
│   └── it reverts with RecurringPlanMismatch(planId)
└── it frees what is left, also while requests are paused and the requester has opted out
all of it
└── what is locked is always what the plans that are left may cost
"""

import ape
import pytest
from eth_utils import keccak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from system import ASK, ETHER, INPUT, MODEL_PRICE, NATIVE, plain

PRICE = ASK + MODEL_PRICE
TIP = 10**14
EVERY = 3_600
MOST = 2 * PRICE


@pytest.fixture
def ready(system, provider, requester):
    """The requester has opted into the module."""
    system.vault.allowModule(system.recurring, True, sender=requester)
    return system


@pytest.fixture
def make(ready, requester):
    """Makes a plan; two units would cost the most it allows."""

    def act(**changes):
        plan = {
            "requester": requester,
            "market": ready.market,
            "offerId": 0,
            "units": 1,
            "callbackGas": 0,
            "window": 600,
            "every": EVERY,
            "maxPrice": MOST,
            "tip": TIP,
            "inputHash": keccak(INPUT),
        }
        return plan | changes

    return act


@pytest.fixture
def opened(ready, make, requester):
    """Opens a plan of three runs; returns its number and the plan."""

    def act(runs=3, **changes):
        plan = make(**changes)
        receipt = ready.recurring.open(plan, runs, INPUT, sender=requester)
        (event,) = receipt.events.filter(ready.recurring.PlanOpened)
        return event.planId, plan

    return act


def run(system, opened, sender, content=INPUT):
    number, plan = opened
    return system.recurring.run(number, plan, content, sender=sender)


def due(system, opened, chain):
    """Let time pass until a plan is due."""
    chain.pending_timestamp = max(
        system.recurring.stateOf(opened[0]).nextAt, chain.pending_timestamp
    )


def test_open__when_the_caller_is_another__reverts(ready, make, stranger, requester):
    expected = {"caller": stranger.address, "requester": requester.address}
    with ape.reverts(ready.recurring.RecurringNotRequester, **expected):
        ready.recurring.open(make(), 1, INPUT, sender=stranger)


def test_open__when_out_of_range__reverts(ready, make, requester):
    with ape.reverts(ready.recurring.RecurringIntervalTooShort, **{"every": 59, "least": 60}):
        ready.recurring.open(make(every=59), 1, INPUT, sender=requester)
    with ape.reverts(ready.recurring.RecurringRunsOutOfRange, **{"runs": 0}):
        ready.recurring.open(make(), 0, INPUT, sender=requester)
    with ape.reverts(ready.recurring.RecurringInputMismatch, **{"given": keccak(b"other")}):
        ready.recurring.open(make(), 1, b"other", sender=requester)


def test_fund__takes_as_many_runs_as_can_be_counted(ready, make, requester, provider):
    """Of a plan that costs one wei a run."""
    ready.router.closeOffer(provider.offer, sender=provider.owner)
    plan = make(maxPrice=1, tip=0)
    ready.recurring.open(plan, 1, INPUT, sender=requester)

    ready.recurring.fund(1, plan, 2**32 - 2, sender=requester)

    assert ready.recurring.stateOf(1).left == 2**32 - 1


def test_open__when_money_or_opt_in_is_missing__reverts(ready, make, requester):
    with ape.reverts(ready.vault.VaultBalanceTooLow):
        ready.recurring.open(make(maxPrice=11 * ETHER), 1, INPUT, sender=requester)
    ready.vault.allowModule(ready.recurring, False, sender=requester)
    with ape.reverts(ready.vault.VaultModuleNotAllowed):
        ready.recurring.open(make(), 1, INPUT, sender=requester)


def test_open__locks_the_money_of_all_runs(ready, opened, requester):
    before = ready.free(requester)

    number, _ = opened(runs=3)

    assert before - ready.free(requester) == 3 * (MOST + TIP)
    assert ready.vault.locked(ready.recurring, NATIVE) == 3 * (MOST + TIP)
    assert ready.recurring.stateOf(number).left == 3


def test_run__asks_in_the_requesters_name_and_tips_the_caller(
    ready, opened, requester, stranger, chain
):
    plan = opened()
    free, tips = ready.free(requester), ready.free(stranger)

    receipt = run(ready, plan, stranger)

    (asked,) = receipt.events.filter(ready.router.InferenceRequested)
    (event,) = receipt.events.filter(ready.recurring.PlanRun)
    assert (event.jobId, event.left) == (asked.jobId, 2)
    assert event.nextAt - receipt.timestamp <= EVERY
    job = plain(asked.job)
    assert (asked.requester, job["price"]) == (requester.address, PRICE)
    assert ready.free(requester) == free + MOST - PRICE
    assert ready.free(stranger) == tips + TIP
    assert ready.vault.locked(ready.recurring, NATIVE) == 2 * (MOST + TIP)

    chain.pending_timestamp = job["deadline"] + 1
    ready.router.refund(event.jobId, job, sender=stranger)
    assert ready.free(requester) == free + MOST


def test_run__when_not_due_or_not_funded__reverts(ready, opened, stranger, chain):
    plan = opened(runs=2)
    run(ready, plan, stranger)
    next_at = ready.recurring.stateOf(plan[0]).nextAt
    with ape.reverts(ready.recurring.RecurringTooEarly, **{"from": next_at}):
        run(ready, plan, stranger)
    due(ready, plan, chain)
    run(ready, plan, stranger)
    due(ready, plan, chain)

    with ape.reverts(ready.recurring.RecurringNotFunded, **{"planId": plan[0]}):
        run(ready, plan, stranger)


@pytest.mark.parametrize("changes", [{"maxPrice": 1}, {"tip": ETHER}, {"every": 60}, {"units": 2}])
def test_run__when_the_plan_is_another__reverts(ready, opened, stranger, changes):
    number, plan = opened()

    with ape.reverts(ready.recurring.RecurringPlanMismatch, **{"planId": number}):
        run(ready, (number, plan | changes), stranger)
    with ape.reverts(ready.recurring.RecurringPlanMismatch, **{"planId": number + 1}):
        run(ready, (number + 1, plan), stranger)
    with ape.reverts(ready.recurring.RecurringInputMismatch):
        run(ready, (number, plan), stranger, content=b"other")


def test_run__when_the_router_refuses__spends_nothing(ready, provider, opened, stranger, chain):
    plan = opened()
    locked = ready.vault.locked(ready.recurring, NATIVE)
    ready.router.closeOffer(provider.offer, sender=provider.owner)
    with ape.reverts(ready.router.RouterMarketEmpty):
        run(ready, plan, stranger)
    ready.open_offer(provider)
    until = chain.pending_timestamp + EVERY
    call = ready.router.pauseRequests.encode_input(until)
    ready.access.execute(ready.router, call, sender=ready.deployer)
    with ape.reverts(ready.router.RouterPaused):
        run(ready, plan, stranger)

    assert ready.recurring.stateOf(plan[0]).left == 3
    assert ready.vault.locked(ready.recurring, NATIVE) == locked
    chain.pending_timestamp = until + 1
    run(ready, plan, stranger)


@pytest.mark.parametrize("late", [0, 10, EVERY - 1])
def test_run__when_a_little_late__keeps_the_beat(ready, opened, stranger, chain, late):
    plan = opened()
    run(ready, plan, stranger)
    due_at = ready.recurring.stateOf(plan[0]).nextAt
    chain.pending_timestamp = due_at + late

    run(ready, plan, stranger)

    assert ready.recurring.stateOf(plan[0]).nextAt == due_at + EVERY


def test_run__when_late__moves_the_next_and_makes_up_for_none(ready, opened, stranger, chain):
    plan = opened()
    run(ready, plan, stranger)
    chain.pending_timestamp = ready.recurring.stateOf(plan[0]).nextAt + 5 * EVERY

    receipt = run(ready, plan, stranger)

    assert ready.recurring.stateOf(plan[0]).nextAt == receipt.timestamp + EVERY
    with ape.reverts(ready.recurring.RecurringTooEarly):
        run(ready, plan, stranger)


def test_fund__adds_runs(ready, opened, requester, stranger):
    number, plan = opened(runs=1)
    with ape.reverts(ready.recurring.RecurringNotRequester):
        ready.recurring.fund(number, plan, 1, sender=stranger)
    for runs, total in ((0, 1), (2**32 - 1, 2**32)):
        with ape.reverts(ready.recurring.RecurringRunsOutOfRange, **{"runs": total}):
            ready.recurring.fund(number, plan, runs, sender=requester)

    ready.recurring.fund(number, plan, 4, sender=requester)

    assert ready.recurring.stateOf(number).left == 5
    assert ready.vault.locked(ready.recurring, NATIVE) == 5 * (MOST + TIP)


def test_cancel__frees_what_is_left_at_any_time(ready, opened, requester, stranger, chain):
    number, plan = opened()
    run(ready, (number, plan), stranger)
    call = ready.router.pauseRequests.encode_input(chain.pending_timestamp + EVERY)
    ready.access.execute(ready.router, call, sender=ready.deployer)
    ready.vault.allowModule(ready.recurring, False, sender=requester)
    with ape.reverts(ready.recurring.RecurringNotRequester):
        ready.recurring.cancel(number, plan, sender=stranger)
    before = ready.free(requester)

    ready.recurring.cancel(number, plan, sender=requester)

    assert ready.free(requester) == before + 2 * (MOST + TIP)
    assert ready.vault.locked(ready.recurring, NATIVE) == 0
    for act in (ready.recurring.cancel, lambda n, p, sender: run(ready, (n, p), sender)):
        with ape.reverts(ready.recurring.RecurringPlanMismatch):
            act(number, plan, sender=requester)


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.sampled_from(["open", "run", "fund", "cancel"]), max_size=8))
def test_recurring__locks_what_is_left_to_the_wei(ready, opened, requester, stranger, chain, steps):
    plans = []
    with chain.isolate():
        for step in steps:
            if step == "open" or not plans:
                plans.append(opened(runs=2))
                continue
            number, plan = plans[-1]
            if step == "run" and ready.recurring.stateOf(number).left:
                due(ready, plans[-1], chain)
                run(ready, plans[-1], stranger)
            elif step == "fund":
                ready.recurring.fund(number, plan, 1, sender=requester)
            elif step == "cancel":
                ready.recurring.cancel(number, plan, sender=requester)
                plans.pop()
            left = sum(ready.recurring.stateOf(number).left for number, _ in plans)
            assert ready.vault.locked(ready.recurring, NATIVE) == left * (MOST + TIP)
