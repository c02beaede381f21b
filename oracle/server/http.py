"""The three pages: `/livez` (restart it if not 200), `/readyz` (200, or 503 and the reasons), `/metrics`."""

import json
import logging
import sqlite3
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from oracle.logs import line
from oracle.server.health import Pulse
from oracle.server.metrics import Metrics

CLIENT_TIMEOUT_S = 10.0
"""How long somebody who is connected may say nothing, in seconds: each takes a thread."""

_log = logging.getLogger(__name__)


class HealthServer:
    """Serves the pages from a thread of its own, between `start` and `close`.

    Args:
        host: Address to listen on. The pages hold no secrets, but are for the operator only.
        port: Port; 0 for one that is free.
    """

    def __init__(self, host: str, port: int, pulse: Pulse, metrics: Metrics) -> None:
        pages: dict[str, Callable[[], tuple[int, str, str]]] = {
            "/livez": lambda: _verdict(pulse.dead()),
            "/readyz": lambda: _verdict(pulse.not_ready()),
            "/metrics": lambda: (200, "text/plain; version=0.0.4; charset=utf-8", metrics.page()),
        }

        class Handler(BaseHTTPRequestHandler):
            timeout = CLIENT_TIMEOUT_S

            def do_GET(self) -> None:
                page = pages.get(self.path.partition("?")[0])
                try:
                    status, kind, text = (
                        page() if page else (404, "text/plain", "\n".join(pages) + "\n")
                    )
                except sqlite3.Error as error:
                    status, kind, text = 503, "text/plain", f"the job database is busy: {error}\n"
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def start(self) -> None:
        """Begin to serve."""
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()
        _log.info(line("health", port=self.port))

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


def _verdict(against: list[str]) -> tuple[int, str, str]:
    """200 when nothing speaks against it, else 503 and what does."""
    text = json.dumps({"ok": not against, "reasons": against}) + "\n"
    return (503 if against else 200), "application/json", text
