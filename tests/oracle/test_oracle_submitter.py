"""Submitter and Outbox, on a chain that misbehaves.

check
├── when the transaction was dropped
│   └── the same bytes are sent again
├── when it is stuck
│   ├── it is replaced, at least 15 % dearer in both parts, with the same nonce and calldata
│   └── no replacement goes above the limit
├── when its deadline passes while it is stuck
│   └── it is withdrawn, and its nonce used up
├── when another program used the nonce
│   └── the job is answered with the next one
├── when a nonce below ours is missing
│   └── it is filled
├── when it reverts on chain
│   └── the table of errors decides
└── when the job was declined by the same key
    └── it gives way
send
├── when the node has it already
│   └── that is a success
└── when the account has no money
    └── it waits and goes out later
add
├── when there is a transaction for the purpose already
│   └── nothing is added
└── when it would revert
    └── nothing is stored
"""

import pytest
from live_chain import ASSIGNED, ETHER, OPEN, SETTLED

from oracle.chain.events import to_terms
from oracle.chain.outbox import Call
from oracle.errors import Reverted


@pytest.fixture
def queued(provider, market, chain):
    """A provider whose answer to one job is sent, and not mined."""
    provider.open()
    job_id = market.request()
    chain("evm_setAutomine", False)
    provider.tick()
    provider.job_id = job_id
    assert market.state(job_id) == ASSIGNED
    return provider


def pending(node):
    pool = node.chain("txpool_content")["pending"]
    return next(
        (of for sender, of in pool.items() if sender.lower() == node.signer.address.lower()), {}
    )


def finish(node, times=4):
    for _ in range(times):
        node.chain.mine()
        node.tick()


def look_again(node):
    node.parts.provider._submitter._looked_at = ("", 0.0)


def test_check__when_dropped__sends_the_same_bytes_again(queued, chain):
    (first,) = pending(queued).values()
    chain("anvil_dropAllTransactions")
    look_again(queued)

    queued.tick()

    (again,) = pending(queued).values()
    assert again["hash"] == first["hash"]
    finish(queued)
    assert queued.state(queued.job_id) == "final"


def test_check__when_stuck__replaces_it_with_a_dearer_one(queued, chain):
    (first,) = pending(queued).values()
    mine_without(chain, queued, 2)
    queued.tick(2)

    rows = queued.parts.store.read("SELECT * FROM attempts ORDER BY id")
    assert len(rows) == 2
    assert rows[1]["max_fee_wei"] * 100 >= rows[0]["max_fee_wei"] * 115
    assert rows[1]["tip_wei"] * 100 >= rows[0]["tip_wei"] * 115
    finish(queued)
    assert queued.state(queued.job_id) == "final"
    assert chain("eth_getTransactionByHash", rows[1]["hash"])["input"] == first["input"]
    assert queued.rows() == [("answer", 0, "final")]


def test_check__when_stuck_at_the_limit__does_not_go_above_it(queued, chain, caplog):
    queued.parts.outbox.max_fee_wei = 10**6

    mine_without(chain, queued, 2)
    queued.tick(2)

    assert len(queued.parts.store.read("SELECT 1 FROM attempts")) == 1
    assert "fee-limit-reached" in caplog.text


def test_check__when_its_deadline_passes__is_withdrawn_and_its_nonce_used_up(queued, market, chain):
    mine_without(chain, queued, 1)
    chain("evm_increaseTime", 4000)
    mine_without(chain, queued, 1)

    queued.tick(2)
    finish(queued)

    assert market.state(queued.job_id) == ASSIGNED
    assert queued.rows() == [("answer", 0, "cancelled")]
    assert queued.state(queued.job_id) == "lost"


def test_check__when_another_program_used_the_nonce__answers_with_the_next(
    queued, market, chain, caplog
):
    chain("anvil_dropAllTransactions")
    key_used_elsewhere(chain, queued, nonce=0)
    chain.mine()

    for _ in range(8):
        queued.tick()
        chain.mine()
        look_again(queued)
    queued.tick()

    assert "nonce-used-elsewhere" in caplog.text
    assert market.state(queued.job_id) == SETTLED
    assert queued.rows() == [("answer", 0, "freed"), ("answer", 1, "final")]
    assert queued.worker.inferred == [queued.job_id]


def test_start__when_another_program_used_nonces__goes_on_after_them(provider, market, chain):
    key_used_elsewhere(chain, provider, nonce=0)
    key_used_elsewhere(chain, provider, nonce=1)
    provider.open()
    job_id = market.request()

    provider.tick()

    assert provider.rows()[0][1] == 2
    assert market.state(job_id) == SETTLED


