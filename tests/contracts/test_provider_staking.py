"""ProviderStaking: register, stake, unbond, keys

deploy
└── when no stake would be needed
    └── it reverts with StakingTooLow(stake, minimum)
register
├── when the stake is below the minimum
│   └── it reverts with StakingTooLow(stake, minimum)
├── when a key is zero
│   └── it reverts with StakingZeroKey
├── twice by the same owner
│   └── it makes a second provider and leaves the first one's stake alone
├── from the Vault, when the owner has not opted in
│   └── it reverts with VaultModuleNotAllowed(account, module)
├── where stakes are in a token, when value comes
│   └── it reverts with StakingValueNotNeeded(sent)
├── from the Vault, when there is too little
│   └── it reverts with VaultBalanceTooLow(free, needed)
└── it locks the stake in the Vault, in the token of the contract
every change
├── when the caller is not the owner, it reverts with StakingNotOwner(caller, owner)
└── when the provider is unknown, it reverts with StakingProviderUnknown(provider)
startUnbonding
├── when more than the stake is asked for
│   └── it reverts with StakingExceedsStake(asked, stake)
├── when what is left is neither nothing nor enough
│   └── it reverts with StakingTooLow(stake, minimum)
└── a second time, it restarts the clock for all of it
setOperator, setPayout
└── when the key is zero, it reverts with StakingZeroKey
finishUnbonding
├── when the time has not come, or nothing unbonds
│   └── it reverts with StakingStillBonded(time, unlockAt)
└── it frees the money for the owner, in the token that was staked
transfer
├── when accepted by another account, it reverts with StakingNotPendingOwner(caller, pending)
└── takes two steps
"""

import ape
import pytest
from system import NATIVE, STAKE

DAY = 86_400


def test_deploy__when_no_stake_would_be_needed__reverts(system, project):
    with ape.reverts(project.ProviderStaking.StakingTooLow, **{"stake": 0, "minimum": 1}):
        system.deployer.deploy(*(project.ProviderStaking, system.vault, NATIVE, 0, system.access))


def test_register__when_stake_is_too_low__reverts(system, stranger):
    with ape.reverts(system.staking.StakingTooLow, **{"stake": STAKE - 1, "minimum": STAKE}):
        system.provider(stranger, stranger, stranger, stake=STAKE - 1)


@pytest.mark.parametrize("keys", [(NATIVE, None), (None, NATIVE)])
def test_register__when_a_key_is_zero__reverts(system, stranger, keys):
    with ape.reverts(system.staking.StakingZeroKey):
        system.provider(stranger, keys[0] or stranger, keys[1] or stranger)


def test_register__when_value_is_too_little_and_no_opt_in__reverts(system, stranger):
    with ape.reverts(system.vault.VaultModuleNotAllowed):
        system.staking.register(stranger, stranger, STAKE, value=STAKE - 1, sender=stranger)


def test_register__twice__leaves_the_first_stake_alone(system, stranger):
    first = system.provider(stranger, stranger, stranger, stake=2 * STAKE)

    second = system.provider(stranger, stranger, stranger)

    assert second.number == first.number + 1
    assert system.staking.stakeOf(first.number) == 2 * STAKE
    assert system.vault.locked(system.staking, NATIVE) == 3 * STAKE


def test_register__when_the_owner_is_paid_itself__says_so(system, stranger):
    number = system.provider(stranger, stranger, stranger).number

    assert system.staking.providerOf(number).payout == stranger.address
    assert system.staking.payoutOf(number) == stranger.address


def test_register__locks_the_stake(system, stranger, accounts):
    receipt = system.staking.register(
        accounts[7], accounts[8], STAKE, value=STAKE + 3, sender=stranger
    )

    assert receipt.events == [
        system.staking.ProviderRegistered(1, stranger, accounts[7], accounts[8]),
        system.staking.Staked(1, STAKE, STAKE),
        system.vault.Deposited(stranger, NATIVE, system.staking, STAKE + 3),
    ]
    assert system.vault.locked(system.staking, NATIVE) == STAKE
    assert system.free(stranger) == 3
    provider = system.staking.providerOf(1)
    assert (provider.owner, provider.operator, provider.payout) == (
        stranger,
        accounts[7],
        accounts[8],
    )
    assert (provider.stake, provider.unbonding, provider.unlockAt) == (STAKE, 0, 0)


