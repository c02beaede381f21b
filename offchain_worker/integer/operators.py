"""What each operator of the integer engine computes, to the bit, in NumPy.

Products and sums are those of int32, without overflow. They are computed in floating point, which is exact as long as
no sum can exceed the significand, so in any order and by any BLAS library: in float32 where that is sure, else in
float64. The way back to 8 bits is one rounding of the sum to float32, one multiplication in float32, and one rounding
to the nearest integer, ties to even: IEEE 754 defines each of the three, and ONNX Runtime does the same.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from offchain_worker.errors import BadModel

Array = np.ndarray[Any, Any]
Run = Callable[..., Array]
"""Takes the inputs of a node and returns its output."""

MAX_ACCUMULATOR = (1 << 31) - 1
_EXACT_IN_FLOAT32 = 1 << 24


class Arguments:
    """The numbers and tensors of one node."""

    def __init__(self, name: str, numbers: Mapping[str, Any], tensors: Mapping[str, Array]) -> None:
        """`name` is for messages."""
        self._name = name
        self._numbers = numbers
        self._tensors = tensors

    def fail(self, expected: str, got: object) -> BadModel:
        """Return the error for a malformed node."""
        return BadModel(f"expected {expected} in node {self._name!r}, got {got}")

    def numbers(self, name: str, count: int, least: int, most: int) -> list[int]:
        """Return so many whole numbers from `least` to `most`."""
        found = self._numbers.get(name)
        if (
            not isinstance(found, list)
            or len(found) != count
            or not all(type(number) is int and least <= number <= most for number in found)
        ):
            raise self.fail(f"{count} numbers {name!r} from {least} to {most}", repr(found)[:80])
        return found

    def shape(self, name: str) -> list[int]:
        """Return a list of whole numbers, -1 or more."""
        found = self._numbers.get(name)
        if not isinstance(found, list) or not all(type(n) is int and n >= -1 for n in found):
            raise self.fail(f"a shape {name!r}", repr(found)[:80])
        return found

    def tensor(self, name: str, dtypes: Sequence[str], rank: int) -> Array:
        """Return a tensor of one of these dtypes, and of this rank."""
        found = self._tensors.get(name)
        if found is None or found.dtype.name not in dtypes or found.ndim != rank:
            shown = None if found is None else f"{found.dtype.name} of rank {found.ndim}"
            raise self.fail(f"tensor {name!r} of {' or '.join(dtypes)}, rank {rank}", shown)
        return found

    def zero(self, name: str) -> int:
        """Return a zero point; the dtype of its tensor is that of the values."""
        return int(self.tensor(name, ("uint8", "int8"), 0))

    def scale(self, name: str, rank: int = 0) -> Array:
        """Return a scale in float32: finite and above zero."""
        found = self.tensor(name, ("float32",), rank)
        if not (np.isfinite(found).all() and (found > 0).all()):
            raise self.fail(f"finite numbers above zero as {name!r}", "others")
        return found

    def back(self) -> Callable[[Array], Array]:
        """Return what rounds scaled float32 numbers to the 8 bits of the output."""
        zero = self.tensor("output_zero", ("uint8", "int8"), 0)
        info = np.iinfo(zero.dtype)
        low, high = np.float32(info.min - int(zero)), np.float32(info.max - int(zero))

        def round_to_8_bits(scaled: Array) -> Array:
            whole = np.clip(np.rint(scaled), low, high)
            return (whole.astype(np.int32) + int(zero)).astype(zero.dtype)

        return round_to_8_bits


def quantize(a: Arguments) -> Run:
    """float32 to 8 bits: round(x / scale) + zero, ties to even."""
    scale, back = a.scale("scale"), a.back()
    return lambda x: back(x / scale)


def dequantize(a: Arguments) -> Run:
    """8 bits to float32: (x - zero) * scale."""
    scale, zero = a.scale("scale"), a.zero("input_zero")
    return lambda x: (x.astype(np.int32) - zero).astype(np.float32) * scale


def matmul(a: Arguments) -> Run:
    """`x` of shape (..., k) times weights (k, n), plus bias (n), scaled by one factor for each column."""
    weights = _weights(a, 2)
    bias, factors = _columns(a, weights.shape[1])
    zero, back = a.zero("input_zero"), a.back()
    dtype = _exact(a, weights.reshape(-1, weights.shape[1]))
    weights = weights.astype(dtype)

    def run(x: Array) -> Array:
        sums = (x.astype(dtype) - dtype(zero)) @ weights + bias
        return back(sums.astype(np.float32) * factors)

    return run


def conv(a: Arguments) -> Run:
    """`x` of shape (batch, channels, height, width) convolved with weights (n, channels / groups, height, width)."""
    weights = _weights(a, 4)
    count, channels, height, width = weights.shape
    bias, factors = _columns(a, count)
    (groups,) = a.numbers("groups", 1, 1, count)
    top, left, bottom, right = a.numbers("pads", 4, 0, 1 << 12)
    down, across = a.numbers("strides", 2, 1, 1 << 12)
    taller, wider = a.numbers("dilations", 2, 1, 1 << 12)
    if count % groups:
        raise a.fail(f"groups that divide {count} channels", groups)
    zero, back = a.zero("input_zero"), a.back()
    dtype = _exact(a, weights.reshape(count, -1).T)
    each = count // groups
    kernels = weights.reshape(groups, each, -1).transpose(0, 2, 1).astype(dtype)
    reach = ((height - 1) * taller + 1, (width - 1) * wider + 1)

    def run(x: Array) -> Array:
        if x.ndim != 4 or x.shape[1] != channels * groups:
            raise a.fail(f"an input of shape (batch, {channels * groups}, h, w)", x.shape)
        centred = x.astype(dtype) - dtype(zero)
        padded = np.pad(centred, ((0, 0), (0, 0), (top, bottom), (left, right)))
        if padded.shape[2] < reach[0] or padded.shape[3] < reach[1]:
            raise a.fail(f"an input of at least {reach} with its padding", padded.shape[2:])
        seen = _windows(padded, reach)[:, :, ::down, ::across, ::taller, ::wider]
        batch, _, rows, columns = seen.shape[:4]
        split = seen.reshape(batch, groups, channels, rows, columns, height, width)
        patches = split.transpose(1, 0, 3, 4, 2, 5, 6).reshape(groups, batch * rows * columns, -1)
        sums = (patches @ kernels).transpose(1, 0, 2).reshape(-1, count) + bias
        found = back(sums.astype(np.float32) * factors)
        return np.ascontiguousarray(
            found.reshape(batch, rows, columns, count).transpose(0, 3, 1, 2)
        )

    return run


def add(a: Arguments) -> Run:
    """The sum of two inputs, as a table of all pairs, in float32 with fused products and sums.

    `fixed = output_zero - fused(first_ratio * first_zero + (second_ratio * second_zero))`, then
    `fused(x * first_ratio + fused(y * second_ratio + fixed))`, rounded; ratios are input scales by the output scale.
    """
    scale = a.scale("output_scale")
    ratios = a.scale("first_scale") / scale, a.scale("second_scale") / scale
    zeros = [a.tensor(name, ("uint8", "int8"), 0) for name in ("first_zero", "second_zero")]
    out = a.tensor("output_zero", ("uint8", "int8"), 0)
    rest = ratios[1] * np.float32(zeros[1])
    fixed = np.float32(out) - _fused(zeros[0].astype(np.float32), ratios[0], rest)
    x, y = (np.arange(256).astype(np.uint8).view(zero.dtype).astype(np.float32) for zero in zeros)
    both = _fused(x[:, None], ratios[0], _fused(y, ratios[1], fixed))
    info = np.iinfo(out.dtype)
    table = np.clip(np.rint(both), info.min, info.max).astype(out.dtype)
    return lambda x, y: np.asarray(table[x.view(np.uint8), y.view(np.uint8)])


def lookup(a: Arguments) -> Run:
    """Any function of one number, as a table of 256."""
    table = a.tensor("table", ("uint8", "int8"), 1)
    if len(table) != 256:
        raise a.fail("a table of 256", len(table))
    return lambda x: table[x.view(np.uint8)]


def global_average(a: Arguments) -> Run:
    """The mean over all places of each channel; factor: input scale / (output scale * places)."""
    first, scale = a.scale("input_scale"), a.scale("output_scale")
    zero, back = a.zero("input_zero"), a.back()

    def run(x: Array) -> Array:
        axes = tuple(range(2, x.ndim))
        places = int(np.prod(x.shape[2:]))
        if not axes or not places or places > MAX_ACCUMULATOR // 255:
            raise a.fail("an input of shape (batch, channels, places, ...)", x.shape)
        sums = x.astype(np.int64).sum(axis=axes, keepdims=True) - zero * places
        return back(sums.astype(np.float32) * (first / (scale * np.float32(places))))

    return run


def max_pool(a: Arguments) -> Run:
    """The largest number of each window of (batch, channels, height, width); padding is never the largest."""
    height, width = a.numbers("kernel", 2, 1, 1 << 12)
    top, left, bottom, right = a.numbers("pads", 4, 0, 1 << 12)
    down, across = a.numbers("strides", 2, 1, 1 << 12)

    def run(x: Array) -> Array:
        if x.ndim != 4:
            raise a.fail("an input of shape (batch, channels, h, w)", x.shape)
        edges = ((0, 0), (0, 0), (top, bottom), (left, right))
        padded = np.pad(x, edges, constant_values=np.iinfo(x.dtype).min)
        if padded.shape[2] < height or padded.shape[3] < width:
            raise a.fail(f"an input of at least {(height, width)}", padded.shape[2:])
        seen = _windows(padded, (height, width))[:, :, ::down, ::across]
        return np.asarray(seen.max(axis=(4, 5)))

    return run


def reshape(a: Arguments) -> Run:
    """The same numbers in another shape; 0 keeps a size, -1 is what remains."""
    shape = a.shape("shape")

    def run(x: Array) -> Array:
        if 0 in shape[x.ndim :]:
            raise a.fail(f"an input with a size for each 0 of {shape}", x.shape)
        try:
            return x.reshape([x.shape[at] if size == 0 else size for at, size in enumerate(shape)])
        except ValueError:
            raise a.fail(f"an input that fits into {shape}", x.shape) from None

    return run


OPERATORS: dict[str, tuple[Callable[[Arguments], Run], int]] = {
    "quantize": (quantize, 1),
    "dequantize": (dequantize, 1),
    "matmul": (matmul, 1),
    "conv": (conv, 1),
    "add": (add, 2),
    "lookup": (lookup, 1),
    "global_average": (global_average, 1),
    "max_pool": (max_pool, 1),
    "reshape": (reshape, 1),
}
"""Operators by name, with the number of their inputs."""


def _fused(x: Array, ratio: Array, more: Array) -> Array:
    """`x * ratio + more` of float32: the product of 8 and 24 bits is exact in float64, where the sum is rounded."""
    total = x.astype(np.float64) * ratio.astype(np.float64) + more.astype(np.float64)
    return np.asarray(total.astype(np.float32))


def _windows(x: Array, size: tuple[int, int]) -> Array:
    """Return views of shape (batch, channels, rows, columns, *size), one for each place of a window in `x`."""
    return np.asarray(sliding_window_view(x, size, axis=(2, 3)))  # type: ignore[call-overload]


def _weights(a: Arguments, rank: int) -> Array:
    weights = a.tensor("weights", ("int8",), rank)
    if not weights.size:
        raise a.fail("weights", "none")
    return weights


def _columns(a: Arguments, count: int) -> tuple[Array, Array]:
    bias, factors = a.tensor("bias", ("int32",), 1), a.scale("factors", 1)
    if len(bias) != count or len(factors) != count:
        raise a.fail(f"a bias and a factor for each of {count}", (len(bias), len(factors)))
    return bias, factors


def _exact(a: Arguments, columns: Array) -> Any:
    """Return the floating point type in which no sum of this node, and no part of one, is ever rounded."""
    most = int(np.abs(columns.astype(np.int64)).sum(axis=0).max()) * 255
    most += int(np.abs(a.tensor("bias", ("int32",), 1).astype(np.int64)).max())
    if most > MAX_ACCUMULATOR:
        raise a.fail(f"sums within int32 (at most {MAX_ACCUMULATOR})", most)
    return np.float32 if most <= _EXACT_IN_FLOAT32 else np.float64
