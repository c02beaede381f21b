"""The bloom filter in a block's header: whether the block may have logs of a contract. It never says no wrongly."""

from collections.abc import Iterable, Mapping
from typing import Any

from web3 import Web3

BITS = 2048


class Bloom:
    """Looks for one contract and any of some events.

    Args:
        address: The contract, 0x hex.
        topics: First topics of the events, 0x hex of 32 bytes.
    """

    def __init__(self, address: str, topics: Iterable[str]) -> None:
        contract = _bits(bytes.fromhex(address[2:]))
        self._masks = [contract | _bits(bytes.fromhex(topic[2:])) for topic in topics]

    def may_have(self, block: Mapping[str, Any]) -> bool:
        """Whether a block of JSON-RPC may have such logs. False when it carries no filter."""
        bloom = int(block.get("logsBloom") or "0x0", 16)
        return any(bloom & mask == mask for mask in self._masks)


def _bits(value: bytes) -> int:
    """The three bits that a value sets: the low 11 bits of each of the first three words of its hash."""
    digest = Web3.keccak(value)
    return sum(
        {1 << (int.from_bytes(digest[at : at + 2], "big") % BITS) for at in (0, 2, 4)},
    )
