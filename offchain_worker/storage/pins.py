"""What a store is told to keep: one empty file per root, and one lock, so that nobody deletes what another adds."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offchain_worker.errors import BadArtifact
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.disk import sync_folder
from offchain_worker.storage.packs import LOCK


class Pins:
    """The pins of the store in `root`."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "pins"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = root / LOCK

    def add(self, cid: Cid) -> None:
        """Keep a root from now on."""
        path = self._folder / str(cid)
        if not path.exists():
            path.touch()
            sync_folder(self._folder)

    def remove(self, cid: Cid) -> None:
        """Keep it no longer."""
        (self._folder / str(cid)).unlink(missing_ok=True)
        sync_folder(self._folder)

    def has(self, cid: Cid) -> bool:
        """Whether it is kept."""
        return (self._folder / str(cid)).exists()

    def all(self) -> list[Cid]:
        """All roots that are kept."""
        roots = []
        for path in sorted(self._folder.iterdir()):
            try:
                roots.append(Cid.parse(path.name))
            except BadArtifact:
                continue  # not ours
        return roots

    @contextmanager
    def locked_if_free(self) -> Iterator[bool]:
        """Hold the store's lock alone, unless somebody else has it; gives whether it is held."""
        with self._lock.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    @contextmanager
    def locked(self, *, alone: bool) -> Iterator[None]:
        """Hold the store's lock, with all others that add, or alone to delete."""
        with self._lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield
