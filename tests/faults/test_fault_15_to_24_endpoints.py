"""Endpoints that are gone, late, slow, incomplete, or lie.

endpoint
├── 15 another chain, or another first block, appears behind the URL: nothing more is signed, the process stops
├── 16 events came while the worker was down: they are found in ranges of blocks
├── 17 some logs are left out
│   ├── a whole block's: the bloom filter in its header tells
│   └── some of a block's: the second reading finds them
├── 18 ranges of logs are limited: they are halved, and none is skipped
├── 19 logs come twice and out of order: each counts once
├── 20 the websocket that tells of new blocks
│   ├── works: the worker need not look by itself
│   └── is half open or cut: it looks by itself, and the socket is opened anew
├── 21 one endpoint is some blocks behind: it is out of sync, and the others are asked
├── 22 an endpoint lies
│   ├── about a receipt: two of three others outvote it
│   ├── about the data of a log: two of three others outvote it
│   └── and no majority is left: nothing is done about money
├── 23 all are down
│   ├── the worker waits longer and longer, lives, is not ready, and goes on when one is back
│   └── for two minutes, with 200 open jobs and a reorg of 5 blocks in the middle: every job has its end
└── 24 all are slow or ask for fewer requests: it asks less, and answers in the end
"""

import time

import pytest
from fault_proxy import (
    delay,
    forge_receipt,
    go_dark,
    hide_logs,
    lag,
    limit_ranges,
    lose_reply,
    lose_request,
    refuse,
    repeat_logs,
    reset,
    status,
    swap_logs,
    truncate,
    wrong_chain,
)
from fault_steps import (
    XOR_INPUT,
    check_books,
    finish,
    finish_process,
    serving,
    stopped,
    table,
    urls,
    wait_for,
)
from live_chain import ASSIGNED, REFUNDED, SETTLED, start_anvil
from tcp_proxy import TcpProxy

from oracle.chain.heads import Heads
from oracle.errors import WrongChain


def steps(node, times):
    """Steps of the provider's own loop, which outlive failures; returns the waits it asked for."""
    waits = []
    time.sleep(node.parts.provider._poll_interval_s)  # or the first step need not ask the chain
    for _ in range(times):
        waits.append(node.parts.provider.step())
        node.chain.settle()
    return waits


def test_fault_15_another_chain_behind_the_url__nothing_is_signed(provider, market, chain, proxy):
    provider.open(**urls([proxy]))
    market.request()
    proxy.add(wrong_chain(1), "eth_chainId")
    proxy.add(status(502), "eth_getBlockByNumber", times=1)

    with pytest.raises(WrongChain, match="serves chain 1, expected chain 31337"):
        steps(provider, 1)

    assert provider.rows() == []


def test_fault_15_chain_was_reset_behind_the_url__nothing_is_signed(provider, market, chain, proxy):
    provider.open(**urls([proxy])).tick()
    market.request()
    fresh = start_anvil("--timestamp", "1600000000")
    try:
        proxy.target = fresh.url

        with pytest.raises(WrongChain, match="its first block is"):
            steps(provider, 1)

        assert provider.rows() == []
        assert int(fresh("eth_getTransactionCount", provider.signer.address, "pending"), 16) == 0
    finally:
        proxy.target = chain.url
        fresh.process.kill()
        fresh.process.wait()