def test_start__when_a_nonce_is_missing_below_ours__fills_it(queued, market, chain):
    chain("anvil_dropAllTransactions")
    queued.parts.store.write("UPDATE outbox SET nonce = 1")
    queued.parts.store.write("DELETE FROM attempts")
    row_id = queued.parts.store.read("SELECT id FROM outbox")[0]["id"]
    queued.parts.outbox.sign(row_id, queued.parts.outbox.fees())
    queued.parts.store.commit()

    queued.crash().open().tick()
    finish(queued)

    assert queued.rows() == [("answer", 1, "final"), ("fill", 0, "cancelled")]
    assert market.state(queued.job_id) == SETTLED


def test_check__when_the_answer_reverts__loses_the_job(queued, market, chain):
    chain("evm_increaseTime", 4000)
    chain.mine()

    finish(queued)

    assert market.state(queued.job_id) == ASSIGNED
    assert queued.rows() == [("answer", 0, "reverted")]
    assert queued.state(queued.job_id) == "lost"
    assert "RouterTooLate" in queued.job(queued.job_id).reason


def test_check__when_the_job_is_declined_by_the_same_key__gives_way(queued, market, chain):
    decline_from_outside(chain, queued, queued.job_id)
    chain.mine()

    finish(queued)

    assert market.state(queued.job_id) == OPEN
    assert queued.state(queued.job_id) == "declined"


def test_send__when_the_node_has_it_already__is_a_success(queued, market, chain):
    queued.parts.store.write("UPDATE attempts SET sent_block = NULL")
    queued.parts.store.write("UPDATE outbox SET state = 'signed'")

    assert queued.parts.provider._submitter.send(queued.parts.listener.current()) == 1

    finish(queued)
    assert queued.state(queued.job_id) == "final"


def test_send__when_the_account_has_no_money__goes_out_later(provider, market, chain):
    provider.open().tick()
    job_id = market.request()
    chain("anvil_setBalance", provider.signer.address, "0x1")

    provider.tick()
    assert provider.state(job_id) in ("inferred", "queued")
    chain("anvil_setBalance", provider.signer.address, hex(ETHER))
    chain.mine()
    provider.parts.store.write("UPDATE jobs SET retry_at_ms = 0")
    provider.tick(2)

    assert market.state(job_id) == SETTLED
    assert provider.worker.inferred == [job_id]


def test_add__when_the_purpose_is_taken__adds_nothing(queued, chain):
    job = queued.job(queued.job_id).job
    purpose = queued.parts.store.read("SELECT purpose FROM outbox")[0]["purpose"]
    call = Call(purpose, "InferenceRouter", "decline", (queued.job_id, to_terms(job)))

    assert queued.parts.outbox.add(call) is False

    assert len(queued.rows()) == 1


def test_add__when_it_would_revert__stores_nothing(provider, market):
    provider.open()
    job_id = market.request()
    while provider.job(job_id) is None:  # on a busy machine Anvil shows a block a little late
        provider.parts.listener.tick()
    job = provider.job(job_id).job
    call = Call("refund:x", "InferenceRouter", "refund", (job_id, to_terms(job)))

    with pytest.raises(Reverted) as caught:
        provider.parts.outbox.add(call)

    assert caught.value.name == "RouterTooEarly"
    assert caught.value.arguments["from"] == job.deadline_s + 1
    assert provider.rows() == []


def mine_without(chain, node, blocks):
    """Mine blocks that leave the sender's transactions in the pool: their fee is too low for a while."""
    raw = [row["raw"] for row in node.parts.store.read("SELECT raw FROM attempts ORDER BY id")]
    chain("anvil_removePoolTransactions", node.signer.address)
    chain.mine(blocks)
    chain("eth_sendRawTransaction", "0x" + raw[-1].hex())


def key_used_elsewhere(chain, node, nonce):
    _tx_hash, raw = node.signer.sign_transaction(
        {
            "type": 2,
            "chainId": 31337,
            "nonce": nonce,
            "to": chain.accounts[8],
            "value": 1,
            "data": b"",
            "gas": 21_000,
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 10**9,
        }
    )
    chain("eth_sendRawTransaction", "0x" + raw.hex())


def decline_from_outside(chain, node, job_id):
    """Decline in the same block, before the answer, as somebody with the same key could."""
    contracts = chain.contracts
    data = contracts.encode("InferenceRouter", "decline", job_id, to_terms(node.job(job_id).job))
    chain("anvil_dropAllTransactions")
    _tx_hash, raw = node.signer.sign_transaction(
        {
            "type": 2,
            "chainId": 31337,
            "nonce": 0,
            "to": contracts.address("InferenceRouter"),
            "value": 0,
            "data": data,
            "gas": 300_000,
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 10**9,
        }
    )
    chain("eth_sendRawTransaction", "0x" + raw.hex())
