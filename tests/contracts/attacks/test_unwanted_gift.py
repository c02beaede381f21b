"""An unwanted gift: changing somebody else's state by giving it something

The attacker hopes to cancel a withdrawal, restart a clock, take over a seat or fill a limit of somebody else.
"""

import ape
import pytest
from system import ETHER, NATIVE, STAKE

pytestmark = pytest.mark.usefixtures("books")

DAY = 86_400


@pytest.mark.parametrize("amount", [0, 1])
def test_gift__to_an_announced_withdrawal__does_not_restart_its_clock(
    system, requester, stranger, chain, amount
):
    system.vault.delay(NATIVE, ETHER, sender=requester)
    system.vault.announceUndelay(NATIVE, ETHER, sender=requester)
    before = system.vault.leavingOf(requester, NATIVE)
    chain.pending_timestamp += DAY - 10

    system.vault.deposit(requester, NATIVE, amount, value=amount, sender=stranger)

    assert system.vault.leavingOf(requester, NATIVE) == before
    chain.pending_timestamp = before.at
    system.vault.undelay(NATIVE, sender=requester)
    assert system.vault.delayed(requester, NATIVE) == 0


def test_gift__to_a_provider_that_unbonds__does_not_keep_it(system, provider, stranger, chain):
    """Stake is put in by the owner only; delegating needs stake that stays."""
    system.staking.startUnbonding(provider.number, STAKE, sender=provider.owner)
    due = system.staking.providerOf(provider.number).unlockAt

    with ape.reverts(system.staking.StakingNotOwner):
        system.staking.stake(provider.number, 1, value=1, sender=stranger)
    with ape.reverts(system.staking.StakingTooLow):
        system.staking.delegateTo(provider.number, 1, value=1, sender=stranger)

    assert system.staking.providerOf(provider.number).unlockAt == due
    chain.pending_timestamp = due
    system.staking.finishUnbonding(provider.number, sender=provider.owner)


def test_gift__of_a_delegation__is_the_givers_own(system, provider, stranger, accounts, chain):
    """One delegator cannot restart the clock of another, nor take from it."""
    system.staking.delegateTo(provider.number, STAKE, value=STAKE, sender=accounts[7])
    shares = system.staking.sharesOf(provider.number, accounts[7])
    system.staking.startUndelegating(provider.number, shares, sender=accounts[7])
    amount, due = system.staking.leavingOf(provider.number, accounts[7])
    chain.pending_timestamp += 13 * DAY

    system.staking.delegateTo(provider.number, 1, value=1, sender=stranger)
    own = system.staking.sharesOf(provider.number, stranger)
    system.staking.startUndelegating(provider.number, own, sender=stranger)

    assert system.staking.leavingOf(provider.number, accounts[7]) == (amount, due)
    chain.pending_timestamp = due
    system.staking.finishUndelegating(provider.number, sender=accounts[7])
    assert system.free(accounts[7]) == STAKE


def test_gift__of_a_reward_before_a_slash__is_shared_by_stake(system, provider, stranger, accounts):
    """Delegating a wei just before a reward earns a wei's part of it."""
    system.staking.delegateTo(provider.number, STAKE, value=STAKE, sender=accounts[7])
    system.staking.delegateTo(provider.number, 1, value=1, sender=stranger)

    system.staking.rewardDelegators(provider.number, STAKE, value=STAKE, sender=accounts[8])

    assert system.staking.delegationOf(provider.number, stranger) <= 2
    assert system.staking.delegationOf(provider.number, accounts[7]) >= 2 * STAKE - 2


def test_gift__of_an_opt_in__is_nobodys_to_give(system, requester, stranger):
    """Modules are trusted by the account itself only; money sent along opens no other door."""
    system.vault.deposit(requester, NATIVE, 1, value=1, sender=stranger)

    assert not system.vault.isAllowed(requester, stranger)
    with ape.reverts(system.vault.VaultModuleNotAllowed):
        system.vault.lock(requester, NATIVE, 1, sender=stranger)
