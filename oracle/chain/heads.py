"""News of new blocks over a websocket, so that the loop need not wait for its next look at the chain.

The socket only ever says "look now". What is true is read over HTTP, and the loop looks at its own intervals all the
same: a socket that is gone, half open or wrong costs time, and nothing else. One that is silent is opened anew.
"""

import contextlib
import json
import logging
import random
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from oracle.logs import line

OPEN_TIMEOUT_S = 10.0
LONGEST_WAIT_S = 30.0

_log = logging.getLogger(__name__)


class Heads:
    """Listens in a thread of its own between `start` and `close`.

    Args:
        url: Websocket endpoint, ws or wss.
        wake: Called for every new block, from that thread.
        silence_s: How long there may be no news before the socket is opened anew, in seconds.
    """

    def __init__(self, url: str, wake: Callable[[], None], silence_s: float = 60.0) -> None:
        parts = urlsplit(url)
        self._name = f"{parts.scheme}://{parts.hostname}"
        self._url = url
        self._wake = wake
        self._silence_s = silence_s
        self._closed = threading.Event()
        self._socket: Connection | None = None
        self._news = threading.Event()
        self.connections = 0
        """How often the socket was opened."""

    def start(self) -> None:
        """Begin to listen."""
        threading.Thread(target=self._run, name="heads", daemon=True).start()

    def news(self) -> bool:
        """Whether there was a new block since this was last asked."""
        if not self._news.is_set():
            return False
        self._news.clear()
        return True

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        if self._socket is not None:
            with contextlib.suppress(OSError, WebSocketException):
                self._socket.socket.close()

    def _run(self) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                self._listen()
                failures = 0
            except TimeoutError:
                _log.warning(line("websocket silent", endpoint=self._name, for_s=self._silence_s))
                failures = 0
            except (OSError, WebSocketException, ValueError) as error:
                failures += 1
                reason = type(error).__name__
                _log.warning(line("websocket lost", endpoint=self._name, reason=reason))
            jitter = random.uniform(0.5, 1.0)  # noqa: S311  # keeps workers apart, nothing secret
            self._closed.wait(min(0.5 * 2.0 ** min(failures, 10), LONGEST_WAIT_S) * jitter)

    def _listen(self) -> None:
        """Open the socket, ask for new heads, and pass them on until it fails or falls silent."""
        with connect(
            self._url, open_timeout=OPEN_TIMEOUT_S, ping_interval=None, close_timeout=1, proxy=None
        ) as socket:
            self._socket = socket
            self.connections += 1
            wanted = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
            socket.send(json.dumps(wanted))
            while not self._closed.is_set():
                message = json.loads(socket.recv(timeout=self._silence_s))
                if not isinstance(message, dict):
                    raise ValueError(f"{self._name} sends something else than JSON-RPC")
                if "error" in message:
                    raise ValueError(f"{self._name} refuses subscriptions: {message['error']}")
                if message.get("method") == "eth_subscription":
                    self._news.set()
                    self._wake()
