"""Loaded models: as many are kept as fit into memory, the one not used for longest goes first.

A model runs on the backend that was measured as the fastest of those that agree (`backends/select.py`); before it has
been measured, on the preferred one of its format. A backend that was chosen by name is obeyed.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

from offchain_worker import manifest as manifests
from offchain_worker.artifacts import Artifacts
from offchain_worker.backends import open_for
from offchain_worker.backends.base import Backend
from offchain_worker.backends.profile import Profile
from offchain_worker.backends.select import choose, kept
from offchain_worker.errors import (
    BackendNotInstalled,
    BackendNotSupported,
    ModelTooLarge,
    WorkerError,
)
from offchain_worker.hardware import Hardware, detect, memory_bytes
from offchain_worker.manifest import Manifest, inside
from offchain_worker.processing import open_postprocess, open_preprocess
from offchain_worker.processing.base import Postprocess, Preprocess
from offchain_worker.storage.chunking import size_on_disk

MEMORY_PER_FILE_BYTE = 3
"""What a model takes in memory for each byte of its files: the file, a runtime's own copy, and values in between.

Only for models that were not measured here. benchmarks/results/backends.json has measured peaks, which are below."""
MEMORY_PER_PEAK_BYTE = 1.5
"""What a model may take for each byte of its measured peak: inputs may be longer than those it was measured on."""
SHARE_OF_MEMORY = 0.75
"""Of the machine's memory, what models may take when no other limit is set."""
FIGURES = "figures"
"""Folder of measurements, in that of unpacked models."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is ready to run."""

    manifest: Manifest
    backend: Backend
    preprocess: Preprocess
    postprocess: Postprocess
    memory_bytes: int
    """What it is taken to need, see `needed_bytes`."""
    profile: Profile | None = None
    """What was measured of it on this backend; None as long as it was not."""

    @property
    def max_batch(self) -> int:
        """Most rows that may run at once: more than 1 only where manifest and measurement both say so."""
        return min(self.manifest.max_batch, self.profile.max_batch) if self.profile else 1


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
            backend: Backend for all models, or None for the best one for each.
            max_models: Most models to keep.
            max_memory_bytes: Most memory that they may need together; None for three quarters of the machine's.
        """
        self._artifacts = artifacts
        self._backend = backend
        self._max_models = max_models
        if max_memory_bytes is None:
            max_memory_bytes = int(SHARE_OF_MEMORY * memory_bytes())
        self._max_memory_bytes = max_memory_bytes
        self._machine: Hardware | None = None
        self._loaded: OrderedDict[str, Model] = OrderedDict()

    def get(self, model_cid: str) -> Model:
        """Return a model, loaded now or before.

        Raises:
            BadModel, ArtifactMissing, CorruptedBlock: As `Artifacts.folder`, or it does not load.
            ModelTooLarge: As `Artifacts.folder`, or it needs more memory than models may take here.
            BackendUnknown, BackendNotInstalled, BackendNotSupported: As `open_for`.
        """
        model = self._loaded.get(model_cid)
        if model is not None and model.profile is None:
            model = self._look_again(model_cid, model)
        if model is None:
            model = self._load(model_cid)
        self._loaded[model_cid] = model
        self._loaded.move_to_end(model_cid)
        return model

    def is_measured(self, model_cid: str) -> bool:
        """Whether a loaded model was measured on this machine."""
        model = self._loaded.get(model_cid)
        return model is not None and model.profile is not None

    def max_batch(self, model_cid: str) -> int:
        """Return how many rows of a model may run at once; 1 if it is not loaded."""
        model = self._loaded.get(model_cid)
        return model.max_batch if model else 1

    def measure(self, model_cid: str, *, copies: int = 1) -> list[Profile]:
        """Measure every backend that can run a model here, once, and keep the figures; the fastest comes first.

        Args:
            model_cid: Its CID.
            copies: How many of it are in memory meanwhile: 2 when another process serves it.

        Raises:
            WorkerError: As `get`, or no backend runs it.
        """
        folder = self._artifacts.folder(model_cid)
        self._require_room(copies * needed_bytes(_file_bytes(folder)))
        figures = self._artifacts.cache / FIGURES
        return choose(folder, model_cid, figures, only=self._backend, hardware=self._hardware())

    def too_large(self, model_cid: str) -> str | None:
        """Say why a model would not fit into memory, before it is unpacked; None when it would, or nobody can say."""
        try:
            size_bytes = self._artifacts.size_bytes(model_cid)
            self._require_room(needed_bytes(size_bytes, self._best(model_cid)))
        except ModelTooLarge as error:
            return str(error)
        except WorkerError:  # whoever loads it says what is wrong with it
            return None
        return None

    def close(self) -> None:
        """Free all models."""
        while self._loaded:
            _, model = self._loaded.popitem()
            model.backend.close()

    def _load(self, model_cid: str) -> Model:
        folder = self._artifacts.folder(model_cid)
        manifest = manifests.load(folder)
        backend, profile = self._open(model_cid, manifest)
        needed = needed_bytes(_file_bytes(folder), profile)
        self._require_room(needed)
        # Room is made before loading, so that there is never more in memory than may be.
        while self._loaded and (
            len(self._loaded) >= self._max_models
            or needed + sum(model.memory_bytes for model in self._loaded.values())
            > self._max_memory_bytes
        ):
            _, oldest = self._loaded.popitem(last=False)
            oldest.backend.close()
        before = open_preprocess(folder, manifest)
        model = Model(
            manifest, backend, before, open_postprocess(folder, manifest), needed, profile
        )
        backend.load(folder, manifest)
        return model

    def _look_again(self, model_cid: str, model: Model) -> Model | None:
        """Take up a measurement that was made since the model was loaded; None when it names another backend."""
        profile = self._best(model_cid)
        if profile is None:
            return model
        if profile.backend == f"{model.backend.name}:{model.backend.device}":
            return replace(model, profile=profile)
        del self._loaded[model_cid]
        model.backend.close()
        return None

    def _open(self, model_cid: str, manifest: Manifest) -> tuple[Backend, Profile | None]:
        for profile in self._figures(model_cid) or ():
            try:
                return open_for(manifest.format, profile.backend), profile
            except (BackendNotInstalled, BackendNotSupported):
                continue  # a device that is gone: the next one
        return open_for(manifest.format, self._backend), None

    def _figures(self, model_cid: str) -> list[Profile] | None:
        return kept(
            model_cid, self._artifacts.cache / FIGURES, self._hardware(), only=self._backend
        )

    def _best(self, model_cid: str) -> Profile | None:
        return next(iter(self._figures(model_cid) or ()), None)

    def _hardware(self) -> Hardware:
        if self._machine is None:
            self._machine = detect()
        return self._machine

    def _require_room(self, needed: int) -> None:
        if needed > self._max_memory_bytes:
            raise ModelTooLarge(
                f"expected a model that needs at most {self._max_memory_bytes} bytes of memory, got one that needs "
                f"about {needed}: do not offer it from this machine"
            )


def needed_bytes(file_bytes: int, profile: Profile | None = None) -> int:
    """Return about how much memory a model takes when it runs.

    Args:
        file_bytes: Size of its files.
        profile: What was measured of it here, if it was.
    """
    if profile is None:
        return MEMORY_PER_FILE_BYTE * file_bytes
    return max(file_bytes, int(MEMORY_PER_PEAK_BYTE * profile.peak_bytes))


def _file_bytes(folder: Path) -> int:
    """Return the size of all files but the manifest: some runtimes load more of them than it names."""
    return size_on_disk(folder) - inside(folder, manifests.FILE_NAME).stat().st_size
