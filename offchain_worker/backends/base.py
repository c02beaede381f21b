"""What a backend is, and the checks of tensors that all of them share."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from offchain_worker.errors import (
    BackendNotSupported,
    BackendUnknown,
    BadInput,
    BadModel,
    BadOutput,
    WorkerError,
    did_you_mean,
)
from offchain_worker.manifest import Manifest, TensorSpec

Arrays = dict[str, np.ndarray[Any, Any]]

MAX_TENSOR_BYTES = 256 << 20
PAST = "past"
"""What was computed for earlier tokens, of a model that is one step: the only input that may be empty."""


class Backend(Protocol):
    """Runs one model. Made as `Backend()` or `Backend(device)`.

    Not thread-safe: use one instance per worker thread.
    """

    name: str
    """Its name everywhere: in settings, offers and results."""
    device: str
    """What it computes on, such as "cpu"."""

    def load(self, folder: Path, manifest: Manifest) -> None:
        """Load the model of an artifact folder, once.

        Args:
            folder: Artifact folder, already checked against its CID.
            manifest: Its manifest.

        Raises:
            BadModel: The files are not what the manifest says, or an option of the runtime is unknown.
        """
        ...

    def run(self, inputs: Arrays) -> Arrays:
        """Run the model once.

        Args:
            inputs: All inputs of the manifest, by name, with its dtypes and shapes.

        Returns:
            All outputs of the manifest, by name, with its dtypes and shapes.

        Raises:
            BadInput: As `check_inputs`.
            BadModel: The runtime failed on inputs that the manifest allows.
        """
        ...

    def close(self) -> None:
        """Free the model. Calling it twice is fine."""
        ...


def check_inputs(inputs: Mapping[str, np.ndarray[Any, Any]], specs: Sequence[TensorSpec]) -> None:
    """Check inputs against the manifest.

    Raises:
        BadInput: One is missing, not asked for, of a wrong dtype or shape, empty, too large, or holds NaN or infinity.
    """
    _check(inputs, specs, "input", BadInput)
    for name, array in inputs.items():
        if not array.size and name != PAST:
            raise BadInput(f"expected numbers in input {name!r}, got the empty shape {array.shape}")


def check_outputs(outputs: Mapping[str, np.ndarray[Any, Any]], specs: Sequence[TensorSpec]) -> None:
    """Check outputs against the manifest.

    Raises:
        BadOutput: As `check_inputs`.
    """
    _check(outputs, specs, "output", BadOutput)


def pick_device(
    backend: str, device: str, known: Mapping[str, tuple[Callable[[], bool], str]]
) -> str:
    """Return `device` if this machine has it.

    Args:
        backend: Name of the backend, for the message.
        device: What was asked for.
        known: For each device of the backend, whether it is here, and what it needs.

    Raises:
        BackendUnknown: The backend has no such device.
        BackendNotSupported: It has, and this machine lacks what it needs.
    """
    if device not in known:
        hint = did_you_mean(device, known)
        raise BackendUnknown(
            f"expected a device of backend {backend!r} ({', '.join(known)}), got {device!r}{hint}"
        )
    is_here, needs = known[device]
    if not is_here():
        usable = ", ".join(name for name, (here, _) in known.items() if here()) or "none"
        raise BackendNotSupported(
            f"expected {needs} for device {device!r} of backend {backend!r}, which this machine lacks; usable here: "
            f"{usable}"
        )
    return device


def check_options(given: Collection[str], known: Collection[str], backend: str) -> None:
    """Check the names of a manifest's runtime options.

    Raises:
        BadModel: One is not known, so its effect on the bits is not either.
    """
    for name in given:
        if name not in known:
            shown = ", ".join(sorted(known)) or "none"
            raise BadModel(
                f"expected runtime options of backend {backend!r} ({shown}), got {name!r}{did_you_mean(name, known)}"
            )


def _check(
    arrays: Mapping[str, np.ndarray[Any, Any]],
    specs: Sequence[TensorSpec],
    word: str,
    error: type[WorkerError],
) -> None:
    names = [spec.name for spec in specs]
    if missing := [name for name in names if name not in arrays]:
        raise error(f"expected an {word} named {missing[0]!r}, got {sorted(arrays)}")
    if extra := [name for name in arrays if name not in names]:
        raise error(
            f"expected only {word}s named {names}, got {extra[0]!r}{did_you_mean(extra[0], names)}"
        )
    for spec in specs:
        array = arrays[spec.name]
        if not isinstance(array, np.ndarray):
            raise error(f"expected a tensor as {word} {spec.name!r}, got {type(array).__name__}")
        if array.dtype != np.dtype(spec.dtype):  # which tells byte orders apart, too
            raise error(f"expected {word} {spec.name!r} of dtype {spec.dtype}, got {array.dtype}")
        if array.ndim != len(spec.shape) or any(
            size not in (-1, actual) for size, actual in zip(spec.shape, array.shape, strict=True)
        ):
            shape = tuple("any" if size == -1 else size for size in spec.shape)
            raise error(f"expected {word} {spec.name!r} of shape {shape}, got {array.shape}")
        if array.nbytes > MAX_TENSOR_BYTES:
            raise error(
                f"expected {word} {spec.name!r} of at most {MAX_TENSOR_BYTES} bytes, got {array.nbytes}"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise error(f"expected finite numbers in {word} {spec.name!r}, got NaN or infinity")
