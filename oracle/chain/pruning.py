"""Forgets the bulk of jobs that ended long ago, so that a provider that runs for years does not fill its disk.

What stays is a line for each job and each transaction: what became of it, what it paid, and that it is done. What goes
are events, inputs, outputs and signed bytes. A job that has not ended on chain keeps everything.
"""

from oracle.chain.store import Store

AT_ONCE = 2_000
"""Most jobs that are looked at in one go."""

_ENDED = ("settled", "refunded")
_MARK = "pruned_up_to_job"
BUMPS = "bumps_of_pruned"
"""Note of how many dearer transactions were among what was forgotten: their count is one of all times."""


def prune(store: Store, below: int) -> int:
    """Forget the bulk of jobs that ended below a block, oldest first. Returns of how many; the caller commits."""
    rows = store.read(
        "SELECT job_id, block_number, status FROM jobs WHERE job_id > ? ORDER BY job_id LIMIT ?",
        (int(store.note(_MARK) or 0), AT_ONCE),
    )
    last, forgotten = 0, 0
    for row in rows:
        if row["block_number"] >= below:
            break
        last = row["job_id"]
        if row["status"] in _ENDED:
            _forget(store, last)
            forgotten += 1
    if last:
        store.set_note(_MARK, str(last))
    return forgotten


def _forget(store: Store, job_id: int) -> None:
    store.write("DELETE FROM events WHERE job_id = ?", (job_id,))
    store.write(
        "UPDATE jobs SET inference = NULL, output = '0x', job = json_set(job, '$.input', '0x') WHERE job_id = ?",
        (job_id,),
    )
    done = (
        "SELECT id FROM outbox JOIN parts ON outbox_id = id WHERE job_id = ? "
        "AND state IN ('final', 'reverted', 'cancelled', 'freed')"
    )
    bumps = store.read(
        f"SELECT COUNT(*) - COUNT(DISTINCT outbox_id) AS n FROM attempts WHERE outbox_id IN ({done})",  # noqa: S608
        (job_id,),
    )[0]["n"]
    if bumps:
        store.set_note(BUMPS, str(int(store.note(BUMPS) or 0) + bumps))
    store.write(f"DELETE FROM attempts WHERE outbox_id IN ({done})", (job_id,))  # noqa: S608
    store.write(f"UPDATE outbox SET data = x'' WHERE id IN ({done})", (job_id,))  # noqa: S608