@pytest.mark.extended
def test_fault_16_down_for_10_000_blocks__found_in_ranges_in_time(provider, market, chain, proxy):
    provider.open(**urls([proxy])).tick()
    provider.crash()
    expired = [market.request(window_s=3600) for _ in range(2)]
    for _ in range(100):  # in pieces: Anvil slows down, and a call has to end
        chain.mine(100)
    chain("evm_increaseTime", 4000)
    chain.mine()
    ids = [market.request() for _ in range(3)]
    proxy.add(limit_ranges(1000), "eth_getLogs")
    proxy.calls.clear()

    start = time.monotonic()
    provider.open(**urls([proxy]), **{"chain.log_range_blocks": 10_000})
    took_s = time.monotonic() - start
    provider.tick(2)

    print(f"caught up with 10,000 blocks in {took_s:.1f} s")
    assert took_s < 60
    assert provider.parts.store.cursor()[0] >= 10_000
    assert provider.worker.inferred == ids
    assert {provider.state(job_id) for job_id in expired} == {"dead"}
    for job_id in expired:
        refund = (job_id, terms_of(provider, job_id))
        chain.send("InferenceRouter", "refund", *refund, sender=market.requester)
    finish(provider, market)
    assert {market.state(job_id) for job_id in expired} == {REFUNDED}


def test_fault_17_a_blocks_logs_are_left_out__the_bloom_filter_tells(
    provider, market, chain, proxy, caplog
):
    provider.open(**urls([proxy])).tick()
    hidden = proxy.add(hide_logs(1.0), "eth_getLogs", times=2)
    job_id = market.request()

    provider.tick_until(job_id, "mined")

    assert hidden.hits == 2
    assert "found_by=bloom" in caplog.text
    finish(provider, market)
    assert market.state(job_id) == SETTLED


def test_fault_17_a_fifth_of_all_logs_is_left_out__found_by_the_second_reading(
    provider, market, chain, proxy
):
    provider.open(**urls([proxy])).tick()
    proxy.add(hide_logs(0.2), "eth_getLogs")
    chain("evm_setAutomine", False)
    for _ in range(20):
        chain("eth_sendTransaction", market.call())
    chain.mine()
    chain("evm_setAutomine", True)
    ids = list(range(1, 21))
    provider.tick(3)
    assert 0 < len(provider.worker.inferred) < 20

    for _ in range(8):
        provider.parts.listener._rescanned_at = float("-inf")  # an hour later
        provider.parts.provider.tick()
        chain.mine()
    finish(provider, market)

    assert sorted(provider.worker.inferred) == ids
    assert {market.state(job_id) for job_id in ids} == {SETTLED}


@pytest.mark.parametrize(
    "most", [100, *(pytest.param(n, marks=pytest.mark.extended) for n in (1, 7))]
)
def test_fault_18_log_ranges_are_limited__none_is_skipped(most, provider, market, chain, proxy):
    ids = []
    for _ in range(6):
        ids.append(market.request())
        chain.mine(30)
    proxy.add(limit_ranges(most), "eth_getLogs")

    provider.open(**urls([proxy]), **{"chain.log_range_blocks": 1000})
    finish(provider, market)

    assert provider.worker.inferred == ids
    assert {market.state(job_id) for job_id in ids} == {SETTLED}


def test_fault_19_logs_come_twice_and_out_of_order__each_counts_once(
    provider, market, chain, proxy
):
    provider.open(**urls([proxy]))
    proxy.add(repeat_logs, "eth_getLogs")
    proxy.add(lag(1), "eth_getBlockByNumber", times=7)
    ids = [market.request() for _ in range(5)]

    provider.tick(12)
    books = finish(provider, market)

    assert sorted(provider.worker.inferred) == ids
    assert (books.requests, books.answered) == (5, 5)


def test_fault_20_websocket_tells_of_blocks__need_not_look(provider, market, chain, xor):
    with TcpProxy(int(chain.url.rpartition(":")[2])) as line:
        ws = {"chain.ws_url": f"ws://127.0.0.1:{line.port}", "chain.poll_interval_s": 600.0}
        process = provider.run(**serving(xor, **ws))
        wait_for(lambda: table(provider, "SELECT 1 FROM cursor"))
        wait_for(lambda: line.connections)
        answered = []

        def told():
            answered.append(market.request(XOR_INPUT))
            time.sleep(0.5)
            return market.state(answered[0]) == SETTLED

        wait_for(told)
        stopped(process)
    finish_process(provider, market, provider.run(**serving(xor)))


