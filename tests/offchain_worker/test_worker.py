"""worker

infer
├── when the input is not what was committed to, is malformed or too long: it raises BadInput
├── when the job pays for no unit: it raises BadInput
├── when the input is not what the model takes: it raises BadInput
├── when a link leads to too much, to a folder, to nothing or to damaged bytes: it raises
├── when the policy asks for a proof that cannot be made: it raises ProofUnknown before the model is touched
├── when the model gives NaN, too much or something else than its manifest says: it raises BadOutput
├── it gives the same output each time
└── it runs xor, and magika on bytes and on links
infer_all
├── when the model was measured and allows it: jobs of one shape run together, up to as many rows as it allows
├── when it was not measured: each runs alone
└── in either case each has the output that it has alone, in order, and what is wrong with one stays with it
prove
├── when the inference is of another job, or was changed: it raises BadOutput
└── it makes a proof for each verifier
run
└── it is infer and prove
"""

import json
import shutil
from dataclasses import replace

import dag_cbor
import magika
import numpy as np
import pytest
from store_damage import overwrite

from offchain_worker import payload, safetensors
from offchain_worker.backends.reference import Backend
from offchain_worker.commitment import answer_digest, payload_hash
from offchain_worker.errors import (
    ArtifactMissing,
    BadInput,
    BadModel,
    BadOutput,
    CorruptedBlock,
    OutputTooLarge,
    ProofUnknown,
)
from offchain_worker.job import Inference
from offchain_worker.pipeline.xor_model import MANIFEST
from offchain_worker.proofs.signature import recover
from offchain_worker.storage.cid import RAW, Cid
from offchain_worker.worker import Limits, Worker

OTHER = "0x" + "cd" * 20


@pytest.fixture
def model_with(store, xor_folder, tmp_path):
    """Return a function that stores the xor model with other weights and returns its CID."""

    def make(**weights):
        shutil.copytree(xor_folder, tmp_path / "changed")
        path = tmp_path / "changed" / MANIFEST.files[0]
        path.write_bytes(safetensors.write(safetensors.read(path.read_bytes()) | weights))
        return str(store.add_folder(tmp_path / "changed"))

    return make


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_hash": bytes(32)}, "an input with hash 0x0000.* got one with 0x"),
        ({"units": 0}, "at least 1 unit"),
        ({"input": b"\xff"}, "known length"),
        ({"input": dag_cbor.encode({"x": b"\0" * 16_384})}, "at most 16384 bytes"),
        ({"input": payload.encode({"x": b"x"})}, "a tensor at 'x', got bytes"),
        ({"input": payload.encode({})}, r"an input named 'x', got \[\]"),
        ({"input": payload.encode({"x": np.zeros((1, 3), np.float32)})}, r"of shape \('any', 2\)"),
        ({"input": payload.encode({"x": np.zeros((1, 2))})}, "of dtype float32, got float64"),
    ],
)
def test_infer__when_input_is_wrong__raises_bad_input(worker, job_of, xor_cid, changes, message):
    with pytest.raises(BadInput, match=message):
        worker.infer(job_of(model_cid=xor_cid, **changes))


def test_infer__when_model_is_missing__raises_artifact_missing(worker, job_of):
    with pytest.raises(ArtifactMissing):
        worker.infer(job_of(model_cid=str(Cid.of(RAW, b"nowhere"))))


def test_infer__when_model_has_no_manifest__raises_bad_model(worker, job_of, store, tmp_path):
    (tmp_path / "empty").mkdir()

    with pytest.raises(BadModel, match=r"a file 'manifest\.json'"):
        worker.infer(job_of(model_cid=str(store.add_folder(tmp_path / "empty"))))


def test_infer__when_links_lead_to_too_much__raises_bad_input(
    store, signer, tmp_path, job_of, xor_cid
):
    limits = Limits(max_linked_bytes=9)
    job = job_of({"x": [store.add_bytes(b"hello"), store.add_bytes(b"world")]}, model_cid=xor_cid)
    worker = Worker(store, signer, tmp_path / "cache", {job.verifier: "signature"}, limits=limits)

    with pytest.raises(BadInput, match="at most 9 bytes behind the links of an input"):
        worker.infer(job)


