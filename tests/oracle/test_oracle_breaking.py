"""Ways to lose a job or money, or to hang, that somebody who wants to break a provider would try first.

endpoint
├── it answers nonsense: that is a failed endpoint, not the end of the process
├── it sends a byte now and then: the wait ends all the same
├── it sends more than anybody needs: no more of it is read
├── it is slow, and there is much to read: /livez says that the loop lives
├── it says "reverted" in the words of another node: the job is given up at once
├── it asks for a receipt-less past (no first block): that is a failed endpoint
├── it names a tip that would empty the purse, or says that we are poor: the others outvote it
├── it refuses a transaction: it is not asked again with every round of the loop
├── it is behind, and says that a job is not there: the job is not given up
└── it says that an answer would fail, and the others do not: the answer is sent
clock
└── it steps back after a job was put off: the job is tried again all the same
key
├── the operator is replaced while answers are signed: the new one answers
└── two programs send with one key: the second does not start
process
├── a job ends it each time: the job is given up
└── a job's cell was used again before we asked for its state: it is read from its events
money
├── a node's reply to a sent transaction is lost: it is not paid for twice
├── every reply to it is lost: the error names it, since it may have arrived
├── the node fails while a transaction is waited for: it is waited for all the same
├── a reply to a dearer one in its place is lost: its receipt is found
├── a transaction of the command line is stuck: it is replaced by a dearer one
└── what was earned is more than nine coins: /metrics shows it
database
└── it cannot be read for a moment: that is waited out
"""

import contextlib
import json
import sqlite3
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from eth_account import Account
from fault_proxy import FaultProxy, Refused, delay, lose_reply, status
from fault_steps import finish, wait_for
from live_chain import ETHER, NATIVE, OPEN, SETTLED

from oracle.chain.fees import suggest
from oracle.chain.rpc import MOST_REPLY_BYTES, Rpc
from oracle.chain.transact import transact
from oracle.errors import HomeInUse, RawRevert, RpcRefused, RpcUnreachable
from oracle.keys import KeySigner
from oracle.node import key_lock
from oracle.server import health
from oracle.services.lease import Lease


@pytest.fixture
def proxy(chain):
    with FaultProxy(chain.url) as running:
        yield running


# endpoint


@pytest.fixture
def endpoint():
    """Serve one function of a request handler; gives its URL."""
    servers = []

    def start(write):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):
                    write(self.wfile)

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


BLOCK = {"number": "0x1", "hash": "0x1", "parentHash": "0x0", "timestamp": "0x1"}


@pytest.mark.parametrize(
    ("method", "reply"),
    [
        ("eth_blockNumber", {"error": None}),
        ("eth_blockNumber", {"error": "no"}),
        ("eth_blockNumber", {"result": None}),
        ("eth_blockNumber", {"result": 7}),
        ("eth_getTransactionCount", {"result": "seven"}),
        ("eth_estimateGas", {"result": {}}),
        ("eth_call", {"result": None}),
        ("eth_call", {"result": "0xabc"}),
        ("eth_getBlockByNumber", {"result": "0x1"}),
        ("eth_getBlockByNumber", {"result": {**BLOCK, "timestamp": None}}),
        ("eth_getTransactionReceipt", {"result": {"blockNumber": "0x1"}}),
        ("eth_getLogs", {"result": None}),
        ("eth_getLogs", {"result": [{"data": "0x"}]}),
        ("eth_feeHistory", {"result": [1]}),
    ],
)
def test_call__when_the_endpoint_answers_nonsense__is_a_failed_endpoint(endpoint, method, reply):
    url = endpoint(lambda out: out.write(json.dumps({"jsonrpc": "2.0", "id": 1, **reply}).encode()))

    with pytest.raises(RpcUnreachable, match="answers"):
        Rpc([url], tries=1).call(method)


def test_call__when_the_receipt_is_of_a_pending_transaction__there_is_none_yet(endpoint):
    receipt = {"blockNumber": None, "blockHash": None, "status": None, "gasUsed": None}
    url = endpoint(lambda out: out.write(json.dumps({"result": receipt}).encode()))

    assert Rpc([url], tries=1).call("eth_getTransactionReceipt") is None


def test_call__when_there_is_no_first_block__is_a_failed_endpoint(endpoint):
    replies = iter([{"result": "0x7a69"}, {"result": None}])
    url = endpoint(lambda out: out.write(json.dumps(next(replies)).encode()))

    with pytest.raises(RpcUnreachable, match="has no first block"):
        Rpc([url], 31337, "0x" + "11" * 32, tries=1).call("eth_blockNumber")


