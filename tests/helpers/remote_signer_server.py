"""A remote signer as a process of its own: signs with eth_account what `eth_signTransaction` asks for, and misbehaves
as told. Speaks the part of Web3Signer's JSON-RPC that we use.

Told by `POST /mode` what to do from then on, and by `GET /signed` it shows all that it has signed, oldest first.
"""

import json
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from eth_account import Account

SLOW_S = 30.0
NUMBERS = ("nonce", "value", "gas", "maxFeePerGas", "maxPriorityFeePerGas", "chainId")
CERTIFICATE = Path(__file__).parent / "remote_signer_localhost.pem"
"""Key and self-signed certificate of "localhost", for these tests only."""


class RemoteSignerServer(AbstractContextManager["RemoteSignerServer"]):
    """Starts the process; it ends with the `with` block.

    Args:
        key: Private key, 0x hex.
        token: What it wants to be sent as a bearer token; empty for none.
        tls: Whether it speaks https, with `CERTIFICATE`.
        asks_for_certificate: Whether it lets in only who shows `CERTIFICATE`.
    """

    def __init__(
        self, key: str, *, token: str = "", tls: bool = False, asks_for_certificate: bool = False
    ) -> None:
        self._options = [token, "tls" if tls else "", "mutual" if asks_for_certificate else ""]
        self._key = key
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"https://localhost:{self.port}" if tls else f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "RemoteSignerServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> "RemoteSignerServer":
        """Start it, also again after `kill`: on the same port, with nothing remembered."""
        command = [sys.executable, __file__, str(self.port), *self._options]
        environment = {**os.environ, "SIGNER_KEY": self._key}
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        return self

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def mode(self, mode: str) -> None:
        """Say what to do from now on: see `_Handler`."""
        urllib.request.urlopen(self.url + "/mode", mode.encode(), timeout=10).close()  # noqa: S310  # our own

    def signed(self) -> list[dict[str, Any]]:
        """Return every transaction that it has signed, as it was asked for."""
        with urllib.request.urlopen(self.url + "/signed", timeout=10) as reply:  # noqa: S310
            found: list[dict[str, Any]] = json.load(reply)
            return found


class _Handler(BaseHTTPRequestHandler):
    """What each mode does with a transaction.

    sign: signs it. lose: signs it, and closes the connection instead of answering. refuse: has no such key. slow: takes
    longer than anybody waits. trickle: sends a byte at a time. garbage: is no JSON-RPC. unsigned: gives text that is no
    transaction. wrong key: signs it with another. wrapped: answers as Geth and Clef do. legacy: signs the old type.
    high s: gives the signature's twin that nodes refuse. any member's name: changes that first.
    """

    account: Any = None
    token = ""
    mode = "sign"
    signed: list[dict[str, Any]] = []  # noqa: RUF012  # one server a process

    def do_GET(self) -> None:
        self._reply(200, json.dumps(_Handler.signed).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/mode":
            _Handler.mode = body.decode()
            return self._reply(200, b"")
        if self.token and self.headers.get("Authorization") != f"Bearer {self.token}":
            return self._reply(401, b"Unauthorized")
        asked = json.loads(body)
        match asked["method"], self.mode:
            case _, "slow":
                time.sleep(SLOW_S)
            case _, "trickle":
                return self._trickle()
            case _, "garbage":
                self._reply(502, b"<html>Bad gateway</html>")
            case "eth_accounts", _:
                self._result([self.account.address.lower()])
            case "eth_signTransaction", "refuse":
                error = {"code": -32000, "message": "No unlocked account matches the Sender"}
                self._reply(200, json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode())
            case "eth_signTransaction", _:
                self._sign(asked["params"][0])
            case _:
                self._reply(400, b"{}")

    def _sign(self, asked: dict[str, Any]) -> None:
        _Handler.signed.append(asked)
        wanted = {name: int(asked[name], 16) for name in NUMBERS}
        wanted |= {"to": asked["to"], "data": asked.get("data", "0x"), "type": 2}
        if self.mode in NUMBERS:
            wanted[self.mode] += 1
        elif self.mode == "to":
            wanted["to"] = "0x" + "11" * 20
        elif self.mode == "data":
            wanted["data"] += "00"
        elif self.mode == "accessList":
            wanted["accessList"] = [{"address": "0x" + "11" * 20, "storageKeys": []}]
        elif self.mode == "legacy":
            wanted = {k: v for k, v in wanted.items() if not k.startswith("max") and k != "type"}
            wanted["gasPrice"] = int(asked["maxFeePerGas"], 16)
        key = Account.create() if self.mode == "wrong key" else self.account
        signed = key.sign_transaction(wanted)
        raw = signed.raw_transaction.to_0x_hex()
        if self.mode == "lose":
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if self.mode == "unsigned":
            raw = "0x02c0"
        if self.mode == "high s":
            raw = _with_high_s(signed.raw_transaction)
        if self.mode == "nested":
            raw = _with_nested_signature(signed.raw_transaction)
        self._result({"raw": raw, "tx": {}} if self.mode == "wrapped" else raw)

    def _trickle(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(int(SLOW_S * 10)):
            self.wfile.write(b" ")
            self.wfile.flush()
            time.sleep(0.1)

    def _result(self, result: Any) -> None:
        self._reply(200, json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode())

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _with_high_s(raw: bytes) -> str:
    import rlp

    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    fields = rlp.decode(raw[1:])
    parity = 1 - int.from_bytes(fields[9], "big")
    s = order - int.from_bytes(fields[11], "big")
    fields[9], fields[11] = bytes([parity] if parity else []), s.to_bytes(32, "big")
    return "0x02" + rlp.encode(fields).hex()


def _with_nested_signature(raw: bytes) -> str:
    import rlp

    fields = rlp.decode(raw[1:])
    return "0x02" + rlp.encode([*fields[:10], [fields[10]], fields[11]]).hex()


def main(port: str, token: str, tls: str, mutual: str) -> None:
    """Serve until killed."""
    _Handler.account, _Handler.token = Account.from_key(os.environ["SIGNER_KEY"]), token
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), _Handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(CERTIFICATE)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
