"""Pricing: a surcharge that follows demand

openClass
├── when floor, cap, target or period make no sense
│   └── it reverts with PricingClassInvalid(floor, cap, target, period)
├── it starts at the floor
└── when the cap is the floor, it stays there
setClass
├── by others than the model's owner and admins
│   └── it reverts with PricingNotAdmin(caller, modelId)
└── when there is no such class
    └── it reverts with PricingClassUnknown(classId)
request
├── when the model is in no class
│   └── it reverts with PricingModelUnclassed(modelId)
├── when the market is paid in another token
│   └── it reverts with PricingTokenMismatch(token, expected)
├── when surcharge and deposit are above what is allowed
│   └── it reverts with PricingSurchargeTooHigh(surcharge, allowed)
├── at the floor, it locks the deposit only
├── above the floor, it locks the surcharge as well
└── it lets in for a model with this rule; others revert with RegistryRuleRefused(account, rule)
count
├── when what was held is another, or gone
│   └── it reverts with PricingHeldMismatch(jobId)
├── when the job is not settled with the output
│   └── it reverts with PricingNotSettled(jobId)
├── it counts the units, burns their surcharge and returns the rest
├── work that was cheaper counts for what its surcharge pays for now, and for what it pays for at the floor
├── in time, the deposit goes to the requester
└── later, it goes to whoever counts; under a resolution, later still
giveBack
├── while the job may still be settled, or was
│   └── it reverts with PricingNotOver(jobId, state)
└── when it was refunded, everything comes back, once
the price
└── moves with the settled work as the model in this file says
"""

from types import SimpleNamespace

import ape
import pytest
from eth_utils import keccak
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from system import ASK, ETHER, MODEL_PRICE, NATIVE, OUTPUT, begin, plain

PRICE = ASK + MODEL_PRICE
FLOOR, CAP, DEPOSIT, TARGET, PERIOD = 10**6, 10**9, 10**12, 2, 3_600
CLASS = {
    "token": NATIVE,
    "floor": FLOOR,
    "cap": CAP,
    "deposit": DEPOSIT,
    "target": TARGET,
    "period": PERIOD,
}
BY_RULE = 2
UPHELD = 1
HELD = ("requester", "classId", "units", "surcharge", "openUntil")


@pytest.fixture
def pricing(system, provider, requester):
    """The module; the model is in class 1, the requester has opted in, and a period begins."""
    begin(PERIOD)
    system.pricing.openClass(CLASS, sender=system.model_owner)
    system.pricing.setClass(system.model_id, 1, sender=system.model_owner)
    system.vault.allowModule(system.pricing, True, sender=requester)
    return system.pricing


@pytest.fixture
def ask(system, pricing, requester):
    """Asks through the module; returns job and what was held."""

    def act(most=ETHER, **changes):
        receipt = pricing.request(system.asking(**changes), most, sender=requester)
        (asked,) = receipt.events.filter(system.router.InferenceRequested)
        (held,) = receipt.events.filter(pricing.SurchargeHeld)
        return SimpleNamespace(
            id=asked.jobId,
            job=plain(asked.job),
            held=dict(zip(HELD, held.held, strict=True)) | {"requester": requester.address},
        )

    return act


@pytest.fixture
def work(system, pricing, ask, provider, requester):
    """Asks, answers and counts some units in the present period."""

    def act(units):
        asked = ask(units=units)
        system.answer(asked, provider, units=units)
        return count(pricing, asked, requester, units=units)

    return act


@pytest.fixture
def busy(work, chain):
    """Twice the target was worked in the period before."""
    work(2 * TARGET)
    chain.pending_timestamp += PERIOD
    chain.mine()
    return FLOOR + FLOOR // 8


def count(pricing, asked, sender, units=1, output=OUTPUT, held=None):
    return pricing.count(asked.id, held or asked.held, asked.job, units, output, sender=sender)


