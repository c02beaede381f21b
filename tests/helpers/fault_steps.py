"""What the fault scenarios share: waiting, processes, and the check that holds after every one of them."""

import contextlib
import signal
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from subprocess import Popen
from types import SimpleNamespace
from typing import Any

from chain_audit import Books, audit
from fault_proxy import FaultProxy
from live_chain import TIMEOUT_S, Market, Node
from numpy import array, float32

from offchain_worker.payload import encode

XOR_INPUT = encode({"x": array([[0.0, 1.0]], float32)})


def urls(proxies: Iterable[FaultProxy]) -> dict[str, list[str]]:
    """The setting that lets a provider use these endpoints."""
    return {"chain.rpc_urls": [proxy.url for proxy in proxies]}


def wait_for(condition: Callable[[], Any], timeout_s: float = TIMEOUT_S) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.03)
    raise AssertionError("it did not happen in time")


def table(node: Node, sql: str) -> list[tuple[Any, ...]]:
    """Rows of the job database of another process; none while there is no such table yet."""
    file = node.home / "jobs.sqlite"
    if not file.is_file():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)) as db:
        try:
            return db.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []


def in_the_model(process: "Popen[str]") -> list[int]:
    """Processes that run models for a provider, if they have computed for a while (Linux only)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            alive, parent, ticks = fields[0] != "Z", int(fields[1]), int(fields[11])
            if (
                alive and parent == process.pid and ticks > 100
            ):  # a second: longer than it takes to start
                found.append(int(folder.name))
    return found


def serving(xor: SimpleNamespace, **changes: Any) -> dict[str, Any]:
    """Settings with which a provider's own process finds the model."""
    return {"paths.store": str(xor.store), **changes}


def killed(process: "Popen[str]") -> str:
    """Wait for a process to be killed by SIGKILL; returns its log."""
    _, log = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == -signal.SIGKILL, log
    return log


def stopped(process: "Popen[str]") -> str:
    """End a process with SIGTERM; returns its log."""
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, log
    return log


def finish_process(node: Node, market: Market, process: "Popen[str]") -> str:
    """Wait until the process has brought every job to its end, stop it, and check the books."""

    def done() -> bool:
        node.chain.mine()
        time.sleep(0.05)
        states = [state for (state,) in table(node, "SELECT state FROM jobs")]
        return bool(states) and not set(states) & {
            "seen",
            "inferred",
            "queued",
            "broadcast",
            "mined",
        }

    wait_for(done)
    log = stopped(process)
    check_books(node, market)
    return log


def finish(node: Node, market: Market) -> Books:
    """Tick a provider of this process, and mine, until every transaction is final; then check the books."""
    for _ in range(100):
        node.parts.store.write("UPDATE jobs SET retry_at_ms = 0")
        node.parts.provider._submitter._looked_at = ("", 0.0)
        node.tick()
        node.chain.mine()
        open_jobs = node.parts.store.read(
            "SELECT 1 FROM jobs WHERE state IN ('seen', 'inferred', 'queued', 'broadcast', 'mined')"
        )
        if not open_jobs and not node.parts.outbox.rows("signed", "sent", "mined"):
            break
    else:
        raise AssertionError(f"not finished: {node.rows()}, {node.parts.store.counts()}")
    node.parts.store.commit()
    return check_books(node, market)


def check_books(node: Node, market: Market, *, most_wasted_gas: int = 500_000) -> Books:
    """What has to hold after every fault: money, nonces, and our own records against the chain's."""
    books = audit(node.chain.contracts, [node.signer.address])
    assert books.faults() == []
    assert books.wasted_gas <= most_wasted_gas
    paid = {
        job: state
        for job, state in table(node, "SELECT job_id, state FROM jobs WHERE status = 'settled'")
        if state in ("mined", "final")
    }
    assert set(paid) == set(books.paid_to.get(node.number, ()))
    final = {job for job, state in paid.items() if state == "final"}
    answers = table(
        node,
        "SELECT job_id FROM parts JOIN outbox ON id = outbox_id "
        "WHERE parts.purpose LIKE 'answer:%' AND state = 'final'",
    )
    assert {job for (job,) in answers} <= final
    assert len(answers) == len(set(answers))
    return books