def test_call__when_the_endpoint_trickles__the_wait_ends(endpoint):
    def trickle(out):
        for _ in range(300):
            out.write(b" ")
            out.flush()
            time.sleep(0.1)

    rpc = Rpc([endpoint(trickle)], tries=1, timeout_s=0.3)
    finished = threading.Event()

    def call():
        with pytest.raises(RpcUnreachable, match="no reply in time"):
            rpc.call("eth_blockNumber")
        finished.set()

    threading.Thread(target=call, daemon=True).start()

    assert finished.wait(10)


def test_call__when_the_reply_has_no_end__no_more_of_it_is_read(endpoint):
    written = []

    def flood(out):
        while len(written) < 2 * MOST_REPLY_BYTES >> 20:
            out.write(b" " * (1 << 20))
            written.append(1)

    with pytest.raises(RpcUnreachable, match="more than"):
        Rpc([endpoint(flood)], tries=1, timeout_s=60).call("eth_blockNumber")

    assert len(written) < 2 * MOST_REPLY_BYTES >> 20


@pytest.mark.parametrize(
    "error",
    [
        {"code": -32015, "message": "VM execution error.", "data": "Reverted 0x12345678"},
        {"code": -32000, "message": "Execution reverted", "data": "0x12345678"},
        {"code": -32000, "message": "VM execution error", "data": {"data": "0x12345678"}},
        {"code": 3, "message": "execution reverted", "data": "0x12345678"},
    ],
)
def test_call__when_it_reverts_in_another_nodes_words__is_a_revert(endpoint, error):
    url = endpoint(lambda out: out.write(json.dumps({"error": error}).encode()))

    with pytest.raises(RawRevert) as caught:
        Rpc([url], tries=1).call("eth_call")

    assert caught.value.data == bytes.fromhex("12345678")


@pytest.mark.extended
def test_livez__when_endpoints_are_slow_and_there_is_much_to_read__lives(
    provider, market, chain, proxy, monkeypatch
):
    monkeypatch.setattr(health, "LOOP_DEAD_AFTER_S", 3.0)
    provider.open_unstarted(**{"chain.rpc_urls": [proxy.url], "chain.log_range_blocks": 1})
    running = provider.parts.provider
    chain.mine(80)
    proxy.add(delay(0.1))
    seen = ["begin"]

    def watch():
        while not seen or seen[-1] != "end":
            if dead := running.pulse.dead():
                seen.append(dead)
            time.sleep(0.05)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    start = time.monotonic()
    running.step()
    took_s = time.monotonic() - start
    seen.append("end")
    thread.join()

    assert took_s > 3.0
    assert seen == ["begin", "end"]


def test_suggest__when_one_endpoint_names_an_enormous_tip__the_others_outvote_it(chain):
    def greedy(method, params, forward):
        found = forward(method, params)
        return {**found, "reward": [[hex(400 * 10**9)] for _ in found["reward"] or [0] * 5]}

    with FaultProxy(chain.url) as liar, FaultProxy(chain.url) as other:
        liar.add(greedy, "eth_feeHistory")
        rpc = Rpc([liar.url, other.url, chain.url])

        assert suggest(rpc, 10**9, 500 * 10**9).tip_wei < 10 * 10**9


# clock


def test_ready__when_the_clock_steps_back__the_job_is_tried_again(provider, market, monkeypatch):
    provider.open()
    job_id = market.request()
    provider.worker.failures = [ValueError("once")]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 86_400)
    while provider.job(job_id) is None or not provider.job(job_id).tries:
        provider.tick()
    monkeypatch.undo()

    provider.tick_until(job_id, "mined", "final")

    assert market.state(job_id) == SETTLED


# key


def test_start__when_the_operator_was_replaced__the_new_one_answers(
    provider, market, chain, monkeypatch
):
    provider.open()
    ids = [market.request() for _ in range(2)]
    chain("evm_setAutomine", False)
    provider.tick()
    assert [provider.state(job_id) for job_id in ids] == ["broadcast"] * 2
    chain("anvil_dropAllTransactions")
    chain("evm_setAutomine", True)
    other = Account.create()
    chain("anvil_setBalance", other.address, hex(ETHER))
    owner = chain.accounts[3]
    chain.send("ProviderStaking", "setOperator", provider.number, other.address, sender=owner)
    provider.crash()
    provider.signer = KeySigner(other)

    provider.open()
    for _ in range(4):
        provider.tick()
        chain.mine()

    assert [market.state(job_id) for job_id in ids] == [SETTLED] * 2
    assert provider.worker.inferred == ids


