"""Slashing: by evidence, by whom the provider allowed or everybody was warned of

slash
├── when the caller may not slash this provider
│   └── it reverts with StakingNotSlasher(slasher, provider)
├── when the evidence was used
│   └── it reverts with StakingEvidenceUsed(slasher, evidence)
├── when nothing is left, it takes nothing
├── it never takes more than half of what can be slashed
├── it takes the same part of own and delegated stake, on its way out or not
├── when the provider has allowed the slasher only now
│   └── it takes of the provider's own stake, and of delegated stake after the notice
├── it pays victim and challenger from the provider's own stake only, the rest to the insurance account
└── it sends the provider to jail, where new delegations revert with StakingJailed(provider, until)
allowSlasher
├── ends after the time of unbonding only
└── when there is nothing to end, it reverts with StakingNotSlasher(slasher, provider)
announceSlasher
├── when the caller is not the access manager
│   └── it reverts with StakingNotAccess(caller, access)
├── a second time, it reverts with StakingSlasherKnown(slasher, from)
└── acts after the notice only
leaveJail
├── before the time has come, it reverts with StakingStillJailed(time, until)
├── with too little stake, it reverts with StakingTooLow(stake, minimum)
└── lets the provider work again
"""

import ape
import pytest
from eth_utils import keccak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from system import NATIVE, STAKE

DAY = 86_400
NOTICE = 28 * DAY
EVIDENCE = keccak(b"evidence")


@pytest.fixture
def slasher(accounts, system, provider, chain):
    """An account that the provider allowed to slash it so long ago that it reaches delegators too."""
    system.staking.allowSlasher(provider.number, accounts[8], True, sender=provider.owner)
    chain.pending_timestamp += NOTICE
    return accounts[8]


@pytest.fixture
def slash(system, provider, slasher, accounts):
    """Slashes the provider; victim is account 7, challenger account 9."""

    def act(amount, loss=0, evidence=EVIDENCE, sender=None):
        return system.staking.slash(
            *(provider.number, evidence, amount, accounts[7], loss, accounts[9]),
            sender=sender or slasher,
        )

    return act


def test_slash__when_caller_may_not__reverts(system, provider, slash, stranger):
    expected = {"slasher": stranger.address, "provider": provider.number}
    with ape.reverts(system.staking.StakingNotSlasher, **expected):
        slash(1, sender=stranger)


def test_slash__when_evidence_was_used__reverts(system, slash, slasher):
    slash(1)

    expected = {"slasher": slasher.address, "evidence": EVIDENCE}
    with ape.reverts(system.staking.StakingEvidenceUsed, **expected):
        slash(1)


def test_slash__never_takes_more_than_half(system, provider, slash):
    slash(10**30)

    assert system.staking.slashableOf(provider.number) == STAKE // 2


