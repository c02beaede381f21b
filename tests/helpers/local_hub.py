"""A hub on this machine, for huggingface_hub: what it asks of a server when it looks at a model and downloads it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

REVISION = "c0ffee" * 6 + "c0de"
GATED = "gated/model"


@contextmanager
def serve_hub(root: Path, licence: str = "mit") -> Iterator[str]:
    """Serve the folders `root/ORGANISATION/NAME` as models, and yield the address. `GATED` asks for permission."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
            if parts[:2] == ["api", "models"] and len(parts) >= 4:
                self._model("/".join(parts[2:4]), parts[4:])
            elif len(parts) >= 5 and parts[2] == "resolve":
                self._file(root.joinpath(*parts[:2], *parts[4:]))
            else:
                self._json(404, {"error": "not found"})

        def _model(self, repo: str, rest: list[str]) -> None:
            if repo == GATED:
                headers = {
                    "X-Error-Code": "GatedRepo",
                    "X-Error-Message": "Access to this model is restricted. Please log in.",
                }
                return self._json(401, {"error": headers["X-Error-Message"]}, headers)
            folder = root / repo
            if not folder.is_dir():
                headers = {
                    "X-Error-Code": "RepoNotFound",
                    "X-Error-Message": "Repository not found",
                }
                return self._json(404, {"error": "Repository not found"}, headers)
            files = sorted(file for file in folder.rglob("*") if file.is_file())
            names = {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}
            if rest[:1] == ["tree"]:
                rows = [
                    {"type": "file", "oid": "0" * 40, "size": size, "path": name}
                    for name, size in names.items()
                ]
                return self._json(200, rows)
            siblings = [{"rfilename": name, "size": size} for name, size in names.items()]
            return self._json(
                200,
                {
                    "id": repo,
                    "sha": REVISION,
                    "private": False,
                    "gated": False,
                    "disabled": False,
                    "tags": [f"license:{licence}"],
                    "cardData": {"license": licence},
                    "siblings": siblings,
                },
            )

        def _file(self, file: Path) -> None:
            headers = {"X-Repo-Commit": REVISION}
            if not file.is_file():
                return self._json(404, {"error": "no"}, headers | {"X-Error-Code": "EntryNotFound"})
            data = file.read_bytes()
            headers |= {"ETag": f'"{sha256(data).hexdigest()}"', "Accept-Ranges": "bytes"}
            wanted = self.headers.get("Range")
            if wanted and self.command == "GET":
                start, _, end = wanted.removeprefix("bytes=").partition("-")
                last = int(end) if end else len(data) - 1
                headers["Content-Range"] = f"bytes {start}-{last}/{len(data)}"
                return self._send(206, data[int(start) : last + 1], headers)
            return self._send(200, data, headers)

        def _json(self, code: int, plain: Any, headers: dict[str, str] | None = None) -> None:
            data = json.dumps(plain).encode()
            self._send(code, data, {"Content-Type": "application/json", **(headers or {})})

        def _send(self, code: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(code)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
