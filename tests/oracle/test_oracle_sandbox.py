"""Sandbox and Waker. What a poisonous job does to them is in tests/faults.

finished
├── it gives the outcome of every job, in order
├── an error comes back as what it was
└── the processes see no key
drain
└── jobs that wait are forgotten, and the process ends
wait
├── it ends when it is woken, before the time is up
└── it ends when a file is readable
"""

import os
import time
from pathlib import Path

import pytest
from fault_steps import XOR_INPUT, wait_for

from offchain_worker.child import Setup
from offchain_worker.commitment import payload_hash
from offchain_worker.errors import BadInput
from offchain_worker.job import NO_ADDRESS, Job
from offchain_worker.payload import encode
from oracle.services.sandbox import AHEAD, Sandbox
from oracle.services.waker import Waker

VERIFIER = "0x" + "11" * 20


def job(job_id, cid, payload=XOR_INPUT):
    return Job(
        **{"chain_id": 1, "router": VERIFIER, "job_id": job_id, "model_id": bytes(32)},
        **{"version": 1, "offer_id": 1, "provider": 1, "units": 1, "callback_gas": 0},
        **{"exclusive_until_s": 1, "deadline_s": 1, "requester": VERIFIER, "token": NO_ADDRESS},
        **{"price": 1, "bond": 0, "input_hash": payload_hash(payload), "verifier": VERIFIER},
        **{"second_verifier": NO_ADDRESS, "resolution": NO_ADDRESS, "input": payload},
        model_cid=str(cid),
    )


@pytest.fixture
def sandbox(xor, tmp_path, monkeypatch):
    monkeypatch.setenv("LATTICE_KEY", "a secret")
    setup = Setup(str(xor.store), str(tmp_path / "cache"), {VERIFIER: "signature"})
    running = Sandbox(setup, processes=1, memory_mib=4096)
    yield running
    running.close()


def collect(sandbox, count):
    done = []
    wait_for(lambda: done.extend(sandbox.finished()) or len(done) == count)
    return done


def test_finished__gives_every_outcome_in_order(sandbox, xor):
    for job_id in range(1, AHEAD + 1):
        sandbox.begin(job(job_id, xor.cid))
    assert sandbox.room == 0

    done = collect(sandbox, AHEAD)

    assert [item.outcome.job_id for item in done] == [1, 2, 3, 4]
    assert {item.outcome.answer["y"] is not None for item in done} == {True}
    assert (sandbox.room, list(sandbox.busy)) == (AHEAD, [])


def test_finished__when_the_input_is_bad__is_the_same_error(sandbox, xor):
    sandbox.begin(job(7, xor.cid, encode({"z": 1})))

    ((failed, error),) = collect(sandbox, 1)

    assert failed.job_id == 7
    assert isinstance(error, BadInput)
    assert "'z'" in str(error)


def test_finished__processes_see_no_key(sandbox, xor):
    sandbox.begin(job(1, xor.cid))
    (child,) = sandbox._children
    environment = Path(f"/proc/{child._process.pid}/environ")
    collect(sandbox, 1)

    if environment.exists():
        assert b"a secret" not in environment.read_bytes()
        assert b"PATH=" in environment.read_bytes()


def test_drain__forgets_what_waits_and_ends_the_process(sandbox, xor):
    for job_id in (1, 2, 3):
        sandbox.begin(job(job_id, xor.cid))
    (child,) = sandbox._children

    sandbox.drain()

    assert list(sandbox.busy) == [1]
    ((first, outcome),) = collect(sandbox, 1)
    assert (first.job_id, outcome.job_id) == (1, 1)
    wait_for(lambda: sandbox.finished() == [] and not sandbox._children)
    assert child._process.returncode == 0
    assert sandbox.room == 0


def test_wait__when_woken__ends_before_its_time():
    waker, start = Waker(), time.monotonic()
    waker.wake()

    waker.wait(60)

    assert time.monotonic() - start < 30
    waker.close()


def test_wait__when_a_file_is_readable__ends_before_its_time():
    waker, start = Waker(), time.monotonic()
    reader, writer = os.pipe()
    os.write(writer, b"!")

    waker.wait(60, [reader])

    assert time.monotonic() - start < 30
    waker.close()
