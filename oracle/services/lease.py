"""One process per home folder and per key: exclusive locks on files, dropped by the kernel however a process ends.

The lock of a key lies outside of the home folder, because a home folder can be copied. It holds for one user of one
machine; two machines with one key do no harm (the contract takes one answer), but pay for each other's mistakes.
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from oracle.errors import HomeInUse

TRIES, WAIT_S = 5, 0.05
"""Whoever looks whether a lease is held (`doctor.running_pid`) has to hold it for a moment."""


class Lease:
    """Held from `with` to its end.

    Args:
        path: Lock file; made if there is none. Its content is the number of the process that holds it.
        what: What it stands for, for the message to a second process.
    """

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what
        self._file = -1

    def __enter__(self) -> "Lease":
        """Take the lease.

        Raises:
            HomeInUse: another process has it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        for attempt in range(TRIES):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt < TRIES - 1:
                    time.sleep(WAIT_S)
        else:
            holder = os.read(self._file, 20).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise HomeInUse(f"process {holder} is running with {self._what} already: stop it first")
        with suppress(OSError):  # a full disk: only the message to a second process needs it
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
