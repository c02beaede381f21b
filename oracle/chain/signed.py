"""Whether signed bytes are the transaction that was asked for: each member of it, and who signed."""

from typing import Any

import rlp
from coincurve import PublicKey

from offchain_worker.commitment import payload_hash

_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_TYPE_2 = b"\x02"
_FIELDS = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "data")
"""The members of an EIP-1559 transaction in their order, before access list and signature."""


def what_differs(raw: bytes, asked: dict[str, Any], address: str) -> str:
    """Return what is wrong with signed bytes, for people; empty when they are what was asked of `address`."""
    try:
        fields = rlp.decode(raw[1:]) if raw[:1] == _TYPE_2 else None
    except rlp.exceptions.RLPException:
        fields = None
    if not isinstance(fields, list) or len(fields) != 12:
        return "no signed EIP-1559 transaction"
    for name, got in zip(_FIELDS, fields, strict=False):
        if got != _bytes_of(asked[name]):
            return f"a transaction with another {name} than it was asked for"
    if fields[8] != []:
        return "a transaction with an access list that nobody asked for"
    return "" if _recovered(fields) == address.lower() else f"a signature that is not of {address}"


def _recovered(fields: list[Any]) -> str | None:
    """Address that signed, lower case; None when nodes would refuse the signature."""
    parity, r, s = (int.from_bytes(part, "big") for part in fields[9:])
    if parity > 1 or not 0 < s <= _HALF_ORDER or r >> 256:
        return None
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity])
    digest = payload_hash(_TYPE_2 + rlp.encode(fields[:9]))
    try:
        key = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except ValueError:  # no point of the curve fits
        return None
    return "0x" + payload_hash(key.format(compressed=False)[1:])[12:].hex()


def _bytes_of(value: Any) -> bytes:
    """A member as RLP has it: numbers without leading zeros, addresses as 20 bytes."""
    if isinstance(value, int):
        return value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes.fromhex(value[2:]) if isinstance(value, str) else bytes(value)
