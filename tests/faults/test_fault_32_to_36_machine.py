"""The machine or what is on it fails.

machine
├── 32 a request is poisonous: too much time or memory, NaN, garbage, or it kills the model's process
│   └── it is given back or buried with its reason, and the good requests around it are answered
├── 33 the model is missing or was changed: nothing wrong is answered
├── 34 the disk is full or another program holds the database: nothing is taken on and nothing lost
├── 35 it is told to end while a model runs
│   ├── what is in the model is answered first, and the exit code is 0
│   └── what takes longer than the time to drain is left for the next start
└── 36 the stored result was changed: that is noticed before it is signed, and it is inferred again
"""

import json
import os
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest
from fault_proxy import go_dark
from fault_steps import (
    XOR_INPUT,
    check_books,
    finish,
    finish_process,
    in_the_model,
    serving,
    stopped,
    table,
    wait_for,
)
from live_chain import ASSIGNED, OPEN, SETTLED
from store_damage import flip
from stress_model import ask

from offchain_worker.errors import ArtifactMissing
from offchain_worker.storage.dag import decode
from offchain_worker.storage.store import EmbeddedStore


def test_fault_32_poisonous_requests__given_back_and_the_others_answered(stress, chain):
    node, market = stress.node, stress.market
    good = [market.request(ask(root_of=n)) for n in (4, 9)]
    poison = {
        "too long": market.request(ask(rounds=2**40)),
        "too large": market.request(ask(elements=2**33)),
        "not a number": market.request(ask(root_of=-1)),
        "not for this model": market.request(XOR_INPUT),
        "nested": market.request(b"\xa1\x61a" + b"\x81" * 400 + b"\x00"),
        "a lie about its length": market.request(b"\xa1\x61a\x5b\x7f" + b"\xff" * 7),
    }
    good += [market.request(ask(root_of=n)) for n in (16, 25)]

    limits = {"limits.model_time_s": 4.0, "limits.model_memory_mib": 4096}
    process = node.run(**serving(stress), **limits)
    wait_for(lambda: {market.state(job) for job in good} == {SETTLED})
    wait_for(lambda: {market.state(job) for job in poison.values()} == {OPEN})
    assert process.poll() is None
    finish_process(node, market, process)

    letters = dict(table(node, "SELECT job_id, reason FROM dead_letters"))
    assert sorted(letters) == sorted(poison.values())
    assert "within 4 s" in letters[poison["too long"]]
    assert len(set(letters.values())) >= 5


def test_fault_32_model_takes_too_long_while_the_chain_is_down__its_process_is_ended(
    stress, chain, proxy
):
    node, market = stress.node, stress.market
    job_id = market.request(ask(rounds=2**40))
    process = node.run(
        **serving(stress, **{"chain.rpc_urls": [proxy.url]}),
        **{"limits.model_time_s": 8.0, "limits.max_tries": 1, "chain.request_timeout_s": 0.2},
    )
    (child,) = wait_for(lambda: in_the_model(process))
    proxy.add(go_dark)

    wait_for(lambda: child not in in_the_model(process))

    proxy.heal()
    wait_for(lambda: market.state(job_id) == OPEN)
    finish_process(node, market, process)


@pytest.mark.extended
def test_fault_32_request_kills_the_models_process__not_retried_forever(stress, chain):
    node, market = stress.node, stress.market
    bad = market.request(ask(rounds=2**40))
    process = node.run(**serving(stress), **{"limits.max_tries": 2})
    for _ in range(2):
        (child,) = wait_for(lambda: in_the_model(process))
        os.kill(child, signal.SIGKILL)
        wait_for(lambda child=child: child not in in_the_model(process))
    wait_for(lambda: market.state(bad) == OPEN)
    good = market.request(ask())
    wait_for(lambda: market.state(good) == SETTLED)
    finish_process(node, market, process)

    ((job_id, tries, reason),) = table(node, "SELECT job_id, tries, reason FROM dead_letters")
    assert (job_id, tries) == (bad, 2)
    assert "ended by SIGKILL" in reason


def test_fault_33_model_is_missing__given_back_with_the_reason(provider, market, tmp_path, chain):
    job_id = market.request(XOR_INPUT)

    process = provider.run(**{"paths.store": str(tmp_path / "empty"), "limits.max_tries": 1})
    wait_for(lambda: market.state(job_id) == OPEN)
    chain.mine(3)
    stopped(process)

    ((state, reason),) = table(provider, "SELECT state, reason FROM jobs")
    assert state == "declined"
    assert "gave up after 1 tries" in reason


