"""Answers that share a transaction.

groups
└── each fits: by number, calldata and gas
answering
├── when one is ready: it goes as ever
├── when several are ready: they go in one transaction, and each is one answer
├── when the settings say 1: each goes alone
├── when one of them would fail: it is left out by its own error, and the others go together
├── when one of them cannot be proved: only that one is declined
├── when each would do and all of them would not: they go one by one
├── when the node finds them too large: they go in halves
├── when another provider could take one over soon: that one goes alone, and first
├── when the operator has little money: no more go together than it could pay for
├── when a callback is idle while it is simulated and not on chain: the others are answered all the same
└── when killed: nothing is signed a second time
submitter
├── when it reverts on chain: each is answered alone
├── when it is stuck: it is replaced as one
├── when one's deadline passes while it is stuck: the others are answered alone
├── when a node never takes it: each is answered alone
├── when a reorg takes one request away: the others are answered
└── when a reorg takes the transaction away: the same is sent again
keeper
└── when several refunds are due: they share a transaction, without those that are not
"""

import pytest
from fault_proxy import FaultProxy, Refused
from fault_steps import XOR_INPUT, check_books, finish, finish_process, killed, serving, table
from live_chain import ASSIGNED, OPEN, PRICE, REFUNDED, SETTLED, UNDELIVERED, artifacts
from web3 import Web3

from offchain_worker.errors import BadOutput
from oracle.chain.events import to_terms
from oracle.chain.listener import Head
from oracle.chain.outbox import Call
from oracle.chain.together import CALL_BYTES, CALL_GAS, GAS_PER_BYTE, MOST_BYTES, groups
from oracle.errors import Reverted, RpcRefused
from oracle.services import answering

ONE_GAS = CALL_GAS + GAS_PER_BYTE * CALL_BYTES


@pytest.fixture
def proxy(chain):
    with FaultProxy(chain.url) as running:
        yield running


def words(node):
    """The rows' names, and how many parts are live."""
    live = table(node, "SELECT COUNT(*) FROM parts WHERE live = 1")[0][0]
    return [word for word, _, _ in node.rows()], live


@pytest.fixture
def three(provider, market, chain):
    """A provider, open and with three requests that are read together; nothing is mined by itself."""
    provider.open()
    provider.ids = [market.request() for _ in range(3)]
    provider.call = {"sender": market.requester}
    chain("evm_setAutomine", False)
    return provider


def states(market, ids):
    return [market.state(job_id) for job_id in ids]


def sizes(calls, most=32, most_gas=10**9):
    return [len(group) for group in groups(calls, most, most_gas)]


