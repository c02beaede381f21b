"""Writing text: the most likely next token, again and again. The same prompt gives the same tokens on one machine.

What was computed for earlier tokens is kept (a KV cache): by the backend itself if it has a `generate`, or in tensors
if the model is one step that takes them (`pipeline/steps.py`). Any other model runs on the whole text for each token.
"""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from offchain_worker.backends.base import MAX_TENSOR_BYTES, PAST, Backend
from offchain_worker.errors import BadInput, BadModel, BadOutput
from offchain_worker.lengths import Lengths
from offchain_worker.manifest import Manifest

INPUT, OUTPUT = "input_ids", "logits"
PRESENT, POSITION = "present", "position"
"""Of a model that is one step: what `past` grows by (axis 3), and how much of it counts where its length is fixed."""


@runtime_checkable
class Generates(Protocol):
    """A backend with a KV cache of its own."""

    def generate(self, prompt: Sequence[int], most: int, stop: Collection[int]) -> list[int]:
        """Return what `generate` of this module returns, for the model that is loaded."""
        ...


def generate(
    backend: Backend, manifest: Manifest, prompt: Sequence[int], most: int, stop: Collection[int]
) -> list[int]:
    """Return the tokens that follow a prompt, without the one that ends the text.

    Args:
        backend: With the model loaded.
        manifest: Of the model.
        prompt: Tokens, at least one.
        most: Most tokens to add. Fewer come where the model's own length ends.
        stop: Tokens that end a text.

    Raises:
        BadInput: The prompt is empty, or leaves no room in the model's length.
        BadModel, BadOutput: As `Backend.run`, or the logits are no numbers.
    """
    lengths = _lengths(manifest)
    if not prompt:
        raise BadInput("expected a prompt of at least one token, got none")
    if lengths is not None:
        most = min(most, lengths.sizes[-1] - len(prompt))
        if most < 1:
            raise BadInput(
                f"expected a prompt of fewer than {lengths.sizes[-1]} tokens, got {len(prompt)}"
            )
    if isinstance(backend, Generates):
        return backend.generate(prompt, most, stop)
    if is_step(manifest):
        steps = Steps(backend, manifest)
        return go_on(
            lambda fresh: steps.take(np.array([fresh], np.int32))[0, -1], prompt, most, stop
        )
    tokens = list(prompt)
    for _ in range(most):
        width = len(tokens) if lengths is None else lengths.fit(len(tokens))
        padded = np.zeros((1, width), np.int32)
        padded[0, : len(tokens)] = tokens  # what stands behind a token has no effect on it
        token = most_likely(backend.run({INPUT: padded})[OUTPUT][0, len(tokens) - 1])
        if token in stop:
            break
        tokens.append(token)
    return tokens[len(prompt) :]


def most_likely(logits: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> int:
    """Return the token with the largest of its logits, the first of equals.

    Raises:
        BadOutput: They are not finite.
    """
    if not np.isfinite(logits).all():
        raise BadOutput(f"expected finite numbers in {OUTPUT!r}, got NaN or infinity")
    return int(logits.argmax())


def go_on(
    logits_after: Callable[[list[int]], "np.ndarray[Any, Any]"],
    prompt: Sequence[int],
    most: int,
    stop: Collection[int],
) -> list[int]:
    """Return the tokens that follow a prompt, for a model that remembers what it has seen.

    Args:
        logits_after: Returns the logits behind the last of further tokens of the text, of shape (vocabulary,), float32.
        prompt: As `generate`.
        most: As `generate`.
        stop: As `generate`.

    Raises:
        BadOutput: Logits are not finite. And whatever `logits_after` raises.
    """
    added: list[int] = []
    fresh = list(prompt)
    while len(added) < most:
        token = most_likely(logits_after(fresh))
        if token in stop:
            break
        added.append(token)
        fresh = [token]
    return added


class Steps:
    """A text that a model goes through, which is one step. Not thread-safe."""

    def __init__(self, backend: Backend, manifest: Manifest) -> None:
        """Begin a text.

        Args:
            backend: With the model loaded.
            manifest: Of the model, which is a step.
        """
        self._backend = backend
        (past,) = (spec for spec in manifest.inputs if spec.name == PAST)
        self._grows = past.shape[3] == -1
        self._past = np.zeros([max(size, 0) for size in past.shape], past.dtype)
        self._done = 0

    def take(self, tokens: "np.ndarray[Any, np.dtype[np.int32]]") -> "np.ndarray[Any, Any]":
        """Return the logits for further tokens of the text, both of shape (1, tokens, ...)."""
        if self._grows:
            found = self._backend.run({INPUT: tokens, PAST: self._past})
            self._past = np.concatenate([self._past, found[PRESENT]], axis=3)
            return found[OUTPUT]
        logits = []
        for at in range(tokens.shape[1]):
            position = np.array([self._done], np.int32)
            given = {INPUT: tokens[:, at : at + 1], POSITION: position, PAST: self._past}
            found = self._backend.run(given)
            self._past[:, :, :, self._done] = found[PRESENT][:, :, :, 0]
            self._done += 1
            logits.append(found[OUTPUT])
        return np.concatenate(logits, axis=1)


def is_step(manifest: Manifest) -> bool:
    """Whether a model takes what was computed for earlier tokens."""
    return PAST in [spec.name for spec in manifest.inputs]


def _lengths(manifest: Manifest) -> Lengths | None:
    """Return the lengths that the model takes, None for any.

    Raises:
        BadModel: It does not write text, or what it keeps of earlier tokens has another form.
    """
    shapes = {spec.name: spec.shape for spec in manifest.inputs}
    past = shapes.get(PAST)
    if OUTPUT not in [spec.name for spec in manifest.outputs] or not (
        shapes.keys() == {INPUT}
        or (shapes.keys() == {INPUT, PAST} and _is_past(past, grows=True))
        or (shapes.keys() == {INPUT, POSITION, PAST} and _is_past(past, grows=False))
    ):
        raise BadModel(
            f"expected the inputs and outputs of a model that writes text, got inputs {shapes}"
        )
    if past is not None:
        return None if past[3] == -1 else Lengths((past[3],))
    tokens = shapes[INPUT][1]
    return Lengths((tokens,)) if tokens != -1 else Lengths.of(manifest)


def _is_past(shape: tuple[int, ...] | None, *, grows: bool) -> bool:
    if shape is None or len(shape) != 5 or -1 in (*shape[:3], shape[4]):
        return False
    fits = 4 * math.prod(max(size, 1) for size in shape) <= MAX_TENSOR_BYTES
    return fits and (shape[3] == -1) == grows