@pytest.mark.parametrize(
    "change", [{"floor": 999}, {"cap": FLOOR - 1}, {"target": 0}, {"period": 0}]
)
def test_open_class__when_it_makes_no_sense__reverts(system, stranger, change):
    wrong = CLASS | change
    expected = {name: wrong[name] for name in ("floor", "cap", "target", "period")}

    with ape.reverts(system.pricing.PricingClassInvalid, **expected):
        system.pricing.openClass(wrong, sender=stranger)


def test_open_class__takes_the_least_of_everything(system, stranger):
    least = CLASS | {"floor": 1_000, "cap": 1_000, "target": 1, "period": 1}

    system.pricing.openClass(least, sender=stranger)

    assert tuple(system.pricing.priceOf(1)) == (1_000, 0)


def test_open_class__starts_at_the_floor(system, stranger):
    receipt = system.pricing.openClass(CLASS, sender=stranger)

    (event,) = receipt.events.filter(system.pricing.ClassOpened)
    assert (event.classId, tuple(event.rules)) == (1, tuple(CLASS.values()))
    assert tuple(system.pricing.priceOf(1)) == (FLOOR, 0)
    with ape.reverts(system.pricing.PricingClassUnknown, **{"classId": 2}):
        system.pricing.classAt(2)


def test_open_class__when_the_cap_is_the_floor__is_a_fixed_price(system, work, chain, stranger):
    fixed = CLASS | {"cap": FLOOR}
    system.pricing.openClass(fixed, sender=stranger)
    system.pricing.setClass(system.model_id, 2, sender=system.model_owner)

    work(2 * TARGET)
    chain.pending_timestamp += PERIOD
    chain.mine()

    price, _ = system.pricing.priceOf(2)
    assert price == FLOOR


def test_set_class__of_others_and_unknown__reverts(system, pricing, stranger, model_owner):
    with ape.reverts(pricing.PricingNotAdmin, **{"caller": stranger.address}):
        pricing.setClass(system.model_id, 1, sender=stranger)
    with ape.reverts(pricing.PricingClassUnknown, **{"classId": 2}):
        pricing.setClass(system.model_id, 2, sender=model_owner)

    system.registry.setAdmin(system.model_id, stranger, True, sender=model_owner)
    pricing.setClass(system.model_id, 0, sender=stranger)
    assert pricing.classOf(system.model_id) == 0


def test_request__of_a_model_without_class__reverts(system, pricing, requester, model_owner):
    pricing.setClass(system.model_id, 0, sender=model_owner)

    with ape.reverts(pricing.PricingModelUnclassed, **{"modelId": system.model_id}):
        pricing.request(system.asking(), ETHER, sender=requester)


def test_request__in_another_token__reverts(system, pricing, requester, model_owner, stranger):
    pricing.openClass(CLASS | {"token": stranger.address}, sender=stranger)
    pricing.setClass(system.model_id, 2, sender=model_owner)

    with ape.reverts(pricing.PricingTokenMismatch, **{"expected": stranger.address}):
        pricing.request(system.asking(), ETHER, sender=requester)


def test_request__when_the_surcharge_is_too_high__reverts(system, pricing, busy, requester):
    locked = 3 * (busy - FLOOR) + DEPOSIT

    with ape.reverts(
        pricing.PricingSurchargeTooHigh, **{"surcharge": locked, "allowed": locked - 1}
    ):
        pricing.request(system.asking(units=3), locked - 1, sender=requester)


def test_request__at_the_floor__locks_the_deposit(system, pricing, ask, requester):
    before = system.free(requester)

    asked = ask(most=DEPOSIT)

    assert system.free(requester) == before - PRICE - DEPOSIT
    assert system.vault.locked(pricing, NATIVE) == DEPOSIT
    assert asked.held["surcharge"] == 0


def test_request__above_the_floor__locks_the_surcharge(system, pricing, busy, ask, requester):
    surcharge = 3 * (busy - FLOOR)

    asked = ask(most=surcharge + DEPOSIT, units=3)

    assert asked.held == {
        "requester": requester.address,
        "classId": 1,
        "units": 3,
        "surcharge": surcharge,
        "openUntil": asked.job["deadline"] + 3_600,
    }
    assert system.vault.locked(pricing, NATIVE) == surcharge + DEPOSIT


