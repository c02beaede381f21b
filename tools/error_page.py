"""Writes docs/errors.md: every error of contracts, chain side and compute side, and what to do about it.

The facts have one source each: the manifest for names and values, `oracle/chain/reverts.py` for advice, the classes for
the rest. `--check` writes nothing and fails when the page is stale.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import offchain_worker.errors as worker_errors  # noqa: E402 -- the path has to be set first
import oracle.errors as oracle_errors  # noqa: E402
from oracle.chain.reverts import MEANINGS  # noqa: E402

PAGE = ROOT / "docs" / "errors.md"
HEAD = """# Errors, and what to do

Written by `python tools/error_page.py`; a test fails when it is stale.

Every error names what was expected and what came. On the command line it is one line, with exit code 1. Nothing is lost
by an error: a transaction that reverts moves no money, and a worker that stops goes on where it was.

## What people meet most

| what happened | what you see | what to do |
|---|---|---|
| unknown model | `RegistryModelUnknown` | check the identifier, and that you are on the right chain |
| wrong shape, dtype or NaN in the input | the job is declined, then refunded; the worker logs `BadInput` | send what the model's manifest says |
| oversized input | `RouterNoOfferFits`, before anything is paid | keep within the offer's limit, or link larger parts by CID |
| corrupted artifact | `BadArtifact` or `CorruptedBlock` in the worker's log | the block is named: fetch it again, look at the disk |
| fee too low | `RouterFeeTooLow(allowed, asked)` | allow at least what is asked |
| deadline passed | `RouterTooLate(time, deadline)` | nothing to answer any more: `lattice request refund` |
| wrong chain id | `WrongChain`; nothing is signed | name the deployment record of the chain you are on |
| unreachable RPC | `RpcUnreachable`; a provider waits and goes on | check the URL and the network |
| wrong key | `KeyUnavailable`, or `RouterNotOperator(caller, operator)` | use the operator key of the provider |
"""


def contract_rows() -> list[str]:
    """Rows for the errors of the contracts, sorted by contract prefix and name."""
    manifest = json.loads((ROOT / "oracle" / "manifest.json").read_text())["contracts"]
    inputs = {
        entry["name"]: ", ".join(item["name"] for item in entry["inputs"])
        for contract in manifest.values()
        for entry in contract["abi"]
        if entry["type"] == "error"
    }
    return [
        f"| `{name}({inputs[name]})` | {MEANINGS[name].verdict} | {MEANINGS[name].advice} |"
        for name in sorted(inputs)
    ]


def class_rows(module: object, root: type[Exception]) -> list[str]:
    """Rows for the exceptions of a package."""
    classes = [
        kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, root)
    ]
    return [
        f"| `{kind.__name__}` | {getattr(kind, 'action')} | {(kind.__doc__ or '').splitlines()[0]} |"  # noqa: B009
        for kind in classes
        if kind is not root
    ]


def page() -> str:
    """The whole page."""
    sections = [
        (
            "Contracts",
            "What a worker does with it: retry later, skip this transaction, or stop for a person.",
            contract_rows(),
        ),
        (
            "Chain side (`oracle`)",
            "What the caller should do: retry later, refuse this job, or stop for a person.",
            class_rows(oracle_errors, oracle_errors.OracleError),
        ),
        (
            "Compute side (`offchain_worker`)",
            "The same three words.",
            class_rows(worker_errors, worker_errors.WorkerError),
        ),
    ]
    parts = [HEAD]
    for title, text, rows in sections:
        parts.append(
            "\n".join(
                [
                    f"\n## {title}\n",
                    f"{text}\n",
                    "| error | then | what it means or what to do |",
                    "|---|---|---|",
                    *rows,
                    "",
                ]
            )
        )
    return "".join(parts)


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        if not PAGE.is_file() or PAGE.read_text() != page():
            sys.exit("docs/errors.md is stale: run `python tools/error_page.py`")
    else:
        PAGE.write_text(page())
