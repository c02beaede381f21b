"""From a model folder of the hub to checked artifact folders: convert, quantise, check, package."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from offchain_worker import safe_json
from offchain_worker.backends import open_for
from offchain_worker.backends.base import Arrays
from offchain_worker.backends.batching import largest_batch
from offchain_worker.errors import (
    BackendNotInstalled,
    CheckFailed,
    ConversionFailed,
    ToolNotInstalled,
    WorkerError,
)
from offchain_worker.lengths import OPTION, Lengths
from offchain_worker.manifest import Manifest, Step
from offchain_worker.pipeline import check, write_manifest
from offchain_worker.pipeline.package import About, CoreMl, write_package
from offchain_worker.pipeline.replacing import replacing, require_place
from offchain_worker.pipeline.report import Report
from offchain_worker.processing import open_postprocess, open_preprocess
from offchain_worker.processing.base import Known, Prompt, Tensors
from offchain_worker.transformers_model import Original, from_folder, longest_text

TOKENIZER, PREPROCESSOR = "tokenizer.json", "preprocessor_config.json"

_LONGEST = 1 << 16
"""Tokens of a text, where the model names no number."""
NEW_TOKENS = 256
"""Most tokens that a model which writes text adds to a prompt."""

Progress = Callable[[str], None]
LeftOut = Callable[[str, WorkerError], None]

SENTENCES = (
    "The contract pays the provider when the proof is right.",
    "A cat sleeps on the warm roof of the old house, as it does every afternoon.",
    "Interest rates rose by a quarter of a point in June, and bond prices fell.",
    "How do I bake bread without yeast?",
    "import numpy as np; print(np.zeros(3))",
    "Le petit prince vit sur une planète à peine plus grande que lui.",
)
"""What models of text are checked on: other subjects, lengths, languages."""

_ONE_OF_SEVERAL = "single_label_classification"
"""What kind "labels" does; other kinds of problem are answered with the model's own numbers."""

_USUAL_IMAGES = {
    "do_rescale": True,
    "rescale_offset": False,
    "do_normalize": True,
    "do_flip_channel_order": False,
}
"""Of a hub's preprocessor_config.json: what kind "image" does."""

_TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForCausalLM": "token-generation",
    "LMHeadModel": "token-generation",
    "ForImageClassification": "image-classification",
    "ForObjectDetection": "object-detection",
    "ForSemanticSegmentation": "image-segmentation",
    "ForCTC": "speech-recognition",
    "WhisperEncoder": "speech-encoding",
}


@dataclass(frozen=True, slots=True)
class Imported:
    """An artifact folder that passed its check, or whose error was accepted."""

    folder: Path
    manifest: Manifest
    report: Report


def import_folder(
    source: Path,
    to: Path,
    formats: Sequence[str],
    precision: str,
    *,
    name: str,
    origin: str,
    licence: str,
    sequence: int = 128,
    coreml: CoreMl | None = None,
    accept_error: bool = False,
    progress: Progress = lambda step: None,
    left_out: LeftOut | None = None,
) -> list[Imported]:
    """Convert the model in `source` to each of `formats`, and check each.

    Args:
        source: Folder with config.json and model.safetensors, and what goes with them.
        to: Folder for the artifact folders, made if there is none; each is named FORMAT-PRECISION, and takes the place
            of an artifact folder of this name once it is whole.
        formats: Of `package.FORMATS`.
        precision: Of `package.PRECISIONS`.
        name: Name of the model in the manifests.
        origin: Where it comes from, for people.
        licence: SPDX identifier.
        sequence: Tokens of a text, where the format fixes them; of the longest, where it takes some.
        coreml: How Core ML programs are made, if not as usual.
        accept_error: Keep a model that fails its check by its figures; the manifest says so.
        progress: Told what begins.
        left_out: Told which format cannot be had, and why; the others are made. None to raise it.

    Raises:
        BadModel: `source` is no model that we can open, or as `replacing`.
        ConversionFailed, CheckFailed: As `write_package` and `check.check`. Nothing of a folder that failed is left.
    """
    for format in formats:  # before any work
        require_place(to / f"{format}-{precision}", source)
    progress("opening the original")
    original = from_folder(source, sequence=sequence)
    about = replace(describe(original, source, name, origin, licence), coreml=coreml or CoreMl())
    done = []
    for format in formats:
        try:
            made = _import(original, source, to, format, precision, about, accept_error, progress)
        except (ConversionFailed, CheckFailed, ToolNotInstalled, BackendNotInstalled) as error:
            if left_out is None:
                raise
            left_out(format, error)
        else:
            done.append(made)
    return done


