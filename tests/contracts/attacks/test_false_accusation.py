"""A false accusation: slashing without a right or without evidence

The attacker hopes to take a provider's stake, or to take it twice for one deed.
"""

import ape
import pytest
from eth_utils import keccak
from system import STAKE

pytestmark = pytest.mark.usefixtures("books")

DAY = 86_400
EVIDENCE = keccak(b"evidence")


def accuse(system, provider, sender, evidence=EVIDENCE, amount=10**30):
    return system.staking.slash(
        *(provider.number, evidence, amount, sender, 10**30, sender), sender=sender
    )


def test_accusation__by_anyone__reverts(system, provider, requester, stranger, deployer):
    for accuser in (requester, stranger, deployer, system.treasury):
        with ape.reverts(system.staking.StakingNotSlasher, **{"provider": provider.number}):
            accuse(system, provider, accuser)

    assert system.staking.slashableOf(provider.number) == STAKE


def test_accusation__by_a_slasher_whose_notice_has_not_passed__reverts(
    system, provider, stranger, deployer, chain
):
    """Whoever hears of a new slasher is out before it may act."""
    call = system.staking.announceSlasher.encode_input(stranger)
    system.access.execute(system.staking, call, sender=deployer)
    system.staking.startUnbonding(provider.number, STAKE, sender=provider.owner)
    chain.pending_timestamp += 14 * DAY

    with ape.reverts(system.staking.StakingNotSlasher):
        accuse(system, provider, stranger)
    system.staking.finishUnbonding(provider.number, sender=provider.owner)

    assert system.free(provider.owner) == STAKE


def test_accusation__with_the_same_evidence__reverts(system, provider, stranger):
    system.staking.allowSlasher(provider.number, stranger, True, sender=provider.owner)
    accuse(system, provider, stranger)
    left = system.staking.slashableOf(provider.number)

    with ape.reverts(system.staking.StakingEvidenceUsed):
        accuse(system, provider, stranger)

    assert system.staking.slashableOf(provider.number) == left == STAKE // 2


@pytest.mark.parametrize("pieces", [2, 5, 9])
def test_accusation__in_pieces__takes_what_it_says_and_no_more(system, provider, stranger, pieces):
    """Rounding is for the victim, at most a wei of it each time."""
    system.staking.allowSlasher(provider.number, stranger, True, sender=provider.owner)
    system.staking.delegateTo(provider.number, 7, value=7, sender=stranger)

    for piece in range(pieces):
        accuse(system, provider, stranger, evidence=keccak(bytes([piece])), amount=101)

    taken = STAKE + 7 - system.staking.slashableOf(provider.number)
    assert 101 * pieces <= taken <= 103 * pieces


@pytest.fixture(scope="session")
def deployer(system):
    """Deployed everything, and is the first administrator."""
    return system.deployer
