"""What a signer is, and what makes a proof."""

from typing import Protocol

from offchain_worker.job import Inference, Job


class Signer(Protocol):
    """Signs for the provider's operator. The key stays with whoever made the signer."""

    @property
    def address(self) -> str:
        """Address of the operator."""
        ...

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign 32 bytes as they are, without any prefix.

        Returns:
            `r ‖ s ‖ v`, 65 bytes, `s` in the lower half, `v` 27 or 28.
        """
        ...


class Prove(Protocol):
    """Makes the proof of one kind."""

    def __call__(self, job: Job, inference: Inference, signer: Signer) -> bytes:
        """Return the bytes that the verifier of this kind checks."""
        ...
