"""A burned delegation: a provider names itself as its slasher and burns what others have staked on it

Half of everything goes with one slash. Most of the attacker's own part comes back to it as victim and challenger, so
threatening with it is cheap: it asks its delegators for a ransom. It is cheapest once the own stake is gone.
"""

import ape
import pytest
from eth_utils import keccak
from system import STAKE

pytestmark = pytest.mark.usefixtures("books")

DAY = 86_400
NOTICE = 28 * DAY


@pytest.fixture
def victim(system, provider, accounts):
    """Staked on the provider when nobody but announced slashers could slash it."""
    system.staking.delegateTo(provider.number, 9 * STAKE, value=9 * STAKE, sender=accounts[8])
    return accounts[8]


@pytest.fixture
def thief(system, provider, victim):
    """The provider's owner, who has just become its own slasher."""
    owner = provider.owner
    system.staking.allowSlasher(provider.number, owner, True, sender=owner)
    return owner


def burn(system, provider, thief, serial=0):
    evidence = keccak(b"made up %d" % serial)
    return system.staking.slash(
        *(provider.number, evidence, 10 * STAKE, thief, STAKE, thief), sender=thief
    )


def test_burning__by_a_slasher_of_today__takes_the_attackers_own_only(
    system, provider, victim, thief
):
    for serial in range(3):
        burn(system, provider, thief, serial)

    assert system.staking.delegationOf(provider.number, victim) == 9 * STAKE
    assert system.staking.providerOf(provider.number).stake == STAKE // 8
    assert system.free(thief) < STAKE - STAKE // 8


def test_burning__reaches_delegators_no_sooner_than_they_can_be_out(
    system, provider, victim, thief, chain
):
    number = provider.number
    shares = system.staking.sharesOf(number, victim)
    chain.pending_timestamp += NOTICE - 14 * DAY - 60  # the victim took its time to notice
    system.staking.startUndelegating(number, shares, sender=victim)
    chain.pending_timestamp = system.staking.leavingOf(number, victim).unlockAt - 1
    burn(system, provider, thief)
    chain.pending_timestamp = system.staking.leavingOf(number, victim).unlockAt

    system.staking.finishUndelegating(number, sender=victim)

    assert system.free(victim) == 9 * STAKE


def test_burning__with_an_old_permission_that_was_given_up__needs_a_new_notice(
    system, provider, victim, thief, chain
):
    system.staking.allowSlasher(provider.number, thief, False, sender=thief)
    chain.pending_timestamp += NOTICE
    with ape.reverts(system.staking.StakingNotSlasher):
        burn(system, provider, thief)

    system.staking.allowSlasher(provider.number, thief, True, sender=thief)
    burn(system, provider, thief)

    assert system.staking.delegationOf(provider.number, victim) == 9 * STAKE


def test_burning__after_the_own_stake_is_out__reaches_nobody(
    system, provider, victim, thief, chain
):
    """The slasher was allowed long ago, and the thief leaves first: no slash would cost it anything any more."""
    number = provider.number
    chain.pending_timestamp += NOTICE
    assert system.staking.slashableBy(number, thief) == 10 * STAKE
    system.staking.startUnbonding(number, STAKE, sender=thief)
    shares = system.staking.sharesOf(number, victim)
    system.staking.startUndelegating(number, shares // 2, sender=victim)  # sees it, and follows
    chain.pending_timestamp += 14 * DAY
    system.staking.finishUnbonding(number, sender=thief)
    assert (
        system.staking.slashableOf(number) == 9 * STAKE
    )  # what it hopes to burn, or to be paid for not burning

    burn(system, provider, thief)

    assert system.staking.slashableBy(number, thief) == 0
    assert system.staking.slashableOf(number) == 9 * STAKE
    assert system.free(thief) == STAKE
    system.staking.startUndelegating(number, shares - shares // 2, sender=victim)
    chain.pending_timestamp += 14 * DAY
    system.staking.finishUndelegating(number, sender=victim)
    assert system.free(victim) == 9 * STAKE


def test_burning__after_most_of_the_own_stake_came_back__burns_nine_times_the_rest_at_most(
    system, provider, victim, thief, chain
):
    """Slashes of its own stake alone, of which 70 % come back, and then those that reach the others too."""
    for serial in range(3):
        burn(system, provider, thief, serial)
    left = STAKE // 8
    chain.pending_timestamp += NOTICE

    assert system.staking.slashableBy(provider.number, thief) == 10 * left
    for serial in range(3, 6):
        burn(system, provider, thief, serial)

    own = system.staking.providerOf(provider.number).stake
    burned = 9 * STAKE - system.staking.delegationOf(provider.number, victim)
    assert own == left // 8
    assert 9 * (left - own) - 100 < burned <= 9 * (left - own)  # rounded down for the others


def test_burning__of_what_leaves_and_what_stays__is_by_one_rate(
    system, provider, victim, thief, chain
):
    number = provider.number
    system.staking.startUndelegating(
        number, system.staking.sharesOf(number, victim) // 3, sender=victim
    )
    burn(system, provider, thief)
    chain.pending_timestamp += NOTICE

    burn(system, provider, thief, 1)

    # Half of the own half: STAKE / 4, and nine times as much of the others, a third of it from what leaves.
    assert system.staking.leavingOf(number, victim).amount == 3 * STAKE - 3 * STAKE // 4
    assert system.staking.delegationOf(number, victim) == 6 * STAKE - 6 * STAKE // 4
