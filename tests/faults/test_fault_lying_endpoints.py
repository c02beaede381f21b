"""One of three endpoints, the best one, lies about blocks, or keeps transactions for itself.

17 logs are left out while events of days are read at a start
├── by one of three endpoints: by the other two they are found
└── by the only endpoint, once: they are found by the second reading
22 an endpoint lies
├── about the hashes of blocks: the branch of the other two counts, and no job is undone
├── about the time of blocks: no answer is withdrawn as too late
├── about transactions that it has: others get them, and they are mined
├── about the gas that an answer needs: the others' estimate is used, and nothing fails for want of gas
└── about nothing, and is only two blocks behind the others: that is no lie, and no alarm
"""

import time

import pytest
from fault_proxy import (
    constant,
    hide_logs,
    lag,
    later,
    limit_ranges,
    other_branch,
    swallow,
)
from fault_steps import finish, urls
from live_chain import SETTLED


def steps(node, done, most=60):
    """Steps of the provider's own loop, which outlive failures, with a block after each."""
    for _ in range(most):
        if done():
            return
        node.parts.provider._listened_at = float("-inf")
        wait_s = node.parts.provider.step()
        time.sleep(min(wait_s, 0.2))
        node.chain.mine()
    raise AssertionError(f"{node.rows()}, {node.parts.store.counts()}")


def test_fault_22_an_endpoint_lies_about_hashes_of_blocks__no_job_is_undone(
    provider, market, chain, three, caplog
):
    provider.open(**urls(three), **{"chain.confirmations": 3})
    before = market.request()
    provider.tick_until(before, "mined")
    three[0].add(other_branch)
    after = market.request()

    steps(provider, lambda: {market.state(j) for j in (before, after)} == {SETTLED})

    assert "reorg" not in caplog.text
    assert provider.worker.inferred == [before, after]
    finish(provider, market)
    assert {provider.state(job_id) for job_id in (before, after)} == {"final"}


def test_fault_22_an_endpoint_lies_about_the_time__no_answer_is_withdrawn(
    provider, market, chain, three, caplog
):
    provider.open(**urls(three))
    three[0].add(later(7200))
    job_id = market.request(window_s=3600)

    steps(provider, lambda: market.state(job_id) == SETTLED)

    assert "too-late" not in caplog.text
    assert provider.rows()[0] in {("answer", 0, "sent"), ("answer", 0, "mined")}
    finish(provider, market)


@pytest.mark.parametrize("liars", [1, 2])
def test_fault_22_an_endpoint_keeps_transactions_for_itself__others_get_them(
    liars, provider, market, chain, three
):
    provider.open(**urls(three))
    for proxy in three[:liars]:
        proxy.add(swallow)
    job_id = market.request()

    steps(provider, lambda: market.state(job_id) == SETTLED, most=20)

    assert provider.worker.inferred == [job_id]
    for proxy in three:
        proxy.heal()
    finish(provider, market)


@pytest.mark.parametrize("late", [0, 1, 2])
def test_fault_22_an_endpoint_is_two_blocks_behind__that_is_no_lie(
    late, provider, market, chain, three, caplog
):
    provider.open(**urls(three))
    three[late].add(lag(2))
    job_id = market.request()

    steps(provider, lambda: provider.state(job_id) == "final")

    assert "endpoints-disagree" not in caplog.text
    assert provider.parts.listener._rpc.disagreements == 0
    three[late].heal()
    finish(provider, market)


@pytest.mark.parametrize("gas", ["0x5208", "0xffffff"])
def test_fault_22_an_endpoint_lies_about_gas__nothing_fails_for_it(
    gas, provider, market, chain, three
):
    provider.open(**urls(three))
    three[0].add(constant(gas), "eth_estimateGas")
    job_id = market.request()

    steps(provider, lambda: market.state(job_id) == SETTLED)

    books = finish(provider, market)
    assert books.reverted == 0
    assert provider.parts.store.read("SELECT gas FROM outbox")[0]["gas"] < 1_000_000


def test_fault_17_one_of_three_leaves_history_out__the_others_have_it(
    provider, market, chain, three
):
    provider.open(**urls(three)).crash()
    job_id = market.request()
    chain.mine(150)
    three[0].add(hide_logs(1.0), "eth_getLogs")
    three[1].add(limit_ranges(40), "eth_getLogs")

    provider.open(**urls(three))
    steps(provider, lambda: market.state(job_id) == SETTLED)

    finish(provider, market)


def test_fault_17_history_is_left_out_once__found_by_the_second_reading(
    provider, market, chain, three, caplog
):
    provider.open(**urls(three[:1])).crash()
    job_id = market.request()
    chain.mine(150)
    three[0].add(hide_logs(1.0), "eth_getLogs", times=1)

    provider.open(**urls(three[:1]))
    steps(provider, lambda: market.state(job_id) == SETTLED)

    assert "missed-events" in caplog.text
    finish(provider, market)
