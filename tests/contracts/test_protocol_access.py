"""ProtocolAccess: the pause and the notice, and nothing else

pauseRequests, pauseStakes
├── when the caller is not the access manager
│   └── they revert with RouterNotAccess(caller, access), StakingNotAccess(caller, access)
├── when the caller there has no role, it reverts
├── when the pause would be longer than seven days
│   └── they revert with RouterPauseTooLong(until, latest), StakingPauseTooLong(until, latest)
├── stop new requests, stakes and delegations: RouterPaused(time, until), StakingPaused(time, until)
├── stop nothing that is under way
└── end by themselves
"""

import ape
import pytest
from system import ETHER, INPUT, NATIVE, STAKE

from offchain_worker import batch_tree

DAY = 86_400


@pytest.fixture
def pause(system, chain):
    """Pauses requests and stakes for some seconds."""

    def act(seconds, sender=None):
        until = chain.pending_timestamp + seconds
        for target, function in (
            (system.router, system.router.pauseRequests),
            (system.staking, system.staking.pauseStakes),
        ):
            system.access.execute(
                target, function.encode_input(until), sender=sender or system.deployer
            )
        return until

    return act


def test_pause__when_not_through_the_access_manager__reverts(system, stranger):
    for contract, call, error in (
        (system.router, system.router.pauseRequests, system.router.RouterNotAccess),
        (system.staking, system.staking.pauseStakes, system.staking.StakingNotAccess),
    ):
        expected = {"caller": stranger.address, "access": system.access.address}
        with ape.reverts(error, **expected):
            call(0, sender=stranger)
        with ape.reverts(system.access.AccessManagerUnauthorizedCall):
            system.access.execute(contract, call.encode_input(0), sender=stranger)


@pytest.mark.parametrize("what", ["router", "staking"])
def test_pause__when_too_long__reverts(system, chain, what):
    call, error = {
        "router": (system.router.pauseRequests, system.router.RouterPauseTooLong),
        "staking": (system.staking.pauseStakes, system.staking.StakingPauseTooLong),
    }[what]
    contract, now = getattr(system, what), chain.pending_timestamp + 1
    latest = now + 7 * DAY
    chain.pending_timestamp = now  # of the block that the next transaction is in

    with ape.reverts(error, **{"until": latest + 1, "latest": latest}):
        system.access.execute(contract, call.encode_input(latest + 1), sender=system.deployer)


def test_pause__of_the_longest_time__works(system, chain):
    for contract, call in (
        (system.router, system.router.pauseRequests),
        (system.staking, system.staking.pauseStakes),
    ):
        now = chain.pending_timestamp + 1
        chain.pending_timestamp = now
        until = now + 7 * DAY
        receipt = system.access.execute(contract, call.encode_input(until), sender=system.deployer)
        assert receipt.timestamp == now
        assert receipt.events[0].event_arguments == {"until": until}


def test_pause__stops_what_is_new(system, provider, pause, stranger):
    until = pause(DAY)

    with ape.reverts(system.router.RouterPaused, **{"until": until}):
        system.request()
    for call in (
        lambda: system.provider(stranger, stranger, stranger),
        lambda: system.staking.stake(provider.number, 1, value=1, sender=provider.owner),
        lambda: system.staking.delegateTo(provider.number, 1, value=1, sender=stranger),
    ):
        with ape.reverts(system.staking.StakingPaused, **{"until": until}):
            call()


def test_pause__stops_nothing_that_is_under_way(system, provider, pause, stranger, chain, accounts):
    answered, waiting, declined = system.request(), system.request(), system.request()
    system.staking.delegateTo(provider.number, STAKE, value=STAKE, sender=accounts[7])
    pause(7 * DAY)

    system.answer(answered, provider)
    declined = system.decline(declined, provider)
    chain.pending_timestamp = declined.job["deadline"] + 1  # that of the later request
    for job in (waiting, declined):
        system.router.refund(job.id, job.job, sender=stranger)
    system.router.claim(provider.offer, system.market, sender=stranger)
    system.router.collectFees(system.model_id, 1, sender=stranger)
    system.vault.withdraw(NATIVE, ETHER, system.requester, sender=system.requester)
    shares = system.staking.sharesOf(provider.number, accounts[7])
    system.staking.startUndelegating(provider.number, shares, sender=accounts[7])
    system.staking.startUnbonding(provider.number, STAKE, sender=provider.owner)
    for _ in range(2):  # a guardian that pauses again and again
        chain.pending_timestamp += 7 * DAY
        pause(7 * DAY)
    system.staking.finishUndelegating(provider.number, sender=accounts[7])
    system.staking.finishUnbonding(provider.number, sender=provider.owner)

    assert system.vault.locked(system.staking, NATIVE) == 0
    assert system.vault.locked(system.router, NATIVE) == 0


@pytest.mark.parametrize("what", ["request", "register", "batch"])
def test_pause__ends_by_itself_in_its_second(system, provider, pause, chain, stranger, what):
    act = {
        "request": system.request,
        "register": lambda: system.provider(stranger, stranger, stranger),
        "batch": lambda: system.batches.request(
            *(system.market, provider.offer, until + 600, ETHER, batch_tree.pack([INPUT])),
            sender=stranger,
            value=ETHER,
        ),
    }[what]
    until = pause(DAY)
    assert system.router.pausedUntil() == until
    chain.pending_timestamp = until

    act()


def test_pause__is_lifted_early(system, provider, pause):
    pause(DAY)
    pause(0)

    system.request()
