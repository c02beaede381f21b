"""Writes block files so that they are whole or not there, and durable when the writer is left.

A block is written to a temporary file, and the disk is asked to begin at once. When there are enough, other threads
sync them and rename them to their places: they only wait for the disk, while hashing goes on. Several files are synced
at the same time, because a file system writes its journal once for all that wait for it.
"""

import os
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from offchain_worker.storage.cid import Block
from offchain_worker.storage.export import sync

BATCH = 32
"""Files that are synced together. So many more are written meanwhile, and no more."""
SYNCS = 4
"""Files that are synced at the same time: measured, more gain nothing."""

_Waiting = tuple[int, str, Path]
"""Descriptor and name of a temporary file, and its place."""


class BlockWriter:
    """Use it as a context. Threads may share one. Left by an error, it removes what is not in its place yet."""

    def __init__(self, incoming: Path) -> None:
        """Write temporary files to `incoming`, a folder on the same disk as the blocks."""
        self._incoming = incoming
        self._waiting: list[_Waiting] = []
        self._touched: set[Path] = set()
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(SYNCS + 1)  # one that leads, and those that sync
        self._last: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._hand_over().result()
                for folder in self._touched | {folder.parent for folder in self._touched}:
                    sync(folder)
        finally:
            self._pool.shutdown()
            _give_up(self._waiting)

    def write(self, path: Path, block: Block) -> None:
        """Write a block; it is at `path` when the writer is left, or before.

        Raises:
            OSError: This file, or one before it, cannot be written.
        """
        descriptor, name = tempfile.mkstemp(dir=self._incoming)
        try:
            view = memoryview(block)
            while view:
                view = view[os.write(descriptor, view) :]
            if hasattr(os, "posix_fadvise"):  # on Linux it starts writing; elsewhere the sync does
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except BaseException:
            _give_up([(descriptor, name, path)])
            raise
        with self._lock:  # not before: other threads may finish what waits
            self._waiting.append((descriptor, name, path))
            if len(self._waiting) >= BATCH:
                self._hand_over()

    def _hand_over(self) -> Future[None]:
        """Let what waits be finished by others, when they are done with what they had."""
        if self._last:
            self._last.result()
        batch, self._waiting = self._waiting, []
        self._last = self._pool.submit(self._finish, batch)
        return self._last

    def _finish(self, batch: list[_Waiting]) -> None:
        """Sync and rename. When a sync fails, none of the batch gets to its place."""
        left = list(batch)
        try:
            list(self._pool.map(os.fsync, [descriptor for descriptor, _, _ in batch]))
            while left:
                descriptor, name, path = left[0]
                path.parent.mkdir(exist_ok=True)
                os.replace(name, path)
                self._touched.add(path.parent)
                os.close(descriptor)
                del left[0]
        finally:
            _give_up(left)


def _give_up(files: list[_Waiting]) -> None:
    for descriptor, name, _ in files:
        os.close(descriptor)
        Path(name).unlink(missing_ok=True)
