"""Compiles contracts with one file replaced, fast: the compiler stays loaded, and no file is written."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REMAPPING = "@openzeppelin/contracts=node_modules/@openzeppelin/contracts"
LIMIT_BYTES = 24_576
SETTINGS: dict[str, dict[str, Any]] = {
    # A third of the time of the other, and the same meaning. Not every contract compiles this way.
    "legacy": {"optimizer": {"enabled": True, "runs": 200}},
    "via IR": {"viaIR": True, "optimizer": {"enabled": True, "runs": 500}},
}


class CompileError(Exception):
    """The source is not valid Solidity, or its code is too large to deploy."""


@dataclass(frozen=True, slots=True)
class Code:
    """Creation and runtime code of a contract, in hexadecimal without 0x."""

    creation: str
    runtime: str


@dataclass
class Compiler:
    """One running compiler; not for two users at once."""

    server: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.server = subprocess.Popen(
            [
                ROOT / ".venv/bin/node",
                ROOT / "tools/mutation/compile_server.cjs",
                ROOT / "node_modules/solc",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def close(self) -> None:
        """End the process."""
        self.server.kill()
        self.server.wait()

    def ask(
        self, sources: dict[str, str], selection: dict[str, Any], settings: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the compiler's standard output; `sources` are file contents by path from the root.

        Raises:
            CompileError: with the first error's message.
        """
        request = {
            "language": "Solidity",
            "sources": {path: {"content": content} for path, content in sources.items()},
            "settings": settings
            | {
                "evmVersion": "prague",
                "remappings": [REMAPPING],
                "metadata": {"appendCBOR": False},  # so that equal code is equal bytes
                "outputSelection": selection,
            },
        }
        if self.server.stdin is None or self.server.stdout is None:
            raise CompileError("the compiler has no pipes")
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        answer: dict[str, Any] = json.loads(self.server.stdout.readline())
        for error in answer.get("errors", []):
            if error["severity"] == "error":
                raise CompileError(error["message"])
        return answer

    def code(self, path: str, name: str, how: str, changed: dict[str, str] | None = None) -> Code:
        """Return the code of contract `name` in the file at `path`, with the files of `changed` replaced.

        Raises:
            CompileError: it does not compile, or is too large to deploy.
        """
        sources = changed or {}
        if path not in sources:
            sources = sources | {path: (ROOT / path).read_text()}
        wanted = ["evm.bytecode.object", "evm.deployedBytecode.object"]
        evm = self.ask(sources, {path: {name: wanted}}, SETTINGS[how])["contracts"][path][name][
            "evm"
        ]
        code = Code(evm["bytecode"]["object"], evm["deployedBytecode"]["object"])
        if len(code.runtime) // 2 > LIMIT_BYTES:
            raise CompileError(f"{name} has {len(code.runtime) // 2} bytes of code")
        return code

    def trees(self, paths: list[str]) -> dict[str, dict[str, Any]]:
        """Return the syntax tree of each file."""
        sources = {path: (ROOT / path).read_text() for path in paths}
        answer = self.ask(sources, {"*": {"": ["ast"]}}, {})
        return {path: answer["sources"][path]["ast"] for path in paths}
