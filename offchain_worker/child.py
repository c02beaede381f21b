"""A process that does nothing but run models: `python -m offchain_worker.child`, started by whoever has jobs.

Frames (see `frames.py`) come in on stdin: first a `Setup`, then jobs. One frame per job goes out on stdout, with the
inference or with what went wrong. It has no key, makes no proofs and knows no chain, and it limits its own memory
before it loads anything: what a poisonous job can break is this process. It ends when stdin does.
"""

import contextlib
import os
import queue
import resource
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from offchain_worker import frames
from offchain_worker.errors import ModelOutOfMemory, WorkerError
from offchain_worker.job import Job
from offchain_worker.proofs.base import Signer
from offchain_worker.proofs.throwaway import ThrowawaySigner
from offchain_worker.storage.store import EmbeddedStore
from offchain_worker.worker import Worker

_PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker is made from, as plain values.

    Args:
        store: Folder of the content-addressed store.
        cache: Folder of unpacked models.
        verifiers: Kind of proof by address of the verifier contract.
        backend: Backend for all models, or None for the preferred one of each model's format.
    """

    store: str
    cache: str
    verifiers: Mapping[str, str]
    backend: str | None = None

    def open(self, signer: Signer) -> Worker:
        """Make the worker; nothing is loaded yet."""
        return Worker(
            EmbeddedStore(Path(self.store)), signer, Path(self.cache), self.verifiers, self.backend
        )


def first_frame(setup: Setup, memory_mib: int) -> bytes:
    """Return what a child is told first. `memory_mib`: most memory it may have; 0 for any."""
    return frames.pack({"setup": asdict(setup), "memory_mib": memory_mib})


def job_frame(job: Job) -> bytes:
    """Return what a child is told for each job."""
    return frames.pack({"job": job.to_json(), "number": job.job_id})


def drain_frame(number: int | None) -> bytes:
    """Return what tells a child to finish this job (or none), forget those after it, and end."""
    return frames.pack({"drain": number})


def main() -> None:
    """Serve until stdin ends."""
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not get between the frames
    inbox: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=_read, args=(inbox,), daemon=True).start()
    first = inbox.get()
    _limit_memory(first["memory_mib"])
    worker = Setup(**first["setup"]).open(ThrowawaySigner())
    while "drain" not in (message := inbox.get()):
        _write(out, frames.pack(_infer(worker, message["job"])))


def _infer(worker: Worker, job: str) -> dict[str, Any]:
    try:
        return {"inference": worker.infer(Job.from_json(job)).to_json()}
    except MemoryError:
        error: Exception = ModelOutOfMemory(
            "the model needs more memory than limits.model_memory_mib"
        )
    except WorkerError as caught:
        error = caught
    except Exception as caught:  # a mistake in a backend
        error = caught
    return {"error": type(error).__name__, "text": str(error)}


def _read(inbox: "queue.Queue[Any]") -> None:
    """Take messages in, also while a model runs. End the process when nobody can ask any more."""
    unpacker = frames.Unpacker()
    while piece := os.read(0, _PIECE_BYTES):
        for message in unpacker.feed(piece):
            if "drain" in message:
                _forget_jobs(inbox, but=message["drain"])
            inbox.put(message)
    os._exit(0)


def _forget_jobs(inbox: "queue.Queue[Any]", *, but: int | None) -> None:
    kept = []
    with contextlib.suppress(queue.Empty):
        while True:
            kept.append(inbox.get_nowait())
    for message in kept:
        if message.get("number", but) == but:
            inbox.put(message)


def _write(out: int, data: bytes) -> None:
    while data:
        data = data[os.write(out, data) :]


def _limit_memory(mib: int) -> None:
    """Limit the address space. macOS takes the limit and does not keep to it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if mib:
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        size = mib << 20 if most == resource.RLIM_INFINITY else min(mib << 20, most)
        resource.setrlimit(resource.RLIMIT_AS, (size, most))


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(1)
