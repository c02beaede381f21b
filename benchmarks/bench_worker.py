"""How fast a provider is, apart from the model itself: a real process on anvil, the real contracts, durable commits.

Latency: from the moment the transaction with the request is in a block (asked of the chain) to the moment the answer
has been sent (written down by the provider), less the time in the model; at one request at a time, and at fifty in one
block. Throughput: requests that wait at once, until the chain has all answers; with models in a process of the
provider's own, and with one and three workers on one queue (a real Redis). And a burst of a thousand: what became of
them. Written to benchmarks/results/worker.json, each row with the machine's load before it.

`bench_worker.py --only latency` or `--only throughput` measures only these rows and keeps the others of the file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ape

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

from live_chain import SETTLED  # noqa: E402 -- the path has to be set first
from redis_server import RedisServer  # noqa: E402

from offchain_worker import payload  # noqa: E402
from offchain_worker.pipeline import add_packaged  # noqa: E402
from offchain_worker.storage.store import EmbeddedStore  # noqa: E402
from oracle.chain.contracts import Contracts, Deployment  # noqa: E402
from oracle.chain.rpc import Rpc  # noqa: E402
from scripts._support.deployment import deploy, record_path  # noqa: E402
from scripts._support.devnet import Anvil, ProviderProcess, lattice  # noqa: E402
from scripts._support.plan import Settings  # noqa: E402

ONE_BY_ONE, BURSTS, BURST = 100, 4, 50
MANY, ALL = 300, 1_000
ANSWER_TIMEOUT_S = 300.0
SENT = "sent_at_ms IS NOT NULL"
ON_CHAIN = "state IN ('mined', 'final')"
POLL_INTERVAL_S = 0.02


class Bench:
    """A chain with one provider that serves the trivial model `xor`."""

    def __init__(self, anvil: Anvil, folder: Path) -> None:
        self.anvil = anvil
        keys = ape.accounts.test_accounts
        path = record_path(anvil.chain_id, folder)
        deploy(keys[0], Settings(keys[0].address, keys[0].address), path)
        record = Deployment.read(path)
        self.contracts = Contracts(Rpc([anvil.url], record.chain_id, record.genesis), record)
        self.requester = keys[3].address
        model = folder / "model"
        store = EmbeddedStore(folder / "store")
        store.export(add_packaged("xor", store), model, 1 << 20)
        home = self.home(folder / "provider", path, keys[1].private_key)
        shown = json.loads(lattice(home, "model", "register", model, "--json"))
        lattice(home, "provider", "register", "--operator", keys[2].address)
        lattice(
            home,
            "provider",
            "offer",
            shown["model"],
            "--ask",
            10**15,
            "--capacity",
            2 * ALL,
            "--backend",
            "reference",
        )
        self.market = {
            **{
                "modelId": bytes.fromhex(shown["model"][2:]),
                "version": 1,
                "epoch": 1,
                "token": "0x" + "00" * 20,
            },
            "verifier": self.contracts.address("SignatureVerifier"),
            **{"secondVerifier": "0x" + "00" * 20, "resolution": "0x" + "00" * 20},
        }
        self.provider_home, self.key = home, keys[2].private_key

    @contextlib.contextmanager
    def running(self, queue: str = "", workers: int = 0) -> Iterator[None]:
        """The provider's process, and workers on the queue if one is named; the first answer has been given."""
        changes = {
            "chain": {"poll_interval_s": POLL_INTERVAL_S},
            "limits": {"price_to_gas": 0.0, "max_in_flight": 64},
            "queue": {"url": queue},
            "keeper": {"claim": False},
        }
        self.provider = ProviderProcess(self.provider_home, self.key, changes)
        self.database = self.provider_home / "jobs.sqlite"
        command = [sys.executable, "-m", "oracle", "worker", "run", "--home", self.provider_home]
        team = [
            subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) for _ in range(workers)
        ]
        try:
            for _ in range(1 + 4 * workers):  # each worker has loaded the model
                self.latencies(1)
            yield
        finally:
            self.provider.stop()
            for worker in team:
                worker.terminate()
            for worker in team:
                worker.wait(30)

    def home(self, home: Path, record: Path, key: str) -> Path:
        lattice(
            home,
            "init",
            "--rpc",
            self.anvil.url,
            "--deployment",
            record,
            "--key-env",
            "LATTICE_KEY",
            key=key,
        )
        return home

    def send(self) -> str:
        """Send one request from an account that anvil holds the key of; returns the transaction's hash."""
        import numpy as np

        asked = {
            "market": self.market,
            "offerId": 0,
            "units": 1,
            "callbackGas": 0,
            "maxPrice": 10**15,
            "deadline": int(self.contracts.rpc.head()["timestamp"], 16) + 600,
            "input": payload.encode({"x": np.array([[0.0, 1.0]], dtype=np.float32)}),
        }
        data = self.contracts.encode("InferenceRouter", "request", asked)
        transaction = {
            "from": self.requester,
            "to": self.contracts.address("InferenceRouter"),
            "data": "0x" + data.hex(),
            "value": hex(10**15),
            "gas": hex(300_000),
        }
        return str(self.anvil.call("eth_sendTransaction", transaction))

    def latencies(self, count: int) -> list[float]:
        """Milliseconds for `count` requests in one block, each without the time in the model."""
        first = self.contracts.read("InferenceRouter", "lastJobId") + 1
        if count == 1:
            self.send()
        else:
            self.anvil.call("evm_setAutomine", False)
            for _ in range(count):
                self.send()
            self.anvil.call("evm_mine")
        mined_ms = time.time() * 1_000
        if count > 1:
            self.anvil.call("evm_setAutomine", True)
        jobs = self.wait(first, count, SENT)
        return [
            job["sent_at_ms"] - mined_ms - json.loads(job["inference"])["duration_ms"]
            for job in jobs
        ]

    def burst(self, count: int) -> dict[str, float]:
        """Let `count` requests wait at once; returns how fast the chain had the answers, and how many."""
        first = self.contracts.read("InferenceRouter", "lastJobId") + 1
        self.anvil.call("evm_setAutomine", False)
        for _ in range(count):
            self.send()
        start = time.monotonic()
        while int(self.anvil.call("txpool_status")["pending"], 16):
            self.anvil.call("evm_mine")
        self.anvil.call("evm_setAutomine", True)
        self.wait(first, count, ON_CHAIN)
        seconds = time.monotonic() - start
        settled = sum(
            self.contracts.read("InferenceRouter", "stateOf", job) == SETTLED
            for job in range(first, first + count)
        )
        return {
            "requests": count,
            "answered": settled,
            "seconds": round(seconds, 1),
            "answered_per_s": round(settled / seconds, 1),
        }

    def wait(self, first: int, count: int, condition: str) -> list[sqlite3.Row]:
        """Wait until the provider has brought these jobs so far."""
        end = time.monotonic() + ANSWER_TIMEOUT_S
        rows: list[sqlite3.Row] = []
        while time.monotonic() < end and len(rows) < count:
            self.provider.check()
            with contextlib.suppress(sqlite3.OperationalError):  # the provider is starting
                rows = self.rows(first, count, condition)
            time.sleep(0.02 if count <= BURST else 0.2)
        if len(rows) == count:
            return rows
        raise TimeoutError(
            f"expected {count} answers within {ANSWER_TIMEOUT_S:.0f} s, got {len(rows)}"
        )

    def rows(self, first: int, count: int, condition: str) -> list[sqlite3.Row]:
        """What the provider has written down of those of these jobs that are so far."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            return db.execute(
                f"SELECT sent_at_ms, inference FROM jobs WHERE job_id BETWEEN ? AND ? AND {condition}",  # noqa: S608
                (first, first + count - 1),
            ).fetchall()


def summary(values: list[float]) -> dict[str, float]:
    """p50 and p99, in milliseconds."""
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {
        "p50_ms": round(statistics.median(ordered), 1),
        "p99_ms": round(p99, 1),
        "samples": len(ordered),
    }


def fsyncs_per_s(folder: Path) -> float:
    """How many durable writes this disk does a second, to read the figures by."""
    count, start = 100, time.perf_counter()
    with (folder / "probe").open("wb") as file:
        for _ in range(count):
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    return count / (time.perf_counter() - start)


def loaded(row: dict[str, Any], load: float) -> dict[str, Any]:
    """A row with the date and the machine's load (one minute, processes) before it was measured."""
    return {**row, "load_before": round(load, 1), "date": datetime.now(UTC).date().isoformat()}


