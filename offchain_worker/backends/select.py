"""Which backend is fastest for a model on this machine: each that can be used is measured once, the result is kept.

A backend counts only if it agrees with the reference of the format. A file per model, machine and versions holds the
figures, so new hardware or a new package means measuring again.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from offchain_worker import manifest as manifests
from offchain_worker import safe_json
from offchain_worker.backends import FORMATS
from offchain_worker.backends.base import Arrays
from offchain_worker.backends.profile import Profile, measure_apart
from offchain_worker.errors import BackendNotSupported, WorkerError
from offchain_worker.hardware import Hardware, detect, usable

REFERENCES = {
    "reference": "reference:cpu",
    "integer": "integer:cpu",
    "onnx": "onnx:cpu",
    "torch": "torch:cpu",
    "coreml": "coreml-cpu:cpu",
    "mlx": "mlx:cpu",
}
"""Backend whose output the others have to agree with, by format."""
AGREEMENT = 0.999
"""Least cosine of outputs. Devices round differently, half precision most; below this they compute something else."""

Measure = Callable[[Path, str], tuple[Profile, Arrays]]


def choose(
    folder: Path,
    model_cid: str,
    cache: Path,
    *,
    only: str | None = None,
    hardware: Hardware | None = None,
    here: Mapping[str, str] | None = None,
    measure: Measure = measure_apart,
) -> list[Profile]:
    """Return the profiles of all backends that run the model and agree, the fastest first.

    Args:
        folder: Artifact folder.
        model_cid: Its CID.
        cache: Folder for the figures, made if there is none.
        only: A backend, perhaps with its device, if no other counts.
        hardware: This machine, if it is known already.
        here: What `hardware.usable` says, if it is known already.
        measure: Runs one backend on the model.

    Raises:
        BackendNotSupported: None does; the message has the reasons.
    """
    machine = hardware or detect()
    if (known := kept(model_cid, cache, machine, only)) is not None:
        return known
    format = manifests.load(folder).format
    found = usable(FORMATS.get(format, ())) if here is None else here
    names = [name for name, state in found.items() if state == "ok"]
    able = [name for name in names if name.partition(":")[0] in FORMATS.get(format, ())]
    if only is not None:
        able = [name for name in able if only in (name, name.partition(":")[0])]
    reference = REFERENCES.get(format)
    able.sort(key=lambda name: name != reference)
    agreeing: list[Profile] = []
    refusals: list[str] = []
    expected: Arrays | None = None
    for name in able:
        try:
            profile, outputs = measure(folder, name)
        except WorkerError as error:
            refusals.append(f"{name}: {error}")
            continue
        expected = outputs if expected is None else expected
        cosine = _cosine(expected, outputs)
        if cosine >= AGREEMENT:
            agreeing.append(replace(profile, cosine=round(cosine, 9)))
        else:
            refusals.append(f"{name}: differs from {able[0]}, cosine {cosine:.6f}")
    if not agreeing:
        raise BackendNotSupported(
            f"expected a backend for format {format!r} on this machine, got: {'; '.join(refusals) or 'none'}"
        )
    agreeing.sort(key=lambda profile: profile.p50_ms)
    _write(_file(model_cid, cache, machine, only), agreeing)
    return agreeing


def kept(
    model_cid: str, cache: Path, machine: Hardware, only: str | None = None
) -> list[Profile] | None:
    """Return what `choose` found before, None if it has not run for this machine and these versions."""
    return _read(_file(model_cid, cache, machine, only))


def _file(model_cid: str, cache: Path, machine: Hardware, only: str | None) -> Path:
    named = "" if only is None else f"-{only.replace(':', '-')}"
    return cache / f"{model_cid}-{machine.identity}{named}.json"


def _cosine(expected: Arrays, found: Arrays) -> float:
    """Return the least cosine over the outputs; 0 when they are not of the same names and sizes."""
    if expected.keys() != found.keys():
        return 0.0
    least = 1.0
    for name, array in expected.items():
        a, b = array.astype(np.float64).ravel(), found[name].astype(np.float64).ravel()
        if a.shape != b.shape:
            return 0.0
        size = float(np.linalg.norm(a) * np.linalg.norm(b))
        least = min(least, float(a @ b) / size if size > 0 else float(np.array_equal(a, b)))
    return least


def _read(file: Path) -> list[Profile] | None:
    try:
        return [Profile(**item) for item in safe_json.loads(file.read_bytes())] or None
    except (
        OSError,
        ValueError,
        TypeError,
    ):  # absent, cut off, or of an older version: measure again
        return None


def _write(file: Path, profiles: list[Profile]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}")
    with partial.open("w") as out:
        json.dump([asdict(profile) for profile in profiles], out, indent=1)
        out.flush()
        os.fsync(out.fileno())  # else a power cut may leave an empty file under the name
    partial.replace(file)
