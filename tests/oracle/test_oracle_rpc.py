"""Rpc: endpoints that are down, slow, wrong or angry. The endpoint is a small server of our own.

call
├── when nothing listens
│   └── RpcUnreachable, naming the host only
├── when the reply takes too long
│   └── RpcUnreachable
├── when the endpoint answers 429
│   └── RpcRateLimited after all tries
├── when it says so in JSON
│   └── it is left alone while another one works
├── when the first endpoint fails, or does not let us in, or refuses to show its chain
│   └── the second is asked
├── when the reply has both a result and an error that is none
│   └── RpcUnreachable
├── when the chain id or the first block is another
│   ├── WrongChain with both
│   └── another endpoint with the right chain is used
├── when the call reverts
│   └── RawRevert with its data
├── when the endpoint refuses
│   └── RpcRefused with code and text
└── when it fails once
    └── it is asked again
ask_all
├── when an endpoint is dark
│   └── it is waited for once, and then left alone while the others are enough
└── when too few others are there
    └── it is asked all the same
tell_all
├── when one keeps it for itself or refuses
│   └── the others are told, too
└── when all refuse
    └── the first one's refusal
head, with a quorum
├── when the best endpoint is ahead of the others: the block that as many have
├── when it claims another branch, or many blocks more: the block of the majority, and it is left alone
├── when all are on different branches at the tip: the block below it
├── when too few answer: RpcDisagreement
└── when an endpoint is dark that has failed before: the others do not wait for it
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from oracle.chain import rpc as rpc_module
from oracle.chain.history import read_logs
from oracle.chain.rpc import Rpc
from oracle.errors import (
    RawRevert,
    RpcDisagreement,
    RpcRateLimited,
    RpcRefused,
    RpcUnreachable,
    WrongChain,
)

GENESIS = "0x" + "11" * 32
REVOKED = {"code": -32002, "message": "rejected due to project ID settings"}


class Server:
    """Answers each JSON-RPC call with what `reply(method, params)` returns: (HTTP status, JSON)."""

    def __init__(self, reply=None):
        self.calls = []
        self.reply = reply or (lambda method, params: (200, {"result": "0x1"}))
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.calls.append(body["method"])
                status, answer = outer.answer(body["method"], body["params"])
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, method, params):
        return self.reply(method, params)


@pytest.fixture
def serve():
    servers = []

    def start(reply=None):
        servers.append(Server(reply))
        return servers[-1]

    yield start
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


def genesis_block(block_hash):
    return {"number": "0x0", "hash": block_hash, "parentHash": "0x0", "timestamp": "0x0"}


def log_in(number):
    names = ("address", "data", "blockHash", "transactionHash", "logIndex")
    return {**dict.fromkeys(names, "0x0"), "blockNumber": hex(number), "topics": []}


def chain(chain_id, genesis=GENESIS):
    def reply(method, params):
        result = {"eth_chainId": hex(chain_id), "eth_getBlockByNumber": genesis_block(genesis)}
        return 200, {"result": result.get(method, "0x7")}

    return reply


def test_call__when_nothing_listens__says_so_without_the_path():
    rpc = Rpc(["http://127.0.0.1:9/v3/secret"], tries=1)

    with pytest.raises(
        RpcUnreachable, match=r"^http://127.0.0.1:9 does not answer: connection"
    ) as caught:
        rpc.call("eth_blockNumber")

    assert "secret" not in str(caught.value)


def test_call__when_the_reply_takes_too_long__gives_up(serve):
    server = serve(lambda method, params: (time.sleep(0.5), (200, {"result": 1}))[1])

    with pytest.raises(RpcUnreachable, match="no reply in time"):
        Rpc([server.url], timeout_s=0.1, tries=1).call("eth_blockNumber")


def test_call__when_told_to_slow_down__raises_rate_limited(serve):
    server = serve(lambda method, params: (429, {}))

    with pytest.raises(RpcRateLimited, match="429"):
        Rpc([server.url], tries=2).call("eth_blockNumber")

    assert len(server.calls) == 2


def test_call__when_the_reply_is_no_json_rpc__raises_unreachable(serve):
    server = serve(lambda method, params: (502, ["bad gateway"]))

    with pytest.raises(RpcUnreachable, match="HTTP 502, but not JSON-RPC"):
        Rpc([server.url], tries=1).call("eth_blockNumber")


def test_call__when_the_first_endpoint_fails__asks_the_second(serve):
    rpc = Rpc(["http://127.0.0.1:9", serve().url], tries=1)

    assert rpc.call("eth_blockNumber") == "0x1"


@pytest.mark.parametrize("status", [200, 401])
def test_call__when_the_first_endpoint_refuses_to_show_its_chain__asks_the_second(serve, status):
    revoked = serve(lambda method, params: (status, {"error": REVOKED}))
    rpc = Rpc([revoked.url, serve(chain(31337)).url], 31337, GENESIS, tries=1)

    assert [rpc.call("eth_blockNumber") for _ in range(3)] == ["0x7"] * 3
    assert revoked.calls == ["eth_chainId"]


def test_call__when_an_endpoint_lets_us_in_no_more__asks_the_second(serve):
    revoked = serve(chain(31337))
    rpc = Rpc([revoked.url, serve(chain(31337)).url], 31337, GENESIS, tries=1)
    rpc.call("eth_blockNumber")
    revoked.reply = lambda method, params: (403, {"error": REVOKED})

    assert rpc.call("eth_blockNumber") == "0x7"
    assert list(rpc.errors) == [(rpc.endpoints[0].name, "RpcUnreachable")]


@pytest.mark.parametrize(
    "error",
    [
        {"code": -32005, "message": "daily request count exceeded, request rate limited"},
        {"code": 429, "message": "your app has exceeded its compute units per second"},
    ],
)
def test_call__when_told_in_json_to_slow_down__leaves_it_alone(serve, error):
    angry = serve(lambda method, params: (200, {"error": error}))
    rpc = Rpc([angry.url, serve().url], tries=1)

    assert [rpc.call("eth_blockNumber") for _ in range(3)] == ["0x1"] * 3
    assert angry.calls == ["eth_blockNumber"]
    assert list(rpc.errors) == [(rpc.endpoints[0].name, "RpcRateLimited")]


def test_call__when_a_result_comes_with_an_error_that_is_none__raises_unreachable(serve):
    server = serve(lambda method, params: (200, {"result": "0x1", "error": "sorry"}))

    with pytest.raises(RpcUnreachable, match="not JSON-RPC"):
        Rpc([server.url], tries=1).call("eth_blockNumber")


def test_call__when_the_chain_is_another__names_both(serve):
    server = serve(chain(5))

    with pytest.raises(WrongChain, match="serves chain 5, expected chain 31337"):
        Rpc([server.url], 31337, GENESIS, tries=1).call("eth_blockNumber")


def test_call__when_the_first_block_is_another__names_both(serve):
    server = serve(chain(31337, "0x" + "22" * 32))

    with pytest.raises(WrongChain, match=f"its first block is 0x2222.*expected {GENESIS}"):
        Rpc([server.url], 31337, GENESIS, tries=1).call("eth_blockNumber")


def test_call__when_one_endpoint_serves_another_chain__uses_the_other(serve):
    wrong, right = serve(chain(5)), serve(chain(31337))
    rpc = Rpc([wrong.url, right.url], 31337, GENESIS, tries=1)

    assert [rpc.call("eth_blockNumber") for _ in range(3)] == ["0x7"] * 3
    assert wrong.calls == ["eth_chainId"]


def test_call__when_the_node_was_replaced_behind_the_url__notices(serve):
    server = serve(chain(31337))
    rpc = Rpc([server.url], 31337, GENESIS, tries=2)
    rpc.call("eth_blockNumber")
    replies = iter([(502, []), *[chain(31337, "0x" + "22" * 32)] * 9])
    server.reply = lambda method, params: (
        reply(method, params) if callable(reply := next(replies)) else reply
    )

    with pytest.raises(WrongChain):
        rpc.call("eth_blockNumber")


def test_call__when_it_reverts__carries_the_data(serve):
    error = {"code": 3, "message": "execution reverted", "data": "0x12345678"}
    server = serve(lambda method, params: (200, {"error": error}))

    with pytest.raises(RawRevert) as caught:
        Rpc([server.url]).call("eth_call")

    assert caught.value.data == bytes.fromhex("12345678")
    assert len(server.calls) == 1


def test_call__when_refused__says_why(serve):
    error = {"code": -32000, "message": "insufficient funds"}
    server = serve(lambda method, params: (200, {"error": error}))

    with pytest.raises(
        RpcRefused, match=r"eth_call was refused: insufficient funds \(code -32000\)"
    ):
        Rpc([server.url]).call("eth_call")


def test_call__when_it_fails_once__asks_again(serve):
    replies = iter([(503, []), (200, {"result": "0x2"})])
    server = serve(lambda method, params: next(replies))

    assert Rpc([server.url], tries=2).call("eth_blockNumber") == "0x2"


def test_read_logs__when_ranges_are_refused__halves_and_skips_none(serve):
    def reply(method, params):
        first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
        if last - first >= 30:
            return 200, {
                "error": {"code": -32005, "message": "query returned more than 10000 results"}
            }
        return 200, {"result": [log_in(n) for n in range(first, last + 1)]}

    server = serve(reply)
    ranges = list(read_logs(Rpc([server.url]), "0x0", [None], 5, 250, 100))

    assert [int(log["blockNumber"], 16) for _, logs in ranges for log in logs] == list(
        range(5, 251)
    )
    assert ranges[-1][0] == 250


def test_read_logs__when_one_block_is_refused__raises(serve):
    server = serve(lambda method, params: (200, {"error": {"code": -32000, "message": "no"}}))

    with pytest.raises(RpcRefused):
        list(read_logs(Rpc([server.url]), "0x0", [None], 1, 8, 8))


def hangs(method, params):
    time.sleep(0.3)
    return 200, {"result": "0x1"}


def test_ask_all__when_an_endpoint_is_dark__waits_for_it_once(serve, monkeypatch):
    monkeypatch.setattr(rpc_module, "REST_S", 60.0)
    dark, *others = serve(hangs), serve(), serve()
    rpc = Rpc([server.url for server in (dark, *others)], timeout_s=0.1)

    said = [rpc.ask_all("eth_gasPrice") for _ in range(5)]

    assert said == [["0x1", "0x1"]] * 5
    assert len(dark.calls) == 1


def test_ask_all__when_too_few_others_are_there__asks_those_that_rest(serve):
    flaky, other = serve(lambda *_: (500, {})), serve()
    rpc = Rpc([flaky.url, other.url, "http://127.0.0.1:9"])
    assert rpc.ask_all("eth_gasPrice") == ["0x1"]
    flaky.reply = other.reply

    assert rpc.ask_all("eth_gasPrice") == ["0x1", "0x1"]


def test_tell_all__when_one_refuses__others_are_told_too(serve):
    refuses = serve(lambda *_: (200, {"error": {"code": -32000, "message": "no"}}))
    others = serve(), serve()

    rpc = Rpc([server.url for server in (refuses, *others)])

    assert rpc.tell_all("eth_gasPrice") == "0x1"
    assert [len(server.calls) for server in (refuses, *others)] == [1, 1, 1]


def test_tell_all__when_all_refuse__says_why(serve):
    urls = [
        serve(lambda *_, n=n: (200, {"error": {"code": -32000, "message": f"no {n}"}})).url
        for n in range(3)
    ]

    with pytest.raises(RpcRefused, match="no 0"):
        Rpc(urls).tell_all("eth_sendRawTransaction", "0x00")


def branch(*names):
    """An endpoint with a block of each name, the first of them number 0; its latest is the last."""

    def reply(method, params):
        if method == "eth_blockNumber":
            return 200, {"result": hex(len(names) - 1)}
        number = len(names) - 1 if params[0] == "latest" else int(params[0], 16)
        if number >= len(names):
            return 200, {"result": None}
        parent = names[number - 1] if number else ""
        block = {"number": hex(number), "hash": names[number], "parentHash": parent}
        return 200, {"result": {**block, "timestamp": hex(number)}}

    return reply


@pytest.mark.parametrize(
    ("branches", "expected"),
    [
        (["abcd", "abc", "abc"], "c"),
        (["abcdefgh", "abc", "abc"], "c"),
        (["abX", "abc", "abc"], "c"),
        (["aXYZ", "abc", "abcd"], "c"),
        (["abX", "abc", "abY"], "b"),
        (["abc", "abc", "abcd"], "c"),
    ],
)
def test_head__with_a_quorum__is_the_latest_block_that_as_many_have(serve, branches, expected):
    servers = [serve(branch(*names)) for names in branches]
    rpc = Rpc([server.url for server in servers])

    assert rpc.head()["hash"] == expected
    assert rpc.head()["hash"] == expected
    assert rpc.disagreements == 0


@pytest.mark.parametrize("claimed", ["abX", "abcdefgh"])
def test_head__when_the_best_endpoint_claims_what_nobody_has__it_is_left_alone(
    claimed, serve, monkeypatch
):
    monkeypatch.setattr(rpc_module, "REST_S", 60.0)
    servers = [serve(branch(*names)) for names in (claimed, "abc", "abc")]
    rpc = Rpc([server.url for server in servers])
    rpc.head()
    asked = len(servers[0].calls)

    rpc.head()

    assert len(servers[0].calls) == asked
    assert rpc.in_sync == 2


def test_head__when_too_few_answer__raises(serve):
    rpc = Rpc([serve(branch(*"abc")).url, "http://127.0.0.1:9", "http://127.0.0.1:9"])

    with pytest.raises(RpcDisagreement, match="expected 2 endpoints to agree on the latest block"):
        rpc.head()


def test_head__when_an_endpoint_is_still_dark__does_not_wait_for_it(serve, monkeypatch):
    light = threading.Event()
    dark = serve(lambda *_: (light.wait(), (500, {}))[1])
    others = [serve(branch(*"abc")) for _ in range(2)]
    rpc = Rpc([server.url for server in (*others, dark)], timeout_s=3_600.0)
    monkeypatch.setattr(rpc_module, "PROBE_S", 0.1)
    rpc.endpoints[2].failures = 1  # and its rest is over

    assert rpc.head()["hash"] == "c"

    assert dark.calls == ["eth_blockNumber"]
    light.set()
