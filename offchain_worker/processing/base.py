"""What processing is: payload values to tensors before the model, outputs to an answer after it."""

from dataclasses import dataclass
from typing import Protocol

from offchain_worker.backends.base import Arrays
from offchain_worker.payload import Values


@dataclass(frozen=True, slots=True)
class Tensors:
    """The model has to run on these."""

    arrays: Arrays


@dataclass(frozen=True, slots=True)
class Known:
    """The answer is known without running the model, as for an empty file."""

    answer: Values


@dataclass(frozen=True, slots=True)
class Prompt:
    """The model has to continue these tokens."""

    tokens: tuple[int, ...]
    most: int
    """Most tokens to add."""
    stop: frozenset[int]
    """Tokens that end a text."""


class Preprocess(Protocol):
    """Made once per loaded model, as `Preprocess(folder, manifest)`."""

    def __call__(self, values: Values) -> Tensors | Known | Prompt:
        """Turn payload values, links already replaced by their bytes, into tensors.

        Raises:
            BadInput: They are not what this kind takes.
        """
        ...


class Postprocess(Protocol):
    """Made once per loaded model, as `Postprocess(folder, manifest)`."""

    def __call__(self, outputs: Arrays) -> Values:
        """Turn the model's outputs, already checked against the manifest, into the values of an answer.

        Raises:
            BadOutput: They make no answer.
        """
        ...
