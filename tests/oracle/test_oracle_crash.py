"""`lattice provider run`, killed at each state and started again.

run
├── when it is killed at any point of a job's way
│   └── the next start answers the job, once
├── when a second process has the same home folder
│   └── it ends with one clear line
├── when it gets SIGTERM
│   └── it ends with 0
├── when the key is not the operator's
│   └── it ends with one clear line
├── when the endpoint serves another chain
│   └── it ends with one clear line
└── when the endpoint is down at the start
    └── it waits and goes on when it comes back
"""

import signal
import sqlite3
import time

import pytest
from eth_account import Account
from live_chain import SETTLED, start_anvil

from oracle.keys import KeySigner


def wait_for(condition, timeout_s=15.0):
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def end(process):
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=15)
    return process.returncode, errors


def use(xor):
    """Let the provider's own process find the model."""
    return {"paths.store": str(xor.store)}


@pytest.mark.parametrize(
    "label", ["seen", "stored", "inferred", "signed", "broadcast", "mined", "final"]
)
def test_run__when_killed__answers_once_after_the_next_start(label, provider, market, chain, xor):
    from numpy import float32, zeros

    from offchain_worker.payload import encode

    job_id = market.request(encode({"x": zeros((1, 2), float32)}))
    killed = provider.run(crash_at=label, **use(xor))
    if label == "final":
        wait_for(lambda: market.state(job_id) == SETTLED)
        chain.mine(2)
    killed.communicate(timeout=20)
    assert killed.returncode == -signal.SIGKILL

    again = provider.run(**use(xor))
    wait_for(lambda: market.state(job_id) == SETTLED)
    chain.mine(2)
    wait_for(lambda: states(provider) == ["final"])
    code, errors = end(again)

    assert code == 0, errors
    assert int(chain("eth_getTransactionCount", provider.signer.address, "latest"), 16) == 1
    provider.open(**use(xor))
    assert provider.worker.inferred == []
    assert provider.parts.store.counts() == {"final": 1}


def test_run__when_a_second_process_starts__it_ends_with_one_line(provider, market, chain):
    first = provider.run()
    market.request()
    wait_for(lambda: (provider.home / "jobs.sqlite").is_file() and states(provider) == ["seen"])

    second = provider.run()
    _, errors = second.communicate(timeout=15)

    assert second.returncode == 1
    assert errors.strip().splitlines()[-1].startswith(f"Error: process {first.pid} is running with")
    assert end(first)[0] == 0


def test_run__when_the_key_is_not_the_operators__ends_with_one_line(provider, chain):
    stranger = Account.create()
    operator, provider.key = provider.signer.address, stranger.key.to_0x_hex()

    process = provider.run()
    _, errors = process.communicate(timeout=15)

    assert process.returncode == 1
    line = errors.strip().splitlines()[-1]
    assert line.startswith(
        f"Error: the key of {KeySigner(stranger).address} is not the operator of provider {provider.number}"
    )
    assert operator in line


def test_run__when_the_endpoint_serves_another_chain__ends_with_one_line(provider):
    other = start_anvil("--chain-id", "1337")
    try:
        process = provider.run(**{"chain.rpc_urls": [other.url]})
        _, errors = process.communicate(timeout=15)
    finally:
        other.process.kill()
        other.process.wait()

    assert process.returncode == 1
    assert errors.strip().splitlines()[-1].endswith("serves chain 1337, expected chain 31337")


def test_run__when_the_endpoint_is_down_at_the_start__waits(provider):
    process = provider.run(**{"chain.rpc_urls": ["http://127.0.0.1:9"]})
    said = next((line for line in process.stderr if "chain-unreachable" in line), None)

    code, _ = end(process)

    assert said is not None
    assert code == 0


def states(provider):
    """State of every job, as another process may read it."""
    with sqlite3.connect(provider.home / "jobs.sqlite") as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'dead_letters'").fetchone():
            return []
        return [state for (state,) in db.execute("SELECT state FROM jobs")]
