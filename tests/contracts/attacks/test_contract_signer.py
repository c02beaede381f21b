"""A contract as a signer, or a key with code: accounts that are not what they seem

The attacker hopes that a check for "no code" or for tx.origin lets it in, or keeps a wallet out.
"""

import ape
import pytest
from system import ASK, ETHER, MODEL_PRICE, NATIVE

pytestmark = pytest.mark.usefixtures("books")

PRICE = ASK + MODEL_PRICE


@pytest.fixture
def wallet(system, project, stranger, books):
    """A wallet contract with an ether in the Vault; its owner is `stranger`."""
    wallet = stranger.deploy(project.MockWallet)
    system.vault.deposit(wallet, NATIVE, ETHER, value=ETHER, sender=stranger)
    books.know(wallet)
    return wallet


def act(system, wallet, owner, target, call, value=0):
    return wallet.execute(target, value, call, sender=owner)


def test_wallet__is_a_requester_like_any_other(system, provider, wallet, stranger):
    act(
        system,
        wallet,
        stranger,
        system.vault,
        system.vault.allowModule.encode_input(system.router, True),
    )
    asking = system.router.request.encode_input(system.asking())

    act(system, wallet, stranger, system.router, asking)

    assert system.free(wallet) == ETHER - PRICE
    assert system.state(1) == "Assigned"


def test_wallets_owner__is_not_the_wallet(system, provider, wallet, stranger):
    """Who sent the transaction says nothing; who calls does."""
    with ape.reverts(system.vault.VaultModuleNotAllowed, **{"account": stranger.address}):
        system.request(sender=stranger)
    with ape.reverts(system.vault.VaultBalanceTooLow):
        system.vault.withdraw(NATIVE, 1, stranger, sender=stranger)

    assert system.free(wallet) == ETHER


def test_signature__of_the_wallets_owner__does_not_speak_for_another_wallet(
    system, provider, wallet, project, accounts, stranger, books
):
    """ERC-1271: each contract says itself what it has signed."""
    other = accounts[7].deploy(project.MockWallet)
    system.vault.deposit(other, NATIVE, ETHER, value=ETHER, sender=accounts[7])
    books.know(other)
    for call in (
        system.vault.delay.encode_input(NATIVE, ETHER),
        system.vault.allowModule.encode_input(system.signed, True),
    ):
        act(system, other, accounts[7], system.vault, call)

    def settle(signer):
        answer = system.sign_request(provider.offer, signer, other)
        return system.signed.settle(
            system.market, provider.offer, [answer], sender=provider.operator
        )

    with ape.reverts(system.signed.SignedSignatureInvalid, **{"requester": other.address}):
        settle(stranger)
    settle(accounts[7])

    assert system.vault.delayed(other, NATIVE) == ETHER - PRICE
