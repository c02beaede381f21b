"""Kind "labels": logits become the most likely label and how likely it is."""

from pathlib import Path

import numpy as np

from offchain_worker.backends.base import Arrays
from offchain_worker.errors import BadModel, BadOutput
from offchain_worker.manifest import Manifest
from offchain_worker.payload import Values
from offchain_worker.processing import check_options


class Postprocess:
    """Option `labels`: their names, in the model's order.

    The answer is `{"labels": list of text, "scores": list of floats}`, one for each row of the batch.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        check_options(manifest.postprocess, ("labels",))
        labels = manifest.postprocess.options["labels"]
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise BadModel(f"expected a list of texts as labels, got {labels!r}")
        self._labels = labels

    def __call__(self, outputs: Arrays) -> Values:
        """Turn logits of shape (batch, labels), float32, into labels and probabilities."""
        logits = outputs.get("logits")
        if logits is None or logits.ndim != 2 or logits.shape[1] != len(self._labels):
            shape = None if logits is None else logits.shape
            raise BadOutput(f"expected logits of shape (batch, {len(self._labels)}), got {shape}")
        wide = logits.astype(np.float64)
        powers = np.exp(wide - wide.max(axis=1, keepdims=True))
        scores = powers / powers.sum(axis=1, keepdims=True)
        best = scores.argmax(axis=1)
        return {
            "labels": [self._labels[at] for at in best],
            "scores": [float(row[at]) for row, at in zip(scores, best, strict=True)],
        }