@pytest.fixture
def in_token(system, stranger, accounts, project):
    """A staking contract for an ERC-20; `stranger` has a stake and a half of it in the Vault, and has opted in."""
    token = accounts[0].deploy(project.MockToken, 0)
    staking = accounts[0].deploy(
        *(project.ProviderStaking, system.vault, token, STAKE, system.access)
    )
    amount = 3 * STAKE // 2
    token.mint(stranger, amount, sender=stranger)
    token.approve(system.vault, amount, sender=stranger)
    system.vault.deposit(stranger, token, amount, sender=stranger)
    system.vault.allowModule(staking, True, sender=stranger)
    return staking


def test_register__in_a_token__when_value_comes__reverts(in_token, stranger):
    with ape.reverts(in_token.StakingValueNotNeeded, **{"sent": 1}):
        in_token.register(stranger, stranger, STAKE, value=1, sender=stranger)


def test_register__in_a_token__when_there_is_too_little__reverts(system, in_token, stranger):
    expected = {"free": 3 * STAKE // 2, "needed": 2 * STAKE}
    with ape.reverts(system.vault.VaultBalanceTooLow, **expected):
        in_token.register(stranger, stranger, 2 * STAKE, sender=stranger)


def test_register__in_a_token__locks_it_and_gives_it_back(system, in_token, stranger, chain):
    token = in_token.TOKEN()

    in_token.register(stranger, stranger, STAKE, sender=stranger)

    assert system.free(stranger, token) == STAKE // 2
    assert system.vault.locked(in_token, token) == STAKE
    assert system.vault.locked(in_token, NATIVE) == 0
    in_token.startUnbonding(1, STAKE, sender=stranger)
    chain.pending_timestamp += 14 * DAY + 1
    in_token.finishUnbonding(1, sender=stranger)
    assert system.free(stranger, token) == 3 * STAKE // 2
    assert system.vault.locked(in_token, token) == 0


def test_slash__in_a_token__divides_the_token(system, in_token, stranger, accounts):
    token, slasher, victim, challenger = in_token.TOKEN(), *accounts[6:9]
    in_token.register(stranger, stranger, STAKE, sender=stranger)
    in_token.allowSlasher(1, slasher, True, sender=stranger)

    in_token.slash(1, bytes(32), STAKE // 2, victim, STAKE // 4, challenger, sender=slasher)

    paid = [system.free(account, token) for account in (victim, challenger, system.vault)]
    assert sum(paid) == STAKE // 2
    assert min(paid) > 0
    assert system.vault.locked(in_token, token) == STAKE // 2


@pytest.mark.parametrize("function", ["setOperator", "setPayout"])
def test_keys__when_zero__revert(system, provider, function):
    with ape.reverts(system.staking.StakingZeroKey):
        getattr(system.staking, function)(provider.number, NATIVE, sender=provider.owner)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("stake", [STAKE]),
        ("startUnbonding", [STAKE]),
        ("finishUnbonding", []),
        ("setOperator", ["0x0000000000000000000000000000000000000001"]),
        ("setPayout", ["0x0000000000000000000000000000000000000001"]),
        ("startTransfer", ["0x0000000000000000000000000000000000000001"]),
    ],
)
def test_every_change__when_caller_is_not_the_owner__reverts(system, provider, function, arguments):
    for caller in (provider.operator, provider.payout):  # not even the provider's other keys
        expected = {"caller": caller.address, "owner": provider.owner.address}
        with ape.reverts(system.staking.StakingNotOwner, **expected):
            getattr(system.staking, function)(provider.number, *arguments, sender=caller)
        with ape.reverts(system.staking.StakingProviderUnknown, **{"provider": 99}):
            getattr(system.staking, function)(99, *arguments, sender=caller)


def test_start_unbonding__when_more_than_staked__reverts(system, provider):
    expected = {"asked": STAKE + 1, "limit": STAKE}
    with ape.reverts(system.staking.StakingExceedsStake, **expected):
        system.staking.startUnbonding(provider.number, STAKE + 1, sender=provider.owner)


