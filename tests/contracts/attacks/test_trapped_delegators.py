"""Trapped delegators: a provider slashes itself until those who want to leave it no longer can

Shares become cheaper with every slash. The attacker makes those of the pool through which delegators leave so cheap
that nobody's are few enough for the books, and asks for a ransom.
"""

import ape
from eth_utils import keccak
from system import STAKE

DAY = 86_400


def slash(system, number, amount, serial, sender):
    evidence = keccak(b"made up %d" % serial)
    system.staking.slash(number, evidence, amount, sender, 0, sender, sender=sender)


def pass_time(chain, days):
    chain.pending_timestamp += days * DAY
    chain.mine()


def allow(system, number, thief, chain):
    """The thief becomes its own slasher, and waits until it reaches delegators too."""
    system.staking.allowSlasher(number, thief, True, sender=thief)
    pass_time(chain, 28)


def test_slashes_of_one_wei__do_not_trap_delegators(system, provider, accounts, chain):
    thief, victim, number = provider.owner, accounts[8], provider.number
    staking = system.staking
    staking.delegateTo(number, STAKE, value=STAKE, sender=victim)
    staking.delegateTo(number, 10**6, value=10**6, sender=thief)
    allow(system, number, thief, chain)

    for serial in range(200):
        staking.startUndelegating(number, 1_100, sender=thief)  # worth one wei
        slash(system, number, 1, serial, thief)

    shares = staking.sharesOf(number, victim)
    staking.startUndelegating(number, shares, sender=victim)
    pass_time(chain, 14)
    staking.finishUndelegating(number, sender=victim)
    assert system.free(victim) >= STAKE - 200


def test_delegate_to__a_provider_that_wore_its_pool_out__reverts(system, provider, accounts, chain):
    """The dear way: the attacker loses half of all that it has at stake with every slash. It has to be announced: one
    that the provider allowed reaches nobody once the own stake is gone."""
    thief, number = provider.owner, provider.number
    staking, serial = system.staking, 0
    announce = staking.announceSlasher.encode_input(thief)
    system.access.execute(staking, announce, sender=system.deployer)
    pass_time(chain, 28)
    for _ in range(2):
        staking.delegateTo(number, 9 * STAKE, value=9 * STAKE, sender=thief)
        staking.startUndelegating(number, staking.sharesOf(number, thief), sender=thief)
        while staking.leavingOf(number, thief)[0] > 1:
            serial += 1
            slash(system, number, STAKE * 10, serial, thief)
        pass_time(chain, 7)
        missing = STAKE - staking.providerOf(number).stake
        staking.stake(number, missing, value=missing, sender=thief)
        staking.leaveJail(number, sender=thief)

    with ape.reverts(staking.StakingPoolWornOut, **{"provider": number}):
        staking.delegateTo(number, STAKE, value=STAKE, sender=accounts[8])
