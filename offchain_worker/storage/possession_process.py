"""Builds a possession tree in a process of its own: the interpreter lock is held while leaves of 1 KiB are hashed.

The stream goes through memory that both processes share, so nothing is copied: the reader fills a place, says how many
bytes there are, and goes on with them itself (CID, blocks); the other process answers one byte for each place that it
has hashed, and at the end the packed tree. `python -m offchain_worker.storage.possession_process DESCRIPTOR` is that
other process.
"""

import mmap
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from offchain_worker.errors import WorkerError
from offchain_worker.storage.possession import MEBIBYTE, Tree, TreeBuilder

PLACES = 8
"""Mebibytes of shared memory: how far one process may be ahead of the other."""

_NUMBER_BYTES = 4


class ProcessTreeBuilder:
    """The end that reads the stream. See `tree_process`."""

    def __init__(self, shared: mmap.mmap, process: subprocess.Popen[bytes]) -> None:
        self._places = _places(shared)
        self._process = process
        self._to, self._answers = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        self._sent = 0
        self._answered = 0

    def place(self) -> memoryview:
        """Return the memory for the next piece, 1 MiB; it is the reader's own until `PLACES` further pieces came.

        Raises:
            WorkerError: The other process died.
        """
        while self._sent - self._answered >= PLACES:
            self._take_answer()
        return self._places[self._sent % PLACES]

    def update(self, piece: memoryview) -> None:
        """Append what was put at the beginning of the last `place`. Errors as `place`."""
        try:
            self._to.write(len(piece).to_bytes(_NUMBER_BYTES))
        except BrokenPipeError:
            raise _died() from None
        self._sent += 1

    def finish(self) -> Tree:
        """Return the tree of all that came. Errors as `place`."""
        self._to.close()
        while self._answered < self._sent:
            self._take_answer()
        if not (packed := self._answers.read()):
            raise _died()
        return Tree.unpack(packed)

    def _take_answer(self) -> None:
        if not self._answers.read(1):
            raise _died()
        self._answered += 1


@contextmanager
def tree_process() -> Iterator[ProcessTreeBuilder]:
    """Start the other process; it ends with the context."""
    with _memory() as file:
        file.truncate(PLACES * MEBIBYTE)
        shared = mmap.mmap(file.fileno(), PLACES * MEBIBYTE)
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(file.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[file.fileno()],
            bufsize=0,
        )
        with process:  # closes the pipes and waits
            try:
                yield ProcessTreeBuilder(shared, process)
            finally:
                process.kill()


def _memory() -> IO[bytes]:
    """Return a file without a name: in memory on Linux; elsewhere on the disk, which hears of it now and then."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("possession"), "r+b")
    return tempfile.TemporaryFile()


def _places(shared: mmap.mmap) -> list[memoryview]:
    view = memoryview(shared)
    return [view[i * MEBIBYTE : (i + 1) * MEBIBYTE] for i in range(PLACES)]


def _died() -> WorkerError:
    return WorkerError(
        "expected the possession tree of the process that builds it, which died: try it again"
    )


def main() -> None:
    """Hash what is put into the shared memory; write the tree when there is no more."""
    places = _places(mmap.mmap(int(sys.argv[1]), PLACES * MEBIBYTE))
    builder = TreeBuilder()
    number = 0
    while length := os.read(0, _NUMBER_BYTES):
        builder.update(places[number % PLACES][: int.from_bytes(length)])
        os.write(1, b".")
        number += 1
    sys.stdout.buffer.write(builder.finish().pack())


if __name__ == "__main__":
    main()
