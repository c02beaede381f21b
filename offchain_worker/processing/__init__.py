"""Kinds of preparing inputs and reading outputs, by name. One file each, imported when it is opened.

To add one: write `processing/<kind>.py` with a class `Preprocess`, a class `Postprocess`, or both, as `base` describes,
and add it here.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from offchain_worker.errors import BadModel, did_you_mean
from offchain_worker.manifest import Manifest, Step
from offchain_worker.processing.base import Postprocess, Preprocess

KINDS = {
    "tensor": "offchain_worker.processing.tensor",
    "magika": "offchain_worker.processing.magika",
    "text": "offchain_worker.processing.text",
    "prompt": "offchain_worker.processing.prompt",
    "completion": "offchain_worker.processing.prompt",
    "image": "offchain_worker.processing.image",
    "labels": "offchain_worker.processing.labels",
}


def open_preprocess(folder: Path, manifest: Manifest) -> Preprocess:
    """Return what turns payload values into the tensors of this model.

    Raises:
        BadModel: The kind is unknown, or its options are wrong.
    """
    made: Preprocess = _class("Preprocess", manifest.preprocess)(folder, manifest)
    return made


def open_postprocess(folder: Path, manifest: Manifest) -> Postprocess:
    """Return what turns the outputs of this model into an answer.

    Raises:
        BadModel: The kind is unknown, or its options are wrong.
    """
    made: Postprocess = _class("Postprocess", manifest.postprocess)(folder, manifest)
    return made


def check_options(step: Step, known: tuple[str, ...]) -> None:
    """Check that a step has exactly these options.

    Raises:
        BadModel: One is missing or unknown.
    """
    if sorted(step.options) != sorted(known):
        raise BadModel(
            f"expected options {sorted(known)} of processing kind {step.kind!r}, got {sorted(step.options)}"
        )


def _class(name: str, step: Step) -> Any:
    if step.kind not in KINDS:
        hint = did_you_mean(step.kind, KINDS)
        raise BadModel(
            f"expected a processing kind of {', '.join(sorted(KINDS))}, got {step.kind!r}{hint}"
        )
    module = import_module(KINDS[step.kind])
    if not hasattr(module, name):
        raise BadModel(
            f"expected a processing kind with a {name}, got {step.kind!r}, which has none"
        )
    return getattr(module, name)
