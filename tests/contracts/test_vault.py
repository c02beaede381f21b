"""Vault: deposit, withdraw, allowModule, lock, depositAndLock, release, releaseSplit, reading as ERC-6909

deposit
├── when the value is not the amount
│   └── it reverts with VaultValueMismatch(sent, expected)
├── when the account is the zero address
│   └── it reverts with VaultZeroAccount
├── when a token deposit carries value
│   └── it reverts with VaultValueMismatch(sent, 0)
├── when the token takes a fee
│   └── it credits what arrived
├── when the account has as much as fits
│   └── it reverts with VaultAmountTooLarge(amount, limit); so does what is delayed
└── it credits the account, whoever pays
withdraw
├── when the account has less
│   └── it reverts with VaultBalanceTooLow(free, needed)
├── when the receiver refuses, or is the Vault itself
│   └── it reverts with VaultPaymentRefused(to, amount) and nothing is lost
├── when it goes to the zero address
│   └── it reverts with VaultZeroAccount
└── it pays, for the native token and for an ERC-20
lock
├── when the account did not opt into the module
│   └── it reverts with VaultModuleNotAllowed(account, module)
├── when the account has less
│   └── it reverts with VaultBalanceTooLow(free, needed)
├── it moves free money under the module, all of it too
└── again, it adds up; so do deposits, what is delayed, and releases
depositAndLock
├── when the value is too little and the account did not opt in
│   └── it reverts with VaultModuleNotAllowed(account, module)
└── it locks the amount and leaves the surplus free, with no opt-in
release
├── when the module holds less
│   └── it reverts with VaultLockedTooLow(locked, needed)
└── it frees money for any account
releaseSplit
├── when the module holds less than all three amounts
│   └── it reverts with VaultLockedTooLow(locked, needed)
└── it frees money for each
reading as ERC-6909: balanceOf, totalSupply, isOperator, allowance
├── when the id has bits above an address
│   └── it is no token: 0
├── when money is delayed or locked
│   └── it is in the supply and not in the balance
├── it says the same as free, accounted and isAllowed, for the native token and for an ERC-20
└── it does not claim to be a token: no ERC-165, nothing to transfer or approve, allowance 0
forced ether
└── when ether is forced in, the ledger does not change
"""

import ape
import pytest
from eth_utils import keccak
from system import ETHER, NATIVE

ZERO = NATIVE


@pytest.fixture(scope="module")
def module(accounts):
    """An account that plays a module."""
    return accounts[8]


@pytest.fixture(scope="module")
def token(project, accounts):
    """An ERC-20 without a fee."""
    return accounts[0].deploy(project.MockToken, 0)


def test_deposit__when_value_is_not_amount__reverts(system, stranger):
    with ape.reverts(system.vault.VaultValueMismatch, **{"sent": 1, "expected": 2}):
        system.vault.deposit(stranger, NATIVE, 2, value=1, sender=stranger)


def test_deposit__when_account_is_zero__reverts(system, stranger):
    with ape.reverts(system.vault.VaultZeroAccount):
        system.vault.deposit(ZERO, NATIVE, 1, value=1, sender=stranger)


def test_deposit__when_token_deposit_carries_value__reverts(system, stranger, token):
    with ape.reverts(system.vault.VaultValueMismatch, **{"sent": 1, "expected": 0}):
        system.vault.deposit(stranger, token, 5, value=1, sender=stranger)


def test_deposit__when_token_takes_a_fee__credits_what_arrived(system, stranger, project, accounts):
    costly = accounts[0].deploy(project.MockToken, 100)
    costly.mint(stranger, 1_000, sender=stranger)
    costly.approve(system.vault, 1_000, sender=stranger)

    system.vault.deposit(stranger, costly, 1_000, sender=stranger)

    assert system.free(stranger, costly) == 990
    assert system.vault.accounted(costly) == 990 == costly.balanceOf(system.vault)


def test_deposit__credits_the_account_whoever_pays(system, stranger, module):
    before = system.vault.accounted(NATIVE)

    receipt = system.vault.deposit(module, NATIVE, 7, value=7, sender=stranger)

    assert receipt.events == [system.vault.Deposited(module, NATIVE, stranger, 7)]
    assert system.free(module) == 7
    assert system.vault.accounted(NATIVE) == before + 7


def test_withdraw__when_account_has_less__reverts(system, stranger):
    with ape.reverts(system.vault.VaultBalanceTooLow, **{"free": 0, "needed": 1}):
        system.vault.withdraw(NATIVE, 1, stranger, sender=stranger)


