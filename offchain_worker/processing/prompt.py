"""Kind "prompt": a text that the model is to continue. Kind "completion": the tokens that it added become text.

The payload is `{"text": text}`, perhaps with `"new_tokens": number`; the answer is `{"text": text, "tokens": list of
numbers}`, what was added only. The tokenizer lies in the artifact folder.
"""

from pathlib import Path
from typing import Any

from offchain_worker.backends.base import Arrays
from offchain_worker.errors import BadInput, BadModel
from offchain_worker.manifest import Manifest
from offchain_worker.payload import Values
from offchain_worker.processing import check_options
from offchain_worker.processing.base import Prompt
from offchain_worker.processing.text import open_tokenizer

MOST_NEW_TOKENS = 4096


class Preprocess:
    """Takes a text to be continued.

    Options: `tokenizer`, a file; `tokens`, the longest text with what is added; `new_tokens`, the most that are added;
    `stop`, tokens that end a text.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        check_options(manifest.preprocess, ("tokenizer", "tokens", "new_tokens", "stop"))
        options = manifest.preprocess.options
        self._longest, self._most, stop = (options[n] for n in ("tokens", "new_tokens", "stop"))
        if not isinstance(stop, list) or not all(
            type(number) is int and number >= low
            for number, low in ((self._longest, 2), (self._most, 1), *((s, 0) for s in stop))
        ):
            raise BadModel(
                f"expected numbers as tokens and new_tokens and a list of them as stop, got {dict(options)}"
            )
        self._most = min(self._most, MOST_NEW_TOKENS)
        self._stop = frozenset(stop)
        self._tokenizer = open_tokenizer(folder, options["tokenizer"])

    def __call__(self, values: Values) -> Prompt:
        """Turn a text into tokens."""
        text, most = values.get("text"), values.get("new_tokens", self._most)
        if set(values) - {"new_tokens"} != {"text"} or not isinstance(text, str):
            kinds = {name: type(value).__name__ for name, value in values.items()}
            raise BadInput(f'expected {{"text": text, "new_tokens": number}}, got {kinds}')
        if type(most) is not int or not 1 <= most <= self._most:
            raise BadInput(f"expected new_tokens from 1 to {self._most}, got {most!r}")
        tokens = self._tokenizer.encode(text).ids
        if not 1 <= len(tokens) < self._longest:
            raise BadInput(f"expected 1 to {self._longest - 1} tokens of text, got {len(tokens)}")
        return Prompt(tuple(tokens), min(most, self._longest - len(tokens)), self._stop)


class Postprocess:
    """Option: `tokenizer`, a file."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        check_options(manifest.postprocess, ("tokenizer",))
        self._tokenizer = open_tokenizer(folder, manifest.postprocess.options["tokenizer"])

    def __call__(self, outputs: Arrays) -> Values:
        """Turn `tokens` of shape (added,), int32, into text."""
        tokens: list[Any] = outputs["tokens"].tolist()
        return {"text": self._tokenizer.decode(tokens), "tokens": tokens}
