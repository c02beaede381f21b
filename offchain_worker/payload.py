"""Canonical bytes of inputs and outputs: DAG-CBOR of a map from name to value.

A value is text, bytes, an integer of 64 bits, a finite float64, a truth value, a list of values, a tensor, or a link to
raw bytes. A tensor is the map `{"dtype", "shape", "data"}` with little-endian data in row order, and becomes a NumPy
array. A link is a CID (tag 42), and becomes a `Cid`; the worker reads its bytes from a store. Equal values have equal
bytes, and other bytes are refused: NaN and infinity, as NaN has many forms; null; any other map.
"""

import math
from collections.abc import Mapping
from typing import Any

import dag_cbor
import numpy as np
from multiformats import CID

from offchain_worker.errors import BadArtifact, BadInput, first_line
from offchain_worker.storage.cid import Cid

Values = dict[str, Any]
"""What a payload holds: `str | bytes | int | float | bool | list | np.ndarray | Cid` by name."""

MAX_INPUT_BYTES = 16_384
MAX_OUTPUT_BYTES = 8_192
MAX_DEPTH = 8
"""Deepest nesting: the map itself is 1, a tensor in it 2, its shape 3."""
MAX_RANK = 8

DTYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64"),
    )
}

_INT_RANGE = range(-(1 << 63), 1 << 63)
_TENSOR_KEYS = {"dtype", "shape", "data"}


def encode(values: Mapping[str, Any]) -> bytes:
    """Return the canonical bytes of a map of values.

    Raises:
        BadInput: Something in it is not a value, with its place.
    """
    plain = {name: _to_plain(value, repr(name), depth=2) for name, value in values.items()}
    try:
        return dag_cbor.encode(plain)
    except Exception as error:  # the library has no common root for what it raises
        raise BadInput(
            f"expected values that DAG-CBOR can hold, got: {first_line(error)}"
        ) from None


def decode(data: bytes, max_bytes: int = MAX_INPUT_BYTES) -> Values:
    """Read a map of values. Takes memory in proportion to `data`, whatever it claims to hold.

    Raises:
        BadInput: `data` is longer than `max_bytes`, is not DAG-CBOR in its canonical form, or holds what is no value.
    """
    if len(data) > max_bytes:
        raise BadInput(f"expected at most {max_bytes} bytes, got {len(data)}")
    _check_heads(data)
    try:
        plain = dag_cbor.decode(data)
        canonical = dag_cbor.encode(plain)
    except Exception as error:  # the library lets what its parts raise pass, such as KeyError for an unknown CID codec
        raise BadInput(f"expected DAG-CBOR, got: {first_line(error)}") from None
    # The library is strict itself; that a value has one form does not rest on it.
    if canonical != data:
        raise BadInput("expected canonical DAG-CBOR, got the same values in other bytes")
    if not isinstance(plain, dict):
        raise BadInput(f"expected a map from name to value, got {type(plain).__name__}")
    return {name: _from_plain(value, repr(name)) for name, value in plain.items()}


def for_people(value: Any) -> Any:
    """Return a value, or a map of values, as JSON can hold it: bytes as hex, tensors as nested lists, links as text."""
    if isinstance(value, Mapping):
        return {name: for_people(item) for name, item in value.items()}
    if isinstance(value, list):
        return [for_people(item) for item in value]
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.name, "shape": list(value.shape), "data": value.tolist()}
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return str(value) if isinstance(value, Cid) else value


def _to_plain(value: Any, place: str, depth: int) -> Any:
    levels = {list: 1, np.ndarray: 2}.get(type(value), 0)  # a tensor is a map with a list in it
    if levels and depth + levels - 1 > MAX_DEPTH:
        raise BadInput(f"expected values at most {MAX_DEPTH} deep at {place}, got deeper")
    if isinstance(value, np.ndarray):
        return _tensor_to_plain(value, place)
    if isinstance(value, list):
        return [_to_plain(item, f"{place}[{at}]", depth + 1) for at, item in enumerate(value)]
    if isinstance(value, Cid):
        return CID.decode(value.data)
    _check_scalar(value, place)
    return value


def _from_plain(value: Any, place: str) -> Any:
    if isinstance(value, dict):
        return _tensor_from_plain(value, place)
    if isinstance(value, list):
        return [_from_plain(item, f"{place}[{at}]") for at, item in enumerate(value)]
    if isinstance(value, CID):
        try:
            return Cid(bytes(value))
        except BadArtifact as error:
            raise BadInput(f"{error}, as link at {place}") from None
    _check_scalar(value, place)
    return value