def test_withdraw__of_a_token_to_the_vault_itself__reverts_and_nothing_is_lost(
    system, stranger, token
):
    """The token would stay, and be nobody's."""
    token.mint(stranger, 5, sender=stranger)
    token.approve(system.vault, 5, sender=stranger)
    system.vault.deposit(stranger, token, 5, sender=stranger)

    expected = {"to": system.vault.address, "amount": 5}
    with ape.reverts(system.vault.VaultPaymentRefused, **expected):
        system.vault.withdraw(token, 5, system.vault, sender=stranger)

    assert system.free(stranger, token) == 5 == system.vault.accounted(token)


def test_withdraw__when_receiver_refuses__reverts_and_nothing_is_lost(system, stranger):
    system.vault.deposit(stranger, NATIVE, 5, value=5, sender=stranger)

    with ape.reverts(system.vault.VaultPaymentRefused, **{"amount": 5}):
        system.vault.withdraw(NATIVE, 5, system.router, sender=stranger)

    assert system.free(stranger) == 5


def test_withdraw__when_to_zero_address__reverts(system, stranger):
    with ape.reverts(system.vault.VaultZeroAccount):
        system.vault.withdraw(NATIVE, 0, ZERO, sender=stranger)


def test_withdraw__pays_native_money(system, stranger, accounts):
    system.vault.deposit(stranger, NATIVE, 5, value=5, sender=stranger)
    receiver, accounted = accounts[7], system.vault.accounted(NATIVE)
    before = receiver.balance

    receipt = system.vault.withdraw(NATIVE, 3, receiver, sender=stranger)

    assert receipt.events == [system.vault.Withdrawn(stranger, NATIVE, receiver, 3)]
    assert receiver.balance == before + 3
    assert system.free(stranger) == 2
    assert system.vault.accounted(NATIVE) == accounted - 3


def test_withdraw__pays_tokens(system, stranger, token, accounts):
    token.mint(stranger, 50, sender=stranger)
    token.approve(system.vault, 50, sender=stranger)
    system.vault.deposit(stranger, token, 50, sender=stranger)

    system.vault.withdraw(token, 20, accounts[7], sender=stranger)

    assert token.balanceOf(accounts[7]) == 20
    assert system.free(stranger, token) == 30
    assert system.vault.accounted(token) == 30 == token.balanceOf(system.vault)


def test_lock__when_account_did_not_opt_in__reverts(system, stranger, module):
    expected = {"account": stranger.address, "module": module.address}
    with ape.reverts(system.vault.VaultModuleNotAllowed, **expected):
        system.vault.lock(stranger, NATIVE, 0, sender=module)


def test_lock__when_opted_out_again__reverts(system, stranger, module):
    system.vault.allowModule(module, True, sender=stranger)
    system.vault.allowModule(module, False, sender=stranger)

    with ape.reverts(system.vault.VaultModuleNotAllowed):
        system.vault.lock(stranger, NATIVE, 0, sender=module)


def test_lock__when_account_has_less__reverts(system, stranger, module):
    system.vault.allowModule(module, True, sender=stranger)

    with ape.reverts(system.vault.VaultBalanceTooLow, **{"free": 0, "needed": 1}):
        system.vault.lock(stranger, NATIVE, 1, sender=module)


def test_lock__moves_free_money_under_the_module(system, stranger, module):
    system.vault.deposit(stranger, NATIVE, 5, value=5, sender=stranger)
    receipt = system.vault.allowModule(module, True, sender=stranger)
    accounted = system.vault.accounted(NATIVE)

    system.vault.lock(stranger, NATIVE, 3, sender=module)

    assert receipt.events == [system.vault.ModuleAllowed(stranger, module, True)]
    assert system.vault.isAllowed(stranger, module)
    assert (system.free(stranger), system.vault.locked(module, NATIVE)) == (2, 3)
    assert system.vault.accounted(NATIVE) == accounted


