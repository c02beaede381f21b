"""Compares a converted model with its original, on inputs that make the outputs vary.

That a conversion ended without an error proves nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from offchain_worker.backends import open_for
from offchain_worker.backends.base import Arrays, Backend, check_outputs
from offchain_worker.errors import BadModel, CheckFailed, one_line
from offchain_worker.generation import INPUT, OUTPUT, Steps, is_step
from offchain_worker.lengths import Lengths
from offchain_worker.manifest import Manifest
from offchain_worker.pipeline.report import LIMITS, Report, cosine_of, require_variation, variation
from offchain_worker.transformers_model import Input, Original, draw

INPUTS = 4
LENGTH_INPUTS = 2
"""Of each length, where a format has several."""
BACKENDS = {"coreml": "coreml-cpu"}
"""Which backend checks a format, where that is not the one that serves it."""


def random_inputs(
    original: Original, seed: int = 0, lengths: Lengths | None = None
) -> list[Arrays]:
    """Return inputs that the model may get, drawn at random; several of each of its lengths, if it has some."""
    rng = np.random.default_rng(seed)
    sizes = (None,) if lengths is None else lengths.sizes
    return [
        {spec.name: draw(of_length(spec, size), rng, at) for spec in original.inputs}
        for size in sizes
        for at in range(INPUTS if lengths is None else LENGTH_INPUTS)
    ]


def of_length(spec: Input, size: int | None) -> Input:
    """Return an input of text for another number of tokens."""
    return spec if size is None else replace(spec, shape=(spec.shape[0], size))


def compare(
    original: Original,
    folder: Path,
    manifest: Manifest,
    inputs: Sequence[Arrays] | None = None,
    backend: str | None = None,
) -> Report:
    """Run both on the same inputs.

    Args:
        original: What the artifact folder was made from.
        folder: Artifact folder.
        manifest: Its manifest.
        inputs: What to run them on; None for random ones. Real ones say more where weights were quantised.
        backend: What runs it; None for the one that checks its format on any machine.

    Raises:
        BadModel: The original does not run on these inputs.
        CheckFailed: The original's outputs hardly vary, so the check would say nothing.
        WorkerError: The artifact does not load or run.
    """
    converted = open_for(manifest.format, backend or BACKENDS.get(manifest.format))
    converted.load(folder, manifest)
    if inputs is None:
        inputs = random_inputs(original, lengths=Lengths.of(manifest))
    first: Arrays = {}
    varied: dict[str, float] = dict.fromkeys(original.outputs, 0.0)
    worst_difference, scale, cosine = 0.0, 0.0, 1.0
    try:
        for given in inputs:
            expected = _run(original, given)
            if is_step(manifest):
                found = {OUTPUT: _in_steps(converted, manifest, given[INPUT])}
            else:
                found = converted.run(given)
                check_outputs(found, manifest.outputs)
            first = first or expected
            for name, array in expected.items():
                right, got = _flat(array, given), _flat(found[name], given)
                if array.shape == first[name].shape:
                    varied[name] = max(varied[name], variation(array, first[name]))
                worst_difference = max(worst_difference, float(np.abs(right - got).max()))
                scale = max(scale, float(np.abs(right).max()))
                cosine = min(cosine, cosine_of(right, got))
    finally:
        converted.close()
    require_variation(varied)
    return Report(worst_difference, scale, cosine, len(inputs))


def check(
    original: Original, folder: Path, manifest: Manifest, inputs: Sequence[Arrays] | None = None
) -> Report:
    """Compare, and hold the result to the limit of the manifest's precision.

    Raises:
        CheckFailed: It is over the limit; `error.report` has the figures. Or as `compare`.
    """
    report = compare(original, folder, manifest, inputs)
    if reason := report.excess(LIMITS[manifest.precision]):
        error = CheckFailed(
            f"{reason}: {manifest.name} in {manifest.format}, {manifest.precision}, does not compute what the original "
            "computes"
        )
        error.report = report
        raise error
    return report


def _in_steps(
    backend: Backend, manifest: Manifest, tokens: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Return the logits for a text: its first half at once, then token by token, as when it is written."""
    steps, half = Steps(backend, manifest), max(1, tokens.shape[1] // 2)
    parts = [tokens[:, :half], *np.split(tokens[:, half:], tokens.shape[1] - half, axis=1)]
    return np.concatenate([steps.take(part) for part in parts], axis=1)


def _run(original: Original, given: Arrays) -> Arrays:
    try:
        with torch.inference_mode():
            found = original(**{name: torch.from_numpy(array) for name, array in given.items()})
    except Exception as error:  # what a model raises has no common root
        raise BadModel(
            "expected an original that runs on what it is given; with texts, one that has the tokens of its tokenizer, "
            f"got: {one_line(error)}"
        ) from error
    return {name: tensor.numpy() for name, tensor in zip(original.outputs, found, strict=True)}


def _flat(array: np.ndarray[Any, Any], given: Arrays) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the numbers that count: what a model says at padded positions means nothing."""
    mask = given.get("attention_mask")
    if mask is not None and array.ndim > 2 and array.shape[:2] == mask.shape:
        array = array[mask.astype(bool)]
    return array.astype(np.float64).ravel()