def test_fault_20_websocket_is_half_open_or_cut__it_looks_by_itself(provider, market, chain, xor):
    with TcpProxy(int(chain.url.rpartition(":")[2])) as line:
        ws = {"chain.ws_url": f"ws://127.0.0.1:{line.port}", "chain.poll_interval_s": 0.2}
        process = provider.run(**serving(xor, **ws))
        wait_for(lambda: line.connections)
        line.frozen = True
        first = market.request(XOR_INPUT)
        wait_for(lambda: market.state(first) == SETTLED)

        line.frozen = False
        line.cut()
        second = market.request(XOR_INPUT)
        wait_for(lambda: market.state(second) == SETTLED)
        wait_for(lambda: line.connections >= 2)
        log = finish_process(provider, market, process)

    assert "websocket-" in log


def test_heads__when_silent__opens_the_socket_anew(chain):
    woken = []
    with TcpProxy(int(chain.url.rpartition(":")[2])) as line:
        heads = Heads(f"ws://127.0.0.1:{line.port}", lambda: woken.append(1), silence_s=0.3)
        heads.start()
        wait_for(lambda: line.connections >= 2)
        wait_for(lambda: chain.mine() or (woken and heads.news()))
        heads.close()


def test_fault_21_an_endpoint_is_behind__the_others_are_asked(
    provider, market, chain, three, caplog
):
    late, *_ = three
    late.add(lag(20))
    chain.mine(25)
    provider.open(**urls(three))
    job_id = market.request()

    provider.tick_until(job_id, "mined")

    assert "endpoint-out-of-sync" in caplog.text
    rpc = provider.parts.listener._rpc
    assert [endpoint.lags for endpoint in rpc.endpoints] == [True, False, False]
    assert late.count("eth_sendRawTransaction") == 0
    assert provider.parts.outbox.lowest_nonce == 1
    late.heal()
    finish(provider, market)


@pytest.mark.parametrize("success", [True, False])
def test_fault_22_an_endpoint_lies_about_a_receipt__it_is_outvoted(
    success, provider, market, chain, three, caplog
):
    liar, *_ = three
    liar.add(forge_receipt(success), "eth_getTransactionReceipt")
    provider.open(**urls(three), **{"chain.confirmations": 3})
    job_id = market.request()
    provider.tick_until(job_id, "mined")
    provider.tick()

    assert "endpoints-disagree" in caplog.text
    assert provider.rows() == [("answer", 0, "mined")]
    finish(provider, market)
    assert provider.state(job_id) == "final"


def test_fault_22_an_endpoint_lies_about_a_log__it_is_outvoted(
    provider, market, chain, three, caplog
):
    liar, *_ = three
    liar.add(swap_logs, "eth_getLogs")
    provider.open(**urls(three))
    job_id = market.request()

    provider.tick_until(job_id, "mined")

    assert "endpoints-disagree" in caplog.text
    finish(provider, market)
    assert market.state(job_id) == SETTLED


def test_fault_22_no_majority_is_left__nothing_is_done_about_money(
    provider, market, chain, three, caplog
):
    one, two, last = three
    provider.open(**urls(three))
    one.add(swap_logs, "eth_getLogs")
    two.add(go_dark)
    last.add(lose_request)
    market.request()
    provider.parts.listener._rpc.endpoints[1]._timeout_s = 0.2

    assert min(steps(provider, 2)) > 0

    assert "expected 2 endpoints to agree on" in caplog.text
    assert provider.rows() == []
    for proxy in three:
        proxy.heal()
    finish(provider, market)


