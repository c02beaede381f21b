"""Artifact folders on this disk: exported from the store once, and checked against their CID before each load."""

from contextlib import suppress
from pathlib import Path

from offchain_worker.errors import (
    ArtifactTooLarge,
    BadArtifact,
    BadModel,
    CorruptedBlock,
    ModelTooLarge,
)
from offchain_worker.storage.base import Store
from offchain_worker.storage.chunking import cid_of
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.dag import Directory, decode
from offchain_worker.storage.disk import work_folder


class Artifacts:
    """A cache of artifact folders. Two processes may share one."""

    def __init__(self, store: Store, cache: Path, max_bytes: int) -> None:
        """Use `cache`, a folder that is made if there is none, for folders of at most `max_bytes` each."""
        self._store = store
        self.cache = cache
        self._max_bytes = max_bytes
        cache.mkdir(parents=True, exist_ok=True)

    def folder(self, model_cid: str) -> Path:
        """Return the folder that `model_cid` names, after hashing every file in it.

        A cached folder that was changed is thrown away and exported again.

        Raises:
            ModelTooLarge: It is larger than the limit.
            BadModel: It is no folder in the profile `unixfs-v1-2025`.
            ArtifactMissing: A block is not in the store yet.
            CorruptedBlock: The store's disk or the cache's disk fails.
        """
        cid = _parse(model_cid)
        to = self.cache / str(cid)
        if to.is_dir():
            if self._matches(to, cid):
                return to
            self._throw_away(to)
        self._export(cid, to)
        if not self._matches(to, cid):
            self._throw_away(to)
            raise BadModel(
                f"expected the files of {cid} to give this CID again, got another: publish the folder in the "
                "profile unixfs-v1-2025 (chunks of 1 MiB, raw leaves, at most 1,024 links)"
            )
        return to

    def size_bytes(self, model_cid: str) -> int:
        """Return about how large a folder is, as its first block says, without reading the rest.

        Raises:
            BadModel: It is no folder.
            ArtifactMissing, CorruptedBlock: As `folder`, for this one block.
        """
        cid = _parse(model_cid)
        found = decode(cid, self._store.get(cid))
        if not isinstance(found, Directory):
            raise BadModel(f"expected a folder as the model, got {cid}, which is a file")
        return sum(link.total_bytes for link in found.links)

    def _export(self, cid: Cid, to: Path) -> None:
        try:
            self._store.export(cid, to, self._max_bytes)
        except FileExistsError:
            pass  # another process was faster
        except ArtifactTooLarge as error:
            raise ModelTooLarge(
                f"{error}: raise max_model_bytes, or do not offer this model"
            ) from error
        except CorruptedBlock:
            raise
        except BadArtifact as error:
            raise BadModel(str(error)) from error

    @staticmethod
    def _matches(folder: Path, cid: Cid) -> bool:
        if not folder.is_dir():
            return False
        try:
            return cid_of(folder, threads=2).cid == cid
        except BadArtifact:  # such as a symlink that somebody put there
            return False

    def _throw_away(self, folder: Path) -> None:
        """Rename first, so that no other process finds half a folder."""
        with work_folder(folder) as trash, suppress(FileNotFoundError):  # another process did it
            folder.rename(trash / "folder")


def _parse(model_cid: str) -> Cid:
    try:
        return Cid.parse(model_cid)
    except BadArtifact as error:
        raise BadModel(f"{error}, as the model's CID") from None
