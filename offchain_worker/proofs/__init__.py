"""Kinds of proof, by name. One file each, the same name as in `contracts/verifiers/`, imported when it is opened.

To add one: write `proofs/<kind>.py` with a function `prove` as `base.Prove` describes, and add it here.
"""

from importlib import import_module

from offchain_worker.errors import ProofUnknown, did_you_mean
from offchain_worker.proofs.base import Prove

PROOFS = {
    "signature": "offchain_worker.proofs.signature",
}


def open_proof(kind: str) -> Prove:
    """Return what makes proofs of a kind.

    Raises:
        ProofUnknown: There is none of this name.
    """
    if kind not in PROOFS:
        raise ProofUnknown(
            f"expected a kind of proof of {', '.join(sorted(PROOFS))}, got {kind!r}{did_you_mean(kind, PROOFS)}"
        )
    prove: Prove = import_module(PROOFS[kind]).prove
    return prove
