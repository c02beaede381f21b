"""Events: what a contract did is what it says, with the values

each action
└── emits its event; here those that no other file of tests expects
all contracts
└── every event is expected by a test

Clients, the worker and whoever keeps an index read nothing else.
"""

import json
from pathlib import Path

import pytest
from eth_utils import keccak
from pinning import deploy_pinning
from system import ASK, ETHER, INPUT, MODEL_PRICE, NATIVE, OUTPUT, STAKE, plain, version

LIBRARY = {"EIP712DomainChanged"}
"""Of OpenZeppelin; our domains never change."""
ROOT = Path(__file__).resolve().parents[2]
DAY = 86_400
BY_RULE = 2
NEVER = 2**256 - 1


def assert_emits(receipt, *events):
    """The receipt has these events, in this order, perhaps with others between."""
    found = iter(receipt.events)
    for event in events:
        assert any(event == each for each in found), f"expected {event}, got {receipt.events}"


@pytest.fixture
def through_access(system):
    """Calls a function that only the access manager may call."""

    def act(function, *arguments):
        call = function.encode_input(*arguments)
        return system.access.execute(function.contract, call, sender=system.deployer)

    return act


def test_registry__says_what_an_owner_changed(system, model_owner, stranger):
    registry, model = system.registry, system.model_id
    act = {"sender": model_owner}
    registry.addVersion(model, version(keccak(b"second")), **act)
    cases = [
        (registry.setAccess, (BY_RULE,), registry.AccessChanged(model, BY_RULE)),
        (
            registry.setAccessRule,
            (system.licences,),
            registry.AccessRuleChanged(model, system.licences),
        ),
        (
            registry.setAdmin,
            (stranger, True),
            registry.AdminChanged(model, model_owner, stranger, True),
        ),
        (registry.grantAccess, (stranger, 7), registry.AccessGranted(model, stranger, 7)),
        (registry.setMetadata, (b"\1" * 32,), registry.MetadataChanged(model, b"\1" * 32)),
        (
            registry.startTransfer,
            (stranger,),
            registry.TransferStarted(model, model_owner, stranger),
        ),
        (registry.retireVersions, (2,), registry.VersionsRetired(model, 2)),
        (registry.deprecate, (), registry.ModelDeprecated(model)),
    ]
    for function, arguments, event in cases:
        assert function(model, *arguments, **act).events == [event]


def test_vault__says_what_was_delayed(system, stranger, chain):
    vault = system.vault
    vault.deposit(stranger, NATIVE, 9, value=9, sender=stranger)

    assert vault.delay(NATIVE, 7, sender=stranger).events == [vault.Delayed(stranger, NATIVE, 7)]
    announced = vault.announceUndelay(NATIVE, 5, sender=stranger)
    at = announced.timestamp + DAY
    assert announced.events == [vault.UndelayAnnounced(stranger, NATIVE, 5, at)]
    chain.pending_timestamp = at
    assert vault.undelay(NATIVE, sender=stranger).events == [vault.Undelayed(stranger, NATIVE, 5)]


def test_staking__says_who_has_which_key(system, provider, stranger):
    staking, number = system.staking, provider.number
    act = {"sender": provider.owner}

    cases = [
        (staking.setOperator, (stranger,), staking.OperatorChanged(number, stranger)),
        (staking.setPayout, (stranger,), staking.PayoutChanged(number, stranger)),
        (
            staking.startTransfer,
            (stranger,),
            staking.OwnershipTransferStarted(number, provider.owner, stranger),
        ),
        (staking.allowSlasher, (stranger, True), staking.SlasherAllowed(number, stranger, NEVER)),
    ]
    for function, arguments, event in cases:
        assert function(number, *arguments, **act).events == [event]
    ended = staking.allowSlasher(number, stranger, False, **act)
    assert ended.events == [staking.SlasherAllowed(number, stranger, ended.timestamp + 14 * DAY)]


def test_staking__says_who_delegates(system, provider, stranger, chain):
    staking, number = system.staking, provider.number
    amount, shares = STAKE // 2, STAKE // 2 * 1_000

    came = staking.delegateTo(number, amount, value=amount, sender=stranger)
    left = staking.startUndelegating(number, shares, sender=stranger)
    chain.pending_timestamp += 14 * DAY + 1
    gone = staking.finishUndelegating(number, sender=stranger)

    assert_emits(came, staking.Delegated(number, stranger, amount, shares))
    unlock_at = left.timestamp + 14 * DAY
    assert_emits(left, staking.UndelegationStarted(number, stranger, amount, unlock_at))
    assert_emits(gone, staking.Undelegated(number, stranger, amount))


