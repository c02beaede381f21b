"""From a job to a result: check the input, load the model, run it, make the proofs.

`infer` and `prove` are two steps, so that the caller can store what the model said before anything is signed.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from offchain_worker import payload
from offchain_worker.artifacts import Artifacts
from offchain_worker.backends import batching
from offchain_worker.backends.base import Arrays, check_inputs, check_outputs
from offchain_worker.backends.profile import Profile
from offchain_worker.commitment import payload_hash
from offchain_worker.errors import (
    ArtifactTooLarge,
    BadArtifact,
    BadInput,
    BadOutput,
    CorruptedBlock,
    OutputTooLarge,
    ProofUnknown,
)
from offchain_worker.generation import generate
from offchain_worker.hardware import resident_bytes
from offchain_worker.job import NO_ADDRESS, Inference, Job, Result
from offchain_worker.models import Model, Models
from offchain_worker.payload import Values
from offchain_worker.processing.base import Known, Prompt, Tensors
from offchain_worker.proofs import open_proof
from offchain_worker.proofs.base import Signer
from offchain_worker.storage.base import Store
from offchain_worker.storage.cid import Cid


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker accepts, in bytes, and how many models it keeps loaded."""

    max_input_bytes: int = payload.MAX_INPUT_BYTES
    max_linked_bytes: int = 16 << 20
    """All that the links of one input lead to, together."""
    max_model_bytes: int = 8 << 30
    """All files of an artifact folder, together."""
    max_output_bytes: int = payload.MAX_OUTPUT_BYTES
    max_models: int = 8
    max_memory_bytes: int | None = None
    """All loaded models together; None for three quarters of the machine's memory."""