def test_pin_run__when_another_program_sends_with_the_key__does_not_start(provider, chain):
    from click.testing import CliRunner

    from oracle.cli import lattice

    settings = provider.settings()
    lock = key_lock(settings, chain.contracts, provider.signer)
    with Lease(lock, "the key"):
        result = CliRunner(env={"LATTICE_KEY": provider.key}).invoke(
            lattice, ["pin", "run", "--home", str(provider.home)]
        )

    assert isinstance(result.exception, HomeInUse)
    assert f"with the key of {provider.signer.address}" in str(result.exception)


# process


def test_advance__when_a_job_ends_the_process_each_time__is_given_up(provider, market):
    provider.open(**{"limits.max_tries": 3})
    job_id = market.request()
    while provider.job(job_id) is None:
        provider.parts.listener.tick()
    for _ in range(4):
        provider.parts.store.mark_begun(job_id)
        provider.parts.store.commit()
        provider.crash().open(**{"limits.max_tries": 3})

    provider.tick()
    provider.chain.mine()

    assert (provider.state(job_id), market.state(job_id)) == ("declined", OPEN)
    assert provider.worker.inferred == []
    assert "gave up after" in provider.job(job_id).reason


def test_start__when_a_jobs_cell_was_used_again__reads_its_events(
    provider, market, chain, monkeypatch
):
    provider.open()
    job_id = market.request()
    finish(provider, market)
    chain.mine(100)  # older than what is read a second time anyway
    provider.tick()
    store = provider.parts.store
    store.write("DELETE FROM events WHERE kind <> 'requested'")
    store.write("UPDATE jobs SET status = 'assigned', state = 'seen' WHERE job_id = ?", (job_id,))
    store.commit()
    provider.crash().open_unstarted()
    contracts = provider.parts.listener._contracts
    real = contracts.read
    archived = 7
    monkeypatch.setattr(
        contracts,
        "read",
        lambda name, function, *arguments, **more: (
            archived if function == "stateOf" else real(name, function, *arguments, **more)
        ),
    )

    provider.parts.provider.start()

    assert provider.job(job_id).status == "settled"


# money


@pytest.fixture
def payer(chain):
    account = Account.create()
    chain("anvil_setBalance", account.address, hex(100 * ETHER))
    return KeySigner(account)


def paid(chain, payer):
    return chain.read("Vault", "free", payer.address, NATIVE)


def deposit(contracts, payer, **more):
    arguments = (payer.address, NATIVE, ETHER)
    return transact(contracts, payer, "Vault", "deposit", *arguments, value=ETHER, **more)


def test_transact__when_the_nodes_reply_is_lost__does_not_pay_twice(chain, payer, proxy):
    proxy.add(lose_reply, "eth_sendRawTransaction", times=1)
    contracts = type(chain.contracts)(Rpc([proxy.url]), chain.contracts.deployment)

    receipt = deposit(contracts, payer)

    assert chain("eth_getTransactionReceipt", receipt.tx_hash)["status"] == "0x1"
    assert paid(chain, payer) == ETHER
    assert chain("eth_getTransactionCount", payer.address, "latest") == "0x1"


def test_transact__when_every_reply_is_lost__names_what_may_have_arrived(chain, payer, proxy):
    proxy.add(lose_reply, "eth_sendRawTransaction")
    contracts = type(chain.contracts)(Rpc([proxy.url], tries=1), chain.contracts.deployment)

    with pytest.raises(RpcUnreachable, match=r"transaction 0x[0-9a-f]{64} may have arrived"):
        deposit(contracts, payer)

    assert paid(chain, payer) == ETHER


def test_transact__when_the_node_fails_while_it_waits__goes_on(chain, payer, proxy):
    proxy.add(status(503), "eth_getTransactionReceipt", times=2)
    contracts = type(chain.contracts)(Rpc([proxy.url], tries=1), chain.contracts.deployment)

    receipt = deposit(contracts, payer)

    assert chain("eth_getTransactionReceipt", receipt.tx_hash)["status"] == "0x1"
    assert paid(chain, payer) == ETHER


def test_transact__when_there_is_no_money__names_account_and_what_it_has(chain):
    poor = KeySigner(Account.create())
    chain("anvil_setBalance", poor.address, "0x7")

    with pytest.raises(RpcRefused, match=f"send money to {poor.address}, which has 7 wei"):
        deposit(chain.contracts, poor)


