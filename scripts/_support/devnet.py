"""A local chain and provider processes, for the demo, the benchmarks and `ape run devnet`.

Everything is a real process: anvil on a free loopback port, and `lattice provider run`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import requests

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 20.0
KEEPS_NO_STATES = ("--max-persisted-states", "0")
"""Anvil's arguments by default: it would write the state of every old block to disk, and leave it there."""


class Anvil:
    """anvil on a free loopback port, as a context manager.

    Args:
        log: File for what it prints.
        arguments: Further arguments of anvil instead of `KEEPS_NO_STATES`.
    """

    chain_id = 31337

    def __init__(self, log: Path, *arguments: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        program = shutil.which("anvil") or str(Path(sys.prefix) / "bin" / "anvil")
        command = [
            program,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--hardfork",
            "prague",
            *(arguments or KEEPS_NO_STATES),
        ]
        self._log = log.open("w")
        self._process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)

    def __enter__(self) -> Self:
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            try:
                self.call("eth_chainId")
                return self
            except requests.ConnectionError:
                time.sleep(0.05)
        self.__exit__()
        raise RuntimeError(f"anvil did not start, see {self._log.name}")

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def call(self, method: str, *parameters: Any) -> Any:
        """One JSON-RPC call."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        reply = requests.post(self.url, json=body, timeout=30).json()
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']}")
        return reply["result"]

    def wait(self, seconds: int) -> None:
        """Let chain time pass, and mine a block."""
        self.call("evm_increaseTime", seconds)
        self.call("evm_mine")


class ProviderProcess:
    """`lattice provider run` as a process of its own, with its log in its home folder.

    Args:
        home: Home folder, made by `lattice init` with a key from the environment.
        key: Private key of the operator, given to the process in its environment.
        changes: Settings to change, by section and name.
    """

    def __init__(
        self, home: Path, key: str, changes: dict[str, dict[str, Any]] | None = None
    ) -> None:
        self.home, self._key = home, key
        basic = {"chain": {"confirmations": 1, "poll_interval_s": 0.02}}
        for sections in (basic, changes or {}):
            for section, values in sections.items():
                for name, value in values.items():
                    change_setting(home / "lattice.toml", section, name, value)
        self.start()

    @property
    def pid(self) -> int:
        """Process id of the latest start."""
        return self._process.pid

    def start(self) -> None:
        """Start the process (again)."""
        with (self.home / "provider.log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "oracle", "provider", "run", "--home", str(self.home)],
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=os.environ | {"LATTICE_KEY": self._key},
            )

    def check(self) -> None:
        """Raise if the process ended by itself with an error."""
        if (code := self._process.poll()) not in (None, 0, -signal.SIGKILL):
            raise RuntimeError(
                f"the provider in {self.home} ended with {code}, see its provider.log"
            )

    def kill(self) -> None:
        """Kill -9."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait until it has finished what it was doing."""
        self._process.terminate()
        if (code := self._process.wait(timeout=30)) != 0:
            raise RuntimeError(f"the provider in {self.home} ended with {code} on SIGTERM")


def change_setting(file: Path, section: str, name: str, value: Any) -> None:
    """Change one setting in a settings file that `lattice init` wrote."""
    shown = str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
    pattern = rf"(?ms)(^\[{section}\][^\n]*$.*?^){name} = [^\n]*$"
    text, found = re.subn(pattern, rf"\g<1>{name} = {shown}", file.read_text(), count=1)
    if not found:
        raise KeyError(f"{file} has no {section}.{name}")
    file.write_text(text)


def lattice(home: Path, *arguments: object, key: str | None = None) -> str:
    """Run the `lattice` command for a home folder; returns what it printed.

    Args:
        home: Home folder.
        arguments: Command and its options.
        key: Private key for homes whose key comes from the environment. Remembered in `key.env` of the home folder,
            which is only fit for a local test chain.
    """
    kept = home / "key.env"
    if key is not None:
        home.mkdir(parents=True, exist_ok=True)
        kept.write_text(key)
    environment = os.environ | ({"LATTICE_KEY": kept.read_text()} if kept.is_file() else {})
    command = [sys.executable, "-m", "oracle", *map(str, arguments), "--home", str(home)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(
            f"`lattice {' '.join(map(str, arguments))}` failed: {done.stderr.strip()}"
        )
    return done.stdout
