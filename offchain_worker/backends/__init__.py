"""Backends by name. One file each, imported when it is opened.

To add one: write `backends/<name>.py` with a class `Backend` as `base.Backend` describes, and add it here with the
package that it needs. Tests of `reference` are the specification.
"""

from importlib import import_module

from offchain_worker.backends.base import Backend
from offchain_worker.errors import (
    BackendNotInstalled,
    BackendNotSupported,
    BackendUnknown,
    did_you_mean,
)

BACKENDS = {
    "reference": "offchain_worker.backends.reference",
    "onnx": "offchain_worker.backends.onnx",
}
FORMATS = {
    "reference": ("reference",),
    "onnx": ("onnx",),
}
"""Which backends can run a manifest's format, the preferred one first."""


def open_backend(name: str) -> Backend:
    """Return a new backend, with no model loaded.

    Raises:
        BackendUnknown: There is none of this name.
        BackendNotInstalled: It needs a package that is not installed.
    """
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
            f"expected package {package!r} for backend {name!r}, which is not installed: pip install {package}"
        ) from error
    backend: Backend = module.Backend()
    return backend


def open_for(format: str, choice: str | None = None) -> Backend:
    """Return a new backend for a manifest's format: `choice`, or the preferred one if that is None.

    Raises:
        BackendNotSupported: No backend runs this format, or `choice` does not.
        BackendUnknown, BackendNotInstalled: As `open_backend`.
    """
    able = FORMATS.get(format, ())
    if not able:
        hint = did_you_mean(format, FORMATS)
        raise BackendNotSupported(
            f"expected a model format of {', '.join(sorted(FORMATS))}, got {format!r}{hint}: "
            "do not offer this model version from this worker"
        )
    backend = open_backend(choice or able[0])
    if backend.name not in able:
        raise BackendNotSupported(
            f"expected a backend of {', '.join(able)} for format {format!r}, got {backend.name!r}: choose one of "
            "these, or none to have it chosen"
        )
    return backend