def test_access__says_what_was_paused_and_who_may_slash(system, through_access, stranger, chain):
    until = chain.pending_timestamp + DAY

    requests = through_access(system.router.pauseRequests, until)
    stakes = through_access(system.staking.pauseStakes, until)
    announced = through_access(system.staking.announceSlasher, stranger)

    assert_emits(requests, system.router.RequestsPaused(until))
    assert_emits(stakes, system.staking.StakesPaused(until))
    acts_from = announced.timestamp + 28 * DAY
    assert_emits(announced, system.staking.SlasherAnnounced(stranger, acts_from))


def test_router__says_how_a_job_goes(system, provider, accounts, project, model_owner):
    resolution = accounts[0].deploy(project.MockResolution)
    policy = (system.verifier.address, NATIVE, resolution.address)
    system.registry.allowPolicy(system.model_id, system.policy_id(policy), True, sender=model_owner)
    market = system.market_of(system.model_id, policy=policy)
    system.open_offer(provider, market)
    asked = system.request(market=market)
    proofs = [b"", b"claim"]

    receipt = system.answer(asked, provider, proofs=proofs)

    (event,) = receipt.events
    assert (event.event_name, event.jobId) == ("InferenceAnswered", asked.id)
    assert (event.event_arguments["provider"], event.units) == (provider.number, 1)
    assert tuple(event.waiting) == (receipt.timestamp, keccak(b"claim"))
    assert event.output == OUTPUT


def test_router__says_who_declined(system, provider):
    asked = system.request()

    receipt = system.router.decline(asked.id, asked.job, sender=provider.operator)

    (event,) = receipt.events
    freed = asked.job | {"provider": 0, "bond": 0, "exclusiveUntil": receipt.timestamp}
    assert (event.event_name, event.jobId) == ("InferenceDeclined", asked.id)
    assert event.event_arguments["provider"] == provider.number
    assert plain(event.job) == freed


def test_router__says_which_fees_were_collected(system, provider, stranger):
    system.answer(system.request(), provider)
    system.router.claim(provider.offer, system.market, sender=stranger)
    fee = (ASK + MODEL_PRICE) * 200 // 10_000

    receipt = system.router.collectFees(system.model_id, 1, sender=stranger)

    assert receipt.events == [system.router.FeesCollected(system.model_id, 1, NATIVE, fee)]


def test_licences__say_who_has_how_many_uses(
    system, provider, model_owner, requester, stranger, chain
):
    licences, model, until = system.licences, system.model_id, 2**40 - 1
    system.vault.allowModule(licences, True, sender=requester)
    system.registry.setAccessRule(model, licences, sender=model_owner)
    system.registry.setAccess(model, BY_RULE, sender=model_owner)
    sale = {"receiver": model_owner, "token": NATIVE, "price": 1, "uses": 1, "duration": 1}
    (opened,) = licences.openSale(model, sale, sender=model_owner).events

    closed = licences.closeSale(opened.saleId, sender=model_owner)
    given = licences.give(model, requester, 2, until, sender=model_owner)
    used = licences.request(system.asking(), sender=requester)
    (asked,) = used.events.filter(system.router.InferenceRequested)
    chain.pending_timestamp = plain(asked.job)["deadline"] + 1
    system.router.refund(asked.jobId, plain(asked.job), sender=stranger)
    back = licences.giveBack(asked.jobId, model, requester, sender=stranger)

    assert closed.events == [licences.SaleClosed(opened.saleId)]
    assert given.events == [licences.LicenceChanged(model, requester, 2, until)]
    assert_emits(used, licences.LicenceUsed(model, requester, asked.jobId, 1))
    assert back.events == [licences.UseGivenBack(model, requester, asked.jobId, 2)]


