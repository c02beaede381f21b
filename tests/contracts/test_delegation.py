"""Delegation: stake of others on a provider

delegate
├── when the provider is unknown or has too little stake of its own
│   └── it reverts with StakingProviderUnknown(provider), StakingTooLow(stake, least)
├── when more comes than its own stake allows
│   └── it reverts with StakingDelegationFull(delegated, limit)
├── when it is worth less than one share
│   └── it reverts with StakingDelegationTooLow(amount, pool)
└── it counts for the provider's tickets
rewardDelegators
├── when nobody delegates
│   └── it reverts with StakingNobodyDelegates(provider)
└── it is shared by stake
undelegating
├── when more shares are asked for than owned, or none
│   └── it reverts with StakingExceedsShares(asked, owned)
├── before the time has come
│   └── it reverts with StakingStillBonded(time, unlockAt)
└── it pays out what was delegated, and the rewards
always
└── nobody gains from the order in which others come, go and give
"""

import ape
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from system import ETHER, NATIVE, STAKE

DAY = 86_400
UNBONDING = 14 * DAY


@pytest.fixture
def delegate(system, accounts):
    """Delegates from a test account, with the call's value."""

    def act(provider, index, amount):
        return system.staking.delegateTo(
            provider.number, amount, value=amount, sender=accounts[index]
        )

    return act


def test_delegate__when_provider_is_unknown__reverts(system, stranger):
    with ape.reverts(system.staking.StakingProviderUnknown, **{"provider": 7}):
        system.staking.delegateTo(7, 1, value=1, sender=stranger)


def test_delegate__when_the_provider_has_left__reverts(system, provider, delegate):
    system.staking.startUnbonding(provider.number, STAKE, sender=provider.owner)

    with ape.reverts(system.staking.StakingTooLow, **{"stake": 0, "minimum": STAKE}):
        delegate(provider, 7, STAKE)


def test_delegate__when_more_than_own_stake_allows__reverts(system, provider, delegate):
    delegate(provider, 7, 9 * STAKE)

    expected = {"delegated": 9 * STAKE + 1, "limit": 9 * STAKE}
    with ape.reverts(system.staking.StakingDelegationFull, **expected):
        delegate(provider, 8, 1)


def test_delegate__counts_for_tickets_up_to_the_multiple(system, provider, delegate):
    delegate(provider, 7, 4 * STAKE)
    assert system.staking.stakeOf(provider.number) == 5 * STAKE
    system.router.syncTickets(provider.offer, sender=provider.owner)
    assert system.router.ticketsOf(provider.offer) == 5

    system.staking.startUnbonding(provider.number, STAKE, sender=provider.owner)

    assert system.staking.stakeOf(provider.number) == 0  # nothing of its own, so nothing counts


def test_delegate__again__adds_up(system, provider, delegate, accounts):
    for amount in (STAKE, 2 * STAKE):
        delegate(provider, 7, amount)

    shares = system.staking.sharesOf(provider.number, accounts[7])
    assert tuple(system.staking.delegatedTo(provider.number)) == (3 * STAKE, shares)
    assert system.staking.delegationOf(provider.number, accounts[7]) == 3 * STAKE


@pytest.mark.parametrize("amount", [0, 1])
def test_delegate__when_it_is_worth_no_share__reverts(system, provider, delegate, accounts, amount):
    delegate(provider, 7, 1)
    system.staking.rewardDelegators(provider.number, 10**6, value=10**6, sender=accounts[8])

    expected = {"amount": amount, "pool": 10**6 + 1}
    with ape.reverts(system.staking.StakingDelegationTooLow, **expected):
        delegate(provider, 8, amount)
    delegate(provider, 8, 501)  # 2,000 shares, half of them nobody's, are worth 10^6 + 1
    assert system.staking.sharesOf(provider.number, accounts[8]) == 1


def test_reward__when_nobody_delegates__reverts(system, provider):
    expected = {"provider": provider.number}
    with ape.reverts(system.staking.StakingNobodyDelegates, **expected):
        system.staking.rewardDelegators(provider.number, 5, value=5, sender=provider.owner)


def test_reward__is_shared_by_stake(system, provider, delegate, accounts):
    delegate(provider, 7, STAKE)
    delegate(provider, 8, 3 * STAKE)

    receipt = system.staking.rewardDelegators(
        provider.number, 4 * STAKE, value=4 * STAKE, sender=provider.owner
    )

    assert receipt.events[0] == system.staking.DelegatorsRewarded(
        provider.number, provider.owner, 4 * STAKE
    )
    worth = [system.staking.delegationOf(provider.number, accounts[i]) for i in (7, 8)]
    assert worth == pytest.approx([2 * STAKE, 6 * STAKE], abs=2_000)
    assert sum(worth) <= 8 * STAKE


def test_undelegating__when_more_shares_than_owned__reverts(system, provider, delegate, accounts):
    delegate(provider, 7, STAKE)
    owned = system.staking.sharesOf(provider.number, accounts[7])

    for asked in (0, owned + 1):
        expected = {"asked": asked, "owned": owned}
        with ape.reverts(system.staking.StakingExceedsShares, **expected):
            system.staking.startUndelegating(provider.number, asked, sender=accounts[7])


