"""Measures one backend on one model, in a process of its own: `python -m offchain_worker.backends.profile FOLDER NAME`.

So a runtime that crashes takes nothing else with it, and the peak of memory is that of this model alone.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from offchain_worker import manifest as manifests
from offchain_worker import safetensors
from offchain_worker.backends.base import Arrays, Backend, check_outputs
from offchain_worker.errors import BackendNotSupported, WorkerError
from offchain_worker.manifest import Manifest

RUNS = 50
MAX_S = 5.0
BATCHES = (1, 4, 16)
TIMEOUT_S = 600
_FREE_SIZE = 16
_MAX_TOKEN = 8


@dataclass(frozen=True, slots=True)
class Profile:
    """What was measured."""

    backend: str
    """With its device."""
    p50_ms: float
    p99_ms: float
    cpu_p50_ms: float
    """Time of the processor in one run: what p50 would be on a machine that does nothing else."""
    runs: int
    per_second: dict[str, float]
    """Throughput by size of the batch; one only where the manifest fixes it."""
    load_ms: float
    peak_bytes: int
    """Most memory that the process took above what it took before loading."""
    cosine: float = 1.0
    """Agreement with the reference, the first backend that was measured; 1 for that one itself."""


def sample_inputs(manifest: Manifest, batch: int = 1) -> Arrays:
    """Return inputs as the manifest allows them; whole numbers are small, so that they may be tokens."""
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for spec in manifest.inputs:
        shape = [_FREE_SIZE if size == -1 else size for size in spec.shape]
        if spec.shape and spec.shape[0] == -1:
            shape[0] = batch
        if spec.name == "attention_mask":
            arrays[spec.name] = np.ones(shape, spec.dtype)
        elif np.dtype(spec.dtype).kind == "f":
            arrays[spec.name] = rng.standard_normal(shape).astype(spec.dtype)
        else:
            arrays[spec.name] = rng.integers(0, _MAX_TOKEN, shape).astype(spec.dtype)
    return arrays


def measure(folder: Path, name: str) -> tuple[Profile, Arrays]:
    """Load and run a model in this process. Returns the figures and the outputs for `sample_inputs`.

    Raises:
        WorkerError: The backend cannot be opened, or the model does not load or run.
    """
    from offchain_worker.backends import open_for

    manifest = manifests.load(folder)
    backend = open_for(manifest.format, name)
    before = _peak_bytes()
    start = time.perf_counter()
    backend.load(folder, manifest)
    load_ms = (time.perf_counter() - start) * 1000
    inputs = sample_inputs(manifest)
    outputs = backend.run(inputs)
    check_outputs(outputs, manifest.outputs)
    cpu = _times_ms(backend, inputs, time.process_time)
    times = _times_ms(backend, inputs)
    per_second = {"1": round(1000 / float(np.median(times)), 2)}
    if all(spec.shape and spec.shape[0] == -1 for spec in manifest.inputs):
        for batch in BATCHES[1:]:
            spent = _times_ms(backend, sample_inputs(manifest, batch))
            per_second[str(batch)] = round(batch * 1000 / float(np.median(spent)), 2)
    profile = Profile(
        backend=name,
        p50_ms=round(float(np.percentile(times, 50)), 4),
        p99_ms=round(float(np.percentile(times, 99)), 4),
        cpu_p50_ms=round(float(np.percentile(cpu, 50)), 4),
        runs=len(times),
        per_second=per_second,
        load_ms=round(load_ms, 1),
        peak_bytes=max(0, _peak_bytes() - before),
    )
    backend.close()
    return profile, outputs


def measure_apart(folder: Path, name: str) -> tuple[Profile, Arrays]:
    """Do the same in a process of its own.

    Raises:
        BackendNotSupported: It fails there, crashes, or takes longer than ten minutes.
    """
    command = [sys.executable, "-m", "offchain_worker.backends.profile", str(folder), name]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise BackendNotSupported(
            f"expected {name} to run this model within {TIMEOUT_S} s, which it did not"
        ) from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise BackendNotSupported(
            f"expected {name} to run this model, got: {said[-1] if said else done.returncode}"
        )
    text, _, data = done.stdout.partition(b"\0")
    return Profile(**json.loads(text)), dict(safetensors.read(data))


def _times_ms(
    backend: Backend, inputs: Arrays, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < RUNS and (len(times) < 3 or time.perf_counter() - begun < MAX_S):
        start = clock()
        backend.run(inputs)
        times.append((clock() - start) * 1000)
    return times


def _peak_bytes() -> int:
    try:  # on Linux, what getrusage says begins with the size of the process that started this one
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(arguments: list[str]) -> int:
    """Print the figures as JSON, a zero byte, and the outputs as safetensors."""
    try:
        profile, outputs = measure(Path(arguments[0]), arguments[1])
    except WorkerError as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(json.dumps(asdict(profile)).encode() + b"\0")
    sys.stdout.buffer.write(safetensors.write(outputs))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
