"""Stake in flight: a provider that is about to be found out takes its stake away, or begins anew

The attacker hopes that nothing is left to slash, or that a fresh registration forgets the evidence.
"""

import ape
import pytest
from eth_utils import keccak
from system import NATIVE, STAKE

DAY = 86_400
EVIDENCE = keccak(b"evidence")


@pytest.fixture
def slasher(accounts, system, provider):
    """An account that the provider allowed to slash it."""
    system.staking.allowSlasher(provider.number, accounts[8], True, sender=provider.owner)
    return accounts[8]


def slash(system, provider, slasher, accounts):
    return system.staking.slash(
        *(provider.number, EVIDENCE, 10**30, accounts[7], 10**30, accounts[9]), sender=slasher
    )


def test_stake_in_flight__is_slashed_all_the_same(system, provider, slasher, accounts):
    system.staking.startUnbonding(provider.number, STAKE, sender=provider.owner)
    assert system.staking.stakeOf(provider.number) == 0

    slash(system, provider, slasher, accounts)

    assert system.free(accounts[7]) == STAKE // 4  # half of the half that one case may take
    accounts.provider.set_timestamp(accounts.provider.get_block("latest").timestamp + 30 * DAY)
    accounts.provider.mine()
    system.staking.finishUnbonding(provider.number, sender=provider.owner)
    assert system.free(provider.owner) == STAKE // 2


def test_stake_in_flight__cannot_leave_before_its_time(system, provider, slasher, accounts):
    system.staking.startUnbonding(provider.number, STAKE, sender=provider.owner)

    with ape.reverts(system.staking.StakingStillBonded):
        system.staking.finishUnbonding(provider.number, sender=provider.owner)


def test_registered_again__is_another_provider(system, provider, slasher, accounts):
    """The first stake is neither overwritten nor forgotten."""
    again = system.provider(provider.owner, accounts[6], provider.payout)

    slash(system, provider, slasher, accounts)

    assert again.number != provider.number
    assert system.staking.stakeOf(again.number) == STAKE
    assert system.staking.slashableOf(provider.number) == STAKE // 2
    assert system.vault.locked(system.staking, NATIVE) == STAKE + STAKE // 2


def test_self_slash__always_loses(system, provider, slasher, accounts):
    """The provider is its own victim and challenger: a part of what it takes is gone for good."""
    before = system.free(provider.owner)

    system.staking.slash(
        *(provider.number, EVIDENCE, STAKE, provider.owner, STAKE, provider.owner), sender=slasher
    )

    taken = STAKE - system.staking.slashableOf(provider.number)
    assert taken == STAKE // 2
    assert system.free(provider.owner) - before < taken