def test_request__for_a_model_with_this_rule__is_the_only_way_in(
    system, pricing, ask, requester, model_owner
):
    system.registry.setAccess(system.model_id, BY_RULE, sender=model_owner)
    system.registry.setAccessRule(system.model_id, pricing, sender=model_owner)

    with ape.reverts(system.registry.RegistryRuleRefused):
        system.request()
    assert system.state(ask().id) == "Assigned"
    assert not pricing.mayUse(system.model_id, requester)


def test_count__with_another_held__reverts(system, pricing, ask, provider, stranger):
    asked = ask()
    system.answer(asked, provider)

    with ape.reverts(pricing.PricingHeldMismatch, **{"jobId": asked.id}):
        count(pricing, asked, stranger, held=asked.held | {"requester": stranger.address})
    count(pricing, asked, stranger)
    with ape.reverts(pricing.PricingHeldMismatch, **{"jobId": asked.id}):
        count(pricing, asked, stranger)


def test_count__of_a_job_that_is_not_settled_so__reverts(system, pricing, ask, provider, stranger):
    asked = ask()
    with ape.reverts(pricing.PricingNotSettled, **{"jobId": asked.id}):
        count(pricing, asked, stranger)
    system.answer(asked, provider)

    with ape.reverts(pricing.PricingNotSettled, **{"jobId": asked.id}):
        count(pricing, asked, stranger, output=b"another")


def test_count__burns_the_surcharge_of_the_work(
    system, pricing, busy, ask, provider, requester, stranger
):
    asked, insurance = ask(units=4), system.free(system.vault.address)
    system.answer(asked, provider, units=3)
    before = system.free(requester)

    receipt = count(pricing, asked, stranger, units=3)

    burned = asked.held["surcharge"] * 3 // 4
    assert receipt.events == [pricing.WorkCounted(asked.id, 1, 3, burned)]
    assert system.free(system.vault.address) == insurance + burned
    assert system.free(requester) == before + asked.held["surcharge"] - burned + DEPOSIT
    assert system.vault.locked(pricing, NATIVE) == 0
    assert tuple(pricing.priceOf(1)) == (busy, 3)


def test_count__of_work_that_was_cheaper__counts_what_its_surcharge_pays_for(
    pricing, ask, system, provider, work, requester, chain
):
    """Else work that was kept back from before the price rose would raise it further, and not pay for that."""
    kept = [ask(units=2 * TARGET) for _ in range(2)]
    for asked in kept:
        system.answer(asked, provider, units=2 * TARGET)
    work(2 * TARGET)
    risen = FLOOR + FLOOR // 8
    chain.pending_timestamp += PERIOD
    chain.mine()
    work(1)

    for asked in kept:
        count(pricing, asked, requester, units=2 * TARGET)

    assert tuple(pricing.priceOf(1)) == (risen, 1)


