"""A greedy administrator: whoever deployed everything, or holds its keys

It hopes to take what others put in, to keep them from leaving, or to change the rules of what is under way. That every
privileged function is harmless is tried in tests/contracts/test_privileges.py; here somebody tries to be clever.
"""

import ape
import pytest
from system import ASK, ETHER, MODEL_PRICE, NATIVE, STAKE

pytestmark = pytest.mark.usefixtures("books")

PRICE = ASK + MODEL_PRICE
DAY = 86_400


@pytest.fixture
def administrator(system):
    return system.deployer


def manage(system, administrator, target, call):
    return system.access.execute(target, call, sender=administrator)


def test_administrator__as_a_module__needs_the_users_opt_in(system, requester, administrator):
    for call in (
        lambda: system.vault.lock(requester, NATIVE, 1, sender=administrator),
        lambda: system.vault.lockDelayed(requester, NATIVE, 1, sender=administrator),
    ):
        with ape.reverts(system.vault.VaultModuleNotAllowed):
            call()
    with ape.reverts(system.vault.VaultLockedTooLow, **{"locked": 0, "needed": 1}):
        system.vault.release(administrator, NATIVE, 1, sender=administrator)


def test_administrator__through_the_manager__reaches_no_money(system, requester, administrator):
    """The access manager is no module of anybody's, and nobody's provider."""
    lock = system.vault.lock.encode_input(requester, NATIVE, 1)
    with ape.reverts(system.vault.VaultModuleNotAllowed):
        manage(system, administrator, system.vault, lock)

    release = system.vault.release.encode_input(administrator, NATIVE, 1)
    with ape.reverts(system.vault.VaultLockedTooLow):
        manage(system, administrator, system.vault, release)


def test_administrator__that_pauses_for_ever__keeps_nobody_in(
    system, provider, requester, administrator, chain, stranger
):
    asked = system.request()
    for _ in range(3):
        until = chain.pending_timestamp + 7 * DAY
        for target, name in ((system.router, "pauseRequests"), (system.staking, "pauseStakes")):
            call = getattr(target, name).encode_input(until)
            manage(system, administrator, target, call)
        chain.pending_timestamp += 7 * DAY - 60
    system.router.refund(asked.id, asked.job, sender=stranger)
    free = system.free(requester)
    system.vault.withdraw(NATIVE, free, requester, sender=requester)
    system.staking.startUnbonding(provider.number, STAKE, sender=provider.owner)
    chain.pending_timestamp += 14 * DAY

    system.staking.finishUnbonding(provider.number, sender=provider.owner)

    assert system.vault.locked(system.staking, NATIVE) == 0
    assert system.vault.locked(system.router, NATIVE) == 0


def test_treasury__gets_its_share_of_earnings_and_no_more(system, provider, stranger):
    """The system this one learned from let its admin withdraw all stakes as fees."""
    system.answer(system.request(), provider)
    for _ in range(2):
        system.router.claim(provider.offer, system.market, sender=stranger)
        system.router.collectFees(system.model_id, 1, sender=system.treasury)

    assert system.free(system.treasury) == PRICE * 200 // 10_000
    assert system.vault.locked(system.staking, NATIVE) == STAKE
    assert system.free(system.vault) == 0 < ETHER


@pytest.mark.parametrize("fee_bps", [1_001, 10_000, 20_000])
def test_deployer__that_wants_more_than_a_tenth__has_no_router_and_no_sales(
    system, project, administrator, fee_bps
):
    """It hopes for all of what offers earn; with more than that nobody could ever claim. The code looks the same."""
    parts = (system.vault, system.registry, system.staking, system.treasury)
    expected = {"feeBps": fee_bps, "limit": 1_000}

    with ape.reverts(project.InferenceRouter.OfferFeeTooHigh, **expected):
        administrator.deploy(
            *(project.InferenceRouter, *parts, fee_bps, 14, system.access, system.verifier)
        )
    with ape.reverts(project.Licences.LicenceFeeTooHigh, **expected):
        administrator.deploy(
            *(project.Licences, system.router, system.vault, system.registry),
            *(system.treasury, fee_bps),
        )
    highest = administrator.deploy(
        *(project.InferenceRouter, *parts, 1_000, 14, system.access, system.verifier)
    )
    assert highest.FEE_BPS() == 1_000
    module = administrator.deploy(
        *(project.Licences, system.router, system.vault, system.registry),
        *(system.treasury, 1_000),
    )
    assert module.FEE_BPS() == 1_000
