"""A hostile token: transfers that return nothing, block accounts, or call back

Whoever controls the token hopes to lock or take the money of others, in this token or another.
"""

import ape
import pytest
from system import NATIVE


@pytest.fixture
def token(system, project, stranger, accounts):
    """A token that returns nothing; two accounts have ten of it in the Vault."""
    token = stranger.deploy(project.MockHostileToken)
    for account in (accounts[7], accounts[8]):
        token.mint(account, 10, sender=stranger)
        token.approve(system.vault, 10, sender=account)
        system.vault.deposit(account, token, 10, sender=account)
    return token


def test_token__that_returns_nothing__moves_as_any_other(system, token, accounts):
    assert system.free(accounts[7], token) == 10

    system.vault.withdraw(token, 4, accounts[7], sender=accounts[7])

    assert token.balanceOf(accounts[7]) == 4
    assert system.vault.accounted(token) == token.balanceOf(system.vault) == 16


def test_token__that_blocks_an_account__stops_nobody_else(system, token, accounts, stranger):
    token.block_(accounts[7], True, sender=stranger)

    with ape.reverts(token.TokenBlocked):
        system.vault.withdraw(token, 10, accounts[7], sender=accounts[7])
    system.vault.withdraw(token, 10, accounts[8], sender=accounts[8])
    system.vault.withdraw(token, 10, accounts[9], sender=accounts[7])  # to where it may go

    assert system.vault.accounted(token) == 0
    assert token.balanceOf(accounts[9]) == 10


def test_token__of_an_attacker__cannot_touch_another_token(
    system, token, accounts, stranger, requester
):
    before = system.vault.accounted(NATIVE)
    token.mint(system.vault, 10**30, sender=stranger)  # forced in: nobody is credited

    with ape.reverts(system.vault.VaultBalanceTooLow, **{"free": 0}):
        system.vault.withdraw(NATIVE, 1, stranger, sender=stranger)
    with ape.reverts(system.vault.VaultBalanceTooLow, **{"free": 10, "needed": 11}):
        system.vault.withdraw(token, 11, accounts[7], sender=accounts[7])
    assert system.vault.accounted(NATIVE) == before