def test_lock__again__adds_up(system, stranger, module):
    """Each function twice, with amounts that tell apart what replaces and what adds."""
    vault = system.vault
    accounted = vault.accounted(NATIVE)
    vault.allowModule(module, True, sender=stranger)
    for amount in (100, 200):
        vault.deposit(stranger, NATIVE, amount, value=amount, sender=stranger)
    for amount in (10, 20):
        vault.delay(NATIVE, amount, sender=stranger)
    assert (system.free(stranger), vault.delayed(stranger, NATIVE)) == (270, 30)

    for amount in (1, 2):
        vault.lock(stranger, NATIVE, amount, sender=module)
        vault.lockDelayed(stranger, NATIVE, amount, sender=module)
        vault.depositAndLock(stranger, 5 * amount, value=4 * amount, sender=module)

    assert vault.locked(module, NATIVE) == 3 + 3 + 15
    assert (system.free(stranger), vault.delayed(stranger, NATIVE)) == (270 - 3 - 3, 30 - 3)
    assert vault.accounted(NATIVE) == accounted + 300 + 12
    for amount in (6, 15):
        vault.release(stranger, NATIVE, amount, sender=module)
    assert (system.free(stranger), vault.locked(module, NATIVE)) == (285, 0)
    for amount in (85, 200):
        vault.withdraw(NATIVE, amount, stranger, sender=stranger)
    assert vault.accounted(NATIVE) == accounted + 27


def test_lock__takes_all_there_is(system, stranger, module):
    vault = system.vault
    vault.allowModule(module, True, sender=stranger)
    vault.deposit(stranger, NATIVE, 8, value=8, sender=stranger)
    vault.delay(NATIVE, 5, sender=stranger)

    vault.lock(stranger, NATIVE, 3, sender=module)
    vault.lockDelayed(stranger, NATIVE, 5, sender=module)

    assert (system.free(stranger), vault.delayed(stranger, NATIVE)) == (0, 0)
    vault.releaseSplit(NATIVE, [stranger, stranger], [3, 5], sender=module)
    assert (system.free(stranger), vault.locked(module, NATIVE)) == (8, 0)


def test_balance__of_128_bits__takes_no_more(system, stranger, token):
    vault, most = system.vault, 2**128 - 1
    token.mint(stranger, most + 1, sender=stranger)
    token.approve(vault, most + 1, sender=stranger)
    vault.deposit(stranger, token, most, sender=stranger)

    with ape.reverts(vault.VaultAmountTooLarge, **{"amount": most + 1, "limit": most}):
        vault.deposit(stranger, token, 1, sender=stranger)
    vault.delay(token, most, sender=stranger)
    vault.deposit(stranger, token, 1, sender=stranger)
    with ape.reverts(vault.VaultAmountTooLarge, **{"amount": most + 1, "limit": most}):
        vault.delay(token, 1, sender=stranger)

    assert (system.free(stranger, token), vault.delayed(stranger, token)) == (1, most)


def test_deposit_and_lock__when_value_too_little_and_no_opt_in__reverts(system, stranger, module):
    system.vault.deposit(stranger, NATIVE, 5, value=5, sender=stranger)

    with ape.reverts(system.vault.VaultModuleNotAllowed):
        system.vault.depositAndLock(stranger, 3, value=2, sender=module)


def test_deposit_and_lock__locks_amount_and_leaves_surplus_free(system, stranger, module):
    receipt = system.vault.depositAndLock(stranger, 3, value=5, sender=module)

    assert receipt.events == [system.vault.Deposited(stranger, NATIVE, module, 5)]
    assert (system.free(stranger), system.vault.locked(module, NATIVE)) == (2, 3)


def test_deposit_and_lock__when_opted_in__takes_the_rest_from_free_money(system, stranger, module):
    system.vault.deposit(stranger, NATIVE, 5, value=5, sender=stranger)
    system.vault.allowModule(module, True, sender=stranger)

    system.vault.depositAndLock(stranger, 6, value=2, sender=module)

    assert (system.free(stranger), system.vault.locked(module, NATIVE)) == (1, 6)


def test_release__when_module_holds_less__reverts(system, stranger, module):
    with ape.reverts(system.vault.VaultLockedTooLow, **{"locked": 0, "needed": 1}):
        system.vault.release(stranger, NATIVE, 1, sender=module)


def test_release__cannot_reach_money_locked_under_another_module(
    system, stranger, module, accounts
):
    system.vault.depositAndLock(stranger, 3, value=3, sender=module)

    with ape.reverts(system.vault.VaultLockedTooLow):
        system.vault.release(accounts[7], NATIVE, 1, sender=accounts[7])


def test_release_split__when_module_holds_less__reverts(system, stranger, module, accounts):
    system.vault.depositAndLock(stranger, 6, value=6, sender=module)
    both = [accounts[6], accounts[7]]

    for amounts in ([7, 0], [0, 7], [3, 4]):
        with ape.reverts(system.vault.VaultLockedTooLow, **{"locked": 6, "needed": 7}):
            system.vault.releaseSplit(NATIVE, both, amounts, sender=module)
    with ape.reverts(system.vault.VaultZeroAccount):
        system.vault.releaseSplit(NATIVE, [ZERO, both[1]], [1, 0], sender=module)


