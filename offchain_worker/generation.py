"""Writing text: the most likely next token, again and again. The same prompt gives the same tokens on one machine.

A backend that keeps what it computed for earlier tokens (a KV cache) does it by its own `generate`; on others, the
model runs on the whole text for each token.
"""

from collections.abc import Collection, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from offchain_worker.backends.base import Backend
from offchain_worker.errors import BadInput, BadModel, BadOutput
from offchain_worker.lengths import Lengths
from offchain_worker.manifest import Manifest

INPUT, OUTPUT = "input_ids", "logits"


@runtime_checkable
class Generates(Protocol):
    """A backend with a KV cache."""

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
    tokens = list(prompt)
    for _ in range(most):
        width = len(tokens) if lengths is None else lengths.fit(len(tokens))
        padded = np.zeros((1, width), manifest.inputs[0].dtype)
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


def _lengths(manifest: Manifest) -> Lengths | None:
    """Return the lengths that the model takes, None for any."""
    if [spec.name for spec in manifest.inputs] != [INPUT] or OUTPUT not in [
        spec.name for spec in manifest.outputs
    ]:
        raise BadModel(
            f"expected input {INPUT!r} and output {OUTPUT!r} of a model that writes text"
        )
    tokens = manifest.inputs[0].shape[1]
    return Lengths((tokens,)) if tokens != -1 else Lengths.of(manifest)
