"""proofs

open_proof
├── when the kind is unknown: it raises ProofUnknown with the closest name
└── it opens each kind of the dictionary
signature.prove
├── when the signer gives high s, a wrong v or a wrong length: it raises BadSigner
└── the signature recovers to the signer, and eth_account agrees
signature.recover
├── when the signature is no signature, or malleable: it gives None
└── when one bit of digest or signature is changed: it gives another address or None
"""

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from offchain_worker.commitment import answer_digest
from offchain_worker.errors import BadSigner, ProofUnknown
from offchain_worker.job import Inference
from offchain_worker.proofs import PROOFS, open_proof
from offchain_worker.proofs.signature import is_canonical, prove, recover

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
INFERENCE = Inference(7, 1, b"\xa0", b"\x01" * 32, "reference", "cpu", 0.0, {})
DIGEST = b"\x07" * 32


class Returning:
    address = "0x" + "00" * 20

    def __init__(self, signature):
        self.signature = signature

    def sign_digest(self, digest):
        return self.signature


def high(signature):
    """Return the other signature over the same digest: -s and the other v."""
    s = ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


def test_open_proof__when_kind_is_unknown__names_the_closest():
    with pytest.raises(ProofUnknown, match=r"got 'signatures'; did you mean 'signature'\?"):
        open_proof("signatures")


@pytest.mark.parametrize("kind", PROOFS)
def test_open_proof__opens_each_kind(kind):
    assert callable(open_proof(kind))


def test_prove__when_signer_gives_something_else__raises_bad_signer(job_of, signer):
    good = signer.sign_digest(DIGEST)

    for bad in (b"", good[:64], good + b"\0", good[:64] + b"\x00", good[:64] + b"\x1d", high(good)):
        with pytest.raises(BadSigner, match="expected a signer"):
            prove(job_of(), INFERENCE, Returning(bad))


def test_prove__recovers_to_the_signer_and_eth_account_agrees(job_of, signer):
    job = job_of()
    digest = answer_digest(job, INFERENCE.units, INFERENCE.output_hash)

    signature = prove(job, INFERENCE, signer)

    assert len(signature) == 65
    assert recover(digest, signature) == signer.address
    assert Account._recover_hash(digest, signature=signature).lower() == signer.address


def test_recover__when_malleable__gives_none(signer):
    signature = signer.sign_digest(DIGEST)

    assert recover(DIGEST, signature) == signer.address
    assert recover(DIGEST, high(signature)) is None
    assert not is_canonical(high(signature))


@given(
    st.one_of(
        st.binary(max_size=70), st.binary(min_size=64, max_size=64).map(lambda rs: rs + b"\x1b")
    )
)
def test_recover__when_it_is_no_signature__gives_an_address_of_nobody_or_none(signer, data):
    assert recover(DIGEST, data) != signer.address


@given(at=st.integers(0, 65 * 8 - 1))
def test_recover__when_a_bit_of_the_signature_is_changed__is_not_the_signer(signer, at):
    signature = bytearray(signer.sign_digest(DIGEST))
    signature[at // 8] ^= 1 << at % 8

    assert recover(DIGEST, bytes(signature)) != signer.address


@given(at=st.integers(0, 255))
def test_recover__when_a_bit_of_the_digest_is_changed__is_not_the_signer(signer, at):
    changed = bytearray(DIGEST)
    changed[at // 8] ^= 1 << at % 8

    assert recover(bytes(changed), signer.sign_digest(DIGEST)) != signer.address