def test_slash__divides_what_is_taken(system, provider, slash, slasher, accounts):
    receipt = slash(STAKE // 2, loss=10**30)

    own = STAKE // 2
    assert receipt.events == [
        system.staking.Slashed(provider.number, slasher, EVIDENCE, own, 0, own // 2, own // 5)
    ]
    assert system.free(accounts[7]) == own // 2
    assert system.free(accounts[9]) == own // 5
    assert system.free(system.vault) == own - own // 2 - own // 5


def test_slash__when_loss_is_small__pays_the_loss_only(system, slash, accounts):
    slash(STAKE // 2, loss=17)

    assert system.free(accounts[7]) == 17


def test_slash__of_delegators__goes_to_the_insurance_account(system, provider, slash, accounts):
    system.staking.delegateTo(provider.number, 3 * STAKE, value=3 * STAKE, sender=accounts[6])

    slash(STAKE, loss=10**30)

    own, delegated = STAKE // 4, 3 * STAKE // 4
    assert system.free(accounts[7]) + system.free(accounts[9]) == own // 2 + own // 5
    assert system.free(system.vault) == delegated + own - own // 2 - own // 5
    assert system.staking.delegatedTo(provider.number)[0] == 3 * STAKE - delegated


@pytest.mark.parametrize(("waits", "others"), [(NOTICE - 1, 0), (NOTICE, 3 * STAKE // 2)])
def test_slash__by_a_new_slasher__reaches_delegators_after_the_notice(
    system, provider, accounts, chain, waits, others
):
    staking, number, newcomer = system.staking, provider.number, accounts[8]
    staking.delegateTo(number, 3 * STAKE, value=3 * STAKE, sender=accounts[6])
    leaving = staking.sharesOf(number, accounts[6]) // 2
    staking.startUndelegating(number, leaving, sender=accounts[6])
    assert staking.slashableBy(number, newcomer) == 0
    allowed = staking.allowSlasher(number, newcomer, True, sender=provider.owner)
    assert staking.slashableBy(number, newcomer) == STAKE

    chain.pending_timestamp = allowed.timestamp + waits
    receipt = staking.slash(
        *(number, EVIDENCE, 10**30, accounts[7], 0, accounts[9]), sender=newcomer
    )

    (event,) = receipt.events.filter(staking.Slashed)
    assert (event.own, event.delegated) == (STAKE // 2, others)


def test_slash__reaches_what_unbonds(system, provider, slash, accounts):
    system.staking.delegateTo(provider.number, STAKE, value=STAKE, sender=accounts[6])
    shares = system.staking.sharesOf(provider.number, accounts[6])
    system.staking.startUndelegating(provider.number, shares, sender=accounts[6])
    system.staking.startUnbonding(provider.number, STAKE, sender=provider.owner)

    slash(STAKE)

    assert system.staking.providerOf(provider.number).unbonding == STAKE // 2
    assert system.staking.leavingOf(provider.number, accounts[6])[0] == STAKE // 2


def test_slash__jails(system, provider, slash, chain):
    slash(1)

    until = chain.blocks.head.timestamp + 7 * DAY
    assert system.staking.providerOf(provider.number).jailedUntil == until
    assert system.staking.stakeOf(provider.number) == 0
    system.router.syncTickets(provider.offer, sender=provider.operator)
    assert system.router.ticketsOf(provider.offer) == 0
    with ape.reverts(system.staking.StakingJailed, **{"until": until}):
        system.staking.delegateTo(provider.number, STAKE, value=STAKE, sender=provider.owner)


def test_slash__of_oneself__always_loses(system, provider, accounts):
    """The owner is slasher, victim and challenger at once."""
    owner = provider.owner
    system.staking.allowSlasher(provider.number, owner, True, sender=owner)

    system.staking.slash(provider.number, EVIDENCE, STAKE, owner, 10**30, owner, sender=owner)

    assert system.free(owner) + system.staking.slashableOf(provider.number) < STAKE
    assert system.free(owner) <= STAKE // 2 * 7 // 10 + 1


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    unbonding=st.integers(0, STAKE),
    delegated=st.integers(1_000, 9 * STAKE),
    leaving=st.integers(0, 100),
    amount=st.integers(0, 12 * STAKE),
    loss=st.integers(0, 12 * STAKE),
)
def test_slash__conserves_money(
    system, provider, slash, accounts, chain, unbonding, delegated, leaving, amount, loss
):
    snapshot, staking, number = chain.snapshot(), system.staking, provider.number
    if unbonding:
        staking.stake(number, unbonding, value=unbonding, sender=provider.owner)
        staking.startUnbonding(number, unbonding, sender=provider.owner)
    staking.delegateTo(number, delegated, value=delegated, sender=accounts[6])
    shares = staking.sharesOf(number, accounts[6]) * leaving // 100
    if shares:
        staking.startUndelegating(number, shares, sender=accounts[6])
    before = staking.slashableOf(number)
    payees = (accounts[7], accounts[9], system.vault)
    paid_before = sum(map(system.free, payees))

    slash(amount, loss)

    taken = before - staking.slashableOf(number)
    assert taken == sum(map(system.free, payees)) - paid_before
    assert min(amount, before // 2) - 2 <= taken <= min(amount, before // 2 + 1) + 2
    assert system.free(accounts[7]) <= loss
    assert system.vault.locked(staking, NATIVE) == staking.slashableOf(number)
    chain.restore(snapshot)


def test_slash__when_nothing_is_left__takes_nothing(system, provider, slash, chain):
    system.staking.startUnbonding(provider.number, STAKE, sender=provider.owner)
    chain.pending_timestamp = system.staking.providerOf(provider.number).unlockAt
    system.staking.finishUnbonding(provider.number, sender=provider.owner)

    receipt = slash(1)

    assert receipt.events == []
    assert system.vault.locked(system.staking, NATIVE) == 0


def test_allow_slasher__ends_after_unbonding_only(system, provider, slash, slasher, chain):
    ends = system.staking.allowSlasher(provider.number, slasher, False, sender=provider.owner)
    slash(1)  # still

    chain.pending_timestamp = ends.timestamp + 14 * DAY
    with ape.reverts(system.staking.StakingNotSlasher):
        slash(1, evidence=keccak(b"other"))
    assert system.staking.slashableBy(provider.number, slasher) == 0


def test_allow_slasher__to_end_twice__does_not_extend_or_shorten(system, provider, slasher, chain):
    system.staking.allowSlasher(provider.number, slasher, False, sender=provider.owner)
    chain.pending_timestamp += DAY

    with ape.reverts(system.staking.StakingNotSlasher):
        system.staking.allowSlasher(provider.number, slasher, False, sender=provider.owner)


def test_allow_slasher__again_before_it_ended__begins_no_new_notice(system, provider, slasher):
    system.staking.allowSlasher(provider.number, slasher, False, sender=provider.owner)
    system.staking.delegateTo(provider.number, STAKE, value=STAKE, sender=provider.owner)

    system.staking.allowSlasher(provider.number, slasher, True, sender=provider.owner)

    assert system.staking.slashableBy(provider.number, slasher) == 2 * STAKE


def test_announce_slasher__when_not_the_access_manager__reverts(system, provider, stranger):
    expected = {"caller": stranger.address, "access": system.access.address}
    with ape.reverts(system.staking.StakingNotAccess, **expected):
        system.staking.announceSlasher(stranger, sender=stranger)


def test_announce_slasher__acts_after_the_notice_only(system, provider, stranger, chain):
    announce = system.staking.announceSlasher.encode_input(stranger)
    system.access.execute(system.staking, announce, sender=system.deployer)
    start = chain.blocks.head.timestamp + 28 * DAY
    with ape.reverts(system.staking.StakingSlasherKnown, **{"from": start}):
        system.access.execute(system.staking, announce, sender=system.deployer)
    arguments = (provider.number, EVIDENCE, 1, stranger, 0, stranger)
    chain.pending_timestamp = start - 1
    with ape.reverts(system.staking.StakingNotSlasher):
        system.staking.slash(*arguments, sender=stranger)

    chain.pending_timestamp = start
    system.staking.slash(*arguments, sender=stranger)

    assert system.staking.slashableOf(provider.number) == STAKE - 1
    assert system.staking.slashableBy(provider.number, stranger) == STAKE - 1


def test_leave_jail__before_the_time__reverts(system, provider, slash):
    with ape.reverts(system.staking.StakingStillJailed, **{"until": 0}):
        system.staking.leaveJail(provider.number, sender=provider.owner)
    slash(1)
    with ape.reverts(system.staking.StakingStillJailed):
        system.staking.leaveJail(provider.number, sender=provider.owner)


def test_leave_jail__in_the_first_second_that_it_may__works(system, provider, slash, chain):
    system.staking.stake(provider.number, STAKE, value=STAKE, sender=provider.owner)
    slash(1)
    chain.pending_timestamp = system.staking.providerOf(provider.number).jailedUntil

    system.staking.leaveJail(provider.number, sender=provider.owner)

    assert system.staking.stakeOf(provider.number) == 2 * STAKE - 1


def test_leave_jail__with_the_least_stake__works(system, provider, slash, chain):
    slash(1)
    system.staking.stake(provider.number, 1, value=1, sender=provider.owner)
    chain.pending_timestamp += 7 * DAY + 1

    system.staking.leaveJail(provider.number, sender=provider.owner)

    assert system.staking.stakeOf(provider.number) == STAKE


def test_leave_jail__lets_the_provider_work_again(system, provider, slash, chain):
    slash(STAKE // 2)
    chain.pending_timestamp += 7 * DAY + 1
    with ape.reverts(system.staking.StakingTooLow, **{"stake": STAKE // 2, "minimum": STAKE}):
        system.staking.leaveJail(provider.number, sender=provider.owner)
    system.staking.stake(provider.number, STAKE, value=STAKE, sender=provider.owner)

    receipt = system.staking.leaveJail(provider.number, sender=provider.owner)

    assert receipt.events == [system.staking.JailLeft(provider.number)]
    assert system.staking.stakeOf(provider.number) == STAKE + STAKE // 2
