"""Everything that can go wrong on the compute side.

WorkerError
├── BadInput (also a ValueError)  refuse  the requester sent something that cannot be run
├── BadModel                      refuse  the model version, as published, cannot be run by anybody
│   └── ModelTooLarge             refuse  ... or not within the limits of this worker
├── BadOutput                     refuse  the model ran, and what it gave is no valid output
│   └── OutputTooLarge            refuse
├── ModelTimedOut                 refuse  the model took longer than it may
├── ModelOutOfMemory              refuse  the model needs more memory than it may have
├── ModelCrashed                  retry   the process of the model died
├── BadArtifact                   refuse  a CID leads to something that we do not accept
│   ├── ArtifactTooLarge          refuse
│   └── CorruptedBlock            stop    stored bytes do not match their CID: a disk or memory fails
├── ArtifactMissing               retry   a block is not here yet
├── PeerFailed                    retry   a node or gateway did not answer, not in time, or refused
│   └── PeerLied                  retry   ... or gave other bytes than it was asked for: ask another
├── BackendUnknown                stop    no backend has this name: a mistake in the settings
├── BackendNotInstalled           stop    the backend is known, its package is not installed
├── BackendNotSupported           refuse  the backend is installed and cannot run this model here
├── ProofUnknown                  refuse  the job asks for a proof that this worker cannot make
├── BadSigner                     stop    the injected signer gave no signature that the contract takes
├── ToolNotInstalled              stop    an optional package for preparing models is missing
├── HubRefused                    stop    the hub does not give the model: gated, missing, unsafe files
├── ConversionFailed              stop    a model cannot be converted to the format that was asked for
└── CheckFailed                   stop    a converted model does not compute what the original computes

`action` of each says what the caller should do: "refuse" the job, "retry" later, or "stop" and call a person.
An OSError (disk full, no permission) is not translated: treat it as "stop".
"""

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any, ClassVar, Literal

Action = Literal["refuse", "retry", "stop"]

MOST_SAID = 300
"""Characters of a library's own words in a message of ours."""


class WorkerError(Exception):
    """Root of all errors of this package."""

    action: ClassVar[Action] = "stop"


class BadInput(WorkerError, ValueError):
    """The job or its input breaks a rule. Running it again changes nothing."""

    action: ClassVar[Action] = "refuse"


class BadModel(WorkerError):
    """The published model version is wrong: manifest, files, or what they do."""

    action: ClassVar[Action] = "refuse"


class ModelTooLarge(BadModel):
    """The model's folder is larger than this worker accepts."""


class BadOutput(WorkerError):
    """The model gave an output that may not be submitted, such as NaN or a wrong shape."""

    action: ClassVar[Action] = "refuse"


class OutputTooLarge(BadOutput):
    """The encoded output is longer than a job may answer."""


class ModelTimedOut(WorkerError):
    """The model took longer than one job may; it was ended."""

    action: ClassVar[Action] = "refuse"


class ModelOutOfMemory(WorkerError):
    """The model needs more memory than it may have."""

    action: ClassVar[Action] = "refuse"


class ModelCrashed(WorkerError):
    """The process of the model died, for a reason that may have passed."""

    action: ClassVar[Action] = "retry"


class BadArtifact(WorkerError):
    """A CID or a folder holds something that we do not accept: a symlink, a sharded folder, a malformed block."""

    action: ClassVar[Action] = "refuse"


class ArtifactTooLarge(BadArtifact):
    """A file or folder is larger than the caller allowed."""


class CorruptedBlock(BadArtifact):
    """The stored bytes of a block do not hash to its CID."""

    action: ClassVar[Action] = "stop"


class ArtifactMissing(WorkerError):
    """A block is not in the store. It may arrive later."""

    action: ClassVar[Action] = "retry"


class PeerFailed(WorkerError):
    """A node, gateway or pinning service did not answer, not in time, or said no."""

    action: ClassVar[Action] = "retry"


class PeerLied(PeerFailed):
    """A peer gave bytes that do not hash to the CID that it was asked for. It is not asked again for that file."""


class BackendUnknown(WorkerError):
    """No backend has the given name."""


class BackendNotInstalled(WorkerError):
    """The backend exists, and the package that it needs is not installed."""


class BackendNotSupported(WorkerError):
    """The backend is installed and cannot run this model on this machine."""

    action: ClassVar[Action] = "refuse"


class ProofUnknown(WorkerError):
    """The job's policy asks for a proof that this worker cannot make."""

    action: ClassVar[Action] = "refuse"


class BadSigner(WorkerError):
    """The injected signer gave something that the contract would refuse."""


class ToolNotInstalled(WorkerError):
    """An optional package that prepares models is not installed."""


class HubRefused(WorkerError):
    """The hub does not give a model, or what it has is nothing that we take."""


class ConversionFailed(WorkerError):
    """A converter gave up on a model."""


class CheckFailed(WorkerError):
    """A converted model was compared with its original, and they differ by more than the limit."""

    report: Any = None
    """The figures, a `pipeline.check.Report`, where there are any."""


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return "; did you mean 'x'?" when a known name is close to `name`, else nothing."""
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def first_line(error: Exception) -> str:
    """Return the first line of what a library's error says, at most 300 characters; its class if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:MOST_SAID]


def one_line(error: BaseException) -> str:
    """Return all that a library's error says as one line, at most 300 characters; its class if it says nothing."""
    return " ".join(str(error).split())[:MOST_SAID] or type(error).__name__
