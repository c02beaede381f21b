"""What this machine is: chip, memory, GPUs, Neural Engine, versions. Needs no special rights."""

import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from offchain_worker.backends import BACKENDS, open_backend
from offchain_worker.errors import BackendNotInstalled, BackendNotSupported

_PACKAGES = ("numpy", "onnxruntime", "torch", "transformers", "coremltools", "mlx", "mlx-lm")
_DEVICES = {
    "reference": ("cpu",),
    "integer": ("cpu",),
    "onnx": ("cpu", "cuda", "rocm", "coreml"),
    "torch": ("cpu", "cuda", "rocm", "mps"),
    "coreml": ("all", "cpu_and_ne", "cpu_and_gpu", "cpu_only"),
    "coreml-cpu": ("cpu",),
    "mlx": ("cpu", "gpu"),
}
_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Hardware:
    """One machine."""

    system: str
    """Operating system and its version."""
    chip: str
    cores: int
    """That this process may use."""
    memory_bytes: int
    gpus: tuple[str, ...]
    neural_engine: bool
    versions: dict[str, str]
    """Of Python and the packages that compute, where they are installed."""

    @property
    def identity(self) -> str:
        """Hash of all of it, 16 hex digits: measurements of another identity say nothing here."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def detect() -> Hardware:
    """Look at this machine."""
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return Hardware(
        system=f"{platform.system()} {platform.release()}",
        chip=_chip(),
        cores=_cores(),
        memory_bytes=memory_bytes(),
        gpus=_gpus(apple),
        neural_engine=apple,
        versions=_versions(),
    )


def usable(names: Collection[str] = tuple(BACKENDS)) -> dict[str, str]:
    """Return each backend with device, such as "torch:mps", and "ok" or why it cannot be used here."""
    found = {}
    for name in names:
        for device in _DEVICES[name]:
            try:
                open_backend(f"{name}:{device}").close()
            except (BackendNotInstalled, BackendNotSupported) as error:
                found[f"{name}:{device}"] = str(error)
            else:
                found[f"{name}:{device}"] = "ok"
    return found


def _chip() -> str:
    if sys.platform == "darwin":
        return _ask("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """Return how much memory this process may have: the machine's, or less in a container or a unit with a limit."""
    if sys.platform == "darwin":
        return int(_ask("sysctl", "-n", "hw.memsize") or 0)
    return least_memory(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def least_memory(
    machine_bytes: int,
    groups: Path = Path("/proc/self/cgroup"),
    root: Path = Path("/sys/fs/cgroup"),
) -> int:
    """Return the least of `machine_bytes` and the limits of the control groups that this process is in (Linux)."""
    found = [machine_bytes]
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, kinds, name = line.split(":", 2)
        if "memory" in kinds.split(","):
            top, file = root / "memory", "memory.limit_in_bytes"
        elif not kinds:
            top, file = root, "memory.max"
        else:
            continue
        group = top / name.lstrip("/")
        # A container may see its own group as the top, so the path need not exist.
        for folder in (group, *group.parents):
            if folder.is_relative_to(top):
                with suppress(OSError, ValueError):  # absent, or "max"
                    found.append(int((folder / file).read_text()))
    return min(found)


def resident_bytes() -> int:
    """Return how much memory this process has now; where that is not told, the most it ever had."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def _gpus(apple: bool) -> tuple[str, ...]:
    if apple:
        return (f"{_chip()} GPU",)
    nvidia = _ask(
        "nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"
    )
    amd = ("AMD GPU (ROCm)",) if Path("/dev/kfd").exists() else ()
    return (*(line.strip() for line in nvidia.splitlines() if line.strip()), *amd)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _ask(*command: str) -> str:
    """Return what a program prints, nothing when it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
