"""advance and conclude: what becomes of a job when something fails.

advance
├── when the policy refuses
│   ├── in the exclusive time: it is declined on chain
│   └── later: it is dead, and refunded after its deadline
├── when the worker says "refuse"
│   └── it is declined on chain
├── when the worker says "retry"
│   ├── it is tried again
│   └── after the last try it is declined, with the reason
├── when the worker says "stop"
│   └── the process stops and the job stays
├── when the worker fails in a way that nobody foresaw
│   └── it is tried again, and the others are answered
├── when signing fails
│   └── the inference is kept and not repeated
├── when the stored output was changed
│   └── it is inferred again, not sent
├── when the process ended while the model ran
│   └── that counts as a try
└── when the state is not one of ours to move
    └── nothing happens
"""

import json

import pytest
from live_chain import ASSIGNED, OPEN, SETTLED

from offchain_worker.errors import ArtifactMissing, BadInput, CorruptedBlock
from oracle.services.serve import advance


def soon(node):
    node.parts.store.write("UPDATE jobs SET retry_at_ms = 0")
    return node


def test_advance__when_the_policy_refuses__declines(provider, market):
    provider.open(**{"limits.max_callback_gas": 0})
    job_id = market.request(callback_gas=1000)

    provider.tick()

    assert (provider.state(job_id), market.state(job_id)) == ("declined", OPEN)
    assert provider.job(job_id).reason == "callback of 1000 gas is above 0"
    assert provider.worker.inferred == []


def test_advance__when_the_policy_refuses_late__buries(provider, market, chain):
    job_id = market.request()
    chain("evm_increaseTime", 700)
    chain.mine()

    provider.open(**{"limits.max_input_bytes": 1}).tick()

    assert (provider.state(job_id), market.state(job_id)) == ("dead", ASSIGNED)
    (letter,) = provider.parts.store.dead_letters()
    assert "is larger than 1; it could not be declined either: RouterTooLate" in letter["reason"]


def test_advance__when_the_worker_refuses__declines(provider, market):
    provider.open()
    provider.worker.failures = [BadInput("expected x, got y")]
    job_id = market.request()

    provider.tick()

    assert (provider.state(job_id), market.state(job_id)) == ("declined", OPEN)
    assert provider.job(job_id).reason == "expected x, got y"


def test_advance__when_the_worker_says_retry__tries_again(provider, market):
    provider.open()
    provider.worker.failures = [ArtifactMissing("not here yet")]
    job_id = market.request()

    provider.tick()
    assert (provider.state(job_id), provider.job(job_id).tries) == ("seen", 1)
    soon(provider).tick()

    assert market.state(job_id) == SETTLED


def test_advance__when_the_last_try_fails__declines_with_the_reason(provider, market):
    provider.open(**{"limits.max_tries": 3})
    provider.worker.failures = [ArtifactMissing("not here yet")] * 3
    job_id = market.request()

    for _ in range(3):
        soon(provider).tick()

    assert (provider.state(job_id), market.state(job_id)) == ("declined", OPEN)
    assert provider.job(job_id).reason == "gave up after 3 tries: not here yet"


def test_advance__when_the_worker_says_stop__stops(provider, market):
    provider.open()
    provider.worker.failures = [CorruptedBlock("this disk fails")]
    job_id = market.request()

    with pytest.raises(CorruptedBlock):
        provider.tick()

    provider.crash().open().tick()
    assert market.state(job_id) == SETTLED


def test_advance__when_the_worker_fails_unforeseen__answers_the_others(provider, market):
    provider.open()
    provider.worker.failures = [ZeroDivisionError("a mistake")]
    first, second = market.request(), market.request()

    provider.tick()
    assert (market.state(first), market.state(second)) == (ASSIGNED, SETTLED)
    soon(provider).tick()

    assert market.state(first) == SETTLED


def test_advance__when_signing_fails__keeps_the_inference(provider, market, monkeypatch):
    provider.open()
    job_id = market.request()
    sign = provider.signer.sign_transaction
    monkeypatch.setattr(provider.signer, "sign_transaction", broken)

    provider.tick()
    assert (provider.state(job_id), provider.rows()) == ("inferred", [])
    monkeypatch.setattr(provider.signer, "sign_transaction", sign)
    provider.crash().open()
    soon(provider).tick()

    assert market.state(job_id) == SETTLED
    assert provider.worker.inferred == [job_id]


def test_advance__when_the_stored_output_was_changed__infers_again(provider, market, monkeypatch):
    provider.open()
    job_id = market.request()
    monkeypatch.setattr(provider.signer, "sign_transaction", broken)
    provider.tick()
    store = provider.parts.store
    inference = json.loads(store.read("SELECT inference FROM jobs")[0]["inference"])
    inference["output"] = "0xa0"
    store.write("UPDATE jobs SET inference = ?", (json.dumps(inference),))
    monkeypatch.undo()

    soon(provider).tick()
    assert (provider.state(job_id), market.state(job_id)) == ("seen", ASSIGNED)
    soon(provider).tick()

    assert market.state(job_id) == SETTLED
    assert provider.worker.inferred == [job_id, job_id]


def test_start__when_the_process_ended_in_the_model__counts_a_try(provider, market):
    job_id = market.request()
    provider.open()
    provider.parts.store.mark_begun(job_id)
    provider.parts.store.commit()

    provider.crash().open()

    assert provider.job(job_id).tries == 1
    provider.tick()
    assert market.state(job_id) == SETTLED


def test_advance__when_broadcast__does_nothing(provider, market):
    provider.open()
    job_id = market.request()
    provider.tick()
    rows = provider.rows()

    advance(provider.job(job_id), provider.parts.provider._service)

    assert provider.rows() == rows


def broken(transaction):
    raise ValueError("the signer is broken")
