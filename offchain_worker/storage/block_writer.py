"""Writes block files so that they are whole or not there, and durable when the writer is left.

A block is written to a temporary file, and the disk is asked to begin at once; a while later it is synced, which then
waits little, and renamed to its place. So hashing goes on while the disk works, without a thread for it. Several files
are synced at the same time, because a file system writes its journal once for all that wait for it.
"""

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from offchain_worker.storage.cid import Block
from offchain_worker.storage.export import sync

MOST_WAITING = 64
"""Files that are open and not synced yet; when there are more, the older half is."""
SYNCS = 4
"""Files that are synced at the same time: measured, more gain nothing."""


class BlockWriter:
    """Use it as a context. Threads may share one. Left by an error, it removes what is not in its place yet."""

    def __init__(self, incoming: Path) -> None:
        """Write temporary files to `incoming`, a folder on the same disk as the blocks."""
        self._incoming = incoming
        self._waiting: list[tuple[int, str, Path]] = []
        self._touched: set[Path] = set()
        self._lock = Lock()

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
                self._finish(keep=0)
                for folder in self._touched | {folder.parent for folder in self._touched}:
                    sync(folder)
        finally:
            for descriptor, name, _ in self._waiting:
                os.close(descriptor)
                Path(name).unlink(missing_ok=True)

    def write(self, path: Path, block: Block) -> None:
        """Write a block; it is at `path` when the writer is left, or before."""
        descriptor, name = tempfile.mkstemp(dir=self._incoming)
        with self._lock:
            self._waiting.append((descriptor, name, path))
        view = memoryview(block)
        while view:
            view = view[os.write(descriptor, view) :]
        if hasattr(
            os, "posix_fadvise"
        ):  # on Linux this starts writing; elsewhere the sync does it all
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        if len(self._waiting) > MOST_WAITING:
            self._finish(keep=MOST_WAITING // 2)

    def _finish(self, keep: int) -> None:
        """Sync and rename the oldest, down to `keep` of them. When a sync fails, all of these stay waiting, and go."""
        with self._lock:
            ready = self._waiting[: max(len(self._waiting) - keep, 0)]
            with ThreadPoolExecutor(SYNCS) as pool:
                list(pool.map(os.fsync, [descriptor for descriptor, _, _ in ready]))
            for descriptor, name, path in ready:
                path.parent.mkdir(exist_ok=True)
                os.replace(name, path)
                os.close(descriptor)
                self._touched.add(path.parent)
                del self._waiting[0]