def test_count__of_work_that_paid_a_part__counts_the_units_that_it_paid_for(
    pricing, busy, ask, system, provider, work, requester, chain
):
    kept, once = ask(units=8), busy - FLOOR
    system.answer(kept, provider, units=8)
    work(2 * TARGET)
    chain.pending_timestamp += PERIOD
    chain.mine()
    twice = busy + busy // 8 - FLOOR

    count(pricing, kept, requester, units=8)

    assert 0 < 8 * once // twice < 8
    assert tuple(pricing.priceOf(1)) == (FLOOR + twice, 8 * once // twice)


@pytest.mark.parametrize(("ask_price", "counts"), [(FLOOR, 4), (FLOOR * 3 // 4, 3), (0, 0)])
def test_count__of_work_below_the_floor__counts_what_it_pays_for_there(
    system, pricing, ask, provider, requester, model_owner, ask_price, counts
):
    cheap = system.register_model(model_owner, keccak(b"cheap"), price=0)
    pricing.setClass(cheap, 1, sender=model_owner)
    market = system.market_of(cheap)
    offer = system.open_offer(provider, market, ask=ask_price)
    asked = ask(market=market, offerId=offer, units=4)
    system.answer(asked, provider, units=4)

    count(pricing, asked, requester, units=4)

    assert tuple(pricing.priceOf(1)) == (FLOOR, counts)


@pytest.mark.parametrize(("late", "gets"), [(0, 0), (1, DEPOSIT)])
def test_count__gives_the_deposit_to_others_only_after_the_grace(
    system, pricing, ask, provider, stranger, chain, late, gets
):
    asked = ask()
    system.answer(asked, provider)
    chain.pending_timestamp = asked.held["openUntil"] + late
    before = system.free(stranger)

    count(pricing, asked, stranger)

    assert system.free(stranger) == before + gets


@pytest.mark.parametrize(("late", "gets"), [(0, 0), (1, DEPOSIT)])
def test_count__of_a_job_under_a_resolution__waits_for_its_decision(
    system, pricing, ask, provider, accounts, project, stranger, chain, late, gets
):
    resolution = accounts[0].deploy(project.MockResolution)
    policy = (system.verifier.address, NATIVE, resolution.address)
    system.registry.allowPolicy(
        system.model_id, system.policy_id(policy), True, sender=system.model_owner
    )
    market = system.market_of(system.model_id, policy=policy)
    system.open_offer(provider, market)
    asked = ask(market=market)
    system.answer(asked, provider, proofs=[b"", b"claim"])
    resolution.decide(system.router, asked.id, UPHELD, sender=stranger)
    assert asked.held["openUntil"] == asked.job["deadline"] + pricing.GRACE() + pricing.DECISION()
    chain.pending_timestamp = asked.held["openUntil"] - 1 + late
    system.settle(asked, stranger)
    before = system.free(stranger)

    count(pricing, asked, stranger)

    assert system.free(stranger) == before + gets


def test_give_back__while_it_may_be_settled_or_was__reverts(
    system, pricing, ask, provider, requester
):
    asked = ask()
    with ape.reverts(pricing.PricingNotOver, **{"jobId": asked.id, "state": 1}):
        pricing.giveBack(asked.id, asked.held, sender=requester)
    system.answer(asked, provider)

    with ape.reverts(pricing.PricingNotOver, **{"jobId": asked.id, "state": 4}):
        pricing.giveBack(asked.id, asked.held, sender=requester)


def test_give_back__of_a_refunded_job__returns_everything_once(
    system, pricing, busy, ask, requester, stranger, chain
):
    before = system.free(requester)
    asked = ask()
    chain.pending_timestamp = asked.job["deadline"] + 1
    system.router.refund(asked.id, asked.job, sender=stranger)

    pricing.giveBack(asked.id, asked.held, sender=stranger)

    assert system.free(requester) == before
    with ape.reverts(pricing.PricingHeldMismatch):
        pricing.giveBack(asked.id, asked.held, sender=stranger)


def model_price(price: int, units: int, idle: int) -> float:
    """The price after a period with `units` and `idle` periods without any."""
    step = max(-1.0, min(1.0, (units - TARGET) / TARGET))
    after = min(CAP, max(FLOOR, price * (1 + step / 8)))
    return max(FLOOR, after * 0.875**idle)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=6))
@example(steps=[(9, 0), (9, 0), (1, 0), (3, 0)])  # up, up, half of a step down, half of one up
def test_price__follows_the_settled_work(system, pricing, work, chain, steps):
    snapshot = chain.snapshot()
    for units, idle in steps:
        price, counted = pricing.priceOf(1)
        if units:
            work(units)
            counted += units
        assert pricing.priceOf(1).price == price
        chain.pending_timestamp += PERIOD * (idle + 1)
        chain.mine()

        moved = pricing.priceOf(1).price

        assert moved == pytest.approx(model_price(price, counted, idle), rel=1e-6, abs=idle + 2)
        assert FLOOR <= moved <= CAP
        assert moved <= price + price // 8
    chain.restore(snapshot)
