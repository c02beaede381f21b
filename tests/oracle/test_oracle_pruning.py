"""Old jobs in the database: what is forgotten, and that nothing comes of it.

prune
├── when a job ended before the block
│   ├── its bulk goes, and what became of it stays
│   └── it is neither answered nor read again, after a restart too
├── when a job ended later, or has not ended: all of it stays
└── when a reorg goes back beyond what was forgotten: its nonce is used up all the same
provider
└── it prunes by itself
"""

import pytest
from fault_steps import check_books, finish
from live_chain import SETTLED

from oracle.chain.pruning import prune
from oracle.services.serve import purpose


@pytest.fixture
def old(provider, market, chain):
    """A provider with two jobs that ended long ago, one of them alone in its transaction."""
    provider.open(**{"limits.max_callback_gas": 0, "limits.keep_blocks": 600})
    provider.ids = [market.request()]
    finish(provider, market)
    provider.ids += [market.request()]
    finish(provider, market)
    chain.mine(200)
    return provider.tick()


def bulk(node, job_id):
    """What the database has of a job: events, size of input and inference, signed forms."""
    job = node.job(job_id)
    events = node.parts.store.read("SELECT 1 FROM events WHERE job_id = ?", (job_id,))
    attempts = node.parts.store.read(
        "SELECT 1 FROM attempts JOIN parts USING (outbox_id) WHERE job_id = ?", (job_id,)
    )
    return len(events), len(job.job.input), job.inference is not None, len(attempts)


def test_prune__forgets_the_bulk_and_keeps_what_became_of_it(old, market, chain):
    first, second = old.ids
    old.parts.store.write(
        "INSERT INTO attempts (outbox_id, hash, raw, max_fee_wei, tip_wei, cancel) "
        "SELECT outbox_id, 'dearer', x'', 2, 1, 0 FROM parts WHERE job_id = ?",
        (first,),
    )
    old.parts.store.commit()
    stays = ("paid", "jobs", "tx_bumps")
    metrics = {k: v for k, v in figures(old).items() if k.startswith(stays)}
    assert metrics["tx_bumps_total"] == "1"

    assert prune(old.parts.store, old.job(second).block_number) == 1
    assert prune(old.parts.store, old.job(second).block_number) == 0
    old.parts.store.commit()

    assert bulk(old, first) == (0, 0, False, 0)
    assert bulk(old, second)[::2] == (2, True)
    job = old.job(first)
    assert (job.state, job.status, job.job.price) == ("final", "settled", 1_100_000_000_000_000)
    assert old.parts.outbox.has(purpose("answer", job.job))
    assert {k: v for k, v in figures(old).items() if k.startswith(stays)} == metrics


def test_prune__when_restarted__neither_answers_nor_reads_again(old, market, chain):
    prune(old.parts.store, chain.head())
    old.parts.store.commit()

    old.crash().open()
    old.parts.listener._rescanned_at = float("-inf")
    more = market.request()
    finish(old, market)

    assert [bulk(old, job_id) for job_id in old.ids] == [(0, 0, False, 0)] * 2
    assert old.worker.inferred == [*old.ids, more]
    assert [market.state(job_id) for job_id in [*old.ids, more]] == [SETTLED] * 3
    check_books(old, market)


def test_prune__when_a_job_has_not_ended__keeps_it(old, market, chain):
    declined = market.request(callback_gas=1_000)
    old.tick_until(declined, "declined")
    chain.mine(10)
    old.tick()

    assert prune(old.parts.store, chain.head()) == 2

    assert bulk(old, declined)[0] == 2
    assert len(old.job(declined).job.input) > 0


def test_close_gaps__when_a_reorg_goes_back_beyond_it__uses_the_nonce_up(old, market, chain):
    prune(old.parts.store, chain.head())
    old.parts.store.commit()

    old.parts.provider._submitter._close_gaps(1)

    assert old.rows() == [("answer", 0, "final"), ("answer", 1, "freed")]


def test_tick__prunes_by_itself(old, market, chain):
    chain.mine(700)
    old.parts.listener._rescanned_at = float("-inf")
    old.tick()
    old.parts.provider._pruned_at = float("-inf")

    old.tick()

    assert [bulk(old, job_id)[0] for job_id in old.ids] == [0, 0]


def figures(node):
    """The figures of /metrics by name and labels."""
    node.parts.store.commit()
    page = node.parts.provider.metrics.page()
    rows = (row.rsplit(" ", 1) for row in page.splitlines() if not row.startswith("#"))
    return {name.removeprefix("lattice_"): value for name, value in rows}
