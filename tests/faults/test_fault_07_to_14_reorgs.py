"""The chain takes back what it said.

reorg
├── 07 removes the request
│   ├── before it was answered: the job is undone and nothing is sent
│   └── after the answer was sent: the answer is withdrawn
├── 08 moves the request to a later block: it is one job, inferred and answered once
├── 09 removes the answer: the same bytes are sent again
├── 10 puts the answer into another block: it is not sent again, and its confirmations begin anew
├── 11 puts another provider's answer in the place of ours: the job is lost, and nothing reverts
├── 12 is deeper than `confirmations`: there is an alarm, nothing is sent for as many blocks, then all is read again
├── 13 is below what the node called finalized: the job is no longer final, and there is an alarm
└── 14 the node comes back from a backup, with a lower head: the cursor goes back, and it waits for the rest
"""

import pytest
from fault_steps import check_books, finish
from live_chain import ASSIGNED, PRICE, SETTLED, deploy, register, start_anvil

from offchain_worker.proofs.signature import prove
from oracle.chain.events import to_terms


def raw_of(chain, tx_hash):
    return chain("eth_getRawTransactionByHash", tx_hash)


def hashes(node):
    return [row["hash"] for row in node.parts.store.read("SELECT hash FROM attempts ORDER BY id")]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_fault_07_reorg_removes_the_request__nothing_is_sent(depth, provider, market, chain):
    provider.open(**{"chain.confirmations": 5})
    job_id = market.request()
    chain.mine(depth - 1)
    provider.parts.listener.tick()
    assert provider.state(job_id) == "seen"

    chain.reorg(depth)
    provider.tick(2)
    chain.mine()
    provider.tick()

    assert provider.state(job_id) == "undone"
    assert provider.worker.inferred == []
    assert provider.rows() == []
    check_books(provider, market)


def test_fault_07_reorg_removes_an_answered_request__the_answer_is_withdrawn(
    provider, market, chain
):
    provider.open(**{"chain.confirmations": 5})
    job_id = market.request()
    chain("evm_setAutomine", False)
    provider.tick()
    assert provider.rows() == [("answer", 0, "sent")]
    chain("anvil_dropAllTransactions")

    chain.reorg(1)
    for _ in range(8):
        provider.tick()
        chain.mine()
    provider.tick()

    assert provider.state(job_id) == "undone"
    assert provider.rows() == [("answer", 0, "cancelled")]
    check_books(provider, market)


def test_fault_08_reorg_moves_the_request__one_job(provider, market, chain):
    provider.open(**{"chain.confirmations": 5})
    call = market.call()
    chain("evm_setAutomine", False)
    chain("eth_sendTransaction", call)
    chain.mine()
    provider.tick()
    chain("anvil_dropAllTransactions")
    (job_id,) = provider.worker.inferred

    chain.mine()
    chain("evm_increaseTime", 30)
    chain.reorg(2, [[call, 1]])
    chain("evm_setAutomine", True)
    books = finish(provider, market)

    assert (books.requests, books.answered) == (1, 1)
    assert provider.worker.inferred == [job_id]
    assert market.state(job_id) == SETTLED


def test_fault_09_reorg_removes_the_answer__the_same_bytes_are_sent_again(provider, market, chain):
    provider.open(**{"chain.confirmations": 5})
    job_id = market.request()
    chain.mine()
    provider.tick(2)
    first = hashes(provider)
    assert market.state(job_id) == SETTLED

    chain.reorg(1)
    assert market.state(job_id) == ASSIGNED
    finish(provider, market)

    assert hashes(provider) == first
    assert provider.worker.inferred == [job_id]
    assert market.state(job_id) == SETTLED


def test_fault_10_reorg_moves_the_answer__it_is_not_sent_again(provider, market, chain, proxy):
    provider.open(**{"chain.confirmations": 4, "chain.rpc_urls": [proxy.url]})
    job_id = market.request()
    provider.tick_until(job_id, "mined")
    (sent,) = hashes(provider)
    raw = raw_of(chain, sent)
    chain.mine()
    sends = proxy.count("eth_sendRawTransaction")

    chain.reorg(2, [[raw, 1]])
    provider.tick(2)
    assert chain("eth_getTransactionReceipt", sent)["status"] == "0x1"
    assert provider.state(job_id) == "mined"
    finish(provider, market)

    assert hashes(provider) == [sent]
    assert proxy.count("eth_sendRawTransaction") == sends
    assert provider.state(job_id) == "final"


