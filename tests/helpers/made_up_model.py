"""A model of the made-up format, whose backends are in `childside/`, and jobs for it."""

from pathlib import Path

import numpy as np

from offchain_worker.commitment import payload_hash
from offchain_worker.job import NO_ADDRESS, Job
from offchain_worker.manifest import Manifest, Step, TensorSpec
from offchain_worker.payload import encode
from offchain_worker.pipeline import write_folder

CHILDSIDE = Path(__file__).parent / "childside"
VERIFIER = "0x" + "11" * 20


def write_made_up(folder: Path, *, max_batch: int = 1, size_bytes: int = 1) -> None:
    """Write an artifact folder whose only file is `size_bytes` long."""
    tensors = [(TensorSpec(name, "float32", (-1, 2)),) for name in ("x", "y")]
    manifest = Manifest(
        **{"name": "made-up", "task": "test", "format": "made-up", "precision": "float32"},
        **{"files": ("nothing",), "inputs": tensors[0], "outputs": tensors[1]},
        **{"preprocess": Step("tensor"), "postprocess": Step("tensor"), "runtime": {}},
        **{"source": "tests", "licence": "Apache-2.0", "units": "inference"},
        max_batch=max_batch,
    )
    write_folder(folder, manifest, {"nothing": bytes(size_bytes)})


def made_up_job(job_id: int, cid: object, first: float, rows: int = 1) -> Job:
    """Return a job whose rows begin with `first`."""
    payload = encode({"x": np.array([[first, job_id]] * rows, np.float32)})
    return Job(
        **{"chain_id": 1, "router": VERIFIER, "job_id": job_id, "model_id": bytes(32)},
        **{"version": 1, "offer_id": 1, "provider": 1, "units": 1, "callback_gas": 0},
        **{"exclusive_until_s": 1, "deadline_s": 1, "requester": VERIFIER, "token": NO_ADDRESS},
        **{"price": 1, "bond": 0, "input_hash": payload_hash(payload), "verifier": VERIFIER},
        **{"second_verifier": NO_ADDRESS, "resolution": NO_ADDRESS, "input": payload},
        model_cid=str(cid),
    )
