"""Writing text: the most likely next token, again and again. The same prompt gives the same tokens on one machine.

A backend that keeps what it computed for earlier tokens (a KV cache) does it by its own `generate`; on others, the
model runs on the whole text for each token.
"""

from collections.abc import Collection, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from offchain_worker.backends.base import Arrays, Backend
from offchain_worker.errors import BadInput, BadModel, BadOutput
from offchain_worker.lengths import Lengths
from offchain_worker.manifest import Manifest

INPUT, OUTPUT = "input_ids", "logits"
PAST, PRESENT = "past", "present"
"""Of a model that is one step: what was computed for earlier tokens, and what that grows by (axis 3)."""


@runtime_checkable
class Generates(Protocol):
    """A backend that may have a KV cache."""

    @property
    def has_cache(self) -> bool:
        """Whether it has one for the model that is loaded."""
        ...

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
    if isinstance(backend, Generates) and backend.has_cache:
        return backend.generate(prompt, most, stop)
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


def empty_past(manifest: Manifest) -> Arrays:
    """Return what a model that is one step takes before the first token; nothing for any other model."""
    return {
        spec.name: np.zeros([*spec.shape[:3], 0, spec.shape[4]], spec.dtype)
        for spec in manifest.inputs
        if spec.name == PAST
    }


def step_by_step(backend: Backend, manifest: Manifest, tokens: Arrays) -> Arrays:
    """Return the logits for all of `tokens`: the first half at once, then one by one, as when a text is written."""
    whole, given, parts = tokens[INPUT], empty_past(manifest), []
    half = max(1, whole.shape[1] // 2)
    for at in (0, *range(half, whole.shape[1])):
        part = whole[:, :half] if at == 0 else whole[:, at : at + 1]
        found = backend.run(given | {INPUT: part})
        parts.append(found[OUTPUT])
        given = {PAST: np.concatenate([given[PAST], found[PRESENT]], axis=3)}
    return {OUTPUT: np.concatenate(parts, axis=1)}


def _lengths(manifest: Manifest) -> Lengths | None:
    """Return the lengths that the model takes, None for any.

    Raises:
        BadModel: It does not write text, or what it keeps of earlier tokens has another form.
    """
    inputs = [spec.name for spec in manifest.inputs if spec.name != PAST]
    if inputs != [INPUT] or OUTPUT not in [spec.name for spec in manifest.outputs]:
        raise BadModel(
            f"expected input {INPUT!r} and output {OUTPUT!r} of a model that writes text"
        )
    for spec in manifest.inputs:
        if spec.name == PAST and (len(spec.shape) != 5 or -1 in (*spec.shape[:3], spec.shape[4])):
            raise BadModel(f"expected {PAST!r} with five sizes, the fourth free, got {spec.shape}")
    tokens = next(spec.shape[1] for spec in manifest.inputs if spec.name == INPUT)
    return Lengths((tokens,)) if tokens != -1 else Lengths.of(manifest)
