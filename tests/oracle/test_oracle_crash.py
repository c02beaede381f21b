"""`lattice provider run`, as a process of its own. What kills it, and when, is in tests/faults.

run
├── when a second process has the same home folder
│   └── it ends with one clear line
├── when it gets SIGTERM
│   └── it ends with 0
├── when the key is not the operator's
│   └── it ends with one clear line
├── when the endpoint serves another chain
│   └── it ends with one clear line
├── when the endpoint is down at the start
│   └── it waits and goes on when it comes back
└── when it ends by a mistake of ours, between reading an event and making a job of it
    └── nothing half done is kept, and the next start answers the job
"""

import signal
import sqlite3

import pytest
from eth_account import Account
from fault_steps import wait_for
from live_chain import SETTLED, start_anvil

from oracle.keys import KeySigner


def end(process):
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=240)
    return process.returncode, errors


def test_run__when_a_second_process_starts__it_ends_with_one_line(provider, market, chain):
    first = provider.run()
    market.request()
    wait_for(lambda: (provider.home / "jobs.sqlite").is_file() and states(provider) == ["seen"])

    second = provider.run()
    _, errors = second.communicate(timeout=240)

    assert second.returncode == 1
    assert errors.strip().splitlines()[-1].startswith(f"Error: process {first.pid} is running with")
    assert end(first)[0] == 0


def test_run__when_the_key_is_not_the_operators__ends_with_one_line(provider, chain):
    stranger = Account.create()
    operator, provider.key = provider.signer.address, stranger.key.to_0x_hex()

    process = provider.run()
    _, errors = process.communicate(timeout=240)

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
        _, errors = process.communicate(timeout=240)
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


def test_run__when_it_ends_by_a_mistake_of_ours__keeps_nothing_half_done(
    provider, market, chain, monkeypatch
):
    def mistaken(job_ids):
        raise KeyError(job_ids)

    provider.open()
    job_id = market.request()
    monkeypatch.setattr(provider.parts.listener._tracker, "refresh", mistaken)
    with pytest.raises(KeyError):
        provider.tick()
    provider.parts.store.close()  # as `open_provider` does

    provider.open()
    provider.tick_until(job_id, "mined")

    assert market.state(job_id) == SETTLED
