"""Models in processes of their own, with limits on time, memory and output, so that no job can end the worker.

A process is given the next job before it has finished the last one, so that it never waits for us; when it dies or is
killed, the job that was in the model is to blame, and the others are given to the next process.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Collection
from pathlib import Path

import offchain_worker
from offchain_worker.child import Setup, drain_frame, first_frame, job_frame
from offchain_worker.errors import ModelCrashed, ModelTimedOut, WorkerError
from offchain_worker.frames import BadFrame, Unpacker
from offchain_worker.job import Job
from oracle.logs import line
from oracle.services.runner import Done, outcome_of

AHEAD = 4
"""How many jobs one process may have: one in the model, the others on their way."""
PIECE_BYTES = 1 << 16

_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "TZ")
_KEPT_BEGINNINGS = ("LC_", "OMP_", "MKL_", "ORT_", "CUDA_", "LD_", "DYLD_", "PYTHON")
"""Environment variables that a model may see: keys and passwords are in others."""

_log = logging.getLogger(__name__)


class Sandbox:
    """Runs jobs in child processes. A `Runner`.

    Args:
        setup: What each process makes its worker from.
        processes: How many there may be.
        time_s: Longest time of one job, its model's loading included, in seconds.
        memory_mib: Most memory of one process, in MiB; 0 for any. macOS does not enforce it.
    """

    def __init__(
        self, setup: Setup, *, processes: int = 1, time_s: float = 300.0, memory_mib: int = 0
    ) -> None:
        self._first = first_frame(setup, memory_mib)
        self._processes = processes
        self._time_s = time_s
        self._children: list[_Child] = []
        self._waiting: deque[Job] = deque()
        self._draining = False
        self.killed = 0
        """Processes that died or were killed for taking too long."""
        self.trouble = ""

    @property
    def room(self) -> int:
        """How many more jobs may be begun now."""
        return 0 if self._draining else self._processes * AHEAD - len(self.busy)

    @property
    def busy(self) -> Collection[int]:
        """Numbers of the jobs that were begun and are not done."""
        jobs = [*self._waiting, *(job for child in self._children for job in child.jobs)]
        return [job.job_id for job in jobs]

    def begin(self, job: Job) -> None:
        """Give a job to the process with the fewest; start one if it is needed."""
        idle = [child for child in self._children if not child.jobs]
        if not idle and len(self._children) < self._processes:
            self._children.append(_Child(self._first))
        child = min(self._children, key=lambda child: len(child.jobs))
        child.give(job)

    def finished(self) -> list[Done]:
        """Return what is done since the last call; end processes that take too long, and replace them."""
        done: list[Done] = []
        for child in list(self._children):
            done += child.finished()
            if child.ended:
                done += self._bury(child, ModelCrashed(child.epitaph()))
            elif child.jobs and time.monotonic() - child.since > self._time_s:
                error = ModelTimedOut(f"expected an answer within {self._time_s:g} s, got none")
                done += self._bury(child, error)
        while self._waiting and not self._draining:
            self.begin(self._waiting.popleft())
        return done

    def filenos(self) -> list[int]:
        """The pipes on which the processes answer."""
        return [child.fileno for child in self._children]

    def drain(self) -> None:
        """Let every process finish the job that is in its model, and forget the others."""
        self._draining = True
        self._waiting.clear()
        for child in self._children:
            child.drain()

    def close(self) -> None:
        """Kill every process."""
        for child in self._children:
            child.kill()
        self._children.clear()
        self._waiting.clear()

    def _bury(self, child: "_Child", error: WorkerError) -> list[Done]:
        """Take a process out; its first job is to blame, the others wait for another process."""
        child.kill()
        self._children.remove(child)
        if not child.jobs:
            return []
        self.killed += 1
        guilty, *others = child.jobs
        _log.error(line("model process ended", job=guilty.job_id, reason=error))
        self._waiting.extend(others)
        return [Done(guilty, error)]


class _Child:
    """One process, and the jobs it has. `since`: when the first of them came to the model, monotonic."""

    def __init__(self, first: bytes) -> None:
        package = Path(offchain_worker.__file__).parent.parent
        environment = {
            name: value
            for name, value in os.environ.items()
            if name in _KEPT or name.startswith(_KEPT_BEGINNINGS)
        }
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(package), os.environ.get("PYTHONPATH", "")])
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "offchain_worker.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # a Ctrl-C is for us, and we tell it
        )
        assert self._process.stdin is not None  # noqa: S101  # both are pipes
        assert self._process.stdout is not None  # noqa: S101
        self._in, self.fileno = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self.fileno, False)
        self._unpacker = Unpacker()
        self._unsent = bytearray(first)
        self.jobs: deque[Job] = deque()
        self.since = 0.0
        self.ended = False
        self._said = ""

    def give(self, job: Job) -> None:
        """Send a job on its way."""
        if not self.jobs:
            self.since = time.monotonic()
        self.jobs.append(job)
        self._unsent += job_frame(job)
        self._send()

    def drain(self) -> None:
        """Keep only the job that is in the model."""
        while len(self.jobs) > 1:
            self.jobs.pop()
        self._unsent += drain_frame(self.jobs[0].job_id if self.jobs else None)
        self._send()

    def finished(self) -> list[Done]:
        """Read what it has answered."""
        self._send()
        done: list[Done] = []
        try:
            while piece := os.read(self.fileno, PIECE_BYTES):
                for reply in self._unpacker.feed(piece):
                    if self.jobs:
                        done.append(Done(self.jobs.popleft(), outcome_of(reply)))
                        self.since = time.monotonic()
            self.ended = True
        except BlockingIOError:
            pass
        except BadFrame as error:
            self.ended, self._said = True, f"it wrote something else than answers: {error}"
        return done

    def epitaph(self) -> str:
        """Say how it ended."""
        if self._said:
            return self._said
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        code = self._process.returncode
        if code is None or code >= 0:
            return f"the process of the model ended with {code}"
        hint = ", perhaps for want of memory" if code == -signal.SIGKILL else ""
        return f"the process of the model was ended by {signal.Signals(-code).name}{hint}"

    def kill(self) -> None:
        """End it, if it has not ended."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()

    def _send(self) -> None:
        """Write what the pipe takes; the rest waits for the next time."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while self._unsent:
                del self._unsent[: os.write(self._in, self._unsent)]
