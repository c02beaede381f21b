"""Static 8-bit models whose bits are the same on every machine. See `offchain_worker.integer`."""

from pathlib import Path

from offchain_worker import safetensors
from offchain_worker.backends.base import Arrays, check_inputs, check_options, pick_device
from offchain_worker.errors import BadModel
from offchain_worker.integer.graph import GRAPH_FILE, WEIGHTS_FILE, Graph, from_json
from offchain_worker.manifest import Manifest, inside


class Backend:
    """Runs a model that `integer.from_onnx` wrote. It has no options.

    Not thread-safe: use one instance per worker thread.
    """

    name = "integer"

    def __init__(self, device: str = "cpu") -> None:
        self.device = pick_device(self.name, device, {"cpu": (lambda: True, "")})
        self._manifest: Manifest | None = None
        self._graph: Graph | None = None

    def load(self, folder: Path, manifest: Manifest) -> None:
        """Load the graph. See `base.Backend.load`."""
        check_options(manifest.runtime, (), self.name)
        if manifest.files != (GRAPH_FILE, WEIGHTS_FILE):
            raise BadModel(
                f"expected the files {GRAPH_FILE} and {WEIGHTS_FILE} of format 'integer', got "
                f"{', '.join(manifest.files)}"
            )
        graph, weights = (inside(folder, name).read_bytes() for name in manifest.files)
        self._graph = Graph(
            from_json(graph),
            safetensors.read(weights),
            {spec.name: spec.dtype for spec in manifest.inputs},
            {spec.name: spec.dtype for spec in manifest.outputs},
        )
        self._manifest = manifest

    def run(self, inputs: Arrays) -> Arrays:
        """Run the model once. See `base.Backend.run`."""
        if self._manifest is None or self._graph is None:
            raise RuntimeError("expected load() before run()")
        check_inputs(inputs, self._manifest.inputs)
        return self._graph.run(inputs)

    def close(self) -> None:
        """Free the model."""
        self._graph = self._manifest = None