def test_infer__when_link_leads_to_a_folder__raises_bad_input(worker, job_of, magika_cid):
    job = job_of({"file": Cid.parse(magika_cid)}, model_cid=magika_cid)

    with pytest.raises(BadInput, match=r"links of an input to lead to files, got: .* got a folder"):
        worker.infer(job)


def test_infer__when_link_leads_to_nothing__raises_artifact_missing(worker, job_of, magika_cid):
    with pytest.raises(ArtifactMissing):
        worker.infer(job_of({"file": Cid.of(RAW, b"nowhere")}, model_cid=magika_cid))


def test_infer__when_linked_bytes_are_damaged__raises_corrupted_block(
    worker, job_of, magika_cid, store
):
    cid = store.add_bytes(b"hello")
    overwrite(store, cid, b"hellO")

    with pytest.raises(CorruptedBlock, match=str(cid)):
        worker.infer(job_of({"file": cid}, model_cid=magika_cid))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verifier": OTHER}, f"a verifier known to this worker .*, got {OTHER}"),
        ({"second_verifier": OTHER}, f"a verifier known to this worker .*, got {OTHER}"),
        ({"resolution": OTHER}, "a policy without a resolution"),
        ({"verifier": "0x" + "00" * 20}, "a policy with a verifier, got none"),
    ],
)
def test_infer__when_it_cannot_be_proved__the_model_is_not_touched(
    worker, job_of, changes, message
):
    with pytest.raises(ProofUnknown, match=message):
        worker.infer(job_of(model_cid="not even a CID", **changes))


def test_infer__when_model_gives_infinity__raises_bad_output(worker, job_of, model_with):
    cid = model_with(w0=np.full((2, 2), 3e38, np.float32), w1=np.full((2, 1), 3e38, np.float32))

    with pytest.raises(BadOutput, match="finite numbers in output 'y'"):
        worker.infer(job_of(model_cid=cid))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "an output named 'y'"),
        ({"y": np.zeros((4, 2), np.float32)}, "output 'y' of shape"),
        ({"y": np.zeros((4, 1))}, "output 'y' of dtype float32"),
    ],
)
def test_infer__when_model_gives_something_else__raises_bad_output(
    worker, job_of, xor_cid, monkeypatch, outputs, message
):
    monkeypatch.setattr(Backend, "run", lambda self, inputs: outputs)

    with pytest.raises(BadOutput, match=message):
        worker.infer(job_of(model_cid=xor_cid))


def test_infer__when_output_is_too_large__raises_output_too_large(
    worker, job_of, xor_cid, monkeypatch
):
    monkeypatch.setattr(Backend, "run", lambda self, inputs: {"y": np.zeros((2048, 1), np.float32)})

    with pytest.raises(OutputTooLarge, match=r"at most 8192 bytes, got 82\d\d"):
        worker.infer(job_of(model_cid=xor_cid))


def test_infer__runs_xor(worker, job_of, xor_cid):
    table = np.array([[0], [1], [1], [0]], np.float32)
    output = payload.encode({"y": table})

    inference = worker.infer(job_of(model_cid=xor_cid))

    assert inference == Inference(
        job_id=7,
        units=1,
        output=output,
        output_hash=payload_hash(output),
        backend="reference",
        device="cpu",
        duration_ms=inference.duration_ms,
        memory_bytes=inference.memory_bytes,
        answer={"y": {"dtype": "float32", "shape": [4, 1], "data": table.tolist()}},
    )
    assert Inference.from_json(inference.to_json()) == inference


