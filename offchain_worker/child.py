"""A process that does nothing but run models: `python -m offchain_worker.child`, started by whoever has jobs.

Frames (see `frames.py`) come in on stdin: first a `Setup`, then jobs, or models to be measured. On stdout go out the
numbers of the jobs that come to the model now, and a frame per job with the inference or with what went wrong. Jobs of
one model that are here at the same time come to it together, where that changes no bits.

It has no key, makes no proofs and knows no chain, and it limits its own memory before it loads anything: what a
poisonous job can break is this process. It ends when stdin does.
"""

import os
import resource
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from offchain_worker import frames
from offchain_worker.errors import ModelOutOfMemory
from offchain_worker.job import Inference, Job
from offchain_worker.proofs.base import Signer
from offchain_worker.proofs.throwaway import ThrowawaySigner
from offchain_worker.storage.store import EmbeddedStore
from offchain_worker.worker import Limits, Worker

_PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker is made from, as plain values.

    Args:
        store: Folder of the content-addressed store.
        cache: Folder of unpacked models.
        verifiers: Kind of proof by address of the verifier contract.
        backend: Backend for all models, or None for the best one for each.
        max_memory_bytes: What the models of one process may need together; None for three quarters of the machine's.
    """

    store: str
    cache: str
    verifiers: Mapping[str, str]
    backend: str | None = None
    max_memory_bytes: int | None = None

    def open(self, signer: Signer) -> Worker:
        """Make the worker; nothing is loaded yet."""
        return Worker(
            EmbeddedStore(Path(self.store)),
            signer,
            Path(self.cache),
            self.verifiers,
            self.backend,
            Limits(max_memory_bytes=self.max_memory_bytes),
        )


def first_frame(setup: Setup, memory_mib: int) -> bytes:
    """Return what a child is told first. `memory_mib`: most memory it may have; 0 for any."""
    return frames.pack({"setup": asdict(setup), "memory_mib": memory_mib})


def job_frame(job: Job, *, alone: bool = False) -> bytes:
    """Return what a child is told for each job. `alone`: whether it must not run together with others."""
    message = {"job": job.to_json(), "number": job.job_id, "model": job.model_cid, "alone": alone}
    return frames.pack(message)


def measure_frame(model_cid: str) -> bytes:
    """Return what tells a child to measure a model, while another process serves it."""
    return frames.pack({"measure": model_cid})


def drain_frame(numbers: Collection[int]) -> bytes:
    """Return what tells a child to finish these jobs, forget the others, and end."""
    return frames.pack({"drain": list(numbers)})


class Inbox:
    """Messages in order, from the thread that reads to the thread that works."""

    def __init__(self) -> None:
        self._messages: deque[dict[str, Any]] = deque()
        self._changed = threading.Condition()

    def put(self, message: dict[str, Any]) -> None:
        """Add a message. One to drain first drops the jobs that it does not name."""
        with self._changed:
            if "drain" in message:
                kept = (m for m in self._messages if m.get("number") in (None, *message["drain"]))
                self._messages = deque(kept)
            self._messages.append(message)
            self._changed.notify()

    def take(self, most: Callable[[str], int]) -> list[dict[str, Any]]:
        """Wait for a message and return it, with those jobs of the same model that are here too.

        Args:
            most: Returns how many jobs of a model may run at once.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._messages)
            first = self._messages.popleft()
            if "job" not in first or first["alone"]:
                return [first]
            room, left = most(first["model"]) - 1, deque[dict[str, Any]]()
            taken = [first]
            for message in self._messages:
                fits = message.get("model") == first["model"] and not message["alone"]
                (taken if fits and len(taken) <= room else left).append(message)
            self._messages = left
            return taken


def main() -> None:
    """Serve until stdin ends."""
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not get between the frames
    inbox = Inbox()
    threading.Thread(target=_read, args=(inbox,), daemon=True).start()
    (first,) = inbox.take(lambda model: 1)
    _limit_memory(first["memory_mib"])
    worker = Setup(**first["setup"]).open(ThrowawaySigner())
    while "drain" not in (messages := inbox.take(worker.max_batch))[0]:
        if "measure" in messages[0]:
            _write(out, frames.pack(_measure(worker, messages[0]["measure"])))
            continue
        _write(out, frames.pack({"begun": [message["number"] for message in messages]}))
        for reply in _infer(worker, messages):
            _write(out, frames.pack(reply))


def _infer(worker: Worker, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a reply for each job: its number, what became of it, and whether its model has yet to be measured."""
    try:
        outcomes = worker.infer_all([Job.from_json(message["job"]) for message in messages])
    except Exception as error:  # a mistake in the worker itself
        outcomes = [error] * len(messages)
    model = messages[0]["model"]
    told = {"max_batch": worker.max_batch(model)}
    if any(isinstance(outcome, Inference) for outcome in outcomes):
        told["unmeasured"] = not worker.is_measured(model)
    return [
        {"number": message["number"], **told, **_report(outcome)}
        for message, outcome in zip(messages, outcomes, strict=True)
    ]


def _report(outcome: Inference | Exception) -> dict[str, Any]:
    if isinstance(outcome, Inference):
        return {"inference": outcome.to_json()}
    if isinstance(outcome, MemoryError):
        outcome = ModelOutOfMemory("the model needs more memory than limits.model_memory_mib")
    return {"error": type(outcome).__name__, "text": str(outcome)}


def _measure(worker: Worker, model: str) -> dict[str, Any]:
    os.nice(10)  # jobs come first
    try:
        best = worker.measure(model, copies=2)[0]
        return {"best": f"{best.backend}, p50 {best.p50_ms} ms, {best.max_batch} rows at once"}
    except Exception as error:  # a model that nothing here can run stays unmeasured
        return _report(error)


def _read(inbox: Inbox) -> None:
    """Take messages in, also while a model runs. End when nobody can ask any more, with what a model has started."""
    unpacker = frames.Unpacker()
    while piece := os.read(0, _PIECE_BYTES):
        for message in unpacker.feed(piece):
            inbox.put(message)
    if os.getpgrp() == os.getpid():  # else the group is not ours to end
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


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