def test_lanes__say_that_a_tip_came_back(system, provider, requester, stranger, chain):
    system.vault.allowModule(system.lanes, True, sender=requester)
    due = chain.pending_timestamp + 60
    receipt = system.lanes.request(system.asking(), 5, due, sender=requester)
    (asked,) = receipt.events.filter(system.router.InferenceRequested)
    (opened,) = receipt.events.filter(system.lanes.LaneOpened)
    chain.pending_timestamp = plain(asked.job)["deadline"] + 1
    system.router.refund(asked.jobId, plain(asked.job), sender=stranger)

    back = system.lanes.giveBack(asked.jobId, tuple(opened.lane), sender=stranger)

    assert back.events == [system.lanes.TipReturned(asked.jobId, requester, 5)]


def test_pricing__says_which_class_and_what_came_back(
    system, provider, requester, model_owner, stranger, chain
):
    pricing, model = system.pricing, system.model_id
    system.vault.allowModule(pricing, True, sender=requester)
    rules = {"token": NATIVE, "floor": 10**6, "cap": 10**9, "deposit": 77, "target": 2}
    pricing.openClass(rules | {"period": 3_600}, sender=model_owner)

    classed = pricing.setClass(model, 1, sender=model_owner)
    receipt = pricing.request(system.asking(), ETHER, sender=requester)
    (asked,) = receipt.events.filter(system.router.InferenceRequested)
    (held,) = receipt.events.filter(pricing.SurchargeHeld)
    chain.pending_timestamp = plain(asked.job)["deadline"] + 1
    system.router.refund(asked.jobId, plain(asked.job), sender=stranger)
    back = pricing.giveBack(asked.jobId, tuple(held.held), sender=stranger)

    assert classed.events == [pricing.ModelClassed(model, 1)]
    assert back.events == [pricing.SurchargeReturned(asked.jobId, requester, 77)]


def test_recurring__says_what_is_left_of_a_plan(system, provider, requester):
    recurring, price = system.recurring, ASK + MODEL_PRICE
    system.vault.allowModule(recurring, True, sender=requester)
    plan = {
        "requester": requester,
        "market": system.market,
        "offerId": 0,
        "units": 1,
        "callbackGas": 0,
        "window": 600,
        "every": 3_600,
        "maxPrice": price,
        "tip": 3,
        "inputHash": keccak(INPUT),
    }
    recurring.open(plan, 2, INPUT, sender=requester)

    funded = recurring.fund(1, plan, 3, sender=requester)
    cancelled = recurring.cancel(1, plan, sender=requester)

    assert funded.events == [recurring.PlanFunded(1, 5)]
    assert cancelled.events == [recurring.PlanCancelled(1, 5 * (price + 3))]


def test_incentives__say_what_was_answered_missed_claimed_and_reclaimed(
    system, accounts, project, stranger, chain
):
    pinning = deploy_pinning(system, accounts, project)
    incentives, pinner, number = pinning.incentives, pinning.pinners[0], pinning.open()
    pinning.join(number, pinner)
    deal = pinning.deal(number)

    pinning.mine_to_challenge(number, pinner)
    answered = pinning.answer(number, pinner)
    next_round = pinning.place(number, pinner).round
    claimed = incentives.claim(number, pinner, sender=stranger)
    pinning.mine_past_window(number, pinner)
    missed = incentives.noteMissed(number, pinner, sender=stranger)
    chain.pending_timestamp = deal.joinUntil + 1
    reclaimed = incentives.reclaim(number, sender=stranger)

    assert answered.events == [incentives.ChallengeAnswered(number, pinner, 0, next_round)]
    assert claimed.events == [incentives.RewardClaimed(number, pinner, deal.pay, 0)]
    after = pinning.place(number, pinner).round
    assert missed.events == [incentives.ChallengeMissed(number, pinner, 1, 1, after)]
    freed = deal.free + deal.pay  # the missed challenge's pay
    assert reclaimed.events == [incentives.FundsReclaimed(number, pinning.funder, freed)]


def test_events__every_one_is_expected_by_a_test():
    manifest = json.loads((ROOT / "oracle/manifest.json").read_text())
    known = {
        entry["name"]
        for contract in manifest["contracts"].values()
        for entry in contract["abi"]
        if entry["type"] == "event"
    }
    tests = "\n".join(file.read_text() for file in (ROOT / "tests/contracts").rglob("*.py"))

    assert known
    assert sorted(name for name in known - LIBRARY if name not in tests) == []