def latency(bench: Bench) -> dict[str, Any]:
    """Rows of a provider that has little to do, and of fifty requests at once."""
    load = os.getloadavg()[0]
    with bench.running():
        one_by_one = [ms for _ in range(ONE_BY_ONE) for ms in bench.latencies(1)]
        at_once = [ms for _ in range(BURSTS) for ms in bench.latencies(BURST)]
    return {
        "event_to_sent_1": loaded(summary(one_by_one), load),
        f"event_to_sent_{BURST}": loaded(summary(at_once), load),
    }


def throughput(bench: Bench) -> dict[str, Any]:
    """Rows of bursts: models in the provider's own process, and in workers on a queue."""
    load = os.getloadavg()[0]
    with bench.running():
        rows = {
            "throughput_own_process": loaded(bench.burst(MANY), load),
            f"burst_{ALL}": loaded(bench.burst(ALL), load),
        }
    if find_spec("taskiq_redis") is None:
        print("no rows of workers on a queue: `pip install -e '.[scale]'` and a redis-server first")
        return rows
    redis = RedisServer()
    try:
        for workers in (1, 3):
            load = os.getloadavg()[0]
            with bench.running(redis.url, workers):
                rows[f"throughput_queue_{workers}"] = loaded(bench.burst(MANY), load)
    finally:
        redis.kill()
    return rows


PARTS = {"latency": latency, "throughput": throughput}


def main() -> None:
    """Measure and write the file."""
    file = RESULTS / "worker.json"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS, help="measure these rows, and keep the others")
    only = parser.parse_args().only
    chosen = [only] if only else list(PARTS)
    actions = json.loads(file.read_text())["actions"] if file.is_file() else {}
    with tempfile.TemporaryDirectory() as name, Anvil(Path(name) / "anvil.log") as anvil:
        folder = Path(name)
        with ape.networks.parse_network_choice(anvil.url):
            bench = Bench(anvil, folder)
        for part in chosen:
            actions |= PARTS[part](bench)
        settings = {
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "fsyncs_per_s": round(fsyncs_per_s(folder)),
            "model": "xor (reference backend)",
            "poll_interval_s": POLL_INTERVAL_S,
            "event_to_sent": "from the block with the request to the answer sent, less the time in the model",
            "throughput": "from the first block with requests until the chain has every answer",
        }
    for name, figures in actions.items():
        print(f"{name:24}", "  ".join(f"{key} {value}" for key, value in figures.items()))
    RESULTS.mkdir(exist_ok=True)
    file.write_text(json.dumps({"settings": settings, "actions": actions}, indent=1) + "\n")
    print("wrote benchmarks/results/worker.json")


if __name__ == "__main__":
    main()
