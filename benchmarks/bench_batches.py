"""How much running waiting jobs together brings, and that it changes nothing. Writes results/batches.json.

One process of models with our limits (`Sandbox`), one CPU thread, an integer model of dense layers with 4 million
weights. The same jobs run with a manifest that allows eight rows at once, and with one that does not; the outputs have
to be the same bytes. Needs what `pip install 'lattice[pipeline]'` installs.
"""

import datetime
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from select import select
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})

import numpy as np  # noqa: E402 -- the path and the threads have to be set first
from bench_integer import Network  # noqa: E402

from offchain_worker import payload  # noqa: E402
from offchain_worker.child import Setup  # noqa: E402
from offchain_worker.commitment import payload_hash  # noqa: E402
from offchain_worker.hardware import detect  # noqa: E402
from offchain_worker.job import NO_ADDRESS, Inference, Job  # noqa: E402
from offchain_worker.manifest import FILE_NAME, load  # noqa: E402
from offchain_worker.pipeline.import_integer import import_integer  # noqa: E402
from offchain_worker.proofs.throwaway import ThrowawaySigner  # noqa: E402
from offchain_worker.storage.store import EmbeddedStore  # noqa: E402
from oracle.services.sandbox import Sandbox  # noqa: E402

RESULTS = ROOT / "benchmarks/results/batches.json"
VERIFIER = "0x" + "11" * 20
SHAPES = ((512, 2048), (2048, 1024), (1024, 1024), (1024, 32))
JOBS, ROUNDS = 400, 5


def network() -> Network:
    """Dense layers, the rows of whose input are free."""
    made = Network(("rows", SHAPES[0][0]))
    for shape in SHAPES:
        made.layer("MatMul", shape)
        made.layer("Relu")
    return made


def job(number: int, cid: str, row: np.ndarray) -> Job:
    """A job for one row."""
    data = payload.encode({"x": row})
    return Job(
        **{"chain_id": 1, "router": VERIFIER, "job_id": number, "model_id": bytes(32)},
        **{"version": 1, "offer_id": 1, "provider": 1, "units": 1, "callback_gas": 0},
        **{"exclusive_until_s": 1, "deadline_s": 1, "requester": VERIFIER, "token": NO_ADDRESS},
        **{"price": 1, "bond": 0, "input_hash": payload_hash(data), "verifier": VERIFIER},
        **{"second_verifier": NO_ADDRESS, "resolution": NO_ADDRESS, "input": data},
        model_cid=cid,
    )


def run(sandbox: Sandbox, jobs: list[Job]) -> dict[int, Inference]:
    """Run jobs that are all there at once, as many ahead as the sandbox takes."""
    left, done = list(reversed(jobs)), dict[int, Inference]()
    while len(done) < len(jobs):
        while left and sandbox.room > 0:
            sandbox.begin(left.pop())
        select(sandbox.filenos(), [], [], 1.0)
        for item in sandbox.finished():
            if not isinstance(item.outcome, Inference):
                raise item.outcome
            done[item.job.job_id] = item.outcome
    return done


def main() -> None:
    rng = np.random.default_rng(7)
    rows = rng.normal(0, 1, (JOBS, 1, SHAPES[0][0])).astype(np.float32)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        store, cids = EmbeddedStore(work / "store"), dict[str, str]()
        file = network().quantised(work)
        import_integer(file, work / "model", name="n", origin="o", licence="Apache-2.0")
        manifest = load(work / "model")
        setup = Setup(str(work / "store"), str(work / "cache"), {VERIFIER: "signature"})
        worker = setup.open(ThrowawaySigner())
        for kind, most in (("together", manifest.max_batch), ("one by one", 1)):
            (work / "model" / FILE_NAME).write_text(replace(manifest, max_batch=most).to_json())
            cids[kind] = str(store.add_folder(work / "model"))
            worker.measure(cids[kind])
        spent: dict[str, list[float]] = {kind: [] for kind in cids}
        outputs: dict[str, list[bytes]] = {}
        batches: dict[str, float] = {}
        for kind, cid in cids.items():
            sandbox = Sandbox(setup)
            jobs = [job(at + 1, cid, row) for at, row in enumerate(rows)]
            run(sandbox, jobs[:1])
            for _ in range(ROUNDS):
                start = time.perf_counter()
                done = run(sandbox, jobs)
                spent[kind].append(time.perf_counter() - start)
            sandbox.close()
            outputs[kind] = [done[one.job_id].output for one in jobs]
            batches[kind] = round(float(np.mean([d.batch for d in done.values()])), 2)
    assert outputs["together"] == outputs["one by one"], "expected the same bytes"
    result: dict[str, Any] = {
        kind: {
            "jobs_per_second": round(JOBS / float(np.median(times)), 1),
            "jobs_per_run": batches[kind],
        }
        for kind, times in spent.items()
    }
    print(json.dumps(result))
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": {"chip": detect().chip, "cores": os.cpu_count()},
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "jobs": JOBS,
        "rounds": ROUNDS,
        "same_bytes": True,
        "result": result,
    }
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
