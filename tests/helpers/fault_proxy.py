"""A JSON-RPC endpoint that misbehaves on purpose: it stands between a worker and a real node.

A fault is a function of one call and of the way to the node; it answers, changes the answer, or loses the connection.
`proxy.add(lose_reply, "eth_sendRawTransaction", times=1)` puts one in the way, `proxy.heal()` takes all away.
"""

import itertools
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests
import rlp
from eth_utils import keccak

Params = list[Any]
Forward = Callable[[str, Params], Any]
"""Asks the node: the reply's `result`, or `Refused`."""
Fault = Callable[[str, Params, Forward], Any]
EVERY = "*"


class Refused(Exception):
    """A JSON-RPC error, of the node or made up."""

    def __init__(self, code: int, text: str, data: Any = None) -> None:
        super().__init__(text)
        self.error = {"code": code, "message": text} | ({} if data is None else {"data": data})


class Broken(Exception):
    """No proper reply: `way` is "close", "reset", "truncate", "hang", or an HTTP status."""

    def __init__(self, way: str | int) -> None:
        super().__init__(str(way))
        self.way = way


@dataclass
class Rule:
    fault: Fault
    methods: tuple[str, ...]
    times: int | None
    hits: int = 0


@dataclass
class FaultProxy:
    """Listens on a loopback port as long as the `with` block lasts.

    Args:
        target: URL of the node.
    """

    target: str
    rules: list[Rule] = field(default_factory=list)
    calls: list[tuple[float, str, Params]] = field(default_factory=list)
    """(monotonic time, method, parameters) of every call that came in."""

    def __enter__(self) -> "FaultProxy":
        proxy = self
        self._lock = threading.Lock()
        self._local = threading.local()
        self._stopped = threading.Event()
        self._ids = itertools.count(1)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                proxy.serve(self, json.loads(body))

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_: object) -> None:  # a client that was killed
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def add(self, fault: Fault, *methods: str, times: int | None = None) -> Rule:
        """Apply a fault to calls of these methods (all without any), the next `times` or until `heal`."""
        rule = Rule(fault, methods or (EVERY,), times)
        with self._lock:
            self.rules.append(rule)
        return rule

    def heal(self) -> None:
        """Behave from now on."""
        with self._lock:
            self.rules.clear()

    def count(self, method: str = EVERY, since: float = 0.0) -> int:
        """Return how many calls of a method came in, since a monotonic time."""
        return sum(at >= since and method in (EVERY, name) for at, name, _ in list(self.calls))

    def serve(self, handler: BaseHTTPRequestHandler, call: dict[str, Any]) -> None:
        method, params = call["method"], call["params"]
        self.calls.append((time.monotonic(), method, params))
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"]}
        status: int = 200
        way: str | int = ""
        try:
            reply["result"] = self._through(self._matching(method), method, params)
        except Refused as refused:
            reply["error"] = refused.error
        except Broken as broken:
            way = broken.way
        except requests.RequestException:
            way = "close"
        if isinstance(way, int):
            status, reply = way, {"message": "made up by the fault proxy"}
        self._write(handler, status, json.dumps(reply).encode(), way)

    def _matching(self, method: str) -> list[Rule]:
        with self._lock:
            found = []
            for rule in self.rules:
                fits = method in rule.methods or EVERY in rule.methods
                if fits and (rule.times is None or rule.hits < rule.times):
                    rule.hits += 1
                    found.append(rule)
            return found

    def _through(self, rules: list[Rule], method: str, params: Params) -> Any:
        if not rules:
            return self.forward(method, params)
        return rules[0].fault(method, params, lambda m, p: self._through(rules[1:], m, p))

    def forward(self, method: str, params: Params) -> Any:
        """Ask the node itself."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        answer = self._local.session.post(self.target, json=body, timeout=120).json()
        if "error" in answer:
            error = answer["error"]
            raise Refused(error["code"], error["message"], error.get("data"))
        return answer["result"]

    def _write(
        self, handler: BaseHTTPRequestHandler, status: int, body: bytes, way: str | int
    ) -> None:
        if way == "hang":
            self._stopped.wait(120)
        if way in ("hang", "close", "reset"):
            handler.close_connection = True
            if way == "reset":
                linger = struct.pack("ii", 1, 0)
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                handler.connection.close()
            return
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2] if way == "truncate" else body)
        if way == "truncate":
            handler.close_connection = True


# Faults of the connection.


def lose_request(method: str, params: Params, forward: Forward) -> Any:
    raise Broken("close")


def lose_reply(method: str, params: Params, forward: Forward) -> Any:
    """The node does it; the caller does not hear of it."""
    forward(method, params)
    raise Broken("close")


def reset(method: str, params: Params, forward: Forward) -> Any:
    raise Broken("reset")


def truncate(method: str, params: Params, forward: Forward) -> Any:
    raise Broken("truncate")


def go_dark(method: str, params: Params, forward: Forward) -> Any:
    """The connection stays open and nothing comes back."""
    raise Broken("hang")


def status(code: int) -> Fault:
    def fault(method: str, params: Params, forward: Forward) -> Any:
        raise Broken(code)

    return fault


def delay(seconds: float) -> Fault:
    def fault(method: str, params: Params, forward: Forward) -> Any:
        time.sleep(seconds)
        return forward(method, params)

    return fault


# Faults of the node.


def refuse(code: int, text: str) -> Fault:
    def fault(method: str, params: Params, forward: Forward) -> Any:
        raise Refused(code, text)

    return fault


def lag(blocks: int) -> Fault:
    """The node is some blocks behind: "latest" is an older block, and newer ones are unknown."""

    def fault(method: str, params: Params, forward: Forward) -> Any:
        head = max(int(forward("eth_blockNumber", []), 16) - blocks, 0)
        if method == "eth_blockNumber":
            return hex(head)
        if (
            method == "eth_getBlockByNumber"
            and params[0].startswith("0x")
            and int(params[0], 16) > head
        ):
            return None
        tag = params[1] if method == "eth_getTransactionCount" else ""
        if tag.startswith("0x") and int(tag, 16) > head:
            raise Refused(-32000, "header not found")
        if method == "eth_getTransactionReceipt":
            receipt = forward(method, params)
            return receipt if receipt and int(receipt["blockNumber"], 16) <= head else None
        if method in ("eth_getTransactionByHash", "eth_sendRawTransaction", "eth_estimateGas"):
            return forward(method, params)
        return forward(method, [hex(head) if p == "latest" else p for p in params])

    return fault


def wrong_chain(chain_id: int) -> Fault:
    def fault(method: str, params: Params, forward: Forward) -> Any:
        return hex(chain_id) if method == "eth_chainId" else forward(method, params)

    return fault


def hide_logs(share: float, seed: int = 1) -> Fault:
    """Leave out a share of all logs."""
    dice = random.Random(seed)  # noqa: S311

    def fault(method: str, params: Params, forward: Forward) -> Any:
        logs = forward(method, params)
        return [log for log in logs if dice.random() >= share] if method == "eth_getLogs" else logs

    return fault


def repeat_logs(method: str, params: Params, forward: Forward) -> Any:
    """Every log twice, the last one first."""
    logs = forward(method, params)
    return [*reversed(logs), *logs] if method == "eth_getLogs" else logs


def swap_logs(method: str, params: Params, forward: Forward) -> Any:
    """The last byte of every log's data is another one."""
    logs = forward(method, params)
    if method == "eth_getLogs":
        for log in logs:
            log["data"] = log["data"][:-2] + ("01" if log["data"].endswith("00") else "00")
    return logs


