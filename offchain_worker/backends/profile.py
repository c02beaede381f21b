"""Measures one backend on one model, in a process of its own: `python -m offchain_worker.backends.profile FOLDER NAME`.

So a runtime that crashes takes nothing else with it, and the peak of memory is that of this model alone.
"""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from offchain_worker import manifest as manifests
from offchain_worker import safetensors
from offchain_worker.backends.base import Arrays, Backend, check_outputs
from offchain_worker.backends.batching import largest_batch, sample_inputs
from offchain_worker.errors import BackendNotSupported, WorkerError

RUNS = 50
MAX_S = 5.0
BATCHES = (1, 4, 16)
TIMEOUT_S = 600


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
    max_batch: int = 1
    """Most rows at once that have the same bits as each alone, here; 1 where the manifest does not allow more."""


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
        max_batch=largest_batch(backend, manifest) if manifest.max_batch > 1 else 1,
    )
    backend.close()
    return profile, outputs


def measure_apart(folder: Path, name: str) -> tuple[Profile, Arrays]:
    """Do the same in a process of its own, which ends with this one.

    Raises:
        BackendNotSupported: It fails there, crashes, or takes longer than ten minutes.
    """
    command = [sys.executable, "-m", "offchain_worker.backends.profile", str(folder), name]
    theirs, ours = os.pipe()
    try:
        done = subprocess.run(command, stdin=theirs, capture_output=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise BackendNotSupported(
            f"expected {name} to run this model within {TIMEOUT_S} s, which it did not"
        ) from None
    finally:
        os.close(theirs)
        os.close(ours)
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


def _end_with_stdin() -> None:
    """Nobody waits for the figures any more when stdin ends."""
    while os.read(0, 1):
        pass
    os._exit(1)


def main(arguments: list[str]) -> int:
    """Print the figures as JSON, a zero byte, and the outputs as safetensors."""
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not get between them
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        profile, outputs = measure(Path(arguments[0]), arguments[1])
    except WorkerError as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    with os.fdopen(out, "wb") as file:
        file.write(json.dumps(asdict(profile)).encode() + b"\0")
        file.write(safetensors.write(outputs))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
