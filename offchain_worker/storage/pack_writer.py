"""Writes blocks to a new pack: one file, synced once.

Blocks are gathered in pieces of a mebibyte, which other threads write, so that hashing waits for the disk only when
it is slower than the processor.
"""

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from offchain_worker.storage.cid import Block, Cid
from offchain_worker.storage.disk import memory, sync, write_at
from offchain_worker.storage.packs import Packs, Place, trailer

PACK_BYTES = 1 << 30
"""From this size on a new pack is begun, so what is stored so far survives a break."""
PACK_BLOCKS = 1 << 16
"""From so many blocks on, too: their places are in memory until then."""
PIECE_BYTES = 1 << 20
PIECES = 4
"""Pieces that may wait for the disk."""
WRITES = 2
"""Pieces that are written at the same time: measured, more gain nothing."""


class PackWriter:
    """Use it as a context. Threads may share one. Left by an error, the pack that was begun is removed."""

    def __init__(self, packs: Packs) -> None:
        self._packs = packs
        self._lock = Lock()
        self._pack: _Pack | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pack and kind is None:
            self._finish(self._pack)
        elif self._pack:
            self._pack.give_up()

    def write(self, cid: Cid, block: Block) -> None:
        """Write a block; it is in the store when the writer is left, or before.

        Raises:
            OSError: This block, or one before it, cannot be written.
        """
        with self._lock:
            if self._pack is None:
                self._pack = _Pack(self._packs.new())
            if cid not in self._pack.places:
                self._pack.write(cid, block)
            if self._pack.size_bytes >= PACK_BYTES or len(self._pack.places) >= PACK_BLOCKS:
                self._finish(self._pack)

    def _finish(self, pack: "_Pack") -> None:
        try:
            pack.finish()
            self._packs.add(pack.places)
        except BaseException:
            pack.give_up()
            raise
        finally:
            self._pack = None


class _Pack:
    """A pack that is being written. End it with `finish` or with `give_up`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.places: dict[Cid, Place] = {}
        self.size_bytes = 0
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._pool = ThreadPoolExecutor(WRITES)
        self._writing: deque[tuple[memoryview, Future[None]]] = deque()
        self._piece = memory(PIECE_BYTES)
        self._filled = 0
        self._handed_over = 0

    def write(self, cid: Cid, block: Block) -> None:
        self.places[cid] = Place(self.path.name, self.size_bytes, len(block))
        self.size_bytes += len(block)
        self._append(block)

    def _append(self, data: Block) -> None:
        left = memoryview(data)
        while left:
            part = left[: PIECE_BYTES - self._filled]
            self._piece[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            left = left[len(part) :]
            if self._filled == PIECE_BYTES:
                self._hand_over()

    def finish(self) -> None:
        """Write the rest, and make all of it durable."""
        self._append(trailer(self.places))
        self._hand_over()
        while self._writing:
            self._writing.popleft()[1].result()
        sync(self._descriptor)
        self._close()

    def give_up(self) -> None:
        """Remove it."""
        self._close()
        self.path.unlink(missing_ok=True)

    def _hand_over(self) -> None:
        """Let others write the piece, and take the next one, if need be after the oldest is written."""
        part = self._piece[: self._filled]
        written = self._pool.submit(write_at, self._descriptor, part, self._handed_over)
        self._writing.append((self._piece, written))
        self._handed_over += len(part)
        self._filled = 0
        if len(self._writing) < PIECES:
            self._piece = memory(PIECE_BYTES)
        else:
            self._piece, written = self._writing.popleft()
            written.result()

    def _close(self) -> None:
        self._pool.shutdown()
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