@pytest.mark.parametrize("linked", [False, True], ids=["inline", "linked"])
def test_infer__runs_magika(worker, job_of, magika_cid, store, linked):
    file = b"import os\n\n\ndef main():\n    print(os.getcwd())\n" * (40_000 if linked else 20)
    expected = magika.Magika().identify_bytes(file)
    job = job_of({"file": store.add_bytes(file) if linked else file}, model_cid=magika_cid)

    inference = worker.infer(job)

    assert inference.answer == {"label": str(expected.output.label), "score": expected.score}
    assert payload.decode(inference.output) == inference.answer
    assert (inference.backend, worker.infer(job).output) == ("onnx", inference.output)


def test_infer__of_an_empty_file__runs_no_model(worker, job_of, magika_cid):
    inference = worker.infer(job_of({"file": b""}, model_cid=magika_cid))

    assert (inference.answer, inference.duration_ms) == ({"label": "empty", "score": 1.0}, 0.0)


@pytest.fixture
def batched_cid(store, xor_folder, tmp_path):
    """The xor model, with a manifest that allows four rows at once."""
    shutil.copytree(xor_folder, tmp_path / "batched")
    text = replace(MANIFEST, max_batch=4).to_json()
    (tmp_path / "batched/manifest.json").write_text(text)
    return str(store.add_folder(tmp_path / "batched"))


@pytest.mark.parametrize(
    ("is_measured", "batches"), [(True, [2, 2, 2, 2, 1]), (False, [1, 1, 1, 1, 1])]
)
def test_infer_all__gives_each_job_what_it_has_alone(
    worker, job_of, batched_cid, is_measured, batches
):
    def job(job_id, rows, **changes):
        x = np.full((rows, 2), job_id % 2, np.float32)
        return job_of({"x": x}, job_id=job_id, model_cid=batched_cid, **changes)

    if is_measured:
        worker.measure(batched_cid)
    jobs = [job(1, 1), job(2, 3), job(3, 1), job(4, 1, units=0), job(5, 3), job(6, 5)]
    jobs.append(job_of({"z": np.zeros(2)}, job_id=7, model_cid=batched_cid))

    outcomes = worker.infer_all(jobs)

    bad = {at: outcome for at, outcome in enumerate(outcomes) if isinstance(outcome, Exception)}
    good = [
        (job, outcome)
        for job, outcome in zip(jobs, outcomes, strict=True)
        if outcome not in bad.values()
    ]
    assert {at: type(error) for at, error in bad.items()} == {3: BadInput, 6: BadInput}
    assert [outcome.batch for _, outcome in good] == batches
    for job, outcome in good:
        alone = worker.infer(job)
        assert (outcome.job_id, outcome.output) == (job.job_id, alone.output)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"job_id": 8}, "an inference of job 7"),
        ({"units": 2}, "for 1 to 1 units"),
        ({"units": 0}, "for 1 to 1 units"),
        ({"output": b"\xa0"}, "output_hash to be the hash of output"),
    ],
)
def test_prove__when_it_is_not_of_this_job__raises_bad_output(
    worker, job_of, xor_cid, changes, message
):
    job = job_of(model_cid=xor_cid)
    inference = worker.infer(job)

    with pytest.raises(BadOutput, match=message):
        worker.prove(job, replace(inference, **changes))


def test_prove__makes_a_proof_for_each_verifier(store, signer, tmp_path, job_of, xor_cid):
    job = job_of(model_cid=xor_cid, second_verifier=OTHER)
    kinds = {job.verifier.upper().replace("0X", "0x"): "signature", OTHER: "signature"}
    worker = Worker(store, signer, tmp_path / "cache", kinds)

    result = worker.prove(job, worker.infer(job))

    digest = answer_digest(job, 1, result.output_hash)
    assert [recover(digest, proof) for proof in result.proofs] == [signer.address] * 2


def test_run__is_infer_and_prove(worker, job_of, xor_cid, signer):
    job = job_of(model_cid=xor_cid, units=5)

    result = worker.run(job)
    worker.close()

    plain = json.loads(result.to_json())
    (proof,) = result.proofs
    assert recover(answer_digest(job, 1, result.output_hash), proof) == signer.address
    assert plain["proofs"] == ["0x" + proof.hex()]
    assert plain["answer"]["y"]["data"] == [[0.0], [1.0], [1.0], [0.0]]
