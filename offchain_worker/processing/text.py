"""Kind "text": words become tokens. The tokenizer lies in the artifact folder, as the model's author published it.

The payload is `{"text": text}` or `{"text": list of texts}`; what comes out is `input_ids` and `attention_mask` of
shape (texts, tokens), int32, as far as the model takes them.
"""

from pathlib import Path
from typing import Any

import numpy as np

from offchain_worker.backends.base import Arrays
from offchain_worker.errors import BadInput, BadModel, ToolNotInstalled, one_line
from offchain_worker.lengths import Lengths
from offchain_worker.manifest import Manifest, inside
from offchain_worker.payload import Values
from offchain_worker.processing import check_options
from offchain_worker.processing.base import Tensors

MAX_TEXTS = 256


class Preprocess:
    """Options: `tokenizer`, a file in the format of the package tokenizers; `tokens`, the longest text.

    A longer text is cut. Texts are padded to the size that the manifest fixes, or to the longest among them, and from
    there to one of the manifest's `runtime.lengths`, if it names any.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        check_options(manifest.preprocess, ("tokenizer", "tokens"))
        name, longest = (
            manifest.preprocess.options["tokenizer"],
            manifest.preprocess.options["tokens"],
        )
        if not isinstance(name, str) or type(longest) is not int or not 1 <= longest <= 1 << 20:
            raise BadModel(
                f"expected the name of a file and a number of tokens, got {name!r} and {longest!r}"
            )
        self._names = [spec.name for spec in manifest.inputs]
        shape = manifest.inputs[0].shape
        if set(self._names) - {"input_ids", "attention_mask"} or len(shape) != 2:
            raise BadModel(
                f"expected inputs input_ids and attention_mask of shape (texts, tokens), got {self._names}"
            )
        self._texts, tokens = shape
        self._lengths = Lengths.of(manifest)
        if self._lengths is not None:
            longest = min(longest, self._lengths.sizes[-1])
        self._tokenizer = open_tokenizer(folder, name)
        self._tokenizer.enable_truncation(longest if tokens == -1 else min(tokens, longest))
        self._tokens = tokens
        padding = ("[PAD]", "<pad>", "<|endoftext|>", "</s>")
        known = (self._tokenizer.token_to_id(word) for word in padding)
        self._pad = next((token for token in known if token is not None), 0)

    def __call__(self, values: Values) -> Tensors:
        """Turn texts into tokens."""
        texts = values.get("text")
        texts = [texts] if isinstance(texts, str) else texts
        if set(values) != {"text"} or not isinstance(texts, list) or not texts:
            kinds = {name: type(value).__name__ for name, value in values.items()}
            raise BadInput(f'expected {{"text": text or a list of texts}}, got {kinds}')
        most = MAX_TEXTS if self._texts == -1 else self._texts
        if len(texts) > most or not all(isinstance(text, str) for text in texts):
            raise BadInput(f"expected at most {most} texts, got {len(texts)} values")
        found = [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]
        width = max(1, *map(len, found)) if self._tokens == -1 else self._tokens
        if self._lengths is not None:
            width = self._lengths.fit(width)
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "input_ids": np.full((len(texts), width), self._pad, np.int32),
            "attention_mask": np.zeros((len(texts), width), np.int32),
        }
        for row, ids in enumerate(found):
            arrays["input_ids"][row, : len(ids)] = ids
            arrays["attention_mask"][row, : len(ids)] = 1
        given: Arrays = {name: arrays[name] for name in self._names}
        return Tensors(given)


def open_tokenizer(folder: Path, name: object) -> Any:
    """Return the tokenizer in a file of an artifact folder; it neither pads nor cuts.

    Raises:
        BadModel: There is none.
        ToolNotInstalled: The package for it is missing.
    """
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        raise ToolNotInstalled(
            "expected package 'tokenizers', which is not installed: pip install 'lattice[text]'"
        ) from None
    if not isinstance(name, str):
        raise BadModel(f"expected the name of a file as tokenizer, got {name!r}")
    path = inside(folder, name)
    try:
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
    except BaseException as error:  # a panic of its Rust code is no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise BadModel(f"expected a tokenizer in {name!r}, got: {one_line(error)}") from None
    return tokenizer
