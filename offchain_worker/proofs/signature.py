"""Kind "signature": the operator signs the answer. Twin of `contracts/verifiers/SignatureVerifier.sol`.

Proves who answered, not that the answer is right.
"""

from typing import Any

from offchain_worker.commitment import answer_digest, payload_hash
from offchain_worker.errors import BadSigner
from offchain_worker.job import Inference, Job
from offchain_worker.proofs.base import Signer

SIGNATURE_BYTES = 65
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def prove(job: Job, inference: Inference, signer: Signer) -> bytes:
    """Return the signature `r ‖ s ‖ v` over the answer, 65 bytes.

    Raises:
        BadSigner: The signer gave something else, which the contract would refuse.
    """
    signature = signer.sign_digest(answer_digest(job, inference.units, inference.output_hash))
    if not is_canonical(signature):
        raise BadSigner(
            f"expected a signer that gives r, s (low) and v (27 or 28), got {len(signature)} other bytes"
        )
    return signature


def is_canonical(signature: bytes) -> bool:
    """Whether these are 65 bytes with `s` in the lower half and `v` 27 or 28."""
    return (
        len(signature) == SIGNATURE_BYTES
        and 0 < int.from_bytes(signature[32:64], "big") <= _HALF_ORDER
        and signature[64] in (27, 28)
    )


def recover(digest: bytes, signature: bytes) -> str | None:
    """Return the address (lower case) that signed `digest`, or None if the contract would refuse the signature."""
    from coincurve import PublicKey  # only for who verifies

    if not is_canonical(signature):
        return None
    try:
        key = PublicKey.from_signature_and_message(
            signature[:64] + bytes([signature[64] - 27]), digest, hasher=None
        )
    except ValueError:  # no point of the curve fits
        return None
    return address_of(key)


def address_of(key: Any) -> str:
    """Return the address (lower case) of a `coincurve.PublicKey`."""
    return "0x" + payload_hash(key.format(compressed=False)[1:])[12:].hex()
