"""A burned delegation: a provider names itself as its slasher and burns what others have staked on it

Half of everything goes with one slash. Most of the attacker's own part comes back to it as victim and challenger, so
threatening with it is cheap: it asks its delegators for a ransom.
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