def _import(
    original: Original,
    source: Path,
    to: Path,
    format: str,
    precision: str,
    about: About,
    accept_error: bool,
    progress: Progress,
) -> Imported:
    folder = to / f"{format}-{precision}"
    with replacing(folder, source) as work:
        progress(f"converting to {format}, {precision}")
        manifest = write_package(original, source, work, format, precision, about)
        open_preprocess(work, manifest)
        open_postprocess(work, manifest)  # what nobody could serve is refused now
        progress(f"checking {format} against the original")
        report, accepted = _check(original, work, manifest, accept_error)
        progress(f"checking whether a batch changes bits in {format}")
        most = _max_batch(work, manifest)
        manifest = replace(manifest, check=report.to_manifest(accepted), max_batch=most)
        write_manifest(work, manifest)
    return Imported(folder, manifest, report)


def describe(original: Original, source: Path, name: str, origin: str, licence: str) -> About:
    """Find out how inputs are prepared and answers are read, from the files that come with a model."""
    kinds = {spec.kind for spec in original.inputs}
    architecture = type(original.model).__name__
    config = original.model.config
    task = next((task for end, task in _TASKS.items() if architecture.endswith(end)), "embedding")
    files: dict[str, bytes] = {}
    before, after = Step("tensor"), Step("tensor")
    if "tokens" in kinds and (source / TOKENIZER).is_file():
        files[TOKENIZER] = (source / TOKENIZER).read_bytes()
        longest = min(longest_text(original.model) or _LONGEST, _LONGEST)
        before = Step("text", {"tokenizer": TOKENIZER, "tokens": longest})
        if task == "token-generation":
            options = {**before.options, "new_tokens": NEW_TOKENS, "stop": _stop(config)}
            before, after = Step("prompt", options), Step("completion", {"tokenizer": TOKENIZER})
    coloured = kinds == {"image"} and original.inputs[0].shape[1] == 3
    if coloured and (source / PREPROCESSOR).is_file():
        before = _image_step(source / PREPROCESSOR) or before
    labels = getattr(config, "id2label", None) or {}
    kind = getattr(config, "problem_type", None) or _ONE_OF_SEVERAL
    picks = task.endswith("-classification") and task != "token-classification"
    if picks and len(labels) > 1 and kind == _ONE_OF_SEVERAL:  # of one label the share is always 1
        after = Step("labels", {"labels": [str(labels[at]) for at in sorted(labels)]})
    return About(name, task, origin, licence, before, after, files)


def _stop(config: Any) -> list[int]:
    """Return the tokens that end a text."""
    found = getattr(config, "eos_token_id", None)
    tokens = found if isinstance(found, list) else [found]
    return [int(token) for token in tokens if token is not None]


def _image_step(file: Path) -> Step | None:
    """Return how to prepare images, or None when the model wants something else than scaling and shifting."""
    try:
        plain: Any = safe_json.loads(file.read_bytes())
    except ValueError:
        return None
    if not isinstance(plain, dict) or any(
        plain.get(name, usual) != usual for name, usual in _USUAL_IMAGES.items()
    ):
        return None
    if abs(plain.get("rescale_factor", 1 / 255) * 255 - 1) > 1e-6:
        return None
    mean, std = plain.get("image_mean"), plain.get("image_std")
    for numbers in (mean, std):
        if not isinstance(numbers, list) or len(numbers) != 3:
            return None
        if not all(isinstance(number, int | float) for number in numbers):
            return None
    if not all(number > 0 for number in plain["image_std"]):
        return None
    return Step("image", {"mean": mean, "std": std})


def _inputs(original: Original, folder: Path, manifest: Manifest) -> list[Arrays]:
    """Return what to check on: sentences where the model has a tokenizer, else random numbers.

    Sentences are padded to one length, as the outputs have to be comparable with each other; if the format has several
    lengths, to each of them in turn.
    """
    lengths = Lengths.of(manifest)
    if manifest.preprocess.kind not in ("text", "prompt"):
        return check.random_inputs(original, lengths=lengths)
    runtime = {name: value for name, value in manifest.runtime.items() if name != OPTION}
    kept = {name: manifest.preprocess.options[name] for name in ("tokenizer", "tokens")}
    fixed = replace(manifest, runtime=runtime, preprocess=Step("text", kept))
    given: list[Arrays] = []
    for size in (None,) if lengths is None else lengths.sizes:
        specs = tuple(check.of_length(spec, size).spec for spec in original.inputs)
        prepare = open_preprocess(folder, replace(fixed, inputs=specs))
        given += [_tensors(prepare({"text": text})) for text in SENTENCES]
    return given


def _tensors(prepared: Tensors | Known | Prompt) -> Arrays:
    return prepared.arrays if isinstance(prepared, Tensors) else {}


def _check(
    original: Original, folder: Path, manifest: Manifest, accept_error: bool
) -> tuple[Report, bool]:
    try:
        inputs = _inputs(original, folder, manifest)
        return check.check(original, folder, manifest, inputs), False
    except CheckFailed as error:
        if accept_error and error.report is not None:
            return error.report, True
        raise


def _max_batch(folder: Path, manifest: Manifest) -> int:
    """Return how many rows may run at once without changing bits, on the backend that checks the format."""
    backend = open_for(manifest.format, check.BACKENDS.get(manifest.format))
    backend.load(folder, manifest)
    try:
        return largest_batch(backend, manifest)
    finally:
        backend.close()
