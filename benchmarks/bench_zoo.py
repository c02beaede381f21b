"""Converts every family of the zoo to every format, compares each with its original, and writes results/zoo.json.

`python benchmarks/bench_zoo.py [FAMILY ...]`: without names, all of them, which takes about five minutes; with names,
their lines in the file are replaced. Exit code 1 when a conversion fails.
"""

import argparse
import datetime
import json
import logging
import os
import platform
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["TQDM_DISABLE"] = "1"  # the converters' progress bars
warnings.simplefilter("ignore")

import coremltools  # noqa: E402
import mlx.core  # noqa: E402
import onnx  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

from offchain_worker.errors import WorkerError  # noqa: E402
from offchain_worker.pipeline import check  # noqa: E402
from offchain_worker.pipeline.families import FAMILIES  # noqa: E402
from offchain_worker.pipeline.families.base import Family  # noqa: E402
from offchain_worker.pipeline.package import About, write_package  # noqa: E402
from offchain_worker.pipeline.random_model import save  # noqa: E402
from offchain_worker.transformers_model import Original, from_folder  # noqa: E402

RESULTS = ROOT / "benchmarks/results/zoo.json"
ABOUT = About("zoo", "test", "random numbers", "Apache-2.0")


def measure(family: Family, format: str, original: Original, source: Path) -> dict[str, Any]:
    """Convert, run and compare one model in one format."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / "model"
        try:
            manifest = write_package(original, source, to, format, "float32", ABOUT)
            report = check.check(original, to, manifest)
        except WorkerError as error:
            return {"ok": False, "reason": str(error)[:300]}
    return {
        "ok": True,
        "max_abs": float(f"{report.max_abs:.2e}"),
        "cosine": round(report.cosine, 9),
        "seconds": round(time.perf_counter() - start, 1),
    }


def as_text(report: dict[str, Any]) -> str:
    """Return the report as JSON with one line for each family and format."""
    text = json.dumps({**report, "families": {}}, indent=1)
    rows = [
        f'  "{name}": {{\n'
        + ",\n".join(f'   "{format}": {json.dumps(found)}' for format, found in row.items())
        + "\n  }"
        for name, row in report["families"].items()
    ]
    return text.replace('"families": {}', '"families": {\n' + ",\n".join(rows) + "\n }") + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", help="only these; all of them otherwise")
    names = parser.parse_args().families
    if unknown := set(names) - set(FAMILIES):
        parser.error(f"expected families of {', '.join(FAMILIES)}; got {', '.join(unknown)}")
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    before = json.loads(RESULTS.read_text())["families"] if names else {}
    results: dict[str, dict[str, Any]] = {name: before[name] for name in FAMILIES if name in before}
    for name in names or FAMILIES:
        family = FAMILIES[name]
        with tempfile.TemporaryDirectory() as source:
            save(family, Path(source))
            original = from_folder(Path(source), sequence=family.sequence, samples=family.samples)
            formats = ["coreml", "onnx", *(["mlx"] if family.mlx else [])]
            results[name] = {
                format: measure(family, format, original, Path(source)) for format in formats
            }
            if family.mlx_lacks:
                results[name]["mlx"] = {"ok": False, "reason": family.mlx_lacks}
        print(name, json.dumps(results[name]), flush=True)
    passed = {
        format: sum(found.get(format, {}).get("ok", False) for found in results.values())
        for format in ("coreml", "onnx", "mlx")
    }
    print(passed)
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "coremltools": coremltools.__version__,
            "onnx": onnx.__version__,
            "mlx": mlx.core.__version__,
        },
        "passed": passed,
        "families": results,
    }
    RESULTS.write_text(as_text(report))
    failed = [
        (name, format)
        for name, row in results.items()
        for format, found in row.items()
        if not found["ok"] and not (format == "mlx" and FAMILIES[name].mlx_lacks)
    ]
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
