"""Checks that every contract fits on a chain and has the recorded size. `ape compile --force` comes first.

The record is committed, so what a change does to the sizes is seen in its diff; `--write` writes it anew.
"""

import argparse
import json
import sys
from pathlib import Path

LIMIT_BYTES = 24_576
"""Longest code a chain accepts for one contract (EIP-170)."""
LISTED = 5


def sizes(manifest: Path) -> dict[str, int]:
    """Return each contract of Ape's `manifest` that can be deployed and its size in bytes, largest first.

    Mocks, libraries, which are compiled into what uses them, and what other projects wrote are left out.
    """
    contracts = json.loads(manifest.read_text())["contractTypes"]
    found = {
        name: code_bytes(contract.get("runtimeBytecode") or {})
        for name, contract in contracts.items()
        if is_ours(Path(contract["sourceId"]))
    }
    return {name: size for name, size in sorted(found.items(), key=lambda i: (-i[1], i[0])) if size}


def is_ours(source: Path) -> bool:
    """Say whether the contract at this path is one of the product's."""
    return source.parts[0] == "contracts" and not {"mocks", "libraries", ".cache"} & set(
        source.parts
    )


def code_bytes(runtime: dict[str, object]) -> int:
    """Return the size in bytes of `runtime["bytecode"]`, a 0x string; 0 for an interface."""
    return len(str(runtime.get("bytecode") or "").removeprefix("0x")) // 2


def changes(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Return a line for each contract whose size differs; a contract that is not there has 0 bytes."""
    pairs = [(name, before.get(name, 0), after.get(name, 0)) for name in sorted({*before, *after})]
    return [f"{name}: {old:,} -> {new:,} bytes" for name, old, new in pairs if old != new]


def main() -> int:
    """Print the largest contracts, those over the limit, and what the record does not say; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path, nargs="?", default=Path(".build/__local__.json"))
    parser.add_argument("--record", type=Path, default=Path("benchmarks/results/sizes.json"))
    parser.add_argument("--write", action="store_true", help="write the record")
    chosen = parser.parse_args()
    if not chosen.manifest.is_file():
        print(
            f"expected {chosen.manifest}, written by `ape compile`; found no such file",
            file=sys.stderr,
        )
        return 1
    found = sizes(chosen.manifest)
    for name, size_bytes in list(found.items())[:LISTED]:
        print(f"{size_bytes:6,} of {LIMIT_BYTES:,} bytes  {name}")
    too_large = {name: size for name, size in found.items() if size > LIMIT_BYTES}
    for name, size_bytes in too_large.items():
        print(f"{name} is {size_bytes - LIMIT_BYTES:,} bytes too large to deploy", file=sys.stderr)
    if chosen.write:
        chosen.record.write_text(json.dumps(found, indent=1) + "\n")
    recorded = json.loads(chosen.record.read_text()) if chosen.record.is_file() else {}
    changed = changes(recorded, found)
    for line in changed:
        print(line, file=sys.stderr)
    if changed:
        print(
            "sizes differ from the record; to accept them run `python tools/contract_sizes.py --write`",
            file=sys.stderr,
        )
    return 1 if too_large or changed else 0


if __name__ == "__main__":
    sys.exit(main())
