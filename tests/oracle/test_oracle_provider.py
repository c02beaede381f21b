"""Provider.tick, in this process, on a chain that misbehaves.

tick
├── when the same block is read twice
│   └── the job is answered once
├── when a reorg removes the request
│   ├── the job is undone, its answer withdrawn and its nonce used up
│   └── the next job is answered all the same
├── when a reorg moves the request to a later block
│   └── it is one job, answered under its new terms
├── when a reorg removes the answer
│   └── the same bytes are sent again
├── when a reorg is deeper than the remembered blocks
│   └── the history is read again
├── when a reorg undid what was final, and it is started again
│   └── it is still halted
├── when the models to serve are named in upper case
│   └── their jobs are taken
├── when another provider takes the job
│   └── it is lost
├── when it takes a job over, and what came later is undone before it was read
│   └── nothing of that stays
├── when the endpoint shows a block before its logs
│   ├── they are read with a later tick, whether or not there is a new block
│   └── unless the block is no longer on the chain
├── when more jobs wait than may be in flight
│   └── all are answered, a few at a time
├── when jobs came while it was down
│   └── they are found in ranges of blocks
├── when events were left out
│   └── the contract's own state tells at the next start
└── when all is well
    ├── the job is answered, paid, and final after the confirmations
    ├── no signature is sent: the transaction has one
    └── three commits lie between reading and sending
"""

import pytest
from fault_proxy import FaultProxy, constant
from live_chain import ASSIGNED, OPEN, PRICE, REFUNDED, SETTLED, artifacts, register
from web3 import Web3

from oracle.chain import listener as listener_module
from oracle.chain.events import terms_of, to_terms


def test_tick__when_a_block_is_read_twice__answers_once(provider, market):
    provider.open()
    job_id = market.request()
    provider.tick()
    cursor = provider.parts.store.cursor()
    provider.parts.store.undo_above(
        cursor[0] - 1, market.chain("eth_getBlockByNumber", hex(cursor[0] - 1), False)["hash"]
    )

    provider.tick(3)

    assert provider.worker.inferred == [job_id]
    assert provider.rows() == [("answer", 0, "sent")] or provider.rows() == [("answer", 0, "mined")]
    assert market.state(job_id) == SETTLED


def test_tick__when_a_reorg_removes_the_request__withdraws_the_answer(provider, market, chain):
    provider.open()
    chain("evm_setAutomine", False)
    sent = chain("eth_sendTransaction", request_call(market))
    chain.mine()
    assert chain("eth_getTransactionReceipt", sent)["status"] == "0x1"
    job_id = chain.read("InferenceRouter", "lastJobId")
    provider.tick()
    chain("anvil_dropAllTransactions")
    assert provider.state(job_id) == "broadcast"

    chain.reorg(1)
    chain.mine()
    provider.tick(2)
    chain.mine()
    provider.tick()
    chain.mine()
    provider.tick()

    assert chain.read("InferenceRouter", "lastJobId") == job_id - 1
    assert provider.state(job_id) == "undone"
    assert provider.rows() == [("answer", 0, "cancelled")]


def test_tick__when_a_reorg_removed_a_request__answers_the_next(provider, market, chain):
    provider.open()
    job_id = market.request()
    provider.tick(2)
    assert market.state(job_id) == SETTLED

    chain.reorg(2)
    provider.tick(2)
    again = market.request()
    for _ in range(4):
        chain.mine()
        provider.tick()

    assert again == job_id
    assert market.state(again) == SETTLED
    assert provider.state(again) == "final"


def test_tick__when_a_reorg_moves_the_request__answers_it_once(provider, market, chain):
    provider.open()
    call = request_call(market)
    chain("evm_setAutomine", False)
    chain("eth_sendTransaction", call)
    chain.mine()
    job_id = chain.read("InferenceRouter", "lastJobId")
    provider.tick()
    before = provider.job(job_id).job
    chain("anvil_dropAllTransactions")

    chain("evm_increaseTime", 30)
    chain.reorg(1, [[call, 0]])
    chain.mine()
    for _ in range(6):
        provider.tick()
        chain.mine()
    provider.tick()

    assert chain.read("InferenceRouter", "lastJobId") == job_id
    assert market.state(job_id) == SETTLED
    assert provider.state(job_id) == "final"
    assert provider.worker.inferred == [job_id]
    assert provider.job(job_id).job.input == before.input


def test_tick__when_a_reorg_removes_the_answer__sends_the_same_bytes(provider, market, chain):
    provider.open()
    job_id = market.request()
    chain.mine(2)
    provider.tick(2)
    assert market.state(job_id) == SETTLED
    first = attempts(provider)

    chain.reorg(1)
    assert market.state(job_id) == ASSIGNED
    provider.tick(2)
    chain.mine(2)
    provider.tick()

    assert market.state(job_id) == SETTLED
    assert attempts(provider) == first
    assert provider.worker.inferred == [job_id]
    assert provider.state(job_id) == "final"


