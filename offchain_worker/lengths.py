"""Which lengths of a text a model takes, where it takes some: `runtime.lengths` of a manifest."""

import re
from dataclasses import dataclass
from typing import Self

from offchain_worker.backends.base import Arrays
from offchain_worker.errors import BadInput, BadModel
from offchain_worker.manifest import Manifest

OPTION = "lengths"
SHORTEST = 2
"""Of a range. Converters take a length of 1 for a size that never changes."""
_FIRST = 16
_FORM = re.compile(r"\d{1,7}-\d{1,7}|\d{1,7}(,\d{1,7})*")


@dataclass(frozen=True, slots=True)
class Lengths:
    """Some lengths, in tokens: a few of them, or all from the first to the last."""

    sizes: tuple[int, ...]
    """In rising order; of a range, its two ends."""
    is_range: bool = False

    @classmethod
    def enumerated(cls, longest: int) -> Self:
        """Return 16 and its doubles up to `longest`, and that itself."""
        sizes = {longest}
        size = _FIRST
        while size < longest:
            sizes.add(size)
            size *= 2
        return cls(tuple(sorted(sizes)))

    @classmethod
    def flexible(cls, longest: int) -> Self:
        """Return all lengths from the shortest that can be had."""
        return cls((SHORTEST, max(longest, SHORTEST + 1)), is_range=True)

    @classmethod
    def of(cls, manifest: Manifest) -> Self | None:
        """Return the lengths that a manifest names, or None.

        Raises:
            BadModel: It names them in another form than "16,32,64" or "2-128".
        """
        text = manifest.runtime.get(OPTION)
        if text is None:
            return None
        if not isinstance(text, str) or not _FORM.fullmatch(text):
            raise BadModel(f'expected runtime.{OPTION} such as "16,32,64" or "2-128", got {text!r}')
        sizes = tuple(int(size) for size in re.split("[,-]", text))
        if sizes[0] < 1 or list(sizes) != sorted(set(sizes)):
            raise BadModel(f"expected rising runtime.{OPTION} of at least 1, got {text!r}")
        return cls(sizes, "-" in text)

    def __str__(self) -> str:
        """Return the form of the manifest."""
        return ("-" if self.is_range else ",").join(map(str, self.sizes))

    def fit(self, length: int) -> int:
        """Return the shortest of these lengths that holds `length` tokens; the longest if none does."""
        if self.is_range:
            return min(max(length, self.sizes[0]), self.sizes[-1])
        return next((size for size in self.sizes if size >= length), self.sizes[-1])

    def check(self, inputs: Arrays) -> None:
        """Check the second axis of every input.

        Raises:
            BadInput: It is none of these lengths, or inputs differ in it.
        """
        found = {array.shape[1] for array in inputs.values() if array.ndim > 1}
        if len(found) != 1 or self.fit(length := found.pop()) != length:
            shapes = {name: array.shape for name, array in inputs.items()}
            raise BadInput(f"expected inputs of one length of {self}, got {shapes}")
