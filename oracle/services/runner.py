"""Where models run: what the provider's loop needs of it, and the simplest one, in this process."""

from collections.abc import Collection
from typing import NamedTuple, Protocol

from offchain_worker.job import Inference, Job


class Done(NamedTuple):
    """A job that is through the model: what it said, or what went wrong."""

    job: Job
    outcome: Inference | Exception


class Runner(Protocol):
    """Runs models beside the loop. Called from the loop's thread only."""

    @property
    def room(self) -> int:
        """How many more jobs may be begun now."""
        ...

    @property
    def busy(self) -> Collection[int]:
        """Numbers of the jobs that were begun and are not done."""
        ...

    @property
    def killed(self) -> int:
        """How many processes of models died or were ended for taking too long."""
        ...

    def begin(self, job: Job) -> None:
        """Take a job on."""
        ...

    def finished(self) -> list[Done]:
        """Return what is done since the last call."""
        ...

    def filenos(self) -> list[int]:
        """File descriptors that become readable when something may be done."""
        ...

    def drain(self) -> None:
        """Finish the jobs that are in a model, and forget those that wait for one."""
        ...

    def close(self) -> None:
        """End at once, whatever is under way."""
        ...


class Model(Protocol):
    """What runs one job; `offchain_worker.worker.Worker` is one."""

    def infer(self, job: Job) -> Inference:
        """Run the model on the job's input."""
        ...


class Inline:
    """Runs each job at once, in this process: for models that can be trusted with it."""

    room = 64
    killed = 0

    def __init__(self, model: Model) -> None:
        self._model = model
        self._done: list[Done] = []

    @property
    def busy(self) -> Collection[int]:
        """Numbers of the jobs that are done and not fetched yet."""
        return [done.job.job_id for done in self._done]

    def begin(self, job: Job) -> None:
        """Run a job."""
        try:
            self._done.append(Done(job, self._model.infer(job)))
        except OSError:  # the disk or the memory of this machine: for a person, not for another try
            raise
        except Exception as error:  # sorted by whoever asks what is finished
            self._done.append(Done(job, error))

    def finished(self) -> list[Done]:
        """Return what was run since the last call."""
        done, self._done = self._done, []
        return done

    def filenos(self) -> list[int]:
        """Nothing to wait for."""
        return []

    def drain(self) -> None:
        """Nothing is under way between two calls."""

    def close(self) -> None:
        """Nothing is under way between two calls."""
