"""Transactions that are stuck, dropped, too late, in each other's way, or not to be paid for.

transaction
├── 25 the base fee rises fiftyfold
│   ├── it is replaced, each time at least a tenth dearer, up to the limit, and then mined
│   └── its deadline passes: it is withdrawn, and its nonce used up, so that it is not mined later
├── 26 the node drops it: the same bytes are sent again
├── 27 somebody else uses the key
│   ├── for a nonce of ours: that is noticed, and the answer goes out with the next
│   ├── while nothing of ours is under way: that is noticed, and the next answer begins with the right one
│   └── for a later nonce: the gap below is filled by ours, and a person is called
├── 28 a second worker
│   ├── with the same home folder or the same key: it does not start
│   └── on another machine with a copy of everything: every job is answered once all the same
├── 29 the operator's money runs out: no job is taken on, a person is called, and it goes on when there is more
├── 30 the answer would revert, or reverts: there is one reason, and no second try
└── 31 the clock of this machine is wrong by a year: only the chain's clock counts
"""

import itertools
import shutil
import time

import pytest
from fault_proxy import bump_rule
from fault_steps import XOR_INPUT, check_books, finish, serving, stopped, table, wait_for
from live_chain import ASSIGNED, ETHER, OPEN, REFUNDED, SETTLED

from oracle.chain import submitter
from oracle.chain.events import to_terms


@pytest.fixture
def stuck(provider, market, chain, proxy):
    """A provider whose answer was sent, and is not mined."""
    proxy.add(bump_rule(), "eth_sendRawTransaction")
    provider.open(**{"chain.rpc_urls": [proxy.url]})
    provider.job_id = market.request()
    chain("evm_setAutomine", False)
    provider.tick()
    assert provider.rows() == [("answer", 0, "sent")]
    return provider


def attempts(node):
    return [dict(row) for row in node.parts.store.read("SELECT * FROM attempts ORDER BY id")]


def mine_without(chain, node, blocks, base_fee_wei=None):
    """Mine blocks that leave the sender's transactions out: their fee is too low for a while."""
    raw = attempts(node)[-1]["raw"]
    chain("anvil_removePoolTransactions", node.signer.address)
    for _ in range(blocks):
        if base_fee_wei:
            chain("anvil_setNextBlockBaseFeePerGas", hex(base_fee_wei))
        chain.mine()
    return raw


def from_outside(chain, node, nonce, value=1, tip_wei=10**9):
    """Use the operator's key as another program would."""
    tx_hash, raw = node.signer.sign_transaction(
        {
            "type": 2,
            "chainId": 31337,
            "nonce": nonce,
            "to": chain.accounts[8],
            "value": value,
            "data": b"",
            "gas": 21_000,
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": tip_wei,
        }
    )
    chain("eth_sendRawTransaction", "0x" + raw.hex())
    return tx_hash


