"""Builds a possession tree in a process of its own: the interpreter lock is held while leaves of 1 KiB are hashed.

`python -m offchain_worker.storage.possession_process` reads a stream from its input to the end, then writes the packed
tree. With it a second core works while the first one makes CIDs and writes blocks.
"""

import os
import subprocess
import sys
from types import TracebackType
from typing import Self

from offchain_worker.storage.possession import MEBIBYTE, Tree, TreeBuilder


class ProcessTreeBuilder:
    """A `TreeBuilder` whose hashing is done by another process. Use it as a context: leaving it ends the process."""

    def __init__(self) -> None:
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=theirs_in, stdout=theirs_out
        )
        os.close(theirs_in)
        os.close(theirs_out)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._end_input()
        os.close(self._from)

    def update(self, piece: bytes) -> None:
        """Append a piece."""
        view = memoryview(piece)
        while view:
            view = view[os.write(self._to, view) :]

    def finish(self) -> Tree:
        """Return the tree of all that came."""
        self._end_input()
        packed = bytearray()
        while part := os.read(self._from, MEBIBYTE):
            packed += part
        return Tree.unpack(bytes(packed))

    def _end_input(self) -> None:
        if self._to >= 0:
            os.close(self._to)
            self._to = -1


def main() -> None:
    """Read the stream, write its tree."""
    builder = TreeBuilder()
    while piece := sys.stdin.buffer.read(MEBIBYTE):
        builder.update(piece)
    sys.stdout.buffer.write(builder.finish().pack())


if __name__ == "__main__":
    main()