class Worker:
    """Runs jobs. Not thread-safe: use one worker per thread; they may share the store and the cache folder."""

    def __init__(
        self,
        store: Store,
        signer: Signer,
        cache: Path,
        verifiers: Mapping[str, str],
        backend: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Make a worker; nothing is loaded yet.

        Args:
            store: Where artifact folders and linked inputs come from.
            signer: Signs for the operator of the provider.
            cache: Folder for exported artifact folders; made if there is none.
            verifiers: Kind of proof by address of the verifier contract, such as `{"0x...": "signature"}`.
            backend: Backend for all models, or None for the preferred one of each model's format.
            limits: What to accept.
        """
        self._limits = limits or Limits()
        self._store = store
        self._signer = signer
        self._verifiers = {address.lower(): kind for address, kind in verifiers.items()}
        artifacts = Artifacts(store, cache, self._limits.max_model_bytes)
        self._models = Models(
            artifacts, backend, self._limits.max_models, self._limits.max_memory_bytes
        )

    def run(self, job: Job) -> Result:
        """Infer and prove in one go, for callers that need not store what is between.

        Raises:
            WorkerError: As `infer` and `prove`.
        """
        return self.prove(job, self.infer(job))

    def infer(self, job: Job) -> Inference:
        """Run the model on the job's input.

        Raises:
            BadInput: The input is not what was committed to, or not what the model takes.
            BadModel, ModelTooLarge: The model version cannot be run.
            BadOutput, OutputTooLarge: What it gave may not be submitted.
            ArtifactMissing, CorruptedBlock: The store lacks a block, or fails.
            BackendUnknown, BackendNotInstalled, BackendNotSupported: The model cannot be run here.
            ProofUnknown: The answer could not be proved, so it is not computed.
        """
        model, prepared = self._prepare(job)
        if isinstance(prepared, Known):
            return self._inference(job, model, prepared.answer, 0.0)
        if isinstance(prepared, Prompt):
            outputs, duration_ms = _continue(model, prepared)
        else:
            outputs, duration_ms = _run(model, prepared.arrays)
        return self._inference(job, model, model.postprocess(outputs), duration_ms)

    def infer_all(self, jobs: Sequence[Job]) -> list[Inference | Exception]:
        """Run jobs of one model, together where that changes no bits. What goes wrong stands in a job's place.

        A run of several that fails is done again one by one, so that no job suffers from another's input.
        """
        if len(jobs) == 1:
            return [_outcome(lambda: self.infer(jobs[0]))]
        ready: dict[int, tuple[Model, Arrays]] = {}
        outcomes: dict[int, Inference | Exception] = {}
        for at, job in enumerate(jobs):
            try:
                model, prepared = self._prepare(job)
                if isinstance(prepared, Tensors):
                    check_inputs(prepared.arrays, model.manifest.inputs)
                    ready[at] = (model, prepared.arrays)
                else:
                    outcomes[at] = self.infer(job)
            except Exception as error:  # one job must not end the others
                outcomes[at] = error
        for group in _groups(ready):
            model = ready[group[0]][0]
            found = self._together(
                [jobs[at] for at in group], [ready[at][1] for at in group], model
            )
            outcomes |= dict(zip(group, found, strict=True))
        return [outcomes[at] for at in range(len(jobs))]

    def prove(self, job: Job, inference: Inference) -> Result:
        """Make the proofs that the job's policy asks for.

        Raises:
            BadOutput: `inference` is not of this job, or was changed.
            ProofUnknown: The policy asks for a proof that this worker cannot make.
            BadSigner: The signer gave no valid signature.
        """
        if inference.job_id != job.job_id or not 1 <= inference.units <= job.units:
            raise BadOutput(
                f"expected an inference of job {job.job_id} for 1 to {job.units} units, got one of job "
                f"{inference.job_id} for {inference.units}"
            )
        if inference.output_hash != payload_hash(inference.output):
            raise BadOutput(
                f"expected output_hash to be the hash of output in job {job.job_id}, got another"
            )
        proofs = tuple(open_proof(kind)(job, inference, self._signer) for kind in self._kinds(job))
        return Result(**asdict(inference), proofs=proofs)

    def max_batch(self, model_cid: str) -> int:
        """Return how many jobs of one row each may run at once on a model; 1 if it is not loaded."""
        return self._models.max_batch(model_cid)

    def is_measured(self, model_cid: str) -> bool:
        """Whether a loaded model was measured on this machine."""
        return self._models.is_measured(model_cid)

    def measure(self, model_cid: str, *, copies: int = 1) -> list[Profile]:
        """Measure the backends that can run a model. As `Models.measure`."""
        return self._models.measure(model_cid, copies=copies)

    def too_large(self, model_cid: str) -> str | None:
        """Say why a model would not fit into memory, before anything of it is loaded; None when it would."""
        return self._models.too_large(model_cid)

    def close(self) -> None:
        """Free all loaded models."""
        self._models.close()

    def _prepare(self, job: Job) -> tuple[Model, Tensors | Known | Prompt]:
        self._kinds(job)
        values = self._values(job)
        model = self._models.get(job.model_cid)
        return model, model.preprocess(values)

    def _together(
        self, jobs: Sequence[Job], inputs: Sequence[Arrays], model: Model
    ) -> list[Inference | Exception]:
        """Run jobs at once; one by one if there is only one, or when anything goes wrong."""
        if len(jobs) > 1:
            with suppress(Exception):  # whatever it was, whose it was shows when each runs alone
                joined, duration_ms = _run(model, batching.join(inputs))
                parts = batching.split(joined, [batching.rows_of(given) for given in inputs])
                return [
                    self._inference(job, model, model.postprocess(part), duration_ms, len(jobs))
                    for job, part in zip(jobs, parts, strict=True)
                ]
        return [_outcome(partial(self.infer, job)) for job in jobs]

    def _inference(
        self, job: Job, model: Model, answer: Values, duration_ms: float, batch: int = 1
    ) -> Inference:
        output = _encode(answer, self._limits.max_output_bytes)
        return Inference(
            job_id=job.job_id,
            units=1,  # of "inference", the only unit there is
            output=output,
            output_hash=payload_hash(output),
            backend=model.backend.name,
            device=model.backend.device,
            duration_ms=duration_ms,
            answer=payload.for_people(answer),
            batch=batch,
            memory_bytes=resident_bytes(),
        )

    def _kinds(self, job: Job) -> list[str]:
        """Return the kinds of proof that the policy asks for, in order."""
        if job.resolution != NO_ADDRESS:
            raise ProofUnknown(
                f"expected a policy without a resolution, got {job.resolution}: decline the job"
            )
        kinds = []
        for verifier in (job.verifier, job.second_verifier):
            if verifier == NO_ADDRESS:
                continue
            kind = self._verifiers.get(verifier.lower())
            if kind is None:
                known = ", ".join(sorted(self._verifiers)) or "none"
                raise ProofUnknown(
                    f"expected a verifier known to this worker ({known}), got {verifier}"
                )
            open_proof(kind)
            kinds.append(kind)
        if not kinds:
            raise ProofUnknown("expected a policy with a verifier, got none")
        return kinds

    def _values(self, job: Job) -> Values:
        """Return the job's input, checked and decoded, with links replaced by the bytes that they lead to."""
        found = payload_hash(job.input)
        if found != job.input_hash:
            raise BadInput(
                f"expected an input with hash 0x{job.input_hash.hex()}, got one with 0x{found.hex()}"
            )
        if job.units < 1:
            raise BadInput("expected a job that pays for at least 1 unit, got 0")
        values = payload.decode(job.input, self._limits.max_input_bytes)
        left_bytes = self._limits.max_linked_bytes

        def resolve(value: object) -> object:
            nonlocal left_bytes
            if isinstance(value, list):
                return [resolve(item) for item in value]
            if not isinstance(value, Cid):
                return value
            data = self._linked(value, left_bytes)
            left_bytes -= len(data)
            return data

        return {name: resolve(value) for name, value in values.items()}

    def _linked(self, cid: Cid, max_bytes: int) -> bytes:
        try:
            return self._store.read(cid, max_bytes)
        except ArtifactTooLarge as error:
            raise BadInput(
                f"expected at most {self._limits.max_linked_bytes} bytes behind the links of an input, "
                f"got more: {error}"
            ) from error
        except CorruptedBlock:
            raise
        except BadArtifact as error:
            raise BadInput(f"expected links of an input to lead to files, got: {error}") from error


def _run(model: Model, inputs: Arrays) -> tuple[Arrays, float]:
    """Return the outputs, checked, and how long the model ran in milliseconds."""
    start = time.perf_counter()
    outputs = model.backend.run(inputs)
    duration_ms = (time.perf_counter() - start) * 1000
    check_outputs(outputs, model.manifest.outputs)
    return outputs, duration_ms


def _continue(model: Model, prompt: Prompt) -> tuple[Arrays, float]:
    """Return the tokens that the model adds, and how long it ran in milliseconds."""
    start = time.perf_counter()
    added = generate(model.backend, model.manifest, prompt.tokens, prompt.most, prompt.stop)
    duration_ms = (time.perf_counter() - start) * 1000
    return {"tokens": np.array(added, np.int32)}, duration_ms


def _groups(ready: Mapping[int, tuple[Model, Arrays]]) -> list[list[int]]:
    """Return which jobs run together: of one model and kind of input, as many rows as the model may be given."""
    groups: list[list[int]] = []
    open_groups: dict[Any, tuple[list[int], int]] = {}
    for at, (model, inputs) in ready.items():
        kind, rows = (id(model), batching.kind_of(inputs)), batching.rows_of(inputs)
        group, size = open_groups.get(kind, ([], 0))
        if not group or not rows or size + rows > model.max_batch:
            group, size = [], 0
            groups.append(group)
        group.append(at)
        open_groups[kind] = group, size + (rows or model.max_batch)
    return groups


def _outcome(infer: Callable[[], Inference]) -> Inference | Exception:
    try:
        return infer()
    except Exception as error:  # sorted by whoever gave the job
        return error


def _encode(answer: Values, max_bytes: int) -> bytes:
    try:
        output = payload.encode(answer)
    except BadInput as error:
        raise BadOutput(f"expected an answer that can be encoded, got: {error}") from error
    if len(output) > max_bytes:
        raise OutputTooLarge(f"expected an output of at most {max_bytes} bytes, got {len(output)}")
    return output
