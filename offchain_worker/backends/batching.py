"""Running several jobs at once, where that changes no bit of any of them.

Sums of floating point numbers are ordered differently for other sizes of a batch, by most runtimes. So a batch is only
made where a check has found no difference: at import, which writes the manifest's `max_batch`, and again on the machine
that serves, which keeps its own.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from offchain_worker.backends.base import Arrays, Backend
from offchain_worker.errors import WorkerError
from offchain_worker.lengths import Lengths
from offchain_worker.manifest import Manifest

MOST = 8
"""Rows up to which the check goes."""
LENGTHS = (2, 16, 64)
"""Values of free sizes other than the batch, such as the tokens of a text."""
_MAX_TOKEN = 8


def sample_inputs(
    manifest: Manifest, batch: int = 1, *, free: int = LENGTHS[1], seed: int = 0
) -> Arrays:
    """Return inputs as the manifest allows them; whole numbers are small, so that they may be tokens.

    Args:
        manifest: Of the model.
        batch: Rows, where the manifest leaves them free.
        free: Every other size that it leaves free.
        seed: Other numbers for another seed.
    """
    rng = np.random.default_rng(seed)
    lengths = Lengths.of(manifest)
    free = free if lengths is None else lengths.fit(free)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for spec in manifest.inputs:
        shape = [free if size == -1 else size for size in spec.shape]
        if spec.shape and spec.shape[0] == -1:
            shape[0] = batch
        if spec.name == "attention_mask":
            arrays[spec.name] = np.ones(shape, spec.dtype)
        elif np.dtype(spec.dtype).kind == "f":
            arrays[spec.name] = rng.standard_normal(shape).astype(spec.dtype)
        else:
            arrays[spec.name] = rng.integers(0, _MAX_TOKEN, shape).astype(spec.dtype)
    return arrays


def rows_of(inputs: Arrays) -> int:
    """Return the length of the first axis, 0 where the inputs do not agree on one."""
    lengths = {array.shape[0] if array.ndim else 0 for array in inputs.values()}
    return lengths.pop() if len(lengths) == 1 else 0


def kind_of(inputs: Arrays) -> tuple[Any, ...]:
    """Return what two inputs have to have in common to be joined: names, dtypes, and sizes but for the first."""
    return tuple((name, array.dtype.str, array.shape[1:]) for name, array in sorted(inputs.items()))


def join(inputs: Sequence[Arrays]) -> Arrays:
    """Return inputs of one kind as one, in order."""
    return {name: np.concatenate([item[name] for item in inputs]) for name in inputs[0]}


def split(outputs: Arrays, rows: Sequence[int]) -> list[Arrays]:
    """Return what belongs to each of the joined inputs, as arrays of their own."""
    ends = np.cumsum(rows)
    return [
        {name: array[end - count : end].copy() for name, array in outputs.items()}
        for end, count in zip(ends, rows, strict=True)
    ]


def largest_batch(backend: Backend, manifest: Manifest) -> int:
    """Return how many rows a loaded model may be given at once: `MOST` where no bit changes, else 1.

    Each size up to that is tried, at several lengths, against every row alone.
    """
    specs = (*manifest.inputs, *manifest.outputs)
    if not all(spec.shape[:1] == (-1,) for spec in specs):
        return 1
    has_lengths = any(-1 in spec.shape[1:] for spec in manifest.inputs)
    try:
        same = all(
            _same_bits(backend, manifest, free)
            for free in (LENGTHS if has_lengths else LENGTHS[:1])
        )
    except WorkerError:  # a length, or a batch, that it does not take
        return 1
    return MOST if same else 1


def _same_bits(backend: Backend, manifest: Manifest, free: int) -> bool:
    inputs = [sample_inputs(manifest, free=free, seed=seed) for seed in range(MOST)]
    alone = [_bits(backend.run(given)) for given in inputs]
    for count in range(2, MOST + 1):
        together = backend.run(join(inputs[:count]))
        if any(rows_of({name: array}) != count for name, array in together.items()):
            return False
        if [_bits(part) for part in split(together, [1] * count)] != alone[:count]:
            return False
    return True


def _bits(outputs: Arrays) -> list[tuple[str, tuple[int, ...], bytes]]:
    return [(name, array.shape, array.tobytes()) for name, array in sorted(outputs.items())]