def test_start_unbonding__when_too_little_is_left__reverts(system, provider):
    with ape.reverts(system.staking.StakingTooLow, **{"stake": STAKE - 1, "minimum": STAKE}):
        system.staking.startUnbonding(provider.number, 1, sender=provider.owner)


def test_start_unbonding__a_second_time__restarts_the_clock(system, provider, chain):
    system.staking.stake(provider.number, 2 * STAKE, value=2 * STAKE, sender=provider.owner)
    system.staking.startUnbonding(provider.number, STAKE, sender=provider.owner)
    chain.pending_timestamp += 10 * DAY

    receipt = system.staking.startUnbonding(provider.number, STAKE, sender=provider.owner)

    unlock_at = chain.blocks.head.timestamp + 14 * DAY
    assert receipt.events == [
        system.staking.UnbondingStarted(provider.number, STAKE, 2 * STAKE, unlock_at)
    ]


def test_stake__when_it_is_still_too_little__reverts(system, provider):
    system.staking.startUnbonding(provider.number, STAKE, sender=provider.owner)
    less = STAKE - 1

    with ape.reverts(system.staking.StakingTooLow, **{"stake": less, "minimum": STAKE}):
        system.staking.stake(provider.number, less, value=less, sender=provider.owner)


def test_finish_unbonding__when_nothing_unbonds__reverts(system, provider):
    with ape.reverts(system.staking.StakingStillBonded, **{"unlockAt": 0}):
        system.staking.finishUnbonding(provider.number, sender=provider.owner)


def test_finish_unbonding__when_too_early__reverts(system, provider, chain):
    system.staking.startUnbonding(provider.number, STAKE, sender=provider.owner)
    unlock_at = system.staking.providerOf(provider.number).unlockAt
    chain.pending_timestamp = unlock_at - 1

    expected = {"time": unlock_at - 1, "unlockAt": unlock_at}
    with ape.reverts(system.staking.StakingStillBonded, **expected):
        system.staking.finishUnbonding(provider.number, sender=provider.owner)


def test_finish_unbonding__frees_the_money(system, provider, chain):
    system.staking.startUnbonding(provider.number, STAKE, sender=provider.owner)
    chain.pending_timestamp = system.staking.providerOf(provider.number).unlockAt

    receipt = system.staking.finishUnbonding(provider.number, sender=provider.owner)

    assert receipt.events == [system.staking.Unbonded(provider.number, provider.owner, STAKE)]
    assert system.free(provider.owner) == STAKE
    assert system.vault.locked(system.staking, NATIVE) == 0
    after = system.staking.providerOf(provider.number)
    assert (after.stake, after.unbonding, after.unlockAt) == (0, 0, 0)
    with ape.reverts(system.staking.StakingStillBonded):
        system.staking.finishUnbonding(provider.number, sender=provider.owner)


def test_transfer__takes_two_steps(system, provider, stranger):
    system.staking.startTransfer(provider.number, stranger, sender=provider.owner)
    expected = {"caller": provider.owner.address, "pendingOwner": stranger.address}
    with ape.reverts(system.staking.StakingNotPendingOwner, **expected):
        system.staking.acceptTransfer(provider.number, sender=provider.owner)

    receipt = system.staking.acceptTransfer(provider.number, sender=stranger)

    assert receipt.events == [
        system.staking.OwnershipTransferred(provider.number, provider.owner, stranger)
    ]
    assert system.staking.ownerOf(provider.number) == stranger


def test_transfer__leaves_the_payout_where_it_was(system, accounts, stranger):
    provider = system.provider(accounts[7], accounts[8], accounts[7])
    system.staking.startTransfer(provider.number, stranger, sender=provider.owner)

    system.staking.acceptTransfer(provider.number, sender=stranger)

    assert system.staking.payoutOf(provider.number) == provider.owner


def test_keys__are_replaced_at_once(system, provider, stranger):
    system.staking.setOperator(provider.number, stranger, sender=provider.owner)
    system.staking.setPayout(provider.number, stranger, sender=provider.owner)

    assert (
        system.staking.operatorOf(provider.number)
        == stranger
        == system.staking.payoutOf(provider.number)
    )