def test_tick__when_a_reorg_is_deeper_than_remembered__reads_the_history_again(
    provider, market, chain, caplog
):
    provider.open()
    market.request()
    provider.tick()
    provider.parts.store.write("UPDATE blocks SET hash = '0x00'")
    provider.parts.store.write("UPDATE cursor SET hash = '0x00'")
    chain.mine(3)

    provider.tick(2)

    assert "reorg-too-deep" in caplog.text
    assert provider.parts.store.cursor()[0] == chain.head()
    assert provider.parts.store.counts() == {"final": 1}


def test_tick__when_another_provider_takes_the_job__loses_it(provider, market, chain, tmp_path):
    other = register(market, tmp_path / "other", owner=4)
    provider.open()
    provider.worker.failures = [ValueError("a backend that does not work")]
    job_id = market.request(offer=provider.offer)
    provider.tick()
    job = provider.job(job_id).job
    chain("evm_increaseTime", 601)
    chain.mine()
    terms = to_terms(job)
    chain("anvil_impersonateAccount", other.signer.address)
    chain.send(
        "InferenceRouter",
        "take",
        job_id,
        terms,
        other.offer,
        sender=other.signer.address,
        value=PRICE // 10,
    )

    provider.tick()

    assert (provider.state(job_id), provider.job(job_id).reason) == (
        "lost",
        f"provider {other.number} took it",
    )