def forge_receipt(success: bool) -> Fault:
    """Every transaction was mined long ago, in the block before the head's parent, and (not) a success."""

    def fault(method: str, params: Params, forward: Forward) -> Any:
        if method != "eth_getTransactionReceipt":
            return forward(method, params)
        number = max(int(forward("eth_blockNumber", []), 16) - 3, 0)
        block = forward("eth_getBlockByNumber", [hex(number), False])
        return {
            "transactionHash": params[0],
            "blockNumber": block["number"],
            "blockHash": block["hash"],
            "status": "0x1" if success else "0x0",
            "gasUsed": "0x5208",
            "logs": [],
        }

    return fault


def limit_ranges(blocks: int) -> Fault:
    """Logs are given for so many blocks at once and no more."""

    def fault(method: str, params: Params, forward: Forward) -> Any:
        wanted = params[0] if method == "eth_getLogs" else {}
        if "fromBlock" in wanted:
            span = int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) + 1
            if span > blocks:
                raise Refused(-32005, f"query returned more than {blocks} blocks, asked for {span}")
        return forward(method, params)

    return fault


def bump_rule(percent: int = 10) -> Fault:
    """A replacement has to offer this much more in both parts, as real nodes ask; Anvil takes any."""
    offers: dict[int, tuple[int, int]] = {}

    def fault(method: str, params: Params, forward: Forward) -> Any:
        if method != "eth_sendRawTransaction":
            return forward(method, params)
        fields = rlp.decode(bytes.fromhex(params[0][4:]))
        nonce, tip, fee = (int.from_bytes(fields[i], "big") for i in (1, 2, 3))
        was, now = offers.get(nonce), (tip, fee)
        if (
            was
            and was != now
            and any(b * 100 < a * (100 + percent) for a, b in zip(was, now, strict=True))
        ):
            raise Refused(-32000, "replacement transaction underpriced")
        result = forward(method, params)
        offers[nonce] = now
        return result

    return fault


def other_branch(method: str, params: Params, forward: Forward) -> Any:
    """The node claims that all blocks but the first have other hashes."""
    block = forward(method, params)
    if method == "eth_getBlockByNumber" and block and int(block["number"], 16):
        for name in ("hash", "parentHash"):
            block[name] = block[name][:-8] + "badb10c0"
    return block


def later(seconds: int) -> Fault:
    """The node claims that blocks were made so much later."""

    def fault(method: str, params: Params, forward: Forward) -> Any:
        block = forward(method, params)
        if method == "eth_getBlockByNumber" and block:
            block["timestamp"] = hex(int(block["timestamp"], 16) + seconds)
        return block

    return fault


def swallow(method: str, params: Params, forward: Forward) -> Any:
    """The node says that it has every transaction, and passes none on."""
    if method == "eth_sendRawTransaction":
        return "0x" + keccak(bytes.fromhex(params[0][2:])).hex()
    if method == "eth_getTransactionByHash":
        return {"hash": params[0], "blockNumber": None}
    return forward(method, params)


def constant(result: Any) -> Fault:
    """Whatever is asked, this is the answer."""

    def fault(method: str, params: Params, forward: Forward) -> Any:
        return result

    return fault