def test_groups__each_fits():
    def call(output=b"", callback_gas=0):
        return Call("", "", "", (1, output), callback_gas=callback_gas)

    assert sizes([]) == []
    assert sizes([call()] * 70) == [32, 32, 6]
    assert sizes([call()] * 5, most=1) == [1, 1, 1, 1, 1]
    assert sizes([call()] * 5, most_gas=2 * ONE_GAS) == [2, 2, 1]
    assert sizes([call()] * 5, most_gas=0) == [1, 1, 1, 1, 1]
    assert sizes([call(callback_gas=300_000)] * 3, most_gas=3 * ONE_GAS + 300_000) == [1, 1, 1]
    assert sizes([call(bytes(8_192))] * 20) == [MOST_BYTES // (8_192 + CALL_BYTES), 7, 6]


def test_answer__when_one_is_ready__goes_as_ever(provider, market):
    provider.open()
    job_id = market.request()

    provider.tick_until(job_id, "mined", "final")

    assert words(provider) == (["answer"], 1)


def test_answer__when_several_are_ready__they_share_a_transaction(three, market, chain):
    three.tick()
    assert (words(three), len(chain("txpool_content")["pending"])) == ((["group"], 3), 1)
    assert [three.state(job_id) for job_id in three.ids] == ["broadcast"] * 3
    assert all(three.job(job_id).sent_at_ms for job_id in three.ids)

    books = finish(three, market)

    assert states(market, three.ids) == [SETTLED] * 3
    assert (books.answered, books.paid_wei, books.wasted_gas) == (3, 3 * PRICE, 0)
    assert [three.state(job_id) for job_id in three.ids] == ["final"] * 3
    assert three.rows() == [("group", 0, "final")]


def test_answer__when_the_settings_say_so__each_goes_alone(provider, market, chain):
    provider.open(**{"limits.answers_together": 1})
    ids = [market.request() for _ in range(3)]

    finish(provider, market)

    assert states(market, ids) == [SETTLED] * 3
    assert words(provider) == (["answer"] * 3, 3)


@pytest.mark.parametrize(
    ("known", "rows", "state"),
    [(True, ["group"], "lost"), (False, ["answer", "answer"], "inferred")],
)
def test_answer__when_one_would_fail__is_left_out_by_its_own_error(
    known, rows, state, three, market, chain
):
    _, bad, _ = three.ids
    three.parts.listener.tick()
    decline = (bad, to_terms(three.job(bad).job))
    call = chain.contracts.encode("InferenceRouter", "decline", *decline)
    router = chain.contracts.address("InferenceRouter")
    chain("anvil_impersonateAccount", three.signer.address)
    tx = {"from": three.signer.address, "to": router, "data": "0x" + call.hex()}
    chain("eth_sendTransaction", tx)
    chain.mine()

    if known:  # else the chain may still think otherwise
        three.parts.listener._head = Head.of(chain("eth_getBlockByNumber", "latest", False))
    three.parts.provider.tick(listen=False)
    three.parts.store.commit()

    assert words(three) == ([*rows], 2)
    assert three.state(bad) == state
    assert "RouterJobMismatch" in three.job(bad).reason
    finish(three, market)
    assert states(market, three.ids) == [SETTLED, OPEN, SETTLED]


def test_answer__when_one_cannot_be_proved__only_that_one_is_declined(three, market, monkeypatch):
    _, bad, _ = three.ids
    real = answering.answer_call

    def answer_call(job, inference, service):
        if job.job_id == bad:
            raise BadOutput("expected a proof, got none")
        return real(job, inference, service)

    monkeypatch.setattr(answering, "answer_call", answer_call)
    finish(three, market)

    assert states(market, three.ids) == [SETTLED, OPEN, SETTLED]
    assert three.state(bad) == "declined"


def test_answer__when_only_all_together_fail__go_one_by_one(three, market, monkeypatch):
    real = three.parts.outbox._contracts.simulate
    selector = three.chain.contracts.encode("InferenceRouter", "multicall", [])[:4]

    def simulate(sender, to, data, value=0):
        if data[:4] == selector:
            raise Reverted("FailedCall", {})
        return real(sender, to, data, value)

    monkeypatch.setattr(three.parts.outbox._contracts, "simulate", simulate)
    finish(three, market)

    assert states(market, three.ids) == [SETTLED] * 3
    assert words(three) == (["answer"] * 3, 3)


def test_answer__when_the_node_finds_them_too_large__go_in_halves(three, market, monkeypatch):
    real = three.parts.outbox._contracts.simulate

    def simulate(sender, to, data, value=0):
        if len(data) > 2_000:
            raise RpcRefused("eth_estimateGas", -32000, "oversized data")
        return real(sender, to, data, value)

    monkeypatch.setattr(three.parts.outbox._contracts, "simulate", simulate)
    finish(three, market)

    assert states(market, three.ids) == [SETTLED] * 3
    assert words(three) == (["answer", "group"], 3)


def test_answer__when_one_could_be_taken_over_soon__goes_alone_and_first(provider, market, chain):
    provider.open()
    urgent = market.request()
    chain("evm_increaseTime", 580)  # of the 600 that are exclusive
    chain.mine()
    others = [market.request() for _ in range(2)]

    finish(provider, market)

    assert states(market, [urgent, *others]) == [SETTLED] * 3
    assert words(provider)[0] == ["answer", "group"]
    assert table(provider, "SELECT job_id FROM parts WHERE outbox_id = 1") == [(urgent,)]


def test_answer__when_there_is_little_money__no_more_than_it_could_pay_for(three, market, chain):
    fees = three.parts.outbox.fees()
    chain("anvil_setBalance", three.signer.address, hex(4 * ONE_GAS * fees.max_fee_wei))

    three.tick()

    assert [len(row.parts) for row in three.parts.outbox.rows("sent")] == [2, 1]
    finish(three, market)
    assert states(market, three.ids) == [SETTLED] * 3


def test_answer__when_an_idle_callback_wakes_up__the_others_are_answered_all_the_same(
    provider, market, chain
):
    provider.open(**{"limits.price_to_gas": 0.0})
    consumer = Consumer(chain, market)
    consumer.mood("Revert")  # at once: it uses next to nothing
    ids = [consumer.request() for _ in range(3)]
    chain("evm_setAutomine", False)
    provider.tick()
    assert words(provider) == (["group"], 3)

    consumer.mood("BurnGas", tip_wei=10**11)
    finish(provider, market)

    assert states(market, ids) == [UNDELIVERED] * 3
    assert provider.rows() == [("group", 0, "final")]


@pytest.mark.parametrize("label", ["signed", "broadcast"])
def test_answer__when_killed__nothing_is_signed_a_second_time(label, provider, market, chain, xor):
    ids = [market.request(XOR_INPUT) for _ in range(3)]
    settings = serving(xor)
    killed(provider.run(crash_at=label, **settings))
    signed = table(provider, "SELECT hash FROM attempts")
    process = provider.run(**settings)

    finish_process(provider, market, process)

    assert states(market, ids) == [SETTLED] * 3
    assert signed[0] in table(provider, "SELECT hash FROM attempts")
    assert len(table(provider, "SELECT DISTINCT purpose FROM parts")) == 3
    assert table(provider, "SELECT 1 FROM outbox WHERE state <> 'final'") == []


# submitter


def test_check__when_it_reverts_on_chain__each_is_answered_alone(provider, market, chain):
    provider.open()
    soon, *others = [market.request(window_s=window) for window in (700, 3600, 3600)]
    chain("evm_setAutomine", False)
    provider.tick()
    chain("evm_increaseTime", 800)
    chain.mine()
    assert market.state(others[0]) == ASSIGNED

    refund_when_late(provider, market, soon)
    books = finish(provider, market)

    assert states(market, [soon, *others]) == [REFUNDED, SETTLED, SETTLED]
    assert provider.state(soon) == "lost"
    assert "RouterTooLate" in provider.job(soon).reason or "refunded" in provider.job(soon).reason
    assert [row[::2] for row in provider.rows()] == [
        ("group", "reverted"),
        *[("answer", "final")] * 2,
    ]
    assert books.reverted == 1


def test_check__when_stuck__is_replaced_as_one(three, market, chain):
    three.tick()
    stay_out(three, chain, 2)
    three.tick(2)
    first, second = table(three, "SELECT hash, max_fee_wei FROM attempts ORDER BY id")
    assert second[1] * 100 >= first[1] * 115

    finish(three, market)

    assert states(market, three.ids) == [SETTLED] * 3
    assert three.rows() == [("group", 0, "final")]


def test_check__when_a_deadline_passes_while_stuck__the_others_are_answered(
    provider, market, chain
):
    provider.open()
    soon, *others = [market.request(window_s=window) for window in (700, 3600, 3600)]
    chain("evm_setAutomine", False)
    provider.tick()
    stay_out(provider, chain, 1)
    chain("evm_increaseTime", 800)
    stay_out(provider, chain, 1)
    provider.tick(2)

    refund_when_late(provider, market, soon)
    books = finish(provider, market)

    assert states(market, [soon, *others]) == [REFUNDED, SETTLED, SETTLED]
    assert provider.state(soon) == "lost"
    assert provider.rows()[0] == ("group", 0, "cancelled")
    assert books.reverted == 0


def test_send__when_no_node_takes_it__each_is_answered_alone(provider, market, chain, proxy):
    provider.open(**{"chain.rpc_urls": [proxy.url]})
    ids = [market.request() for _ in range(3)]

    def cap(method, params, forward):
        if len(params[0]) > 4_000:
            raise Refused(-32000, "tx fee (1.60 ether) exceeds the configured cap (1.00 ether)")
        return forward(method, params)

    proxy.add(cap, "eth_sendRawTransaction")

    finish(provider, market)

    assert states(market, ids) == [SETTLED] * 3
    assert [row[::2] for row in provider.rows()] == [
        ("group", "cancelled"),
        *[("answer", "final")] * 3,
    ]


def test_check__when_a_reorg_takes_the_transaction_away__sends_the_same_again(
    provider, market, chain
):
    provider.open(**{"chain.confirmations": 3})
    ids = [market.request() for _ in range(3)]
    for job_id in ids:
        provider.tick_until(job_id, "mined")
    (sent,) = table(provider, "SELECT hash FROM attempts")
    assert chain("eth_getTransactionReceipt", sent[0])

    chain.reorg(1)
    finish(provider, market)

    assert states(market, ids) == [SETTLED] * 3
    assert table(provider, "SELECT hash FROM attempts") == [sent]
    assert provider.rows() == [("group", 0, "final")]


def test_check__when_a_reorg_takes_one_request_away__the_others_are_answered(
    provider, market, chain
):
    provider.open(**{"chain.confirmations": 4})
    ids = [market.request() for _ in range(3)]
    for job_id in ids:
        provider.tick_until(job_id, "mined")
    assert words(provider) == (["group"], 3)

    chain.reorg(2)  # the last request and the answers; the transaction stays out of the pool
    finish(provider, market)

    assert states(market, ids[:2]) == [SETTLED] * 2
    assert provider.state(ids[2]) == "undone"
    check_books(provider, market)


# keeper


def test_tick__when_several_refunds_are_due__share_a_transaction(provider, market, chain):
    provider.open(**{"keeper.requesters": [market.requester], "limits.max_callback_gas": 0})
    late = [market.request(window_s=700, callback_gas=1_000) for _ in range(3)]
    open_still = market.request(window_s=7000, callback_gas=1_000)
    provider.tick_until(open_still, "declined")
    chain("evm_increaseTime", 800)
    chain.mine()
    provider.parts.store.write(  # our clock is wrong: it takes this for due, too
        "UPDATE jobs SET deadline_s = 1 WHERE job_id = ?", (open_still,)
    )

    for _ in range(3):
        provider.parts.provider._keeper._looked_at = float("-inf")
        provider.tick()

    assert states(market, late) == [REFUNDED] * 3
    assert [word for word, _, _ in provider.rows()].count("group") == 1
    group = "SELECT COUNT(*) FROM parts JOIN outbox ON id = outbox_id WHERE outbox.purpose LIKE 'group:%'"
    assert table(provider, group) == [(3,)]


class Consumer:
    """A contract that asks, pays, and is called back in the mood that it is told."""

    MOODS = ("Store", "Revert", "BurnGas")

    def __init__(self, chain, market):
        self.chain, self.market = chain, market
        self.owner = chain.accounts[5]
        built = artifacts()["MockConsumer"]
        web3 = Web3(Web3.HTTPProvider(chain.url))
        factory = web3.eth.contract(
            abi=built["abi"], bytecode=built["deploymentBytecode"]["bytecode"]
        )
        router = chain.contracts.address("InferenceRouter")
        receipt = web3.eth.wait_for_transaction_receipt(
            factory.constructor(router).transact({"from": self.owner})
        )
        self.contract = web3.eth.contract(address=receipt["contractAddress"], abi=built["abi"])
        self.web3 = web3

    def mood(self, word, tip_wei=10**9):
        gas = {"from": self.owner, "maxPriorityFeePerGas": tip_wei, "maxFeePerGas": 2 * 10**11}
        self.contract.functions.setMood(self.MOODS.index(word)).transact(gas)
        self.chain.settle()

    def request(self, callback_gas=300_000):
        asked = self.market.asked(None, 3600, callback_gas)
        paid = {"from": self.owner, "value": PRICE}
        tx = self.contract.functions.ask(asked).transact(paid)
        self.chain.receipt(tx.to_0x_hex())
        return self.chain.read("InferenceRouter", "lastJobId")


def stay_out(node, chain, blocks):
    """Mine blocks that leave the sender's transactions out: their fee is too low for a while."""
    raw = table(node, "SELECT raw FROM attempts ORDER BY id")[-1][0]
    chain("anvil_removePoolTransactions", node.signer.address)
    chain.mine(blocks)
    chain("eth_sendRawTransaction", "0x" + raw.hex())


def refund_when_late(node, market, job_id):
    """The requester fetches its money as soon as the answer can come no more."""
    node.tick()
    node.chain.mine()
    node.chain("evm_setAutomine", True)
    terms = to_terms(node.job(job_id).job)
    node.chain.send("InferenceRouter", "refund", job_id, terms, sender=market.requester)
