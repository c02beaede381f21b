"""A malleable signature: the same signature in another form

The attacker hopes that a changed signature counts as a new one, so that a request is paid twice.
"""

import ape
import pytest
from system import ASK, ETHER, MODEL_PRICE, NATIVE

pytestmark = pytest.mark.usefixtures("books")

PRICE = ASK + MODEL_PRICE
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.fixture
def signed(system, provider, requester):
    """A signed request and its answer."""
    system.vault.allowModule(system.signed, True, sender=requester)
    system.vault.delay(NATIVE, ETHER, sender=requester)
    return system.sign_request(provider.offer, requester)


def flipped(signature):
    """The other signature of the same key over the same digest: s' = n - s, v the other one."""
    s = ORDER - int.from_bytes(signature[32:64])
    return signature[:32] + s.to_bytes(32) + bytes([signature[64] ^ 7])


def settle(system, provider, *answers):
    return system.signed.settle(
        system.market, provider.offer, list(answers), sender=provider.operator
    )


def test_flipped_signature__is_refused(system, provider, requester, signed):
    with ape.reverts(system.signed.SignedSignatureInvalid):
        settle(system, provider, signed | {"signature": flipped(signed["signature"])})

    settle(system, provider, signed)
    assert system.vault.delayed(requester, NATIVE) == ETHER - PRICE


def shortened(signature):
    """The same signature in 64 bytes (ERC-2098), which SignedRequests takes too."""
    s = int.from_bytes(signature[32:64]) | (signature[64] - 27) << 255
    return signature[:32] + s.to_bytes(32)


@pytest.mark.parametrize("change", [flipped, shortened])
def test_settled_request__in_another_form__is_not_paid_again(
    system, provider, requester, signed, change
):
    other = signed | {"signature": change(signed["signature"])}
    with ape.reverts(system.signed.SignedNonceUsed):
        settle(system, provider, signed, other)
    settle(system, provider, signed)

    with ape.reverts(system.signed.SignedNonceUsed):
        settle(system, provider, other)

    assert system.vault.delayed(requester, NATIVE) == ETHER - PRICE


def test_flipped_answer_proof__is_refused(system, provider):
    asked = system.request()

    with ape.reverts(system.router.RouterProofInvalid):
        system.answer(asked, provider, proofs=[flipped(system.sign(asked, provider.operator))])

    assert system.state(asked.id) == "Assigned"
