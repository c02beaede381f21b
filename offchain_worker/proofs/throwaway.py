"""A signer for trying things out: its key is made here, owns nothing, and ends with the process."""

from coincurve import PrivateKey

from offchain_worker.proofs.signature import address_of


class ThrowawaySigner:
    """Signs with a new random key. No provider on a chain: use it in tests and without a chain only."""

    def __init__(self) -> None:
        self._key = PrivateKey()

    @property
    def address(self) -> str:
        """Address of the key, lower case."""
        return address_of(self._key.public_key)

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign 32 bytes. See `base.Signer`."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([signature[64] + 27])