def test_undelegating__a_single_share_that_is_worth_something__works(
    system, provider, delegate, accounts
):
    delegate(provider, 7, 1)
    system.staking.rewardDelegators(provider.number, 10**6, value=10**6, sender=accounts[8])

    system.staking.startUndelegating(provider.number, 1, sender=accounts[7])

    amount, _ = system.staking.leavingOf(provider.number, accounts[7])
    assert amount == 500  # half of all shares are nobody's
    assert system.staking.sharesOf(provider.number, accounts[7]) == 999


def test_undelegating__again__adds_up(system, provider, delegate, accounts, chain):
    delegate(provider, 7, STAKE)
    shares = system.staking.sharesOf(provider.number, accounts[7])
    before = system.free(accounts[7])

    for part in (shares // 4, shares - shares // 4):
        system.staking.startUndelegating(provider.number, part, sender=accounts[7])
    amount, unlock_at = system.staking.leavingOf(provider.number, accounts[7])
    chain.pending_timestamp = unlock_at
    system.staking.finishUndelegating(provider.number, sender=accounts[7])

    assert amount == STAKE
    assert system.free(accounts[7]) == before + STAKE


def test_undelegating__pays_out_after_the_time(system, provider, delegate, accounts, chain):
    delegate(provider, 7, STAKE)
    shares = system.staking.sharesOf(provider.number, accounts[7])
    system.staking.startUndelegating(provider.number, shares, sender=accounts[7])
    amount, unlock_at = system.staking.leavingOf(provider.number, accounts[7])
    assert (amount, system.staking.delegatedTo(provider.number)) == (STAKE, (0, 0))
    with ape.reverts(system.staking.StakingStillBonded):
        system.staking.finishUndelegating(provider.number, sender=accounts[7])

    chain.pending_timestamp = unlock_at
    receipt = system.staking.finishUndelegating(provider.number, sender=accounts[7])

    assert receipt.events == [system.staking.Undelegated(provider.number, accounts[7], STAKE)]
    assert system.free(accounts[7]) == STAKE
    with ape.reverts(system.staking.StakingStillBonded, **{"unlockAt": 0}):
        system.staking.finishUndelegating(provider.number, sender=accounts[7])


STEP = st.one_of(
    st.tuples(st.just("in"), st.sampled_from([7, 8, 9]), st.integers(1, 3 * STAKE)),
    st.tuples(st.just("out"), st.sampled_from([7, 8, 9]), st.integers(1, 100)),
    st.tuples(st.just("reward"), st.just(0), st.integers(1, 2 * STAKE)),
)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEP, min_size=1, max_size=12))
def test_pool__nobody_gains_from_what_others_do(system, provider, accounts, chain, steps):
    """Put in, take out and give in any order: no step but a reward makes anybody else richer, and all is backed."""
    staking, number, snapshot = system.staking, provider.number, chain.snapshot()
    players = {7, 8, 9}

    def worth(index):
        there = staking.delegationOf(number, accounts[index])
        return there + staking.leavingOf(number, accounts[index])[0]

    for action, index, amount in steps:
        before = {player: worth(player) for player in players}
        pool, shares = staking.delegatedTo(number)
        if action == "in":
            if pool + amount > 9 * STAKE or amount * (shares + 1_000) // (pool + 1) == 0:
                continue
            staking.delegateTo(number, amount, value=amount, sender=accounts[index])
        elif action == "out":
            part = staking.sharesOf(number, accounts[index]) * amount // 100
            if part * (pool + 1) // (shares + 1_000) == 0:  # worth nothing
                continue
            staking.startUndelegating(number, part, sender=accounts[index])
        else:
            if shares > 0:
                staking.rewardDelegators(number, amount, value=amount, sender=provider.owner)
            continue
        # What rounds off is worth less than one share, which is 1/1000 of a unit before rewards.
        dust = 2 + (pool + 1) // (shares + 1_000)
        for player in players - {index}:
            assert before[player] <= worth(player) <= before[player] + dust
        assert worth(index) <= before[index] + (amount if action == "in" else 0) + 1
    held = STAKE + staking.delegatedTo(number)[0]
    leaving = sum(staking.leavingOf(number, accounts[player])[0] for player in players)
    assert held + leaving <= system.vault.locked(staking, NATIVE)
    chain.restore(snapshot)


def test_delegate__first_comer_cannot_rob_the_second(system, provider, delegate, accounts):
    """The inflation attack: one unit first, then a reward that makes the share dear, then the victim comes."""
    delegate(provider, 7, 1)
    system.staking.rewardDelegators(provider.number, STAKE, value=STAKE, sender=accounts[7])

    delegate(provider, 8, STAKE)

    victim = system.staking.delegationOf(provider.number, accounts[8])
    attacker = system.staking.delegationOf(provider.number, accounts[7])
    assert victim > STAKE * 99 // 100
    assert attacker < 1 + STAKE  # the attacker has lost
    assert victim < ETHER
