"""Random requests, faults, reorgs and `kill -9` for a while; then all heals, and the chain has to say that nothing was
lost: `make soak MINUTES=10 SEED=7`.

Two providers run as processes, each behind an endpoint that misbehaves; a third has an offer and never runs, so its
jobs have to be refunded. The seed decides what is done and in which order; how it meets the processes is up to the
machine. The verdict is that of tests/helpers/chain_audit.py, as a process of its own that knows an URL and a deployment
record. What the providers themselves wrote down is held against it: jobs that one calls final have to be those that the
chain paid it for, and no job may have been inferred more often than once and once more for each kill. The figures go to
benchmarks/results/soak.json, which keeps the last runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "soak.json"
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import fault_proxy as faults  # noqa: E402 -- the path has to be set first
from chain_audit import FINAL  # noqa: E402
from chain_fixtures import register_model  # noqa: E402
from live_chain import Anvil, Market, Node, deploy, free_port, register, start_anvil  # noqa: E402
from stress_model import add_stress, ask  # noqa: E402

from offchain_worker.storage.store import EmbeddedStore  # noqa: E402

BLOCK_S = 0.5
WINDOW_S = 3600
KEPT_RUNS = 5
HEAL_TIMEOUT_S = 1200.0
MOST_REORG = 3
CONFIRMATIONS = MOST_REORG + 1
MOST_RECOVERY_S = 60.0
"""A provider that was killed has to be ready again within this time, 99 times of 100."""
MOST_WASTE = 0.1
"""Gas of transactions that failed or did nothing, as a part of all the gas that operators paid for."""


class Worker:
    """One provider process behind one endpoint."""

    def __init__(self, node: Node, store: Path, *, refunds: bool) -> None:
        self.node = node
        self.proxy = faults.FaultProxy(node.chain.url).__enter__()
        self.port = free_port()
        self.kills = 0
        self.recovery_s: list[float] = []
        self.restart_at = 0.0
        self.calm_at = 0.0
        self.log = (node.home.parent / f"{node.home.name}.log").open("w")
        node.settings(
            **{"chain.rpc_urls": [self.proxy.url], "chain.confirmations": CONFIRMATIONS},
            **{"chain.poll_interval_s": 0.1, "chain.request_timeout_s": 2.0},
            **{"chain.rescan_every_s": 10.0, "paths.store": str(store), "server.port": self.port},
            **{
                "keeper.refund": "any" if refunds else "none",
                "keeper.always": True,
                "keeper.every_s": 2.0,
            },
            **{"limits.model_time_s": 5.0, "limits.price_to_gas": 0.0},
        )
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "oracle", "provider", "run", "--home", str(self.node.home)]
        environment = {**os.environ, "LATTICE_KEY": self.node.key}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=self.log, stdout=self.log
        )
        self.started_at: float | None = time.monotonic()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.kills += 1
        self.started_at = None

    def look(self) -> None:
        """Note how long it took to be ready again."""
        if self.process.poll() not in (None, 0, -9):
            said = Path(self.log.name).read_text().splitlines()[-20:]
            raise RuntimeError(
                "\n".join([*said, f"a provider ended with {self.process.returncode}"])
            )
        if self.started_at is not None and self.ready():
            self.recovery_s.append(time.monotonic() - self.started_at)
            self.started_at = None

    @property
    def danger(self) -> float:
        """How likely it is killed within a block: seldom before it is ready, or it would never be."""
        return 0.06 if self.started_at is None else 0.01

    def unlike_the_chain(self, paid: list[int]) -> set[int]:
        """Jobs that it calls final and was not paid for, or the other way round."""
        with closing(sqlite3.connect(self.node.home / "jobs.sqlite")) as db:
            rows = db.execute(
                "SELECT job_id FROM jobs WHERE state = 'final' AND status = 'settled'"
            )
            return {job for (job,) in rows} ^ set(paid)

    def inferred_too_often(self) -> set[int]:
        """Jobs that it inferred more often than once, and once more for each time that it was killed."""
        text = Path(self.log.name).read_text()
        times = Counter(re.findall(r" inferred job=(\d+) ", text))
        return {int(job) for job, count in times.items() if count > 1 + self.kills}

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False


class Soak:
    """The chain, the providers, and the dice."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311  # to be repeated, not to be secret
        self.done: Counter[str] = Counter()
        self.chain: Anvil = start_anvil()
        self.workers: list[Worker] = []
        try:
            self._set_up(folder)
        except BaseException:
            self.end()
            raise

    def _set_up(self, folder: Path) -> None:
        deploy(self.chain, folder)
        store = folder / "store"
        self.market: Market = register_model(
            self.chain, add_stress(EmbeddedStore(store), folder / "model"), "stress"
        )
        nodes = [register(self.market, folder / f"provider-{n}", owner=3 + n) for n in range(3)]
        self.absent = nodes.pop()
        self.workers = [Worker(node, store, refunds=node is nodes[0]) for node in nodes]
        for worker in self.workers:
            while not worker.ready():
                worker.look()
                time.sleep(0.2)
        self.chain("evm_setAutomine", False)

    def run(self, seconds: float) -> None:
        """Make trouble, then heal."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._requests()
            self._trouble()
            self._block()
        for worker in self.workers:
            worker.proxy.heal()
            if worker.process.poll() is not None:
                worker.start()
        self._heal()

    def _requests(self) -> None:
        for _ in range(self.dice.choice((0, 0, 1, 1, 2, 4))):
            target = self.dice.choice([*(w.node for w in self.workers)] * 5 + [self.absent])
            payload = self.dice.choice(
                [ask(root_of=self.dice.randrange(100))] * 12
                + [ask(rounds=200_000), ask(root_of=-1), b"\x81" * 40]
            )
            call = self.market.call(payload, window_s=WINDOW_S, offer=target.offer)
            self.chain("eth_sendTransaction", call)

    def _trouble(self) -> None:
        now = time.monotonic()
        for worker in self.workers:
            worker.look()
            if worker.process.poll() is not None and now > worker.restart_at:
                worker.start()
            elif worker.process.poll() is None and self.dice.random() < worker.danger:
                worker.kill()
                self.done["kills"] += 1
                worker.restart_at = now + self.dice.uniform(0, 2)
            if worker.proxy.rules and now > worker.calm_at:
                worker.proxy.heal()
            elif not worker.proxy.rules and self.dice.random() < 0.15:
                fault, methods = self.dice.choice(self._faults())
                worker.proxy.add(fault, *methods)
                worker.calm_at = now + self.dice.uniform(0.5, 4)
                self.done["faults"] += 1
        if self.dice.random() < 0.05:
            self.chain("anvil_reorg", self.dice.randint(1, MOST_REORG), [])
            self.done["reorgs"] += 1
        if self.dice.random() < 0.03:
            self.chain("anvil_dropAllTransactions")
            self.done["pools dropped"] += 1
        if self.dice.random() < 0.03:
            price = int(self.chain("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
            self.chain("anvil_setNextBlockBaseFeePerGas", hex(min(price * 20, 10**11)))
            self.done["fee spikes"] += 1

    def _faults(self) -> list[tuple[faults.Fault, tuple[str, ...]]]:
        send = ("eth_sendRawTransaction",)
        return [
            (faults.lose_reply, send),
            (faults.lose_request, ()),
            (faults.lose_reply, ()),
            (faults.reset, ()),
            (faults.truncate, ()),
            (faults.go_dark, ()),
            (faults.status(429), ()),
            (faults.status(502), ()),
            (faults.delay(0.3), ()),
            (faults.lag(2), ()),
            (faults.hide_logs(0.5, self.dice.randrange(10**6)), ()),
            (faults.repeat_logs, ()),
            (faults.limit_ranges(50), ()),
            (faults.bump_rule(), ()),
        ]

    def _block(self) -> None:
        self.chain("evm_mine")
        time.sleep(BLOCK_S * self.dice.uniform(0.5, 1.5))

    def _heal(self) -> None:
        """Wait until every job has its end: first those that can be answered, then, past the deadlines, all."""
        end = time.monotonic() + HEAL_TIMEOUT_S
        last = self.chain.read("InferenceRouter", "lastJobId")
        jobs = set(range(1, last + 1))
        jumped = False
        quiet_at, before = time.monotonic(), len(jobs)
        while jobs and time.monotonic() < end:
            for worker in self.workers:
                worker.look()
            self._block()
            jobs = {job for job in jobs if self.market.state(job) not in FINAL}
            if len(jobs) < before:
                quiet_at, before = time.monotonic(), len(jobs)
            if not jumped and time.monotonic() - quiet_at > 60:
                self.chain("evm_increaseTime", WINDOW_S + 60)
                jumped, quiet_at = True, time.monotonic()
        for _ in range(3 * CONFIRMATIONS):
            self._block()

    def end(self) -> None:
        """Kill what is left."""
        for worker in self.workers:
            worker.process.kill()
        self.chain.process.kill()

    def close(self) -> None:
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.process.wait(60)
            worker.log.close()
            worker.proxy.__exit__()
        for _ in range(CONFIRMATIONS + 1):
            self.chain("evm_mine")

    def verdict(self) -> dict[str, Any]:
        """Ask the checker, as a process of its own."""
        operators = [worker.node.signer.address for worker in self.workers]
        command = [
            sys.executable,
            str(ROOT / "tests/helpers/chain_audit.py"),
            *(self.chain.url, str(self.chain.record), *operators),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def record(run: dict[str, Any]) -> None:
    """Put a run into the file, newest first."""
    runs = json.loads(RESULTS.read_text())["runs"] if RESULTS.is_file() else []
    RESULTS.write_text(json.dumps({"runs": [run, *runs][:KEPT_RUNS]}, indent=1) + "\n")


def faults_of(run: dict[str, Any]) -> list[str]:
    """Return why a run has failed, one sentence each; empty when all is well."""
    zeros = ("open", "lost", "paid_twice", "unaccounted_wei", "nonce_gaps")
    wrong = [
        f"{name} should be 0, is {run[name]}"
        for name in (*zeros, "unlike_the_chain", "inferred_too_often")
        if run[name]
    ]
    if run["wasted_gas"] > MOST_WASTE * run["gas"]:
        wrong.append(
            f"of {run['gas']} gas {run['wasted_gas']} were wasted, at most {MOST_WASTE:.0%} may be"
        )
    if (run["recovery_p99_s"] or 0.0) > MOST_RECOVERY_S:
        wrong.append(
            f"recovery_p99_s should be at most {MOST_RECOVERY_S}, is {run['recovery_p99_s']}"
        )
    return wrong


def main() -> int:
    """Run once and say how it went; 1 when something was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None)
    chosen = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if chosen.seed is None else chosen.seed
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), seed)
        try:
            soak.run(chosen.minutes * 60)
            soak.close()
            books = soak.verdict()
            paid_to = books.pop("paid_to")
            unlike = sum(
                len(worker.unlike_the_chain(paid_to.get(str(worker.node.number), [])))
                for worker in soak.workers
            )
            repeated = sum(len(worker.inferred_too_often()) for worker in soak.workers)
        finally:
            soak.end()
        logs = "".join(path.read_text() for path in Path(folder).glob("provider-*.log"))
    times = sorted(s for worker in soak.workers for s in worker.recovery_s)
    run = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "seed": seed,
        "minutes": chosen.minutes,
        **books,
        **dict(sorted(soak.done.items())),
        "unlike_the_chain": unlike,
        "inferred_too_often": repeated,
        "recovery_p99_s": round(times[int(len(times) * 0.99)], 1) if times else None,
    }
    for name, value in run.items():
        print(f"{name:18} {value}")
    record(run)
    print("wrote benchmarks/results/soak.json")
    wrong = faults_of(run)
    if wrong:
        kept = Path(tempfile.mkdtemp()) / "providers.log"
        kept.write_text(logs)
        print(f"FAILED: {'; '.join(wrong)}; the logs are in {kept}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
