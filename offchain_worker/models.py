"""Loaded models: a few are kept in memory, the one not used for longest goes first."""

from collections import OrderedDict
from dataclasses import dataclass

from offchain_worker import manifest as manifests
from offchain_worker.artifacts import Artifacts
from offchain_worker.backends import open_for
from offchain_worker.backends.base import Backend
from offchain_worker.manifest import Manifest
from offchain_worker.processing import open_postprocess, open_preprocess
from offchain_worker.processing.base import Postprocess, Preprocess


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is ready to run."""

    manifest: Manifest
    backend: Backend
    preprocess: Preprocess
    postprocess: Postprocess


class Models:
    """Loads models by the CID of their artifact folder and keeps `max_models` of them. Not thread-safe."""

    def __init__(self, artifacts: Artifacts, backend: str | None, max_models: int) -> None:
        self._artifacts = artifacts
        self._backend = backend
        self._max_models = max_models
        self._loaded: OrderedDict[str, Model] = OrderedDict()

    def get(self, model_cid: str) -> Model:
        """Return a model, loaded now or before.

        Raises:
            BadModel, ModelTooLarge, ArtifactMissing, CorruptedBlock: As `Artifacts.folder`, or it does not load.
            BackendUnknown, BackendNotInstalled, BackendNotSupported: As `open_for`.
        """
        if model_cid in self._loaded:
            self._loaded.move_to_end(model_cid)
            return self._loaded[model_cid]
        folder = self._artifacts.folder(model_cid)
        manifest = manifests.load(folder)
        backend = open_for(manifest.format, self._backend)
        # Room is made before loading, so that there are never more than max_models in memory.
        while len(self._loaded) >= self._max_models:
            _, oldest = self._loaded.popitem(last=False)
            oldest.backend.close()
        model = Model(
            manifest, backend, open_preprocess(folder, manifest), open_postprocess(folder, manifest)
        )
        backend.load(folder, manifest)
        self._loaded[model_cid] = model
        return model

    def close(self) -> None:
        """Free all models."""
        while self._loaded:
            _, model = self._loaded.popitem()
            model.backend.close()