def test_fault_25_base_fee_rises__replaced_until_it_is_mined(stuck, market, chain):
    spike = 50 * int(chain("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    for _ in range(3):
        spike = max(spike, 2 * attempts(stuck)[-1]["max_fee_wei"])
        for _ in range(2):
            chain("anvil_setNextBlockBaseFeePerGas", hex(spike))
            chain.mine()
        stuck.tick(2)
    tried = attempts(stuck)
    assert len(tried) >= 3
    for one, other in itertools.pairwise(tried):
        assert other["max_fee_wei"] * 100 >= one["max_fee_wei"] * 110
        assert other["tip_wei"] * 100 >= one["tip_wei"] * 110
    assert tried[-1]["max_fee_wei"] >= spike
    assert tried[-1]["max_fee_wei"] <= stuck.parts.outbox.max_fee_wei

    finish(stuck, market)

    assert market.state(stuck.job_id) == SETTLED
    assert stuck.rows() == [("answer", 0, "final")]


def test_fault_25_deadline_passes_while_stuck__never_mined_later(stuck, market, chain):
    raw = mine_without(chain, stuck, 1)
    chain("evm_increaseTime", 4000)
    mine_without(chain, stuck, 1)
    stuck.tick(2)
    chain("evm_setAutomine", True)
    refund = (stuck.job_id, to_terms(stuck.job(stuck.job_id).job))
    chain.send("InferenceRouter", "refund", *refund, sender=market.requester)

    books = finish(stuck, market)

    assert market.state(stuck.job_id) == REFUNDED
    assert stuck.rows() == [("answer", 0, "cancelled")]
    assert books.reverted == 0
    with pytest.raises(Exception, match="nonce too low"):
        chain("eth_sendRawTransaction", "0x" + raw.hex())


@pytest.mark.parametrize("drop", ["anvil_dropAllTransactions", "anvil_dropTransaction"])
def test_fault_26_dropped_by_the_node__the_same_bytes_again(drop, stuck, market, chain):
    (first,) = attempts(stuck)
    chain(drop, *([first["hash"]] if drop == "anvil_dropTransaction" else []))
    assert chain("eth_getTransactionByHash", first["hash"]) is None

    finish(stuck, market)

    assert [attempt["hash"] for attempt in attempts(stuck)] == [first["hash"]]
    assert market.state(stuck.job_id) == SETTLED


def test_fault_27_key_used_for_our_nonce__answered_with_the_next(stuck, market, chain, caplog):
    chain("anvil_dropAllTransactions")
    from_outside(chain, stuck, 0)
    chain.mine()

    finish(stuck, market)

    assert "ERROR" in {record.levelname for record in caplog.records}
    assert "nonce-used-elsewhere" in caplog.text
    assert stuck.rows() == [("answer", 0, "freed"), ("answer", 1, "final")]
    assert stuck.worker.inferred == [stuck.job_id]


def test_fault_27_key_used_while_idle__the_next_answer_has_the_right_nonce(
    provider, market, chain, caplog, monkeypatch
):
    monkeypatch.setattr(submitter, "COUNT_EVERY_S", -1.0)
    provider.open().tick()
    from_outside(chain, provider, 0)
    chain.mine()
    provider.tick()
    job_id = market.request()

    finish(provider, market)

    assert caplog.text.count("nonce-used-elsewhere") == 1
    assert provider.rows() == [("answer", 1, "final")]
    assert market.state(job_id) == SETTLED


def test_fault_27_key_used_for_a_later_nonce__gap_is_filled(provider, market, chain, caplog):
    theirs = from_outside(chain, provider, 2)
    provider.open(**{"limits.answers_together": 1})
    ids = [market.request() for _ in range(3)]

    finish(provider, market)

    assert {market.state(job_id) for job_id in ids} == {SETTLED}
    outside = chain("eth_getTransactionReceipt", theirs)
    ours = [nonce for _, nonce, state in provider.rows() if state == "final"]
    assert len(ours) == 3
    assert (outside is None) or (2 not in ours and "nonce-used-elsewhere" in caplog.text)


def test_fault_28_second_worker_on_this_machine__does_not_start(provider, market, xor, tmp_path):
    settings = serving(xor)
    first = provider.run(**settings)
    market.request(XOR_INPUT)
    wait_for(lambda: table(provider, "SELECT 1 FROM jobs WHERE state = 'mined'"))
    same_home = provider.run(**settings)
    _, said = same_home.communicate(timeout=240)
    assert same_home.returncode == 1
    assert f"process {first.pid} is running with the home folder" in said

    home, copy = provider.home, tmp_path / "copy"
    shutil.copytree(home, copy)
    provider.home = copy
    same_key = provider.run(**settings)
    provider.home = home
    _, said = same_key.communicate(timeout=240)

    assert same_key.returncode == 1
    assert f"process {first.pid} is running with the key of {provider.signer.address}" in said
    stopped(first)
    check_books(provider, market)


@pytest.mark.extended
def test_fault_28_second_worker_on_another_machine__every_job_once(
    provider, market, chain, xor, tmp_path
):
    home, copy = provider.home, tmp_path / "copy"
    settings = serving(xor, **{"limits.bump_after_blocks": 3})
    one = provider.run(**settings)
    provider.home = copy
    other = provider.run(**settings, **{"paths.locks": str(tmp_path / "elsewhere")})
    provider.home = home
    ids = []
    for _ in range(20):
        ids.append(market.request(XOR_INPUT))
        chain.mine()

    def all_settled():
        chain.mine()
        time.sleep(0.1)
        return {market.state(job_id) for job_id in ids} == {SETTLED}

    wait_for(all_settled)
    wait_for(
        lambda: all_settled() and set(table(provider, "SELECT state FROM jobs")) == {("final",)}
    )
    for process in (one, other):
        stopped(process)
    check_books(provider, market, most_wasted_gas=20 * 150_000)


def test_fault_29_money_runs_out__pauses_calls_a_person_and_goes_on(
    provider, market, chain, caplog
):
    caplog.set_level("INFO")
    provider.open()
    chain("anvil_setBalance", provider.signer.address, "0x1")
    job_id = market.request()

    provider.tick(3)

    assert "funds-low" in caplog.text
    assert provider.parts.provider.purse.is_empty
    assert (provider.state(job_id), provider.worker.inferred) == ("seen", [])
    chain("anvil_setBalance", provider.signer.address, hex(ETHER))
    chain.mine()
    finish(provider, market)
    assert "funds-back" in caplog.text
    assert market.state(job_id) == SETTLED


def test_fault_29_money_stays_out__job_expires_with_a_refund(provider, market, chain):
    provider.open()
    stake = chain.read("ProviderStaking", "stakeOf", provider.number)
    chain("anvil_setBalance", provider.signer.address, "0x1")
    job_id = market.request(window_s=700)
    provider.tick()

    chain("evm_increaseTime", 800)
    chain.mine()
    provider.tick()
    refund = (job_id, to_terms(provider.job(job_id).job))
    chain.send("InferenceRouter", "refund", *refund, sender=market.requester)
    provider.tick(2)

    assert (market.state(job_id), provider.state(job_id)) == (REFUNDED, "lost")
    assert chain.read("ProviderStaking", "stakeOf", provider.number) == stake
    check_books(provider, market)


def test_fault_30_expired_before_it_is_sent__one_reason_and_no_transaction(provider, market, chain):
    provider.open(**{"limits.least_time_s": 0})
    job_id = market.request()
    provider.parts.listener.tick()
    chain("evm_increaseTime", 4000)

    provider.tick(3)
    assert (provider.state(job_id), provider.rows()) == ("inferred", [])
    chain.mine()  # now a block says so, too
    provider.parts.store.write("UPDATE jobs SET retry_at_ms = 0")
    provider.tick()

    assert provider.state(job_id) == "lost"
    assert "RouterTooLate" in provider.job(job_id).reason
    assert provider.rows() == []
    assert provider.worker.inferred == [job_id]


def test_fault_30_expires_while_it_is_sent__reverts_once(stuck, market, chain):
    chain("evm_increaseTime", 4000)
    chain.mine()

    books = finish_unpaid(stuck, market)

    assert (market.state(stuck.job_id), stuck.state(stuck.job_id)) == (REFUNDED, "lost")
    assert "RouterTooLate" in stuck.job(stuck.job_id).reason
    assert stuck.rows() == [("answer", 0, "reverted")]
    assert books.reverted == 1


def finish_unpaid(node, market):
    """As `finish`, when the requester fetches its money first."""
    for _ in range(4):
        node.tick()
        node.chain.mine()
    node.chain("evm_setAutomine", True)
    refund = (node.job_id, to_terms(node.job(node.job_id).job))
    node.chain.send("InferenceRouter", "refund", *refund, sender=market.requester)
    return finish(node, market)


@pytest.mark.parametrize("off_s", [-31_536_000, 31_536_000])
def test_fault_31_clock_is_wrong_by_a_year__only_chain_time_counts(
    off_s, provider, market, chain, monkeypatch
):
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + off_s)
    refunds = {"keeper.requesters": [market.requester], "keeper.always": True}
    provider.open(**refunds, **{"limits.max_callback_gas": 0})
    job_id = market.request()
    late = market.request(window_s=700, callback_gas=1_000)
    provider.tick_until(job_id, "mined", "final")
    provider.tick_until(late, "declined")
    assert market.state(late) == OPEN
    assert ASSIGNED not in {market.state(job_id), market.state(late)}

    chain("evm_increaseTime", 800)
    chain.mine()
    provider.parts.provider._keeper._looked_at = float("-inf")
    finish(provider, market)

    assert (market.state(job_id), market.state(late)) == (SETTLED, REFUNDED)
