"""Where models run: what the provider's loop needs of it, and the simplest one, in this process."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Protocol

from offchain_worker import errors
from offchain_worker.errors import WorkerError
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

    @property
    def trouble(self) -> str:
        """Why no model can run now; empty when one can."""
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
    trouble = ""

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


def report_of(outcome: Inference | Exception) -> dict[str, str]:
    """Return an outcome as plain values, for whoever is in another process."""
    if isinstance(outcome, Inference):
        return {"inference": outcome.to_json()}
    return {"error": type(outcome).__name__, "text": str(outcome)}


def outcome_of(report: Mapping[str, Any]) -> Inference | Exception:
    """Return what a report is of; errors as the ones that they were."""
    if "inference" in report:
        try:
            return Inference.from_json(report["inference"])
        except WorkerError as error:
            return RuntimeError(f"expected an inference, got something else: {error}")
    name, text = str(report.get("error")), str(report.get("text"))
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, WorkerError):
        return kind(text)
    return OSError(text) if name in _OS_ERRORS else RuntimeError(f"{name}: {text}")


_OS_ERRORS = {"OSError", "PermissionError", "FileNotFoundError", "IsADirectoryError"}
