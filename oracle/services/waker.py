"""Lets a loop sleep until something happens: a file is readable, somebody calls `wake`, or the time is up."""

import contextlib
import os
import selectors
from collections.abc import Iterable


class Waker:
    """A pipe to oneself. `wake` may be called from any thread and from a signal handler."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def wake(self) -> None:
        """End the present or the next `wait`."""
        with contextlib.suppress(
            OSError
        ):  # full: there will be a wake-up anyway; closed: nobody waits
            os.write(self._writer, b"!")

    def wait(self, seconds: float, files: Iterable[int] = ()) -> None:
        """Sleep until there is something to do."""
        with selectors.DefaultSelector() as selector:
            for file in (self._reader, *files):
                selector.register(file, selectors.EVENT_READ)
            selector.select(seconds)
        self.clear()

    @property
    def fileno(self) -> int:
        """Readable from a `wake` until the next `clear`."""
        return self._reader

    def clear(self) -> None:
        """Forget the calls of `wake` so far."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 4096)

    def close(self) -> None:
        """Give the pipe back."""
        os.close(self._reader)
        os.close(self._writer)
