"""A replayed signature: one signed request settled twice, elsewhere, or by another

The attacker hopes to be paid again for what was signed once.
"""

import ape
import pytest
from eth_account import Account
from eth_utils import keccak
from system import ASK, ETHER, MODEL_PRICE, NATIVE, OUTPUT

PRICE = ASK + MODEL_PRICE


@pytest.fixture
def settled(system, provider, requester, chain):
    """A signed request that was settled."""
    system.vault.allowModule(system.signed, True, sender=requester)
    system.vault.delay(NATIVE, ETHER, sender=requester)
    answer = {
        "requester": requester,
        "units": 1,
        "charged": 1,
        "deadline": chain.pending_timestamp + 600,
        "price": PRICE,
        "nonce": 1,
        "inputHash": keccak(b"input"),
        "output": OUTPUT,
        "signature": b"",
    }
    digest = system.signed.requestDigest(system.market, provider.offer, answer)
    signature = Account.unsafe_sign_hash(digest, requester.private_key).signature
    answer["signature"] = bytes(signature)
    system.signed.settle(system.market, provider.offer, [answer], sender=provider.operator)
    return answer


def test_replay__on_the_same_contract__reverts(system, provider, requester, settled):
    for again in (settled, settled | {"output": b"another"}):
        with ape.reverts(system.signed.SignedNonceUsed):
            system.signed.settle(system.market, provider.offer, [again], sender=provider.operator)
    assert system.vault.delayed(requester, NATIVE) == ETHER - PRICE


def test_replay__on_a_second_deployment__reverts(system, provider, requester, settled, project):
    """Even if the requester has opted into it."""
    second = system.deployer.deploy(
        project.SignedRequests,
        *(system.router, system.vault, system.registry, system.staking),
        *(system.treasury, system.verifier),
    )
    system.vault.allowModule(second, True, sender=requester)

    with ape.reverts(second.SignedSignatureInvalid):
        second.settle(system.market, provider.offer, [settled], sender=provider.operator)
    assert system.vault.delayed(requester, NATIVE) == ETHER - PRICE


def test_replay__for_another_offer_of_the_same_provider__reverts(
    system, provider, settled, project, stranger
):
    model_id = system.register_model(system.model_owner, keccak(b"another model"))
    market = system.market_of(model_id)
    offer = system.open_offer(provider, market)

    with ape.reverts(system.signed.SignedNonceUsed):
        system.signed.settle(market, offer, [settled], sender=provider.operator)
    with ape.reverts(system.signed.SignedSignatureInvalid):
        fresh = settled | {"nonce": 2}
        system.signed.settle(market, offer, [fresh], sender=provider.operator)


def test_replay__when_another_offer_stands_under_the_number__reverts(
    system, project, accounts, provider, requester, chain
):
    """Blocks are replaced, or a page shows a wrong number: there is an offer in a token that the requester has, too.

    The attacker hopes that a price of some finney is paid in units of a token that is worth a million times as much.
    """
    token = accounts[0].deploy(project.MockToken, 0)
    token.mint(requester, ETHER, sender=requester)
    token.approve(system.vault, ETHER, sender=requester)
    system.vault.deposit(requester, token, ETHER, sender=requester)
    system.vault.allowModule(system.signed, True, sender=requester)
    for each in (NATIVE, token):
        system.vault.delay(each, ETHER, sender=requester)
    thief = system.provider(accounts[7], accounts[8], accounts[7])
    model_id = system.register_model(accounts[7], keccak(b"junk"), price=0, token=token.address)
    market = system.market_of(model_id, token=token.address)
    before = chain.snapshot()
    second = system.market_of(system.register_model(system.model_owner, keccak(b"second")))
    chosen = system.open_offer(provider, second)
    signed = system.sign_request(chosen, requester, market=second)
    chain.restore(before)  # the block is gone
    assert system.open_offer(thief, market, ask=signed["price"]) == chosen

    with ape.reverts(system.signed.SignedSignatureInvalid):
        system.signed.settle(market, chosen, [signed], sender=thief.operator)

    assert system.vault.delayed(requester, token) == ETHER


def test_replay__of_an_answers_proof_as_a_request__reverts(system, provider, settled):
    """Domains and types differ, so what an operator signs for the router is no signed request."""
    asked = system.request(offerId=provider.offer)
    forged = settled | {
        "nonce": 3,
        "requester": provider.operator.address,
        "signature": system.sign(asked, provider.operator),
    }
    with ape.reverts(system.signed.SignedSignatureInvalid):
        system.signed.settle(system.market, provider.offer, [forged], sender=provider.operator)
