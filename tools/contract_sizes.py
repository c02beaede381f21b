"""Checks that every contract fits on a chain, and prints the largest. `ape compile` comes first."""

import json
import sys
from pathlib import Path

LIMIT_BYTES = 24_576
"""Longest code a chain accepts for one contract (EIP-170)."""
LISTED = 5


def sizes(manifest: Path) -> dict[str, int]:
    """Return each contract of Ape's `manifest` and its deployed size in bytes, largest first."""
    contracts = json.loads(manifest.read_text())["contractTypes"]
    found = {
        name: code_bytes(contract.get("runtimeBytecode") or {})
        for name, contract in contracts.items()
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def code_bytes(runtime: dict[str, object]) -> int:
    """Return the size in bytes of `runtime["bytecode"]`, a 0x string; 0 for an interface."""
    return len(str(runtime.get("bytecode") or "").removeprefix("0x")) // 2


def main(manifest: Path) -> int:
    """Print the largest contracts and those over the limit; return the exit status."""
    if not manifest.is_file():
        print(f"expected {manifest}, written by `ape compile`; found no such file", file=sys.stderr)
        return 1
    found = sizes(manifest)
    for name, size_bytes in list(found.items())[:LISTED]:
        print(f"{size_bytes:6,} of {LIMIT_BYTES:,} bytes  {name}")
    too_large = {name: size for name, size in found.items() if size > LIMIT_BYTES}
    for name, size_bytes in too_large.items():
        print(f"{name} is {size_bytes - LIMIT_BYTES:,} bytes too large to deploy", file=sys.stderr)
    return 1 if too_large else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(".build/__local__.json")))
