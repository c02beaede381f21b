"""The job database: one SQLite file (WAL, synchronous=FULL) with the cursor, the jobs and the outbox.

Writes gather in one transaction until `commit`, so that a burst of jobs shares one wait for the disk; nothing that was
not committed is ever sent. Delete the file and it is rebuilt from the chain. One process writes (`services/lease.py`),
others may read at any time.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from offchain_worker.job import Inference, Job
from oracle.chain.events import ChainJob, Kind, OnChain, RouterEvent
from oracle.chain.schema import TABLES
from oracle.errors import StoreBusy, StoreUnusable

SCHEMA = "2"
REBUILT = "if it is damaged, delete it and it is rebuilt from the chain"
_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
"""SQLite's reasons not to open a file that are nothing of the file's own: another program, or the disk."""

RING_BLOCKS = 512
"""How many blocks behind the cursor are remembered: a deeper reorg reads the history again."""

LONGEST_WAIT_S = 60.0
"""How long a job may be put off, in seconds."""

State = Literal[
    "watched",  # not ours to answer: a request of ours, or one that is only kept for its refund
    "seen",
    "inferred",
    "queued",
    "broadcast",
    "mined",
    "final",
    "declined",
    "lost",
    "dead",
    "undone",  # its request vanished in a reorg; kept, because it mostly comes back in another block
]
OPEN_STATES = ("seen", "inferred", "queued", "broadcast", "mined")


@dataclass(frozen=True, slots=True)
class StoredJob:
    """One row of `jobs`: `status` is the chain's word, `state` is ours.

    Args:
        reason: Why it was declined, lost or is dead, for people.
        tries: How often it failed in a way that counts.
        begun: True when a process may have died while it inferred this.
        units: Units that the chain says were charged; 0 while unanswered.
        output: Output that the chain has, or empty.
        inference: What the model said, once it is stored.
        read_at_ms: When we first read of it, Unix time.
        sent_at_ms: When its answer was first sent, Unix time.
    """

    job_id: int
    state: State
    reason: str
    tries: int
    begun: bool
    status: OnChain
    provider: int
    job: Job
    units: int
    output: bytes
    inference: Inference | None
    block_number: int
    read_at_ms: float
    sent_at_ms: float | None


class Store:
    """The database of one provider (or requester) on one deployment.

    Args:
        path: File; made if there is none.
        identity: What the file belongs to, such as chain id, router and provider number.
        read_only: Only to look at it: nothing is made or written.

    Raises:
        StoreUnusable: it belongs to something else, is of another version, or cannot be opened. StoreBusy: not now.
    """

    def __init__(self, path: Path, identity: Mapping[str, str], *, read_only: bool = False) -> None:
        self.path = path
        self._open_since: float | None = None
        try:
            self._db = open_read_only(path) if read_only else open_file(path)
            self._check_identity({"schema": SCHEMA, **identity}, read_only=read_only)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING:
                raise StoreBusy(f"cannot open the job database {path}: {error}") from None
            raise StoreUnusable(f"cannot use the job database {path}: {error}; {REBUILT}") from None

    def _check_identity(self, identity: Mapping[str, str], *, read_only: bool) -> None:
        found = dict(self._db.execute("SELECT key, value FROM meta").fetchall())
        for key, expected in identity.items():
            if key == "schema" and found.get(key, expected) != expected:
                raise StoreUnusable(
                    f"{self.path} was made by another version of this program ({found[key]}, expected {expected}): "
                    "delete the file, and it is rebuilt from the chain"
                )
            if found.get(key, expected) != expected:
                raise StoreUnusable(
                    f"{self.path} belongs to {key} {found[key]}, expected {expected}: use another home folder, or "
                    "delete the file and it is rebuilt from the chain"
                )
        if not found and not read_only:
            for key, value in identity.items():
                self.write("INSERT INTO meta VALUES (?, ?)", (key, value))
            self.commit()

    # Transactions.

    def write(self, sql: str, values: Iterable[Any] | Mapping[str, Any] = ()) -> sqlite3.Cursor:
        """Run one statement in the open transaction, or begin one.

        Raises:
            StoreBusy: the disk is full or fails, or another program holds a lock. StoreUnusable: the file is damaged.
        """
        with self._trouble("write"):
            if self._open_since is None:
                self._db.execute("BEGIN IMMEDIATE")
                self._open_since = time.monotonic()
            return self._db.execute(sql, values if isinstance(values, Mapping) else tuple(values))

    def read(self, sql: str, values: Iterable[Any] = ()) -> list[sqlite3.Row]:
        """Return the rows of a query, uncommitted ones of our own included.

        Raises:
            StoreBusy: the disk fails. StoreUnusable: the file is damaged.
        """
        with self._trouble("read"):
            return self._db.execute(sql, tuple(values)).fetchall()

    @contextmanager
    def _trouble(self, what: str) -> Iterator[None]:
        """Say of the database's errors whether to wait or to call a person; a broken constraint is our own mistake."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreBusy(f"cannot {what} the job database {self.path}: {error}") from None
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise StoreUnusable(
                f"cannot {what} the job database {self.path}: {error}; {REBUILT}"
            ) from None

    def commit(self) -> None:
        """Make everything since the last commit durable. Free when nothing was written.

        Raises:
            StoreBusy: the disk is full or fails; nothing is lost but what was not committed, which is read again.
        """
        if self._open_since is None:
            return
        with self._trouble("write"):
            self._db.execute("COMMIT")
        self._open_since = None

    def rollback(self) -> None:
        """Forget everything since the last commit."""
        if self._db.in_transaction:  # after a full disk SQLite has done it already
            self._db.execute("ROLLBACK")
        self._open_since = None

    @property
    def open_for_ms(self) -> float:
        """How long something has been waiting for a commit, in milliseconds; 0 when nothing has."""
        return 0.0 if self._open_since is None else (time.monotonic() - self._open_since) * 1000

    def close(self) -> None:
        """Forget what was not committed, and close: whoever ends by an error leaves nothing half done."""
        with suppress(sqlite3.Error):
            self.rollback()
        self._db.close()

    # Notes.

    def note(self, name: str) -> str | None:
        """Return what was noted under a name, or None."""
        rows = self.read("SELECT value FROM meta WHERE key = ?", (name,))
        return rows[0]["value"] if rows else None

    def set_note(self, name: str, value: str) -> None:
        """Note something that is neither a job nor a transaction."""
        self.write("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    # The cursor and the branch that it stands on.

    def cursor(self) -> tuple[int, str] | None:
        """Return number and hash of the last block that was read, or None at the beginning."""
        rows = self.read("SELECT number, hash FROM cursor")
        return (rows[0]["number"], rows[0]["hash"]) if rows else None

    def set_cursor(self, number: int, block_hash: str) -> None:
        """Move the cursor forward to a block, and remember it."""
        self.write("INSERT OR REPLACE INTO cursor VALUES (1, ?, ?)", (number, block_hash))
        self.write("INSERT OR REPLACE INTO blocks VALUES (?, ?)", (number, block_hash))
        self.write("DELETE FROM blocks WHERE number < ?", (number - RING_BLOCKS,))

    def blocks(self) -> list[tuple[int, str]]:
        """Return the remembered blocks, newest first."""
        rows = self.read("SELECT number, hash FROM blocks ORDER BY number DESC")
        return [(row["number"], row["hash"]) for row in rows]

    def undo_above(self, number: int, block_hash: str) -> tuple[list[int], int]:
        """Forget all events above a block and put the cursor there; returns the jobs they were about, and how many."""
        rows = self.read("SELECT DISTINCT job_id FROM events WHERE block_number > ?", (number,))
        undone = self.write("DELETE FROM events WHERE block_number > ?", (number,)).rowcount
        self.write("DELETE FROM blocks WHERE number > ?", (number,))
        self.set_cursor(number, block_hash)
        return [row["job_id"] for row in rows], undone

    # Events.

    def add_events(self, events: Iterable[RouterEvent]) -> tuple[list[int], int]:
        """Store events, each once however often it comes.

        Returns the jobs for which there is something new, and how many of the events were here already.
        """
        changed: dict[int, None] = {}
        duplicates = 0
        for event in events:
            row = (
                event.block_hash,
                event.tx_hash,
                event.log_index,
                event.block_number,
                event.job_id,
                event.kind,
                json.dumps(event.fields),
            )
            if self.write(
                "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", row
            ).rowcount:
                changed[event.job_id] = None
            else:
                duplicates += 1
        return list(changed), duplicates

    def events_of(self, job_id: int) -> list[RouterEvent]:
        """Return the events of a job."""
        return [
            RouterEvent(
                _kind(row["kind"]),
                row["job_id"],
                row["block_number"],
                row["block_hash"],
                row["tx_hash"],
                row["log_index"],
                json.loads(row["fields"]),
            )
            for row in self.read("SELECT * FROM events WHERE job_id = ?", (job_id,))
        ]

    def knows(self, job_id: int) -> bool:
        """Whether there are events of this job."""
        return bool(self.read("SELECT 1 FROM events WHERE job_id = ? LIMIT 1", (job_id,)))

    # Jobs.

    def job(self, job_id: int) -> StoredJob | None:
        """Return a job, or None."""
        rows = self.read("SELECT * FROM jobs WHERE job_id = ?", (job_id,))
        return _stored(rows[0]) if rows else None

    def put_job(self, chain_job: ChainJob, job: Job, state: State, reason: str, keep: bool) -> None:
        """Write what the chain says about a job and our state. `keep`: what was inferred still answers it."""
        now_ms = time.time() * 1000
        self.write(
            "INSERT INTO jobs (job_id, state, reason, status, provider, requester, deadline_s, job, units, output, "
            "block_number, read_at_ms, changed_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (job_id) DO UPDATE SET state = excluded.state, reason = excluded.reason, "
            "status = excluded.status, "
            "provider = excluded.provider, requester = excluded.requester, deadline_s = excluded.deadline_s, "
            "job = excluded.job, units = excluded.units, output = excluded.output, "
            "block_number = excluded.block_number, "
            "changed_at_ms = excluded.changed_at_ms, inference = CASE WHEN ? THEN inference END",
            (
                *(job.job_id, state, reason, chain_job.status, chain_job.provider, job.requester),
                *(job.deadline_s, job.to_json(), chain_job.units, chain_job.output),
                *(chain_job.block_number, now_ms, now_ms, keep),
            ),
        )

    def undo_job(self, job_id: int) -> None:
        """The request of a job vanished from the chain."""
        self.move(job_id, "undone", "a reorg removed its request")
        self.write("UPDATE jobs SET status = 'gone' WHERE job_id = ?", (job_id,))

    def move(self, job_id: int, state: State, reason: str = "", tries: int | None = None) -> None:
        """Put a job into another state."""
        self.write(
            "UPDATE jobs SET state = ?, reason = ?, tries = COALESCE(?, tries), changed_at_ms = ? WHERE job_id = ?",
            (state, reason, tries, time.time() * 1000, job_id),
        )

    def postpone(self, job_id: int, reason: str, tries: int, wait_s: float) -> None:
        """Leave a job in its state and try again after a while."""
        self.write(
            "UPDATE jobs SET reason = ?, tries = ?, retry_at_ms = ? WHERE job_id = ?",
            (reason, tries, int((time.time() + wait_s) * 1000), job_id),
        )

    def save_inference(self, job_id: int, inference: Inference | None) -> None:
        """Store what the model said (state "inferred"), or forget it (state "seen")."""
        self.write(
            "UPDATE jobs SET inference = ?, state = ?, begun = 0 WHERE job_id = ?",
            (
                inference.to_json() if inference else None,
                "inferred" if inference else "seen",
                job_id,
            ),
        )

    def mark_begun(self, job_id: int) -> None:
        """Remember that a job is in the model now, in case the process does not survive it."""
        self.write("UPDATE jobs SET begun = 1 WHERE job_id = ?", (job_id,))

    def mark_sent(self, job_id: int) -> None:
        """The answer of a queued job is with a node."""
        self.write(
            "UPDATE jobs SET state = 'broadcast', sent_at_ms = COALESCE(sent_at_ms, ?) "
            "WHERE job_id = ? AND state = 'queued'",
            (time.time() * 1000, job_id),
        )

    def ready(self, state: State, limit: int) -> list[int]:
        """Return the jobs in a state that can be advanced now, oldest first.

        A job that would wait longer than anybody puts one off was put off before this machine's clock was set back.
        """
        now_ms = time.time() * 1000
        rows = self.read(
            "SELECT job_id FROM jobs WHERE state = ? AND retry_at_ms NOT BETWEEN ? AND ? ORDER BY job_id LIMIT ?",
            (state, now_ms, now_ms + LONGEST_WAIT_S * 1000, limit),
        )
        return [row["job_id"] for row in rows]

    def finish_up_to(self, number: int) -> list[int]:
        """Make jobs final that were answered at or below a block, and return them."""
        ids = [
            row["job_id"]
            for row in self.read(
                "SELECT job_id FROM jobs WHERE state = 'mined' AND block_number <= ?", (number,)
            )
        ]
        for job_id in ids:
            self.move(job_id, "final")
        return ids

    def open_on_chain(
        self, *statuses: OnChain, before_s: int | None = None, provider: int | None = None
    ) -> list[StoredJob]:
        """Return the jobs that are not final on chain.

        Args:
            statuses: Only those with one of these; by default "assigned", "open" and "answered".
            before_s: Only those whose deadline (Unix time) is before.
            provider: Only those of this provider.
        """
        wanted = statuses or ("assigned", "open", "answered")
        marks = ", ".join("?" * len(wanted))
        rows = self.read(
            f"SELECT * FROM jobs WHERE status IN ({marks}) AND deadline_s < ? AND provider = COALESCE(?, provider) "  # noqa: S608
            "ORDER BY job_id",
            (*wanted, 1 << 40 if before_s is None else before_s, provider),
        )
        return [_stored(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Return how many jobs are in each state."""
        return {
            row["state"]: row["n"]
            for row in self.read("SELECT state, COUNT(*) AS n FROM jobs GROUP BY state")
        }

    def bury(self, job_id: int, tries: int, reason: str) -> None:
        """Give a job up: state "dead", and a letter for a person."""
        self.move(job_id, "dead", reason, tries)
        self.write_letter(job_id, tries, reason)

    def write_letter(self, job_id: int, tries: int, reason: str) -> None:
        """Tell a person why a job was given up."""
        self.write(
            "INSERT INTO dead_letters VALUES (?, ?, ?, ?)",
            (job_id, time.time() * 1000, tries, reason),
        )

    def dead_letters(self) -> list[dict[str, Any]]:
        """Return job_id, at_ms, tries and reason of every job that was given up, oldest first."""
        return [dict(row) for row in self.read("SELECT * FROM dead_letters ORDER BY at_ms")]


def open_file(path: Path) -> sqlite3.Connection:
    """Open the file, and make it and its tables if there are none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, isolation_level=None, timeout=10)
    db.row_factory = sqlite3.Row
    db.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
    )
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        db.executescript(f"BEGIN IMMEDIATE; {TABLES} COMMIT;")
    return db


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open a job database to look at it, also while its process runs.

    Raises:
        sqlite3.Error: there is none, or it cannot be read.
    """
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
    db.row_factory = sqlite3.Row
    return db


def _kind(text: str) -> Kind:
    return text  # type: ignore[return-value]  # only add_events writes it


def _stored(row: sqlite3.Row) -> StoredJob:
    return StoredJob(
        job_id=row["job_id"],
        state=row["state"],
        reason=row["reason"],
        tries=row["tries"],
        begun=bool(row["begun"]),
        status=row["status"],
        provider=row["provider"],
        job=Job.from_json(row["job"]),
        units=row["units"],
        output=bytes.fromhex(row["output"][2:]),
        inference=Inference.from_json(row["inference"]) if row["inference"] else None,
        block_number=row["block_number"],
        read_at_ms=row["read_at_ms"],
        sent_at_ms=row["sent_at_ms"],
    )
