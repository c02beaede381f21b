"""Core ML programs on any machine: every operator computed by PyTorch on the CPU, in the program's own dtypes.

For checking a conversion, or a Mac's answer within a tolerance. A Mac rounds elsewhere, so other bits than a Mac's are
no sign of a false answer.
"""

from pathlib import Path

from offchain_worker.backends.base import Arrays, check_inputs, check_options, pick_device
from offchain_worker.backends.coreml_package import check_tensors, package_of
from offchain_worker.errors import BadModel, one_line
from offchain_worker.lengths import OPTION, Lengths
from offchain_worker.manifest import Manifest
from offchain_worker.mil.program import Program


class Backend:
    """Runs an ML program. Device: "cpu". Not thread-safe: use one instance per worker thread."""

    name = "coreml-cpu"

    def __init__(self, device: str = "cpu") -> None:
        self.device = pick_device(self.name, device, {"cpu": (lambda: True, "")})
        self._manifest: Manifest | None = None
        self._lengths: Lengths | None = None
        self._program: Program | None = None

    def load(self, folder: Path, manifest: Manifest) -> None:
        """Load the program. See `base.Backend.load`."""
        check_options(manifest.runtime, ("compute_units", OPTION), self.name)
        self._lengths = Lengths.of(manifest)
        program = Program(package_of(folder, manifest))
        check_tensors(manifest, program.inputs, program.outputs)
        self._program, self._manifest = program, manifest

    def run(self, inputs: Arrays) -> Arrays:
        """Run the program once. See `base.Backend.run`."""
        if self._manifest is None or self._program is None:
            raise RuntimeError("expected load() before run()")
        check_inputs(inputs, self._manifest.inputs)
        if self._lengths is not None:
            self._lengths.check(inputs)
        try:
            found = self._program.run(inputs)
        except Exception as error:  # what PyTorch raises has no common root
            raise BadModel(
                f"expected a program that runs on what its manifest allows, got: {one_line(error)}"
            ) from error
        return {spec.name: found[spec.name].astype(spec.dtype) for spec in self._manifest.outputs}

    def close(self) -> None:
        """Free the program."""
        self._program = self._manifest = None
