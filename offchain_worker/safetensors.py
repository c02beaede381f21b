"""Reads and writes tensors in the safetensors format: a length, a JSON header, raw data. No code can hide in it.

Own code because it is fifty lines, and because a reader of files from strangers should be short.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from offchain_worker import safe_json
from offchain_worker.errors import BadModel

Tensors = dict[str, np.ndarray[Any, Any]]

_DTYPES = {
    **{"BOOL": "bool", "I8": "int8", "I16": "<i2", "I32": "<i4", "I64": "<i8"},
    **{"U8": "uint8", "U16": "<u2", "U32": "<u4", "U64": "<u8"},
    **{"F16": "<f2", "F32": "<f4", "F64": "<f8"},
}
_NAMES = {np.dtype(dtype).name: name for name, dtype in _DTYPES.items()}
_MAX_HEADER_BYTES = 100 << 20
_MAX_RANK = 32


def read(data: bytes) -> Tensors:
    """Return the tensors in `data` by name. They are read-only views of it.

    Raises:
        BadModel: The header is malformed, or tensors do not lie side by side and fill the data.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _MAX_HEADER_BYTES):
        raise BadModel(
            f"expected safetensors with its header in {len(data)} bytes, got a length of {length}"
        )
    try:
        header = safe_json.loads(data[8 : 8 + length])
    except ValueError as error:
        raise BadModel(f"expected a safetensors header in JSON, got: {error}") from None
    if not isinstance(header, dict):
        raise BadModel(f"expected a safetensors header that is a map, got {type(header).__name__}")
    header.pop("__metadata__", None)
    body = memoryview(data)[8 + length :]
    tensors, spans = {}, []
    for name, entry in header.items():
        tensors[name], span = _tensor(name, entry, body)
        spans.append(span)
    end = 0
    for start, stop in sorted(spans):
        if start != end:
            raise BadModel(
                f"expected the next tensor at byte {end} of the data, got one at {start}"
            )
        end = stop
    if end != len(body):
        raise BadModel(f"expected tensors to fill {len(body)} bytes, got {end}")
    return tensors


def write(tensors: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """Return `tensors` as safetensors, in order of their names: the same tensors give the same bytes."""
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    end = 0
    for name, array in sorted(tensors.items()):
        code = _NAMES[array.dtype.name]
        parts.append(array.astype(_DTYPES[code], copy=False).tobytes())
        start, end = end, end + len(parts[-1])
        header[name] = {
            "dtype": code,
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join((len(text).to_bytes(8, "little"), text, *parts))


def _tensor(
    name: str, entry: Any, body: memoryview
) -> tuple[np.ndarray[Any, Any], tuple[int, int]]:
    try:
        dtype = np.dtype(_DTYPES[entry["dtype"]])
        shape = [_size(size) for size in entry["shape"]]
        start, stop = (_size(offset) for offset in entry["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadModel(
            f"expected dtype, shape and data_offsets of tensor {name!r}, got bad {error}"
        ) from None
    needed = math.prod(shape) * dtype.itemsize
    if (
        stop - start != needed
        or stop > len(body)
        or len(shape) > _MAX_RANK
        or max(shape, default=0) > 1 << 31
    ):
        raise BadModel(
            f"expected {needed} bytes for tensor {name!r} of shape {shape} in {len(body)} bytes of data, "
            f"got bytes {start} to {stop}"
        )
    return np.frombuffer(body[start:stop], dtype).reshape(shape), (start, stop)


def _size(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"number {value!r}")
    return value
