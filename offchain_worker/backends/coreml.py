"""Core ML on a Mac: Neural Engine, GPU and CPU."""

import sys
from pathlib import Path
from typing import Any

import coremltools as ct

from offchain_worker.backends.base import Arrays, check_inputs, check_options, pick_device
from offchain_worker.backends.coreml_package import check_tensors, package_of, tensors_of
from offchain_worker.errors import BadModel, one_line
from offchain_worker.lengths import OPTION, Lengths
from offchain_worker.manifest import Manifest

_MAC = (
    lambda: sys.platform == "darwin",
    "macOS; elsewhere, backend 'coreml-cpu' runs the same programs",
)
_DEVICES = dict.fromkeys(("all", "cpu_and_ne", "cpu_and_gpu", "cpu_only"), _MAC)


class Backend:
    """Runs an ML program.

    Devices are Core ML's compute units: "all" (unless named), "cpu_and_ne", "cpu_and_gpu", "cpu_only". The manifest's
    `runtime.compute_units` names them too, and decides when no device is named. Not thread-safe: use one instance per
    worker thread. `runtime.lengths` names the lengths of a text that the program takes.
    """

    name = "coreml"

    def __init__(self, device: str = "") -> None:
        self.device = pick_device(self.name, device or "all", _DEVICES)
        self._named = bool(device)
        self._manifest: Manifest | None = None
        self._lengths: Lengths | None = None
        self._model: Any = None

    def load(self, folder: Path, manifest: Manifest) -> None:
        """Load the program. See `base.Backend.load`."""
        check_options(manifest.runtime, ("compute_units", OPTION), self.name)
        self._lengths = Lengths.of(manifest)
        units = manifest.runtime.get("compute_units", "all")
        if units not in _DEVICES:
            raise BadModel(
                f"expected runtime.compute_units of {', '.join(_DEVICES)}, got {units!r}"
            )
        if not self._named:
            self.device = str(units)
        package = package_of(folder, manifest)
        try:
            model = ct.models.MLModel(
                str(package), compute_units=ct.ComputeUnit[self.device.upper()]
            )
        except Exception as error:  # what Core ML raises has no common root
            raise BadModel(
                f"expected a program that Core ML loads, got: {one_line(error)}"
            ) from error
        described = model.get_spec().description
        check_tensors(manifest, tensors_of(described.input), tensors_of(described.output))
        self._model, self._manifest = model, manifest

    def run(self, inputs: Arrays) -> Arrays:
        """Run the program once. See `base.Backend.run`."""
        if self._manifest is None:
            raise RuntimeError("expected load() before run()")
        check_inputs(inputs, self._manifest.inputs)
        if self._lengths is not None:
            self._lengths.check(inputs)
        try:
            found = self._model.predict(inputs)
        except Exception as error:  # what Core ML raises has no common root
            raise BadModel(
                f"expected a program that runs on what its manifest allows, got: {one_line(error)}"
            ) from error
        return {spec.name: found[spec.name].astype(spec.dtype) for spec in self._manifest.outputs}

    def close(self) -> None:
        """Free the program."""
        self._model = self._manifest = None
