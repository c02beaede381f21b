"""The figures of a provider, in Prometheus' text format. docs/operators.md says what each one means.

What the database knows is read from it, by a connection of this thread's own; the rest is read off the parts.
"""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from offchain_worker.job import Inference
from oracle.chain.listener import Listener
from oracle.chain.pruning import BUMPS
from oracle.chain.rpc import Rpc
from oracle.chain.store import open_read_only
from oracle.server.health import Pulse
from oracle.services.purse import Purse

PREFIX = "lattice_"
DEPTHS = (1, 2, 3, 5, 10, 20, 50)
ROWS = (1, 2, 4, 8, 16, 32, 64)
SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300)

HELP = {
    "chain_head": "Latest block that was read.",
    "chain_lag_blocks": "Blocks between the newest that an endpoint has shown and the last whose events are stored.",
    "reorgs_total": "Reorgs since the start.",
    "finality_violations_total": "Reorgs since the start that undid what was final.",
    "reorg_depth": "Depth of reorgs since the start, in blocks.",
    "events": "Events of our jobs on the present branch of the chain.",
    "events_seen": "Events of our jobs that endpoints gave us since the start, also those that we had.",
    "events_duplicate": "Events of our jobs that we had already, since the start.",
    "events_undone": "Events of our jobs that reorgs took back, since the start.",
    "events_missed_total": "Jobs whose events an endpoint left out, found later.",
    "jobs": "Jobs by state.",
    "inference_seconds": "Time of jobs in a model since the start.",
    "inferences_total": "Jobs that were through a model since the start, by backend and device.",
    "inference_batch": "How many jobs shared the run of a model, since the start, counted per job.",
    "model_memory_bytes": "Memory of the model's process after its last run, by backend and device.",
    "queue_wait_seconds": "Time of jobs between being read and being given to a model, since the start.",
    "model_processes_killed_total": "Processes of models that died or took too long.",
    "tx_inflight": "Transactions that wait to be mined.",
    "tx_bumps_total": "Replacements by dearer transactions, ever.",
    "tx_oldest_unconfirmed_seconds": "How long this process has waited for its oldest transaction to be mined.",
    "nonce_gap": "Nonces that are missing between what was mined and what waits to be.",
    "tx_reverts": "Transactions that failed on chain, ever, by what they were for and the name of the error.",
    "rpc_errors": "Failed calls since the start, by endpoint (node) and kind of error (class).",
    "rpc_disagreements": "Calls on which endpoints contradicted each other, since the start.",
    "rpc_in_sync": "Whether an endpoint answers, serves our chain, and keeps up with the others.",
    "wallet_balance_wei": "Money of the operator for gas.",
    "wallet_needed_wei": "Least money with which jobs are taken on.",
    "stake_at_risk_wei": "Stake of the provider, in the smallest unit of its token.",
    "paid_wei": "Prices of the jobs that we answered and that are final, ever.",
    "deadline_misses": "Jobs of ours that were refunded, ever.",
    "lost_jobs": "Jobs that were given up and are still open on chain after their deadline; has to stay 0.",
    "double_pay_reverts": "Answers that failed because the job had been answered, ever.",
    "dead_letters": "Jobs that were given up, ever.",
    "ready": "Whether /readyz says yes.",
}
COUNTERS = {name for name in HELP if name.endswith("_total")}
COUNTERS |= {"events_seen", "events_duplicate", "events_undone"}
COUNTERS |= {"tx_reverts", "rpc_errors", "rpc_disagreements", "dead_letters"}
HISTOGRAMS = {"reorg_depth", "inference_seconds", "inference_batch", "queue_wait_seconds"}