@pytest.mark.parametrize("reply_is_lost", [False, True])
def test_transact__when_stuck__is_replaced_by_a_dearer_one(chain, payer, proxy, reply_is_lost):
    chain("evm_setAutomine", False)
    contracts = type(chain.contracts)(Rpc([proxy.url], tries=1), chain.contracts.deployment)
    found = []
    thread = threading.Thread(target=lambda: found.append(deposit(contracts, payer)))
    thread.start()
    wait_for(lambda: int(chain("txpool_status")["pending"], 16))
    first = next(iter(pool(chain, payer).values()))
    if reply_is_lost:
        proxy.add(lose_reply, "eth_sendRawTransaction")
    for _ in range(4):  # it stays in the pool: its fee is too low
        chain("anvil_setNextBlockBaseFeePerGas", hex(2 * int(first["maxFeePerGas"], 16)))
        chain.mine()

    wait_for(lambda: next(iter(pool(chain, payer).values()), first)["hash"] != first["hash"])
    wait_for(lambda: chain.mine() or not thread.is_alive())

    (receipt,) = found
    assert receipt.tx_hash != first["hash"]
    assert paid(chain, payer) == ETHER


def pool(chain, signer):
    """Pending transactions of an account by nonce."""
    pending = chain("txpool_content")["pending"].items()
    return next((of for who, of in pending if who.lower() == signer.address.lower()), {})


def test_metrics__when_more_than_nine_coins_were_earned__show_it(provider, market):
    provider.open()
    for _ in range(2):
        provider.tick_until(market.request(), "mined", "final")
    store = provider.parts.store
    store.write(
        "UPDATE jobs SET state = 'final', job = json_set(job, '$.price', 6000000000000000000)"
    )
    store.commit()

    page = provider.parts.provider.metrics.page()

    assert "lattice_paid_wei 1.2e+19" in page


# database


def test_step__when_the_database_cannot_be_read__waits_it_out(provider, market, monkeypatch):
    provider.open()
    job_id = market.request()
    store = provider.parts.store
    real = store._db

    class Failing:
        in_transaction = False

        def close(self):
            """For the fixture, should the test fail."""

        def execute(self, *arguments):
            raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(store, "_db", Failing())
    assert provider.parts.provider.step() > 0
    assert "cannot read the job database" in provider.parts.provider.pulse.failure
    monkeypatch.setattr(store, "_db", real)

    provider.tick_until(job_id, "mined", "final")

    assert market.state(job_id) == SETTLED


# what one endpoint says about an answer


def behind(method, params, forward):
    """What a node says that is three blocks late: it knows nothing of a new job, and nothing of a new block."""
    late = int(forward("eth_blockNumber", []), 16) - 3
    call, tag = params
    if tag.startswith("0x") and int(tag, 16) > late:
        raise Refused(-32000, "header not found")
    return forward(method, [call, hex(late)])


def test_answer__when_the_endpoint_is_behind__the_job_is_not_given_up(
    provider, market, chain, proxy
):
    provider.open(**{"chain.rpc_urls": [proxy.url]})
    proxy.add(behind, "eth_estimateGas")
    ids = [market.request() for _ in range(2)]

    for _ in range(3):
        provider.tick()
        provider.parts.store.write("UPDATE jobs SET retry_at_ms = 0")
    assert [provider.state(job_id) for job_id in ids] == ["inferred"] * 2
    assert [provider.job(job_id).tries for job_id in ids] == [0, 0]
    proxy.heal()
    finish(provider, market)

    assert [market.state(job_id) for job_id in ids] == [SETTLED] * 2
    assert provider.worker.inferred == ids


def test_answer__when_one_endpoint_of_three_says_it_would_fail__is_sent(provider, market, chain):
    def lie(method, params, forward):
        raise Refused(3, "execution reverted", "0x" + "12345678")

    with FaultProxy(chain.url) as liar, FaultProxy(chain.url) as other:
        provider.open(**{"chain.rpc_urls": [liar.url, other.url, chain.url]})
        liar.add(lie, "eth_estimateGas")
        job_id = market.request()

        provider.tick_until(job_id, "mined", "final")

    assert market.state(job_id) == SETTLED


def test_look__when_one_endpoint_of_three_says_we_are_poor__jobs_are_taken(provider, market, chain):
    with FaultProxy(chain.url) as liar, FaultProxy(chain.url) as other:
        liar.add(lambda method, params, forward: "0x0", "eth_getBalance")
        provider.open(**{"chain.rpc_urls": [liar.url, other.url, chain.url]})
        job_id = market.request()

        provider.tick_until(job_id, "mined", "final")

    assert not provider.parts.provider.purse.is_empty


def test_send__when_the_node_refuses__does_not_ask_with_every_round(
    provider, market, proxy, caplog
):
    def poor(method, params, forward):
        raise Refused(-32000, "insufficient funds for gas * price + value")

    provider.open(**{"chain.rpc_urls": [proxy.url]})
    proxy.add(poor, "eth_sendRawTransaction")
    job_id = market.request()
    provider.tick_until(job_id, "queued")

    provider.tick(20)
    assert proxy.count("eth_sendRawTransaction") <= 3
    proxy.heal()
    finish(provider, market)

    assert market.state(job_id) == SETTLED
