"""A node over a store of ours: it speaks as a gateway, as Kubo's RPC and as a pinning service, and can misbehave."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from offchain_worker.errors import ArtifactMissing
from offchain_worker.storage.car import CarReader, write_car
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.store import EmbeddedStore

PLENTY = 1 << 40

Change = Callable[[Cid, bytes], bytes]


class IpfsServer:
    """Serves `store` on a free port until `stop`. Tests set the attributes to make it misbehave."""

    def __init__(self, store: EmbeddedStore, *, car: bool = True, token: str = "") -> None:
        self.store = store
        self.car = car
        self.token = token
        self.change: Change = lambda _, block: block
        self.pause_s = 0.0
        self.blocks_left = PLENTY
        self.car_bytes_left = PLENTY
        self.asked: list[Cid] = []
        self.remote_pins: dict[str, dict[str, Any]] = {}
        self.pin_outcome = "pinned"
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                node.handle(self)

            do_POST = do_DELETE = do_GET

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    # --- answers

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        url = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.read_body(request)
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return self.reply(request, 401, b"no token")
        try:
            if url.path.startswith("/ipfs/"):
                cid = Cid.parse(url.path.removeprefix("/ipfs/"))
                return (
                    self.graph(request, cid)
                    if query["format"] == "car"
                    else self.block(request, cid)
                )
            if url.path.startswith("/api/v0/"):
                return self.rpc(request, url.path.removeprefix("/api/v0/"), query, body)
            return self.pins(request, url.path, query, body)
        except (BrokenPipeError, ConnectionResetError):
            return None

    def block(self, request: BaseHTTPRequestHandler, cid: Cid) -> None:
        self.asked.append(cid)
        self.blocks_left -= 1
        if self.blocks_left < 0:
            request.close_connection = True
            return request.connection.close()
        time.sleep(self.pause_s)
        try:
            block = self.store.get(cid)
        except ArtifactMissing:
            return self.reply(request, 404, b"block was not found")
        return self.reply(request, 200, self.change(cid, block))

    def graph(self, request: BaseHTTPRequestHandler, cid: Cid) -> None:
        if not self.car or not self.store.has(cid):
            return self.reply(request, 406, b"no CAR here")
        request.send_response(200)
        request.send_header("Connection", "close")
        request.end_headers()

        def get(at: Cid) -> bytes:
            return self.store.get(at)

        left = self.car_bytes_left
        for piece in write_car(cid, get, PLENTY):
            piece = self.change(cid, piece)
            request.wfile.write(piece[:left])
            left -= len(piece)
            if left <= 0:
                break
        request.close_connection = True

    def rpc(
        self, request: BaseHTTPRequestHandler, command: str, query: dict[str, str], body: bytes
    ) -> None:
        if request.command != "POST":
            return self.reply(request, 405, b"POST only")
        if command == "dag/import":
            car = body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
            reader = CarReader()
            with self.store.adding() as put:
                for cid, block in reader.feed(car):
                    put(cid, block)
            root = reader.finish()
            self.store.pins.add(root)
            return self.json(request, {"Root": {"Cid": {"/": str(root)}, "PinErrorMsg": ""}})
        cid = Cid.parse(query["arg"])
        if command == "block/get":
            return self.block(request, cid)
        if command == "dag/export":
            return self.graph(request, cid)
        if command == "pin/add":
            self.store.pins.add(cid)
            return self.json(request, {"Pins": [str(cid)]})
        if not self.store.pins.has(cid):
            return self.json(request, {"Message": f"path '{cid}' is not pinned", "Code": 0}, 500)
        if command == "pin/rm":
            self.store.unpin(cid)
            return self.json(request, {"Pins": [str(cid)]})
        return self.json(request, {"Keys": {str(cid): {"Type": "recursive"}}})

    def pins(
        self, request: BaseHTTPRequestHandler, path: str, query: dict[str, str], body: bytes
    ) -> None:
        name = path.removeprefix("/pins").strip("/")
        if request.command == "POST":
            cid = json.loads(body)["cid"]
            made = {
                "requestid": f"r{len(self.remote_pins)}",
                "status": "queued",
                "pin": {"cid": cid},
            }
            self.remote_pins[made["requestid"]] = made
            return self.json(request, made, 202)
        if request.command == "DELETE":
            del self.remote_pins[name]
            return self.reply(request, 202, b"")
        if name:
            self.remote_pins[name]["status"] = self.pin_outcome
            return self.json(request, self.remote_pins[name])
        wanted = query["status"].split(",")
        found = [
            pin
            for pin in self.remote_pins.values()
            if pin["pin"]["cid"] == query["cid"] and pin["status"] in wanted
        ]
        return self.json(request, {"count": len(found), "results": found})

    # --- HTTP

    def read_body(self, request: BaseHTTPRequestHandler) -> bytes:
        if request.headers.get("Transfer-Encoding") != "chunked":
            return request.rfile.read(int(request.headers.get("Content-Length", 0)))
        body = b""
        while length := int(request.rfile.readline(), 16):
            body += request.rfile.read(length)
            request.rfile.readline()
        request.rfile.readline()
        return body

    def json(self, request: BaseHTTPRequestHandler, value: Any, status: int = 200) -> None:
        self.reply(request, status, json.dumps(value).encode())

    def reply(self, request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
