"""Models in processes of their own, with limits on time, memory and output, so that no job can end the worker.

A process is given the next jobs before it has finished the last one, so that it never waits for us, and so that jobs of
one model can run together. When it dies or is killed, the job that was in the model is to blame, and the others are
given to the next process. When several were in it, none is to blame: each is run again, alone.

A model that was not measured on this machine is, in a process beside the others: once none of them is at work, or after
a while even if they always are.
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
from typing import Any

import offchain_worker
from offchain_worker.child import Setup, drain_frame, first_frame, job_frame, measure_frame
from offchain_worker.errors import ModelCrashed, ModelTimedOut, WorkerError
from offchain_worker.frames import BadFrame, Unpacker
from offchain_worker.job import Job
from offchain_worker.manifest import MAX_BATCH
from oracle.logs import line
from oracle.services.runner import Done, outcome_of

AHEAD = 4
"""How many jobs one process may have, or twice as many as may run together: some in the model, others on their way."""
PATIENCE_S = 20.0
"""How long a model waits for the others to be idle before it is measured beside them, in seconds."""
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
        self._alone: set[int] = set()
        """Jobs that were in a model together with others when its process died."""
        self._ahead = AHEAD
        self._measuring: _Child | None = None
        self._unmeasured: deque[str] = deque()
        self._waits_since = 0.0
        self._seen: set[str] = set()
        """Models that wait to be measured, or were."""
        self._draining = False
        self.killed = 0
        """Processes that died or were killed for taking too long."""
        self.trouble = ""

    @property
    def room(self) -> int:
        """How many more jobs may be begun now."""
        return 0 if self._draining else self._processes * self._ahead - len(self.busy)

    @property
    def busy(self) -> Collection[int]:
        """Numbers of the jobs that were begun and are not done."""
        given = [number for child in self._children for number in child.jobs]
        return [*(job.job_id for job in self._waiting), *given]

    def begin(self, job: Job) -> None:
        """Give a job to the process with the fewest; start one if it is needed."""
        idle = [child for child in self._children if not child.jobs]
        if not idle and len(self._children) < self._processes:
            self._children.append(_Child(self._first))
        child = min(self._children, key=lambda child: len(child.jobs))
        child.give(job, alone=job.job_id in self._alone)

    def finished(self) -> list[Done]:
        """Return what is done since the last call; end processes that take too long, and replace them."""
        done: list[Done] = []
        for child in list(self._children):
            for reply in child.replies():
                done += self._take(child, reply)
            if child.ended:
                done += self._bury(child, ModelCrashed(child.epitaph()))
            elif child.jobs and time.monotonic() - child.since > self._time_s:
                error = ModelTimedOut(f"expected an answer within {self._time_s:g} s, got none")
                done += self._bury(child, error)
        while self._waiting and not self._draining:
            self.begin(self._waiting.popleft())
        self._measure()
        return done

    def filenos(self) -> list[int]:
        """The pipes on which the processes answer."""
        measuring = [self._measuring] if self._measuring else []
        return [child.fileno for child in (*self._children, *measuring)]

    def drain(self) -> None:
        """Let every process finish the jobs that are in its model, and forget the others."""
        self._draining = True
        self._waiting.clear()
        self._stop_measuring()
        for child in self._children:
            child.drain()

    def close(self) -> None:
        """Kill every process."""
        self._stop_measuring()
        for child in self._children:
            child.kill()
        self._children.clear()
        self._waiting.clear()

    def _take(self, child: "_Child", reply: dict[str, Any]) -> list[Done]:
        """Note what a process says of a job, and of its model."""
        job = child.jobs.pop(reply.get("number", 0), None)
        if job is None:  # it was forgotten
            return []
        self._alone.discard(job.job_id)
        self._ahead = max(self._ahead, 2 * reply.get("max_batch", 1))
        if reply.get("unmeasured") and job.model_cid not in self._seen:
            self._seen.add(job.model_cid)
            self._unmeasured.append(job.model_cid)
            self._waits_since = time.monotonic()
        return [Done(job, outcome_of(reply))]

    def _bury(self, child: "_Child", error: WorkerError) -> list[Done]:
        """Take a process out; the job in its model is to blame, the others wait for another process."""
        child.kill()
        self._children.remove(child)
        if not child.jobs:
            return []
        self.killed += 1
        suspects = child.in_model
        _log.error(line("model process ended", jobs=suspects, reason=error))
        if len(suspects) > 1:
            self._alone.update(suspects)
            guilty = []
        else:
            guilty = [Done(child.jobs.pop(suspects[0]), error)]
            self._alone.difference_update(suspects)
        if not self._draining:  # else they wait for the next start
            self._waiting.extend(child.jobs.values())
        return guilty

    def _measure(self) -> None:
        """Begin to measure a model when it is time to, or note what came of it."""
        if self._measuring is None:
            is_time = not self.busy or time.monotonic() - self._waits_since > PATIENCE_S
            if self._unmeasured and is_time and not self._draining:
                self._measuring = _Child(self._first)
                self._measuring.measure(self._unmeasured[0])
            return
        replies = self._measuring.replies()
        if not replies and not self._measuring.ended:
            return
        model = self._unmeasured.popleft()
        reply: dict[str, Any] = replies[0] if replies else {"text": self._measuring.epitaph()}
        if "best" in reply:
            _log.info(line("measured", model=model, best=reply["best"]))
        else:
            _log.warning(line("not measured", model=model, reason=reply.get("text")))
        self._stop_measuring()

    def _stop_measuring(self) -> None:
        if self._measuring is not None:
            self._measuring.kill()
            self._measuring = None


class _Child:
    """One process, and the jobs it has. `since`: when it began with those that are in the model, monotonic."""

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
        self.jobs: dict[int, Job] = {}
        """By number, in the order in which they were given."""
        self._begun: list[int] = []
        self.since = 0.0
        self.ended = False
        self._said = ""

    @property
    def in_model(self) -> list[int]:
        """Numbers of the jobs that it works on: those it has begun with, or else the first that it was given."""
        return [number for number in self._begun if number in self.jobs] or list(self.jobs)[:1]

    def give(self, job: Job, *, alone: bool) -> None:
        """Send a job on its way."""
        if not self.jobs:
            self.since = time.monotonic()
        self.jobs[job.job_id] = job
        self._unsent += job_frame(job, alone=alone)
        self._send()

    def measure(self, model_cid: str) -> None:
        """Let it measure a model."""
        self._unsent += measure_frame(model_cid)
        self._send()

    def drain(self) -> None:
        """Keep only the jobs that are in the model."""
        self.jobs = {number: self.jobs[number] for number in self.in_model}
        self._unsent += drain_frame(self.jobs)
        self._send()

    def replies(self) -> list[dict[str, Any]]:
        """Read what it has answered."""
        self._send()
        replies: list[dict[str, Any]] = []
        gone = self._process.poll() is not None  # asked first: what it wrote is in the pipe by now
        try:
            while piece := os.read(self.fileno, PIECE_BYTES):
                for message in self._unpacker.feed(piece):
                    _check(message)
                    self.since = time.monotonic()
                    if "begun" in message:
                        self._begun = message["begun"]
                    else:
                        replies.append(message)
            self.ended = True
        except BlockingIOError:
            self.ended = gone  # a process that it left behind may hold the pipe open
        except BadFrame as error:
            self.ended, self._said = True, f"it wrote something else than answers: {error}"
        return replies

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
        """End it, if it has not ended, and what it has started."""
        with contextlib.suppress(
            ProcessLookupError, PermissionError
        ):  # macOS: only zombies are left
            os.killpg(self._process.pid, signal.SIGKILL)
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


def _check(message: Any) -> None:
    """Check what a process says: a model that took it over might say anything.

    Raises:
        BadFrame: It has another form than the messages of `offchain_worker.child`.
    """
    kinds = {"begun": list, "number": int, "max_batch": int}
    if not isinstance(message, dict) or not all(
        isinstance(message.get(name, kind()), kind) for name, kind in kinds.items()
    ):
        raise BadFrame("expected a message of a process that runs models")
    if not all(isinstance(number, int) for number in message.get("begun", ())):
        raise BadFrame("expected numbers of jobs that were begun")
    if message.get("max_batch", 1) > MAX_BATCH:
        raise BadFrame(f"expected at most {MAX_BATCH} rows at once")
