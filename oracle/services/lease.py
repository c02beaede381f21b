"""One process per home folder: an exclusive lock on a file, dropped by the kernel however the process ends."""

import fcntl
import os
from pathlib import Path
from types import TracebackType

from oracle.errors import HomeInUse


class Lease:
    """Held from `with` to its end.

    Args:
        path: Lock file; made if there is none. Its content is the number of the process that holds it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def __enter__(self) -> "Lease":
        """Take the lease.

        Raises:
            HomeInUse: another process has it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 20).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise HomeInUse(
                f"process {holder} is running with the home folder {self._path.parent} already: "
                "stop it first, or use another home folder"
            ) from None
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the lease back."""
        os.close(self._file)