def test_fault_23_all_endpoints_are_down__it_waits_longer_and_goes_on(
    provider, market, chain, three, caplog
):
    provider.open(**urls(three)).tick()
    for proxy, fault in zip(three, (go_dark, lose_request, reset), strict=True):
        proxy.add(fault)
    answered, late = market.request(), market.request(window_s=700)
    dark = provider.parts.listener._rpc.endpoints[0]
    patience_s, dark._timeout_s = dark._timeout_s, 0.2

    waits = steps(provider, 7)
    dark._timeout_s = patience_s

    pulse = provider.parts.provider.pulse
    assert (pulse.dead(), bool(pulse.not_ready())) == ([], True)
    assert caplog.text.count("chain-unreachable") == 7
    assert waits[-1] > 4 * waits[0]
    assert max(waits) <= 15.0
    chain("evm_increaseTime", 1000)
    chain.mine()
    for proxy in three:
        proxy.heal()
    steps(provider, 3)
    assert provider.parts.provider.failures == 0
    assert pulse.failure == ""
    chain.send("InferenceRouter", "refund", late, terms_of(provider, late), sender=market.requester)
    finish(provider, market)
    assert (market.state(answered), market.state(late)) == (SETTLED, REFUNDED)
    assert provider.worker.inferred == [answered]


@pytest.mark.timeout(1200)
@pytest.mark.extended
def test_fault_23_two_minutes_down_with_200_open_jobs_and_a_reorg__all_have_their_end(
    provider, market, chain, proxy, xor
):
    jobs = 200
    mining = {"chain.confirmations": 8, "limits.max_in_flight": 16, "chain.request_timeout_s": 2.0}
    chain("evm_setAutomine", False)
    for _ in range(jobs):
        chain("eth_sendTransaction", market.call(XOR_INPUT))
    while chain.read("InferenceRouter", "lastJobId") < jobs:
        chain.mine()
    chain.mine(6)
    process = provider.run(**serving(xor, **urls([proxy]), **mining))
    ids = range(1, jobs + 1)

    def settled():
        chain.mine()
        time.sleep(0.2)
        return sum(market.state(job_id) in (SETTLED, REFUNDED) for job_id in ids)

    wait_for(lambda: settled() >= 40, 300)
    proxy.add(go_dark)
    dark_since = time.monotonic()
    for second in range(120):
        chain.mine()
        if second == 60:
            chain.reorg(5)
        time.sleep(max(dark_since + second + 1 - time.monotonic(), 0))
    proxy.heal()

    wait_for(lambda: settled() == jobs, 600)
    finish_process(provider, market, process)


@pytest.mark.parametrize(
    "fault",
    [
        status(429),
        truncate,
        *(
            pytest.param(fault, marks=pytest.mark.extended)
            for fault in (refuse(-32005, "rate limit reached"), status(503), lose_reply)
        ),
    ],
)
def test_fault_24_endpoint_asks_for_less__it_asks_less_and_answers(
    fault, provider, market, chain, proxy
):
    provider.open(**urls([proxy])).tick()
    job_id = market.request()
    proxy.add(fault)
    before = proxy.count()

    waits = steps(provider, 4)

    assert proxy.count() - before <= 12  # three tries a step, all for the first question
    assert sum(waits) > 1.5
    proxy.heal()
    finish(provider, market)
    assert market.state(job_id) == SETTLED


def test_fault_24_endpoint_is_slow__in_flight_is_bounded(provider, market, chain, proxy):
    provider.open(**urls([proxy]), **{"limits.max_in_flight": 3, "limits.answers_together": 2})
    ids = [market.request() for _ in range(8)]
    proxy.add(delay(0.05))
    chain("evm_setAutomine", False)

    provider.tick(2)

    assert len(provider.parts.outbox.rows("signed", "sent")) == 3
    chain("evm_setAutomine", True)
    proxy.heal()
    finish(provider, market)
    assert {market.state(job_id) for job_id in ids} == {SETTLED}
    assert ASSIGNED not in {market.state(job_id) for job_id in ids}
    check_books(provider, market)


def terms_of(node, job_id):
    from oracle.chain.events import to_terms

    return to_terms(node.job(job_id).job)
