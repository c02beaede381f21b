"""Loaded models: as many are kept as fit into memory, the one not used for longest goes first."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from offchain_worker import manifest as manifests
from offchain_worker.artifacts import Artifacts
from offchain_worker.backends import open_for
from offchain_worker.backends.base import Backend
from offchain_worker.errors import ModelTooLarge
from offchain_worker.hardware import memory_bytes
from offchain_worker.manifest import Manifest, inside
from offchain_worker.processing import open_postprocess, open_preprocess
from offchain_worker.processing.base import Postprocess, Preprocess

MEMORY_PER_FILE_BYTE = 3
"""What a model takes in memory for each byte of its files: the file, a runtime's own copy, and values in between.

benchmarks/results/backends.json has measured peaks, which are below."""
SHARE_OF_MEMORY = 0.75
"""Of the machine's memory, what models may take when no other limit is set."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is ready to run."""

    manifest: Manifest
    backend: Backend
    preprocess: Preprocess
    postprocess: Postprocess
    memory_bytes: int
    """What it is taken to need, see `needed_bytes`."""


class Models:
    """Loads models by the CID of their artifact folder. Not thread-safe."""

    def __init__(
        self,
        artifacts: Artifacts,
        backend: str | None,
        max_models: int,
        max_memory_bytes: int | None = None,
    ) -> None:
        """Load nothing yet.

        Args:
            artifacts: Where the folders come from.
            backend: Backend for all models, or None for the preferred one of each model's format.
            max_models: Most models to keep.
            max_memory_bytes: Most memory that they may need together; None for three quarters of the machine's.
        """
        self._artifacts = artifacts
        self._backend = backend
        self._max_models = max_models
        if max_memory_bytes is None:
            max_memory_bytes = int(SHARE_OF_MEMORY * memory_bytes())
        self._max_memory_bytes = max_memory_bytes
        self._loaded: OrderedDict[str, Model] = OrderedDict()

    def get(self, model_cid: str) -> Model:
        """Return a model, loaded now or before.

        Raises:
            BadModel, ArtifactMissing, CorruptedBlock: As `Artifacts.folder`, or it does not load.
            ModelTooLarge: As `Artifacts.folder`, or it needs more memory than models may take here.
            BackendUnknown, BackendNotInstalled, BackendNotSupported: As `open_for`.
        """
        if model_cid in self._loaded:
            self._loaded.move_to_end(model_cid)
            return self._loaded[model_cid]
        folder = self._artifacts.folder(model_cid)
        manifest = manifests.load(folder)
        needed = needed_bytes(folder, manifest)
        if needed > self._max_memory_bytes:
            raise ModelTooLarge(
                f"expected a model that needs at most {self._max_memory_bytes} bytes of memory, got one that needs "
                f"about {needed}: do not offer it from this machine"
            )
        backend = open_for(manifest.format, self._backend)
        # Room is made before loading, so that there is never more in memory than may be.
        while self._loaded and (
            len(self._loaded) >= self._max_models
            or needed + sum(model.memory_bytes for model in self._loaded.values())
            > self._max_memory_bytes
        ):
            _, oldest = self._loaded.popitem(last=False)
            oldest.backend.close()
        model = Model(
            manifest,
            backend,
            open_preprocess(folder, manifest),
            open_postprocess(folder, manifest),
            needed,
        )
        backend.load(folder, manifest)
        self._loaded[model_cid] = model
        return model

    def close(self) -> None:
        """Free all models."""
        while self._loaded:
            _, model = self._loaded.popitem()
            model.backend.close()


def needed_bytes(folder: Path, manifest: Manifest) -> int:
    """Return about how much memory a model takes when it runs, from the size of its files."""
    sizes = (inside(folder, name).stat().st_size for name in manifest.files)
    return MEMORY_PER_FILE_BYTE * sum(sizes)
