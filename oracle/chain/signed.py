"""Whether signed bytes are the transaction that was asked for: each member of it, and who signed."""

from typing import Any

import rlp

from offchain_worker.commitment import payload_hash
from offchain_worker.proofs.signature import recover

_TYPE_2 = b"\x02"
_FIELDS = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "data")
"""The members of an EIP-1559 transaction in their order, before access list and signature."""


def what_differs(raw: bytes, asked: dict[str, Any], address: str) -> str:
    """Return what is wrong with signed bytes, for people; empty when they are what was asked of `address`."""
    fields = _members(raw)
    if fields is None:
        return "no signed EIP-1559 transaction"
    for name, got in zip(_FIELDS, fields, strict=False):
        if got != _bytes_of(asked[name]):
            return f"a transaction with another {name} than it was asked for"
    if fields[8] != []:
        return "a transaction with an access list that nobody asked for"
    return "" if _recovered(fields) == address.lower() else f"a signature that is not of {address}"


def _members(raw: bytes) -> list[Any] | None:
    """The 12 members of a signed transaction of type 2, the last three as bytes; None when it is none."""
    try:
        fields = rlp.decode(raw[1:]) if raw[:1] == _TYPE_2 else None
    except rlp.exceptions.RLPException:
        return None
    if not isinstance(fields, list) or len(fields) != 12:
        return None
    return fields if all(isinstance(part, bytes) for part in fields[9:]) else None


def _recovered(fields: list[Any]) -> str | None:
    """Address that signed, lower case; None when nodes would refuse the signature."""
    parity, r, s = (int.from_bytes(part, "big") for part in fields[9:])
    if parity > 1 or max(r, s) >> 256:
        return None
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + parity])
    return recover(payload_hash(_TYPE_2 + rlp.encode(fields[:9])), signature)


def _bytes_of(value: Any) -> bytes:
    """A member as RLP has it: numbers without leading zeros, addresses as 20 bytes."""
    if isinstance(value, int):
        return value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes.fromhex(value[2:]) if isinstance(value, str) else bytes(value)
