"""Kind "magika": which type of file some bytes are. Follows magika 1.0.3, in its high-confidence mode.

The payload is `{"file": bytes or link}`; the answer is `{"label": text, "score": float}`, the same as magika's
`prediction.output.label` and `prediction.score`. All numbers come from two files of magika that lie in the artifact
folder, so a provider needs no magika package.
"""

from pathlib import Path
from typing import Any

import numpy as np

from offchain_worker import safe_json
from offchain_worker.backends.base import Arrays
from offchain_worker.errors import BadInput, BadModel, BadOutput
from offchain_worker.manifest import Manifest, Step, inside
from offchain_worker.payload import Values
from offchain_worker.processing import check_options
from offchain_worker.processing.base import Known, Tensors

_MAX_BLOCK_BYTES = 1 << 20


class Preprocess:
    """Takes the first and the last bytes of a file, without the white space around them.

    The model's input `bytes` has shape (1, beg_size + end_size), int32: first the bytes at the beginning, padded
    behind, then those at the end, padded in front.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        check_options(manifest.preprocess, ("config",))
        config = _read(folder, manifest.preprocess, "config")
        self._beginning = _number(config, "beg_size")
        self._end = _number(config, "end_size")
        self._block = _number(config, "block_size")
        self._padding = _number(config, "padding_token")
        self._least = _number(config, "min_file_size_for_dl")
        if config.get("mid_size") != 0 or config.get("use_inputs_at_offsets") is not False:
            raise BadModel(
                "expected a magika config without mid_size and use_inputs_at_offsets, got one with"
            )
        longest = max(self._beginning, self._end)
        if not longest < self._block <= _MAX_BLOCK_BYTES or not 1 <= self._least <= self._beginning:
            raise BadModel("expected sizes of a magika config that fit each other, got others")

    def __call__(self, values: Values) -> Tensors | Known:
        """Turn a file into the model's input, or into an answer if it is too short for the model."""
        if set(values) != {"file"} or not isinstance(values["file"], bytes):
            kinds = {name: type(value).__name__ for name, value in values.items()}
            raise BadInput(f'expected {{"file": bytes or a link}}, got {kinds}')
        file: bytes = values["file"]
        if not file:
            return _known("empty")
        if len(file) < self._least:
            return _few_bytes(file)
        beginning = file[: self._block].lstrip()[: self._beginning]
        end = file[-self._block :].rstrip()[-self._end :]
        if len(beginning) < self._least:
            return _few_bytes(file[: self._block])
        tokens = np.full((1, self._beginning + self._end), self._padding, dtype=np.int32)
        tokens[0, : len(beginning)] = np.frombuffer(beginning, dtype=np.uint8)
        tokens[0, tokens.shape[1] - len(end) :] = np.frombuffer(end, dtype=np.uint8)
        return Tensors({"bytes": tokens})


class Postprocess:
    """Takes the most likely label, or a general one when the model is not sure.

    The model's output `target_label` has shape (1, labels), float32, probabilities.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        check_options(manifest.postprocess, ("config", "content_types"))
        config = _read(folder, manifest.postprocess, "config")
        types = _read(folder, manifest.postprocess, "content_types")
        try:
            self._labels = [str(label) for label in config["target_labels_space"]]
            self._threshold = float(config["medium_confidence_threshold"])
            self._thresholds = {
                label: float(value) for label, value in config["thresholds"].items()
            }
            self._overwrite = {str(label): str(to) for label, to in config["overwrite_map"].items()}
            self._is_text = {
                label: bool(types[self._overwrite.get(label, label)]["is_text"])
                for label in self._labels
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadModel(
                f"expected a magika config and its content types, got a bad {error}"
            ) from None

    def __call__(self, outputs: Arrays) -> Values:
        """Turn probabilities into label and score."""
        scores = outputs["target_label"]
        if scores.shape != (1, len(self._labels)):
            raise BadOutput(
                f"expected target_label of shape (1, {len(self._labels)}), got {scores.shape}"
            )
        at = int(np.argmax(scores[0]))
        likely, score = self._labels[at], float(scores[0, at])
        label = self._overwrite.get(likely, likely)
        if score < self._thresholds.get(likely, self._threshold):
            label = "txt" if self._is_text[likely] else "unknown"
        return {"label": label, "score": score}


def _few_bytes(data: bytes) -> Known:
    try:
        data.decode()
    except UnicodeDecodeError:
        return _known("unknown")
    return _known("txt")


def _known(label: str) -> Known:
    return Known({"label": label, "score": 1.0})


def _read(folder: Path, step: Step, option: str) -> dict[str, Any]:
    name = step.options[option]
    if not isinstance(name, str):
        raise BadModel(
            f"expected the name of a file as {option} of kind {step.kind!r}, got {name!r}"
        )
    try:
        plain = safe_json.loads(inside(folder, name).read_bytes())
    except ValueError as error:
        raise BadModel(f"expected JSON in {name!r}, got: {error}") from None
    if not isinstance(plain, dict):
        raise BadModel(f"expected a map in {name!r}, got {type(plain).__name__}")
    return plain


def _number(config: dict[str, Any], name: str) -> int:
    value = config.get(name)
    if type(value) is not int or value < 1:
        raise BadModel(f"expected a magika config with {name} of at least 1, got {value!r}")
    return value
