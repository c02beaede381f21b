"""A commitment to the last hidden state of a model, small enough to publish with an answer, for audits later.

The idea is TOPLOC's: which numbers are largest, and what they are in bfloat16, survives the noise of other hardware,
and does not survive another model, prompt or layer. The 128 largest numbers of the state are bound into one polynomial
over a prime field, so that a commitment has one size however long the text was. An auditor who has computed the state
himself evaluates it where his own largest numbers lie.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from offchain_worker.errors import BadInput

TOP = 128
"""How many numbers are committed to."""
SIZE_BYTES = 2 + 2 * TOP
_FIELD = (
    65_521  # the largest prime below 2^16: a bfloat16 of a finite number is below it, NaN aside
)
_MANTISSA_BITS = 7

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How an auditor's own state compares with a commitment."""

    differing: int
    """Of the `TOP` largest numbers, those whose sign or power of two differs, or that were not among the largest."""
    mantissa: float
    """Mean distance of the others in units of bfloat16's last place, 0 to 127."""

    @property
    def same(self) -> bool:
        """Whether it is the same computation, up to the noise of hardware and half precision."""
        return self.differing <= MOST_DIFFERING and self.mantissa <= MOST_MANTISSA


MOST_DIFFERING = 20
"""Measured on six models and prompts of 16 and 60 tokens: float16 and bfloat16 against float32 gave 0 to 7; another
prompt 63 to 126, another layer 87 to 127, other weights 120 to 128. One other token in a prompt gave 2 to 69, so a
small change of the prompt is not told reliably."""
MOST_MANTISSA = 8.0
"""Noise gave 0 to 2."""


def commit(state: Array) -> bytes:
    """Return the commitment to a hidden state.

    Args:
        state: Of any shape with at least 128 numbers, float; finite.

    Returns:
        258 bytes: a modulus that keeps the places apart, and 128 coefficients.

    Raises:
        BadInput: The state is too small or not finite.
    """
    places, values = _largest(state)
    modulus = next(m for m in range(_FIELD, 1, -1) if len(np.unique(places % m)) == TOP)
    coefficients = _interpolate((places % modulus).tolist(), values.tolist())
    return b"".join(number.to_bytes(2, "big") for number in (modulus, *coefficients))


def compare(state: Array, commitment: bytes) -> Agreement:
    """Compare a state that the auditor computed with a commitment.

    Raises:
        BadInput: The commitment is not of 258 bytes, or the state is not one that can be committed to.
    """
    if len(commitment) != SIZE_BYTES:
        raise BadInput(f"expected a commitment of {SIZE_BYTES} bytes, got {len(commitment)}")
    numbers = np.frombuffer(commitment, ">u2").astype(np.int64)
    modulus, coefficients = int(numbers[0]), numbers[1:]
    if modulus < 2:
        raise BadInput(f"expected a modulus of at least 2 in a commitment, got {modulus}")
    places, values = _largest(state)
    at = places % modulus
    found = np.zeros(TOP, np.int64)
    for coefficient in coefficients[::-1]:
        found = (found * at + coefficient) % _FIELD
    near = found >> _MANTISSA_BITS == values >> _MANTISSA_BITS
    mask = (1 << _MANTISSA_BITS) - 1
    distances = np.abs((found & mask) - (values & mask))[near]
    mantissa = float(distances.mean()) if distances.size else float(mask)
    return Agreement(int(TOP - near.sum()), mantissa)


def _largest(state: Array) -> tuple[Array, Array]:
    """Return places and bfloat16 bits of the numbers of largest size, in a fixed order."""
    flat = np.asarray(state, np.float32).ravel()
    if flat.size < TOP or not np.isfinite(flat).all():
        raise BadInput(f"expected at least {TOP} finite numbers to commit to, got {flat.size}")
    bits = flat.view(np.uint32).astype(np.int64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16  # to bfloat16, half to even
    sizes = rounded & 0x7FFF
    order = np.lexsort((np.arange(flat.size), -sizes))[:TOP]
    return order.astype(np.int64), rounded[order]


def _interpolate(xs: list[int], ys: list[int]) -> list[int]:
    """Return the coefficients, lowest first, of the polynomial through all points, over the field."""
    count = len(xs)
    slopes = [y % _FIELD for y in ys]
    for step in range(1, count):  # Newton's divided differences
        for at in range(count - 1, step - 1, -1):
            run = pow(xs[at] - xs[at - step], -1, _FIELD)
            slopes[at] = (slopes[at] - slopes[at - 1]) * run % _FIELD
    polynomial = [slopes[-1]]
    for at in range(count - 2, -1, -1):
        shifted = [0, *polynomial]
        for power, coefficient in enumerate(polynomial):
            shifted[power] = (shifted[power] - coefficient * xs[at]) % _FIELD
        shifted[0] = (shifted[0] + slopes[at]) % _FIELD
        polynomial = shifted
    return polynomial
