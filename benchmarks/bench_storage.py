"""How fast files are stored, checked and read back, written to benchmarks/results/storage.json.

One file of random bytes, in several rounds; in each round everything is measured in turn, and each next to the limit.
The best round counts for each. Besides, the median share of the limit measured just before: on a busy machine, where
the best round of one may meet a better moment than that of another, the two differ. The limit is hashlib alone on one
thread: no store that makes CIDs can be faster on that thread. `store` is CID, possession root, shards and durable
blocks in one pass. The public tool is npm's `ipfs-car pack` (CID and a CAR file, not durable); it must give the same
CID.

`bench_storage.py [MiB]`: size of the file, 1,024 by default.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(ROOT))

from offchain_worker.storage.chunking import cid_of, scan  # noqa: E402 -- the path has to be set first
from offchain_worker.storage.possession import tree_of  # noqa: E402
from offchain_worker.storage.store import EmbeddedStore  # noqa: E402

ROUNDS = 5
HASHED_MIB = 256
MIB = 1 << 20
PLENTY = 1 << 50
PUBLIC_TOOL = "ipfs-car@3.1.0"


class Bench:
    """A folder with the file, and the seconds of each round."""

    def __init__(self, folder: Path, mebibytes: int) -> None:
        self.folder, self.mebibytes = folder, mebibytes
        self.file = folder / "file"
        with self.file.open("wb") as file:
            for _ in range(mebibytes):
                file.write(os.urandom(MIB))
        self.sample = os.urandom(64 * MIB)
        self.cid = cid_of(self.file, 2).cid
        self.seconds: dict[str, list[float]] = {}
        self.shares: dict[str, list[float]] = {}
        self.limits: list[float] = []
        self.tool = install_tool(folder)

    def measure(
        self, name: str, action: Callable[[], object], mebibytes: int | None = None
    ) -> None:
        """Note the seconds per MiB of one run, and its share of the limit of this moment."""
        limit = self.time(self.hash_alone, HASHED_MIB)
        took = self.time(action, mebibytes or self.mebibytes)
        self.limits.append(limit)
        self.seconds.setdefault(name, []).append(took)
        self.shares.setdefault(name, []).append(limit / took)
        print(f"{name:24} {1 / took:7,.0f} MiB/s {limit / took:5.2f} of the limit", flush=True)

    @staticmethod
    def time(action: Callable[[], object], mebibytes: int) -> float:
        """Seconds per MiB of one run."""
        started = time.perf_counter()
        action()
        return (time.perf_counter() - started) / mebibytes

    def round(self) -> None:
        """Everything once."""
        self.measure("write and sync alone", self.write_alone)
        self.measure("possession 1 thread", lambda: tree_of(self.sample), 64)
        self.measure("cid 1 thread", lambda: self.check(cid_of(self.file).cid))
        self.measure("cid 2 threads", lambda: self.check(cid_of(self.file, 2).cid))
        self.measure("scan 1 thread", lambda: self.check(scan(self.file).cid))
        self.measure("scan 2 threads", lambda: self.check(scan(self.file, threads=2).cid))
        for threads in (1, 2):
            shutil.rmtree(self.folder / "store", ignore_errors=True)
            os.sync()  # a store does not pay for the deletion of the one before
            store = EmbeddedStore(self.folder / "store")
            name = f"store {threads} thread{'s'[: threads - 1]}"
            self.measure(name, lambda n=threads, s=store: self.check(s.add(self.file, n).cid))
        self.measure("verify 1 thread", lambda: store.verify(self.cid, PLENTY, 1))
        self.measure("verify 2 threads", lambda: store.verify(self.cid, PLENTY, 2))
        copy = self.folder / "copy"
        copy.unlink(missing_ok=True)
        self.measure("retrieve", lambda: store.export(self.cid, copy, PLENTY))
        copy.unlink()
        if self.tool:
            self.measure("ipfs-car pack", self.pack)
            self.measure("cid and blocks, same work", self.same_work)

    def hash_alone(self) -> None:
        """What the limit is: the hash of chunks that are in memory."""
        for start in range(0, HASHED_MIB * MIB, MIB):
            at = start % len(self.sample)
            sha256(memoryview(self.sample)[at : at + MIB]).digest()

    def write_alone(self) -> None:
        """What the disk gives: the same bytes to one file, synced once."""
        with (self.folder / "blocks").open("wb", buffering=0) as file:
            for start in range(0, self.mebibytes * MIB, MIB):
                at = start % len(self.sample)
                file.write(memoryview(self.sample)[at : at + MIB])
            os.fsync(file)
        (self.folder / "blocks").unlink()

    def check(self, cid: object) -> None:
        """A fast wrong CID is no result."""
        assert cid == self.cid, f"expected {self.cid}, got {cid}"

    def pack(self) -> None:
        """The public tool, on the same file."""
        car = self.folder / "file.car"
        command = [str(self.tool), "pack", str(self.file), "--no-wrap", "--output", str(car)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        car.unlink()
        assert str(self.cid) in said, f"expected {self.cid} of the public tool too, got {said}"

    def same_work(self) -> None:
        """What the tool does, done by us: CIDs, and all blocks in one file."""
        with (self.folder / "blocks").open("wb") as file:
            node = scan_into(self.file, file.write)
        self.check(node)
        (self.folder / "blocks").unlink()


def scan_into(path: Path, write: Callable[[bytes], object]) -> object:
    """Return the CID of a file whose blocks `write` gets."""
    from offchain_worker.storage.layout import import_file

    with path.open("rb") as file:
        return import_file(file, lambda _, block: write(block)).cid


def install_tool(folder: Path) -> Path | None:
    """Install the public tool into a folder of its own; None where npm cannot."""
    npm = ROOT / ".venv/bin/npm"
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    command = [str(npm), "install", "--prefix", str(folder / "npm"), *options, PUBLIC_TOOL]
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        print(f"npm cannot install {PUBLIC_TOOL}: its row is left out")
        return None
    return folder / "npm/node_modules/.bin/ipfs-car"


def report(bench: Bench) -> dict[str, object]:
    """The best round of each, and its share of the limit."""
    limit = 1 / min(bench.limits)
    best = {"sha256 1 thread": limit}
    best |= {name: 1 / min(seconds) for name, seconds in bench.seconds.items()}
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
        "file_mib": bench.mebibytes,
        "rounds": ROUNDS,
        "mib_per_s": {name: round(rate) for name, rate in best.items()},
        "of_the_limit": {name: round(rate / limit, 2) for name, rate in best.items()},
        "of_the_limit_at_the_moment": {
            name: round(median(shares), 2) for name, shares in bench.shares.items()
        },
        "load_1_min_at_the_end": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "mebibytes", nargs="?", type=int, default=1024, help="size of the file; 1,024"
    )
    mebibytes = parser.parse_args().mebibytes
    scratch = ROOT / ".lattice"  # on the disk of the repository, and not in it
    scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=scratch) as folder:
        bench = Bench(Path(folder), mebibytes)
        for number in range(ROUNDS):
            print(f"-- round {number + 1} of {ROUNDS}")
            bench.round()
        result = report(bench)
    (RESULTS / "storage.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["of_the_limit"], indent=2))


if __name__ == "__main__":
    main()