def test_fault_11_reorg_swaps_in_another_answer__the_job_is_lost(provider, market, chain, tmp_path):
    other = register(market, tmp_path / "other", owner=4)
    provider.open(**{"chain.confirmations": 5})
    job_id = market.request(offer=provider.offer)
    chain("evm_increaseTime", 601)
    chain.mine()
    provider.tick_until(job_id, "mined")
    job = provider.job(job_id).job

    chain.reorg(1, [])
    chain("anvil_impersonateAccount", other.signer.address)
    taken = {"sender": other.signer.address, "value": PRICE // 10}
    chain.send("InferenceRouter", "take", job_id, to_terms(job), other.offer, **taken)
    theirs = other_answer(chain, other, job_id)
    chain.send("InferenceRouter", "answer", *theirs, sender=other.signer.address)
    books = finish(provider, market)

    assert provider.state(job_id) == "lost"
    assert (books.answered, books.reverted) == (1, 0)


def other_answer(chain, other, job_id):
    """Arguments of the answer with which another provider wins the job, read as its own worker would."""
    other.open()
    job = other.job(job_id).job
    inference = other.worker.infer(job)
    proof = prove(job, inference, other.signer)
    other.parts.store.close()
    return (job_id, to_terms(job), 1, inference.output, [proof])


def test_fault_12_reorg_deeper_than_confirmations__alarm_halt_and_resync(
    provider, market, chain, caplog
):
    provider.open()
    chain.mine(15)
    job_id = market.request()
    provider.tick_until(job_id, "mined")
    chain.mine(4)
    provider.tick_until(job_id, "final")
    cursor = provider.parts.store.cursor()[0]

    chain.reorg(20)
    provider.tick(3)
    assert "finality-violated" in caplog.text
    again = market.request()
    sent = len(hashes(provider))
    provider.tick(3)
    halted = provider.parts.listener.calm_from
    assert halted > chain.head()
    assert len(hashes(provider)) == sent
    assert provider.worker.inferred == [job_id]
    chain.mine(halted - chain.head())
    finish(provider, market)

    assert provider.parts.store.cursor()[0] >= cursor
    assert again == job_id
    assert market.state(again) == SETTLED
    assert provider.state(again) == "final"


def test_fault_13_reorg_below_finalized__no_longer_final(tmp_path, xor, caplog):
    from chain_fixtures import register_model

    chain = start_anvil("--slots-in-an-epoch", "1")
    try:
        deploy(chain, tmp_path)
        market = register_model(chain, xor.cid)
        node = register(market, tmp_path / "provider").open()
        job_id = market.request()
        node.tick_until(job_id, "mined")
        chain.mine(3)
        node.tick_until(job_id, "final")
        finalized = int(chain("eth_getBlockByNumber", "finalized", False)["number"], 16)
        assert node.job(job_id).block_number <= finalized

        chain.reorg(chain.head() - node.job(job_id).block_number + 1)
        node.tick()
        assert node.state(job_id) != "final"
        assert "finality-violated" in caplog.text
        finish(node, market)

        assert market.state(job_id) == SETTLED
        assert node.worker.inferred == [job_id]
        node.parts.store.close()
    finally:
        chain.process.kill()
        chain.process.wait()


def test_fault_14_node_comes_back_from_a_backup__cursor_goes_back(provider, market, chain, caplog):
    provider.open()
    backup = chain("evm_snapshot")
    job_id = market.request()
    chain.mine(6)
    provider.tick(2)
    assert market.state(job_id) == SETTLED
    cursor = provider.parts.store.cursor()[0]

    chain("evm_revert", backup)
    provider.tick(2)
    head = chain.head()
    assert head < cursor
    assert provider.parts.store.cursor()[0] == head
    assert provider.state(job_id) == "undone"
    again = market.request()
    finish(provider, market)

    assert again == job_id
    assert provider.state(again) == "final"
    assert market.state(again) == SETTLED
