"""Passes bytes between a client and a server, until it is told to hold them back or to cut the line."""

import contextlib
import socket
import threading
import time


class TcpProxy:
    """Listens on a loopback port as long as the `with` block lasts.

    Args:
        port: Loopback port of the server.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._open: list[socket.socket] = []
        self.connections = 0
        """How many came in."""
        self.frozen = False
        """While it is set, nothing passes, and nobody is told: the line looks open."""

    def __enter__(self) -> "TcpProxy":
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """End every connection."""
        lines, self._open = self._open, []
        for line in lines:
            with contextlib.suppress(OSError):
                line.shutdown(
                    socket.SHUT_RDWR
                )  # wakes the thread that reads; to close alone does not
            line.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                server = socket.create_connection(("127.0.0.1", self._target))
                self._open += [client, server]
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                while self.frozen:
                    time.sleep(0.05)
                sink.sendall(data)