def test_tick__when_what_came_after_a_take_is_undone__nothing_of_it_stays(
    provider, market, chain, tmp_path, monkeypatch
):
    other = register(market, tmp_path / "other", owner=4).open()
    other.worker.failures = [ValueError("a backend that does not work")]
    job_id = market.request(offer=other.offer)
    terms = to_terms(other.tick().job(job_id).job)
    provider.open()
    listener = provider.parts.listener
    real = listener._past_of

    def refunded_meanwhile(*arguments):
        chain("evm_increaseTime", 3600)
        chain.mine()
        (taken,) = provider.parts.store.events_of(job_id)
        now = terms_of(taken.fields["job"])
        chain.send("InferenceRouter", "refund", job_id, now, sender=market.requester)
        return real(*arguments)

    chain("evm_increaseTime", 601)
    chain.mine()
    chain("anvil_impersonateAccount", provider.signer.address)
    arguments = (job_id, terms, provider.offer)
    sender = provider.signer.address
    chain.send("InferenceRouter", "take", *arguments, sender=sender, value=PRICE // 10)
    monkeypatch.setattr(listener, "_past_of", refunded_meanwhile)
    listener.tick()
    chain.reorg(1)

    listener.tick()

    kinds = [event.kind for event in provider.parts.store.events_of(job_id)]
    assert sorted(kinds) == ["requested", "taken"]
    assert provider.job(job_id).status == "assigned"


@pytest.mark.parametrize("blocks", [0, 1])
def test_tick__when_a_block_is_shown_before_its_logs__reads_them_later(
    provider, market, chain, blocks
):
    with FaultProxy(chain.url) as proxy:
        provider.open(**{"chain.rpc_urls": [proxy.url]})
        proxy.add(constant([]), "eth_getLogs", times=listener_module.BLOOM_TRIES + 1)
        job_id = market.request()
        provider.tick()
        assert provider.job(job_id) is None
        if blocks:
            chain.mine()

        provider.tick()

        assert provider.worker.inferred == [job_id]
        assert provider.parts.listener.missed_events == 1


def test_tick__when_a_block_without_its_logs_is_undone__asks_for_them_no_more(
    provider, market, chain
):
    with FaultProxy(chain.url) as proxy:
        provider.open(**{"chain.rpc_urls": [proxy.url]})
        proxy.add(constant([]), "eth_getLogs")
        job_id = market.request()
        provider.tick()
        chain.reorg(1)
        proxy.heal()

        provider.tick()

        assert provider.job(job_id) is None
        assert provider.parts.listener._doubtful == {}


def test_tick__when_many_jobs_wait__answers_all_a_few_at_a_time(provider, market, chain):
    provider.open(**{"limits.max_in_flight": 4, "limits.answers_together": 1})
    ids = [market.request() for _ in range(10)]
    chain("evm_setAutomine", False)

    provider.tick()
    assert len(provider.parts.outbox.rows("sent")) == 4
    for _ in range(200):
        chain.mine()
        provider.tick()
        if all(market.state(job_id) == SETTLED for job_id in ids):
            break

    assert {market.state(job_id) for job_id in ids} == {SETTLED}
    assert sorted(provider.worker.inferred) == ids
    assert [nonce for _, nonce, _ in provider.rows()] == list(range(10))


def test_start__when_jobs_came_while_it_was_down__finds_them_in_ranges(provider, market, chain):
    first = market.request()
    chain.mine(1000)
    second = market.request()
    chain.mine(50)

    provider.open(**{"chain.log_range_blocks": 100}).tick(2)

    assert provider.worker.inferred == [first, second]
    assert {market.state(first), market.state(second)} == {SETTLED}


def test_start__when_events_were_left_out__asks_the_contract(provider, market, caplog):
    provider.open()
    job_id = market.request()
    provider.tick(3)
    store = provider.parts.store
    store.write("DELETE FROM events WHERE kind IN ('answered', 'settled')")
    store.write("UPDATE jobs SET status = 'assigned', state = 'broadcast'")
    store.commit()
    listener_module.RESCAN_BLOCKS, kept = 0, listener_module.RESCAN_BLOCKS
    try:
        provider.crash().open()
    finally:
        listener_module.RESCAN_BLOCKS = kept

    assert "missed-events" in caplog.text
    assert provider.job(job_id).status == "settled"
    assert provider.state(job_id) in ("mined", "final")


def test_tick__when_the_database_is_deleted__rebuilds_it_from_the_chain(provider, market):
    provider.open()
    job_id = market.request()
    provider.tick(2)
    provider.crash()
    for file in provider.home.glob("jobs.sqlite*"):
        file.unlink()

    provider.open().tick()

    assert provider.worker.inferred == [job_id]
    assert provider.state(job_id) in ("mined", "final")


def test_tick__answers_is_paid_and_final_after_the_confirmations(provider, market, chain):
    provider.open()
    job_id = market.request()
    commits: list[str] = []
    commit, send = provider.parts.store.commit, provider.parts.provider._submitter._hand_over
    provider.parts.store.commit = lambda: (  # type: ignore[method-assign]
        commits.append("commit") if provider.parts.store.open_for_ms else None,
        commit(),
    )[1]
    provider.parts.provider._submitter._hand_over = lambda row: (commits.append("send"), send(row))[
        1
    ]  # type: ignore[method-assign]

    provider.tick()
    assert commits[: commits.index("send") + 1] == ["commit", "commit", "commit", "send"]
    assert market.state(job_id) == SETTLED
    provider.tick()
    assert provider.state(job_id) == "mined"
    chain.mine()
    provider.tick()

    assert provider.state(job_id) == "final"
    assert provider.rows() == [("answer", 0, "final")]
    assert chain.read("InferenceRouter", "offer", provider.offer)["earned"] == PRICE


def test_tick__refunds_own_requests_that_ran_out(provider, market, chain):
    provider.open(
        **{
            "keeper.requesters": [market.requester],
            "limits.price_to_gas": 0.0,
            "limits.least_time_s": 7200,
        }
    )
    job_id = market.request(window_s=700)
    provider.tick()
    assert (provider.state(job_id), market.state(job_id)) == ("declined", OPEN)
    chain("evm_increaseTime", 800)
    chain.mine()
    provider.parts.provider._keeper._looked_at = float("-inf")

    provider.tick(2)

    assert market.state(job_id) == REFUNDED


def request_call(market):
    contracts = market.chain.contracts
    data = contracts.encode("InferenceRouter", "request", market.asked(None))
    return {
        "from": market.requester,
        "to": contracts.address("InferenceRouter"),
        "data": "0x" + data.hex(),
        "value": hex(PRICE),
        "gas": hex(1_000_000),
    }


def attempts(provider):
    return [
        row["hash"] for row in provider.parts.store.read("SELECT hash FROM attempts ORDER BY id")
    ]


def test_tick__under_the_signature_policy__sends_no_signature(provider, market, chain):
    provider.open()
    job_id = market.request()
    provider.tick()
    chain.settle()

    assert market.state(job_id) == SETTLED
    (sent,) = chain("eth_getBlockByNumber", "latest", True)["transactions"]
    router = Web3().eth.contract(abi=artifacts()["InferenceRouter"]["abi"])
    _, given = router.decode_function_input(sent["input"])
    assert given["proofs"] == [b""]


def test_tick__when_started_again_after_a_reorg_of_what_was_final__is_still_halted(
    provider, market, chain
):
    provider.open()
    chain.mine(6)
    provider.tick()
    chain.reorg(6)
    provider.tick()
    halted = provider.parts.listener.calm_from
    assert halted > chain.head()

    provider.crash().open()
    market.request()
    provider.tick(2)

    assert provider.parts.listener.calm_from == halted
    assert (provider.worker.inferred, provider.rows()) == ([], [])


def test_tick__when_models_are_named_in_upper_case__takes_their_jobs(provider, market):
    provider.open(**{"provider.models": ["0x" + market.market["modelId"].hex().upper()]})
    job_id = market.request()

    provider.tick_until(job_id, "mined")

    assert market.state(job_id) == SETTLED