class Histogram:
    """Counts values in buckets. One thread writes, others may read."""

    def __init__(self, bounds: Iterable[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        at = next((i for i, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))
        self.counts[at] += 1
        self.total += value

    def lines(self, name: str) -> list[str]:
        """Return it in the text format."""
        lines, count = [], 0
        for bound, more in zip((*self.bounds, float("inf")), self.counts, strict=True):
            count += more
            shown = "+Inf" if bound == float("inf") else f"{bound:g}"
            lines.append(f'{name}_bucket{{le="{shown}"}} {count}')
        return [*lines, f"{name}_sum {self.total:g}", f"{name}_count {count}"]


class Times:
    """What the loop measures."""

    def __init__(self) -> None:
        self.inference = Histogram(SECONDS)
        self.batch = Histogram(ROWS)
        self.queue_wait = Histogram(SECONDS)
        self.inferences: Counter[str] = Counter()
        self.memory_bytes: dict[str, int] = {}

    def note(self, inference: Inference) -> None:
        """Count a run of a model."""
        self.inference.add(inference.duration_ms / 1000)
        self.batch.add(inference.batch)
        where = _labels(backend=inference.backend, device=inference.device)
        self.inferences[where] += 1
        self.memory_bytes[where] = inference.memory_bytes


class Metrics:
    """Collects the figures when they are asked for.

    Args:
        database: File of the job database.
    """

    def __init__(
        self, database: Path, listener: Listener, rpc: Rpc, purse: Purse, pulse: Pulse, times: Times
    ) -> None:
        self._database = database
        self._listener = listener
        self._rpc = rpc
        self._purse = purse
        self._pulse = pulse
        self._times = times
        self.killed = 0

    def page(self) -> str:
        """Return every figure in the text format."""
        figures = {**self._from_parts(), **self._from_database()}
        depths = Histogram(DEPTHS)
        for depth in self._listener.reorgs:
            depths.add(depth)
        histograms = {
            "reorg_depth": depths,
            "inference_seconds": self._times.inference,
            "inference_batch": self._times.batch,
            "queue_wait_seconds": self._times.queue_wait,
        }
        lines: list[str] = []
        for name, text in HELP.items():
            kind = "histogram" if name in HISTOGRAMS else "counter" if name in COUNTERS else "gauge"
            lines += [f"# HELP {PREFIX}{name} {text}", f"# TYPE {PREFIX}{name} {kind}"]
            if name in histograms:
                lines += histograms[name].lines(PREFIX + name)
            else:
                lines += [
                    f"{PREFIX}{name}{labels} {value}"
                    for labels, value in figures.get(name, {}).items()
                ]
        return "\n".join(lines) + "\n"

    def _from_parts(self) -> dict[str, Mapping[str, float]]:
        errors = {
            _labels(node=node, **{"class": kind}): n
            for (node, kind), n in list(self._rpc.errors.items())
        }
        events = self._listener.events
        sync = {
            _labels(node=e.name): int(not (e.lags or e.wrong or e.failures))
            for e in self._rpc.endpoints
        }
        return {
            "chain_head": {"": self._pulse.head_number},
            "reorgs_total": {"": len(self._listener.reorgs)},
            "finality_violations_total": {"": self._listener.finality_violations},
            "events_missed_total": {"": self._listener.missed_events},
            "model_processes_killed_total": {"": self.killed},
            "inferences_total": dict(self._times.inferences),
            "model_memory_bytes": dict(self._times.memory_bytes),
            "events_seen": {"": events["seen"]},
            "events_duplicate": {"": events["duplicate"]},
            "events_undone": {"": events["undone"]},
            "tx_oldest_unconfirmed_seconds": {"": round(self._pulse.tx_waits_s, 1)},
            "rpc_errors": errors,
            "rpc_disagreements": {"": self._rpc.disagreements},
            "rpc_in_sync": sync,
            "wallet_balance_wei": {"": self._purse.balance_wei},
            "wallet_needed_wei": {"": self._purse.needed_wei},
            "stake_at_risk_wei": {"": self._purse.stake_wei},
            "ready": {"": int(not self._pulse.not_ready())},
        }

    def _from_database(self) -> dict[str, Mapping[str, float]]:
        if not self._database.is_file():
            return {}
        with contextlib.closing(open_read_only(self._database)) as db:
            return read_figures(db, self._listener.newest, self._pulse.head_time_s)


def read_figures(db: sqlite3.Connection, newest: int, now_s: int) -> dict[str, Mapping[str, float]]:
    """Return what the job database knows, by figure and labels.

    Args:
        db: The database, open for reading.
        newest: Number of the newest block that an endpoint has shown.
        now_s: The chain's time.
    """

    def one(sql: str, *values: int | str) -> float:
        value = db.execute(sql, values).fetchone()
        return 0 if value is None or value[0] is None else value[0]

    cursor = one("SELECT number FROM cursor")
    reverts = db.execute(
        "SELECT substr(purpose, 1, instr(purpose, ':') - 1), CASE reason WHEN '' THEN 'unknown' ELSE reason END, "
        "COUNT(*) FROM outbox WHERE state = 'reverted' GROUP BY 1, 2"
    )
    return {
        "chain_lag_blocks": {"": max(newest - cursor, 0)},
        "events": {"": one("SELECT COUNT(*) FROM events")},
        "jobs": {
            _labels(state=state): n
            for state, n in db.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state")
        },
        "tx_inflight": {"": one("SELECT COUNT(*) FROM outbox WHERE state IN ('signed', 'sent')")},
        "tx_bumps_total": {
            "": one("SELECT COUNT(*) - COUNT(DISTINCT outbox_id) FROM attempts")
            + one("SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?", BUMPS)
        },
        "nonce_gap": {"": one(_NONCE_GAP)},
        "tx_reverts": {_labels(purpose=what, reason=reason): n for what, reason, n in reverts},
        "paid_wei": {
            "": one("SELECT TOTAL(json_extract(job, '$.price')) FROM jobs WHERE state = 'final'")
        },
        "deadline_misses": {
            "": one(
                "SELECT COUNT(*) FROM jobs WHERE status = 'refunded' AND state IN ('lost', 'dead')"
            )
        },
        "lost_jobs": {
            "": one(
                "SELECT COUNT(*) FROM jobs WHERE state IN ('lost', 'dead') AND status IN ('assigned', 'answered') "
                "AND deadline_s < ?",
                now_s,
            )
        },
        "double_pay_reverts": {
            "": one(
                "SELECT COUNT(*) FROM outbox JOIN parts ON outbox_id = id WHERE state = 'reverted' "
                "AND outbox.reason = 'RouterJobMismatch' AND parts.purpose LIKE 'answer:%' "
                "AND job_id IN (SELECT job_id FROM jobs WHERE status = 'settled')"
            )
        },
        "dead_letters": {"": one("SELECT COUNT(*) FROM dead_letters")},
    }


_NONCE_GAP = """
WITH waiting AS (SELECT sender, nonce FROM outbox WHERE state IN ('signed', 'sent')),
  done AS (SELECT MAX(nonce) AS last FROM outbox
    WHERE state NOT IN ('signed', 'sent') AND sender IN (SELECT sender FROM waiting))
SELECT MAX(nonce) - COALESCE((SELECT last FROM done), MIN(nonce) - 1) - COUNT(*) FROM waiting
  WHERE nonce > COALESCE((SELECT last FROM done), -1)
"""
"""What was used by others below what is mined is no gap, and neither is what an operator before this one used."""


def _labels(**labels: str) -> str:
    def quoted(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")

    return "{" + ",".join(f'{name}="{quoted(value)}"' for name, value in labels.items()) + "}"