def test_release_split__frees_money_for_each(system, stranger, module, accounts):
    system.vault.depositAndLock(stranger, 7, value=7, sender=module)
    first, second = accounts[6], accounts[7]
    before = [system.free(account) for account in (first, second)]

    system.vault.releaseSplit(NATIVE, [first, second], [3, 2], sender=module)
    system.vault.releaseSplit(NATIVE, [first, first], [0, 1], sender=module)

    assert [system.free(account) for account in (first, second)] == [before[0] + 4, before[1] + 2]
    assert system.vault.locked(module, NATIVE) == 1


def test_release__frees_money_for_any_account(system, stranger, module, accounts):
    system.vault.depositAndLock(stranger, 3, value=3, sender=module)

    system.vault.release(accounts[7], NATIVE, 2, sender=module)

    assert (system.free(accounts[7]), system.vault.locked(module, NATIVE)) == (2, 1)


@pytest.mark.parametrize("upper", [1 << 160, 1 << 255, 2**256 - 2**160])
def test_erc6909__when_id_is_more_than_an_address__is_no_token(system, stranger, token, upper):
    token.mint(stranger, 50, sender=stranger)
    token.approve(system.vault, 50, sender=stranger)
    system.vault.deposit(stranger, token, 50, sender=stranger)

    for address in (NATIVE, token.address):
        token_id = upper + int(address, 16)
        assert system.vault.accounted(address) > 0
        assert system.vault.balanceOf(system.requester, token_id) == 0
        assert system.vault.balanceOf(stranger, token_id) == 0
        assert system.vault.totalSupply(token_id) == 0


def test_erc6909__when_money_is_delayed_or_locked__is_in_the_supply_only(system, stranger, module):
    vault = system.vault
    vault.deposit(stranger, NATIVE, 10, value=10, sender=stranger)
    vault.allowModule(module, True, sender=stranger)
    supply = vault.totalSupply(0)

    vault.delay(NATIVE, 3, sender=stranger)
    vault.lock(stranger, NATIVE, 2, sender=module)

    assert vault.balanceOf(stranger, 0) == 5
    assert vault.balanceOf(module, 0) == 0
    assert vault.totalSupply(0) == supply


def test_erc6909__says_what_the_vault_says(system, stranger, token, module):
    vault, token_id = system.vault, int(token.address, 16)
    token.mint(stranger, 50, sender=stranger)
    token.approve(vault, 50, sender=stranger)
    vault.deposit(stranger, token, 50, sender=stranger)
    vault.deposit(stranger, NATIVE, 7, value=7, sender=stranger)

    assert vault.balanceOf(stranger, token_id) == 50 == vault.free(stranger, token)
    assert vault.balanceOf(stranger, 0) == 7 == vault.free(stranger, NATIVE)
    assert vault.totalSupply(token_id) == 50 == vault.accounted(token)
    assert vault.totalSupply(0) == vault.accounted(NATIVE)
    assert not vault.isOperator(stranger, module)
    vault.allowModule(module, True, sender=stranger)
    assert vault.isOperator(stranger, module)
    assert not vault.isOperator(module, stranger)
    vault.allowModule(module, False, sender=stranger)
    assert not vault.isOperator(stranger, module)


def test_erc6909__does_not_claim_to_be_a_token(system, stranger, module):
    """ERC-165 asks with at most 30,000 gas; a call that reverts means no."""
    vault = system.vault
    vault.allowModule(module, True, sender=stranger)
    assert vault.allowance(stranger, module, 0) == 0
    offered = {entry.name for entry in vault.contract_type.methods}
    assert not offered & {"supportsInterface", "transfer", "transferFrom", "approve", "setOperator"}
    erc_165 = keccak(text="supportsInterface(bytes4)")[:4] + bytes.fromhex("0f632fb3").ljust(
        32, b"\0"
    )
    with ape.reverts():
        stranger.transfer(vault, 0, data=erc_165)


def test_ledger__when_ether_is_forced_in__does_not_change(system, project, accounts):
    accounted, real = system.vault.accounted(NATIVE), system.vault.balance

    accounts[0].deploy(project.MockForcer, system.vault, value=ETHER)

    assert system.vault.balance == real + ETHER
    assert system.vault.accounted(NATIVE) == accounted
