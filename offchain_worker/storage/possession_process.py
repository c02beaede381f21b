"""Builds a possession tree with the help of another process: the interpreter lock is held while leaves are hashed.

The stream goes through memory that both processes share, so nothing is copied: the reader fills a mebibyte, names it,
and goes on with it itself (CID, blocks); the other process answers with the node above it. When that one has enough to
do, or is not there yet, the reader hashes a mebibyte itself. So both are busy, whatever else either has to do.
"""

import mmap
import os
import select
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from offchain_worker.errors import WorkerError
from offchain_worker.storage import possession_hash
from offchain_worker.storage.disk import memory
from offchain_worker.storage.possession import Tree, rest_hash
from offchain_worker.storage.possession_hash import HASH_BYTES, MEBIBYTE, block_hash

PLACES = 8
"""Mebibytes of shared memory."""
QUEUE = 4
"""Mebibytes that may wait for the other process."""


class ProcessTreeBuilder:
    """The end that reads the stream. See `tree_process`."""

    def __init__(self, shared: mmap.mmap, process: subprocess.Popen[bytes]) -> None:
        view = memoryview(shared)
        self._places = [view[i * MEBIBYTE : (i + 1) * MEBIBYTE] for i in range(PLACES)]
        self._own = memory(MEBIBYTE)
        self._process = process
        self._to, self._from = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        self._blocks: list[bytes] = []
        self._asked: deque[int] = deque()
        self._filled = 0
        self._size_bytes = 0

    def place(self) -> memoryview:
        """Return the memory for the next piece, 1 MiB; it is the reader's own until the next `place`."""
        return self._own if self._filled else self._at()

    def update(self, piece: memoryview) -> None:
        """Append what was put at the beginning of the last `place`.

        Raises:
            WorkerError: The other process died.
        """
        self._size_bytes += len(piece)
        if not self._filled:  # it lies where it belongs
            self._add(len(piece))
            return
        while piece:
            part = piece[: MEBIBYTE - self._filled]
            self._at()[self._filled : self._filled + len(part)] = part
            self._add(len(part))
            piece = piece[len(part) :]

    def finish(self) -> Tree:
        """Return the tree of all that came. Errors as `update`."""
        while self._asked:
            self._take()
        if self._filled:
            rest = self._at()[: self._filled]
            self._blocks.append(rest_hash(rest, is_all=not self._blocks))
        return Tree(self._size_bytes, tuple(self._blocks))

    def _at(self) -> memoryview:
        """The mebibyte of the stream that is being filled."""
        return self._places[len(self._blocks) % PLACES]

    def _add(self, length: int) -> None:
        self._filled += length
        if self._filled < MEBIBYTE:
            return
        while self._asked and select.select([self._from], [], [], 0)[0]:
            self._take()
        number = len(self._blocks)
        if len(self._asked) < QUEUE:
            self._ask(number)
            self._blocks.append(b"")
        else:
            self._blocks.append(block_hash(self._at()))
        self._filled = 0
        while self._asked and self._asked[0] <= number + 1 - PLACES:
            self._take()

    def _ask(self, number: int) -> None:
        try:
            self._to.write(bytes([number % PLACES]))
        except BrokenPipeError:
            raise _died() from None
        self._asked.append(number)

    def _take(self) -> None:
        """Take the answers that are there; wait for one if there is none."""
        if not (answers := os.read(self._from.fileno(), HASH_BYTES * PLACES)):
            raise _died()
        for start in range(0, len(answers), HASH_BYTES):
            self._blocks[self._asked.popleft()] = answers[start : start + HASH_BYTES]


@contextmanager
def tree_process() -> Iterator[ProcessTreeBuilder]:
    """Start the other process; it ends with the context."""
    size = PLACES * MEBIBYTE
    with _memory() as file:
        file.truncate(size)
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", Path(possession_hash.__file__)),
                *(str(file.fileno()), str(size)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[file.fileno()],
            bufsize=0,
        )
        with process:  # closes the pipes and waits
            try:
                yield ProcessTreeBuilder(mmap.mmap(file.fileno(), size), process)
            finally:
                process.kill()


def _memory() -> IO[bytes]:
    """Return a file without a name: in memory on Linux; elsewhere on the disk, which hears of it now and then."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("possession"), "r+b")
    return tempfile.TemporaryFile()


def _died() -> WorkerError:
    return WorkerError(
        "expected the possession tree of the process that builds it, which died: try it again"
    )
