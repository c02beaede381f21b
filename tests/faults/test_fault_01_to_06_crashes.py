"""A provider's process is killed at each step of a job's way, and started again.

crash
├── 01 after the event was read, before it is stored: it is read again
├── 02 during the inference: it is run again, and answered once
├── 03 after the result was stored, before it is signed: there is no second inference
├── 04 after the answer was signed, before it is sent: the same bytes go out
├── 05 after it was sent, before that is noted, with the reply lost or not: it is found again by its hash
└── 06 after it was mined, before it is final: it is found by its receipt
"""

from pathlib import Path

import pytest
from fault_proxy import lose_reply
from fault_steps import (
    XOR_INPUT,
    finish_process,
    in_the_model,
    killed,
    serving,
    table,
    wait_for,
)
from live_chain import ASSIGNED, SETTLED
from stress_model import ask


def crash(label, provider, market, xor, **changes):
    """Ask once, and let the process die at the label."""
    job_id = market.request(XOR_INPUT)
    killed(provider.run(crash_at=label, **serving(xor, **changes)))
    return job_id


def raw_hashes(provider):
    return [tx_hash for (tx_hash,) in table(provider, "SELECT hash FROM attempts ORDER BY id")]


def test_fault_01_crash_after_the_event_was_read__it_is_read_again(provider, market, xor):
    job_id = crash("seen", provider, market, xor)
    assert table(provider, "SELECT job_id FROM jobs") == []

    finish_process(provider, market, provider.run(**serving(xor)))

    assert market.state(job_id) == SETTLED


def test_fault_02_crash_during_the_inference__it_is_run_again(stress, chain):
    node, market = stress.node, stress.market
    job_id = market.request(ask(rounds=4_000_000))
    process = node.run(**serving(stress))
    (child,) = wait_for(lambda: in_the_model(process))
    process.kill()
    killed(process)
    wait_for(lambda: not (Path("/proc") / str(child)).exists())
    assert table(node, "SELECT state, inference FROM jobs") == [("seen", None)]

    finish_process(node, market, node.run(**serving(stress)))

    assert market.state(job_id) == SETTLED
    assert int(chain("eth_getTransactionCount", node.signer.address, "latest"), 16) == 1


def test_fault_03_crash_after_the_result_was_stored__no_second_inference(
    provider, market, xor, tmp_path
):
    job_id = crash("inferred", provider, market, xor)
    assert market.state(job_id) == ASSIGNED
    ((state, stored),) = table(provider, "SELECT state, inference FROM jobs")
    assert (state, raw_hashes(provider)) == ("inferred", [])

    finish_process(provider, market, provider.run(**{"paths.store": str(tmp_path / "none")}))

    assert table(provider, "SELECT inference FROM jobs") == [(stored,)]
    assert market.state(job_id) == SETTLED


@pytest.mark.extended
def test_fault_04_crash_after_signing__the_same_bytes_are_sent(provider, market, chain, xor):
    job_id = crash("signed", provider, market, xor)
    (signed,) = raw_hashes(provider)
    assert chain("eth_getTransactionByHash", signed) is None

    finish_process(provider, market, provider.run(**serving(xor)))

    assert raw_hashes(provider) == [signed]
    assert chain("eth_getTransactionReceipt", signed)["status"] == "0x1"
    assert market.state(job_id) == SETTLED


def test_fault_05_crash_after_sending__it_is_found_by_its_hash(provider, market, chain, xor):
    job_id = crash("broadcast", provider, market, xor)
    (sent,) = raw_hashes(provider)
    wait_for(lambda: market.state(job_id) == SETTLED)

    finish_process(provider, market, provider.run(**serving(xor)))

    assert raw_hashes(provider) == [sent]
    assert int(chain("eth_getTransactionCount", provider.signer.address, "latest"), 16) == 1


def test_fault_05_reply_lost_after_sending__it_is_sent_once(provider, market, chain, proxy):
    proxy.add(lose_reply, "eth_sendRawTransaction", times=2)
    provider.open(**{"chain.rpc_urls": [proxy.url]})
    job_id = market.request()

    provider.tick_until(job_id, "mined")

    assert proxy.count("eth_sendRawTransaction") >= 2
    assert len(provider.parts.store.read("SELECT 1 FROM attempts")) == 1
    assert int(chain("eth_getTransactionCount", provider.signer.address, "latest"), 16) == 1
    assert market.state(job_id) == SETTLED


@pytest.mark.extended
def test_fault_06_crash_after_it_was_mined__it_is_found_by_its_receipt(provider, market, xor):
    job_id = market.request(XOR_INPUT)
    first = provider.run(crash_at="mined", **serving(xor))
    killed(first)
    assert market.state(job_id) == SETTLED

    finish_process(provider, market, provider.run(**serving(xor)))

    assert table(provider, "SELECT state FROM jobs") == [("final",)]
    assert table(provider, "SELECT purpose, state FROM outbox WHERE state <> 'final'") == []
