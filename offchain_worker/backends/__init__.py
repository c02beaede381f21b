"""Backends by name. One file each, imported when it is opened.

A name may be followed by a device, as in "torch:mps". Three errors are told apart: unknown, not installed, and not
supported on this machine.

To add one: write `backends/<name>.py` with a class `Backend` as `base.Backend` describes, and add it here with what
installs the packages that it needs. Tests of `reference` are the specification.
"""

from importlib import import_module

from offchain_worker.backends.base import Backend
from offchain_worker.errors import (
    BackendNotInstalled,
    BackendNotSupported,
    BackendUnknown,
    WorkerError,
    did_you_mean,
)

BACKENDS = {
    "reference": "offchain_worker.backends.reference",
    "integer": "offchain_worker.backends.integer",
    "onnx": "offchain_worker.backends.onnx",
    "torch": "offchain_worker.backends.torch",
    "coreml": "offchain_worker.backends.coreml",
    "coreml-cpu": "offchain_worker.backends.coreml_cpu",
    "mlx": "offchain_worker.backends.mlx",
}
INSTALL = {
    "onnx": "onnxruntime",
    "torch": "'lattice[torch]'",
    "coreml": "'lattice[coreml]'",
    "coreml-cpu": "'lattice[coreml,torch]'",
    "mlx": "'lattice[mlx]'",
}
"""What to install for a backend, where that is more than the package which is missing."""
FORMATS = {
    "reference": ("reference",),
    "integer": ("integer",),
    "onnx": ("onnx",),
    "torch": ("torch",),
    "coreml": ("coreml", "coreml-cpu"),
    "mlx": ("mlx",),
}
"""Which backends can run a manifest's format, the preferred one first."""


def open_backend(name: str) -> Backend:
    """Return a new backend, with no model loaded.

    Args:
        name: Such as "onnx", or with a device, "onnx:cuda".

    Raises:
        BackendUnknown: There is none of this name, or it has no such device.
        BackendNotInstalled: It needs a package that is not installed, or cannot be loaded.
        BackendNotSupported: This machine cannot run it, or lacks the device.
    """
    name, _, device = name.partition(":")
    if name not in BACKENDS:
        hint = did_you_mean(name, BACKENDS)
        raise BackendUnknown(
            f"expected a backend of {', '.join(sorted(BACKENDS))}, got {name!r}{hint}"
        )
    try:
        module = import_module(BACKENDS[name])
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package == "offchain_worker":
            raise
        raise BackendNotInstalled(
            f"expected package {package!r} for backend {name!r}, which is not installed: pip install "
            f"{INSTALL.get(name, package)}"
        ) from error
    except (ImportError, OSError) as error:  # a library of another version, or one that it needs
        raise BackendNotInstalled(
            f"expected the packages of backend {name!r} to be such that they can be loaded, got: {error}: install them "
            f"anew, pip install --force-reinstall {INSTALL.get(name, name)}"
        ) from error
    backend: Backend = module.Backend(device) if device else module.Backend()
    return backend


def open_for(format: str, choice: str | None = None) -> Backend:
    """Return a new backend for a manifest's format: `choice`, or the preferred one that this machine has.

    Raises:
        BackendNotSupported: No backend runs this format, or `choice` does not, or not here.
        BackendUnknown, BackendNotInstalled: As `open_backend`; if no backend can be opened, as the preferred one.
    """
    able = FORMATS.get(format, ())
    if not able:
        hint = did_you_mean(format, FORMATS)
        raise BackendNotSupported(
            f"expected a model format of {', '.join(sorted(FORMATS))}, got {format!r}{hint}: "
            "do not offer this model version from this worker"
        )
    if choice is not None:
        if choice.partition(":")[0] not in able and choice.partition(":")[0] in BACKENDS:
            raise BackendNotSupported(
                f"expected a backend of {', '.join(able)} for format {format!r}, got {choice!r}: choose one of "
                "these, or none to have it chosen"
            )
        return open_backend(choice)
    refusals: list[WorkerError] = []
    for name in able:
        try:
            return open_backend(name)
        except (BackendNotInstalled, BackendNotSupported) as error:
            refusals.append(error)
    raise refusals[0]
