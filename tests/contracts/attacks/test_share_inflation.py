"""Inflated shares: the first delegator makes a share so dear that the next one's rounds down to none

The attacker hopes to own what the next delegator pays in.
"""

from system import ETHER, STAKE

DAY = 86_400


def test_inflated_shares__cost_the_attacker_and_not_the_next(system, provider, accounts):
    thief, victim, number = accounts[7], accounts[8], provider.number
    staking = system.staking
    staking.delegateTo(number, 1, value=1, sender=thief)
    reward = STAKE  # a gift to all shares, that is, to the thief's one wei
    staking.rewardDelegators(number, reward, value=reward, sender=thief)

    paid = 2 * STAKE
    staking.delegateTo(number, paid, value=paid, sender=victim)
    for account in (victim, thief):
        shares = staking.sharesOf(number, account)
        assert shares > 0
        staking.startUndelegating(number, shares, sender=account)
    accounts.provider.set_timestamp(accounts.provider.get_block("latest").timestamp + 15 * DAY)
    accounts.provider.mine()
    for account in (victim, thief):
        staking.finishUndelegating(number, sender=account)

    assert system.free(victim) >= paid * 999 // 1000
    assert system.free(thief) < reward * 6 // 10  # the rest of its gift is nobody's for ever
    assert system.free(thief) + system.free(victim) <= paid + reward + 1
    assert system.vault.accounted("0x" + "00" * 20) == system.vault.balance < 20 * ETHER
