"""Runs one job from a file, without a chain: `python -m offchain_worker examples/job.json [--store DIR]`.

The file holds a `Job` as JSON (see `job.py`); bytes are hex. `input` is DAG-CBOR, made with `payload.encode`, and
`input_hash` its Keccak-256. The job's verifier is taken to be a signature verifier, and the key that signs is made for
this run only, so nothing can be submitted with it. Printed is the `Result` as JSON.

The model comes from the store. Models that need no download (see `pipeline.PACKAGED`) are added to it first: `xor`,
which `examples/job.json` asks for, and `magika` if that package is installed. Without `--store`, it is temporary.
Exit code 1 and one line on an error.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from offchain_worker.errors import WorkerError
from offchain_worker.job import Job, Result
from offchain_worker.pipeline import add_packaged_as
from offchain_worker.proofs.throwaway import ThrowawaySigner
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.store import EmbeddedStore
from offchain_worker.worker import Worker


def run(job_file: Path, store_folder: Path) -> Result:
    """Run the job in `job_file`. Blocks and exported models go to `store_folder`, which is made if there is none.

    Raises:
        WorkerError: As `Job.from_json` and `Worker.run`.
        OSError: The file cannot be read, or the store cannot be written.
    """
    job = Job.from_json(job_file.read_bytes())
    store = EmbeddedStore(store_folder)
    model = Cid.parse(job.model_cid)
    if not store.has(model):
        add_packaged_as(model, store)
    worker = Worker(store, ThrowawaySigner(), store_folder / "models", {job.verifier: "signature"})
    return worker.run(job)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m offchain_worker", description="Run one job from a file, without a chain."
    )
    parser.add_argument("job", type=Path, help="job as JSON, such as examples/job.json")
    parser.add_argument(
        "--store", type=Path, help="folder of the store, kept; default: a temporary one"
    )
    parsed = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = parsed.store or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            result = run(parsed.job, folder)
        except (WorkerError, OSError) as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return 1
        print(result.to_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