def _check_scalar(value: Any, place: str) -> None:
    if type(value) is int and value not in _INT_RANGE:
        raise BadInput(
            f"expected an integer of 64 bits with sign at {place}, got {value.bit_length()} bits"
        )
    if type(value) is float and not math.isfinite(value):
        raise BadInput(f"expected a finite number at {place}, got {value}")
    if type(value) not in (str, bytes, int, float, bool):
        raise BadInput(
            "expected text, bytes, an integer, a float, a truth value, a list, a tensor or a link "
            f"at {place}, got {type(value).__name__}"
        )


def _tensor_to_plain(array: np.ndarray[Any, Any], place: str) -> dict[str, Any]:
    dtype = DTYPES.get(array.dtype.name)
    if dtype is None:
        raise BadInput(
            f"expected a tensor of dtype {', '.join(DTYPES)} at {place}, got {array.dtype}"
        )
    if array.ndim > MAX_RANK:
        raise BadInput(f"expected a tensor of at most {MAX_RANK} axes at {place}, got {array.ndim}")
    _check_finite(array, place)
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "data": array.astype(dtype, copy=False).tobytes(),
    }


def _tensor_from_plain(plain: dict[str, Any], place: str) -> np.ndarray[Any, Any]:
    if set(plain) != _TENSOR_KEYS:
        raise BadInput(
            f"expected a tensor (dtype, shape, data) at {place}, got a map of {sorted(plain)[:8]}"
        )
    name, shape, data = plain["dtype"], plain["shape"], plain["data"]
    dtype = DTYPES.get(name) if isinstance(name, str) else None
    if dtype is None:
        raise BadInput(f"expected a dtype of {', '.join(DTYPES)} at {place}, got {name!r}")
    sizes_fit = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if not sizes_fit or len(shape) > MAX_RANK:
        raise BadInput(
            f"expected a shape of at most {MAX_RANK} sizes from 0 at {place}, got {shape!r}"
        )
    needed = math.prod(shape) * dtype.itemsize
    if not isinstance(data, bytes) or len(data) != needed or max(shape, default=0) > 1 << 31:
        got = f"{len(data)} bytes" if isinstance(data, bytes) else type(data).__name__
        raise BadInput(
            f"expected {needed} bytes of data for {name} of shape {shape} at {place}, got {got}"
        )
    if name == "bool" and data.strip(b"\0\1"):
        raise BadInput(f"expected truth values as bytes 0 or 1 at {place}, got others")
    array = np.frombuffer(data, dtype).reshape(shape)
    _check_finite(array, place)
    return array


def _check_finite(array: np.ndarray[Any, Any], place: str) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadInput(
            f"expected only finite numbers in the tensor at {place}, got NaN or infinity"
        )


def _check_heads(data: bytes) -> None:
    """Walk over the heads of all items without recursion: refuses deep nesting and lengths beyond the end.

    The library recurses once per level and trusts lengths, so this comes first.
    """
    at, open_items = 0, [1]
    while open_items:
        if open_items[-1] == 0:
            open_items.pop()
            continue
        open_items[-1] -= 1
        major, argument, at = _head(data, at)
        if major in (2, 3):
            at += argument
        elif major in (4, 5):
            open_items.append(argument * (major - 3))
        elif major == 6:
            if at < len(data) and data[at] >> 5 != 2:  # tags within tags are nesting too
                raise BadInput(
                    f"expected DAG-CBOR, with bytes behind a tag, got something else at byte {at}"
                )
            open_items[-1] += 1
        if at > len(data):
            raise BadInput(
                f"expected {argument} bytes of an item, got fewer before the end at byte {len(data)}"
            )
        if len(open_items) > MAX_DEPTH + 1:
            raise BadInput(f"expected values at most {MAX_DEPTH} deep, got deeper at byte {at}")


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Return major type and argument of the item at `at`, and where its content starts."""
    if at >= len(data):
        raise BadInput(f"expected another item, got the end at byte {len(data)}")
    major, info = data[at] >> 5, data[at] & 0x1F
    if info < 24:
        return major, info, at + 1
    if info > 27:
        raise BadInput(f"expected items of known length, got head {data[at]:#x} at byte {at}")
    end = at + 1 + (1 << (info - 24))
    return major, int.from_bytes(data[at + 1 : end], "big"), end