def test_fault_33_model_comes_late__answered_in_the_end(provider, market):
    provider.open()
    provider.worker.failures = [ArtifactMissing("no block bafy... here")] * 2
    job_id = market.request()

    finish(provider, market)

    assert market.state(job_id) == SETTLED
    assert provider.worker.inferred == [job_id] * 3


def test_fault_34_disk_is_full__nothing_is_lost(provider, market, chain, caplog):
    provider.open()
    first = market.request()
    provider.tick_until(first, "mined")
    store = provider.parts.store
    pages = store.read("PRAGMA page_count")[0][0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    ids = [market.request() for _ in range(10)]

    waits = [provider.parts.provider.step() for _ in range(3)]

    assert "database-busy" in caplog.text
    assert min(waits) > 0
    assert {market.state(job_id) for job_id in ids} == {ASSIGNED}
    store._db.execute(f"PRAGMA max_page_count = {pages + 10_000}")
    provider.parts.provider.step()
    finish(provider, market)
    assert {market.state(job_id) for job_id in (first, *ids)} == {SETTLED}


def test_fault_34_database_is_locked__it_waits(provider, market, caplog):
    provider.open()
    provider.parts.store._db.execute("PRAGMA busy_timeout = 50")
    job_id = market.request()
    other = sqlite3.connect(provider.parts.store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    assert provider.parts.provider.step() > 0

    assert "database-busy" in caplog.text
    other.execute("ROLLBACK")
    other.close()
    finish(provider, market)
    assert market.state(job_id) == SETTLED


def test_fault_34_log_of_the_database_was_torn__it_is_read_from_the_chain(provider, market):
    provider.open()
    job_id = market.request()
    provider.tick_until(job_id, "mined")
    provider.parts.store.commit()
    wal = provider.home / "jobs.sqlite-wal"
    torn = wal.read_bytes()[:-1500]
    provider.crash()
    wal.write_bytes(torn)

    provider.open()
    finish(provider, market)

    assert market.state(job_id) == SETTLED
    assert provider.state(job_id) == "final"


def test_fault_35_told_to_end_while_a_model_runs__answered_first(stress, chain):
    node, market = stress.node, stress.market
    job_id = market.request(ask(rounds=5_000_000))
    process = node.run(**serving(stress))
    wait_for(lambda: in_the_model(process))

    log = stopped(process)

    assert "stopping signal=SIGTERM" in log
    wait_for(lambda: market.state(job_id) == SETTLED)
    chain.mine(3)
    finish_process(node, market, node.run(**serving(stress)))


@pytest.mark.extended
def test_fault_35_drain_takes_too_long__left_for_the_next_start(stress, chain):
    node, market = stress.node, stress.market
    job_id = market.request(ask(rounds=2**40))
    process = node.run(**serving(stress), **{"limits.drain_s": 0.5})
    (child,) = wait_for(lambda: in_the_model(process))

    log = stopped(process)

    assert f"drain-cut-off jobs=[{job_id}]" in log
    assert market.state(job_id) == ASSIGNED
    wait_for(lambda: not (Path("/proc") / str(child)).exists())
    assert table(node, "SELECT state FROM jobs") == [("seen",)]


def test_fault_36_stored_result_was_changed__inferred_again(provider, market, monkeypatch):
    provider.open()
    job_id = market.request()
    monkeypatch.setattr(provider.signer, "sign_transaction", broken)
    provider.tick()
    store = provider.parts.store
    inference = json.loads(store.read("SELECT inference FROM jobs")[0]["inference"])
    inference["output"] = inference["output"][:-1] + "0"
    store.write("UPDATE jobs SET inference = ?", (json.dumps(inference),))
    monkeypatch.undo()

    finish(provider, market)

    assert provider.worker.inferred == [job_id, job_id]
    assert market.state(job_id) == SETTLED
    check_books(provider, market)


def test_fault_33_block_of_the_model_was_changed__never_answered_with_it(
    provider, market, xor, tmp_path
):
    store = tmp_path / "store"
    shutil.copytree(xor.store, store)
    blocks = EmbeddedStore(store)
    for link in decode(xor.cid, blocks.get(xor.cid)).links:
        flip(blocks, link.cid)
    job_id = market.request(XOR_INPUT)

    process = provider.run(**serving(xor, **{"paths.store": str(store)}))
    _, said = process.communicate(timeout=240)

    assert process.returncode == 1
    assert "expected" in said
    assert market.state(job_id) == ASSIGNED


def broken(transaction):
    raise ValueError("the signer is broken")
