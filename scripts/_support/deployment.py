"""Deploys Lattice to the network that Ape is connected to, and writes the deployment record.

Safe to run again: a contract whose code and constructor arguments are those of the record, on the chain of the record,
is left alone. The record is written after every contract, so a run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ape import chain, project
from eth_utils import keccak

from scripts._support.build import drop_stale_build
from scripts._support.plan import PLAN, Settings

ROOT = Path(__file__).resolve().parents[2]


def record_path(chain_id: int, folder: Path = ROOT / "deployments") -> Path:
    """Where the record of a chain lies: one file per chain id."""
    return folder / f"chain-{chain_id}.json"


def deploy(
    sender: Any,
    chosen: Settings,
    path: Path,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Deploy what is not deployed yet, in order of dependence.

    Args:
        sender: Ape account that pays; it gets no power over anything by that.
        chosen: What the deployment chooses.
        path: Deployment record to read and to write.
        say: Gets one line per contract.

    Returns:
        The record: chain id, hash of block 0, and per contract address, block, transaction and hash of the init code.
    """
    drop_stale_build()
    record = _read(path)
    at: dict[str, str] = {}
    for name, arguments in PLAN.items():
        entry = record["contracts"].get(name)
        container = getattr(project, name)
        args = arguments(at, chosen)
        init_code_hash = _init_code_hash(container, args)
        if (
            entry
            and entry["init_code_hash"] == init_code_hash
            and chain.provider.get_code(entry["address"])
        ):
            say(f"{name:18} {entry['address']}  unchanged")
        else:
            instance = sender.deploy(container, *args)
            receipt = instance.creation_metadata.receipt
            entry = {
                "address": instance.address,
                "block": receipt.block_number,
                "tx": receipt.txn_hash,
                "init_code_hash": init_code_hash,
            }
            record["contracts"][name] = entry
            _write(path, record)
            say(f"{name:18} {entry['address']}  deployed, {receipt.gas_used:,} gas")
        at[name] = entry["address"]
    return record


def _init_code_hash(container: Any, args: list[Any]) -> str:
    encoded = container.constructor.encode_input(*args) if args else b""
    code: bytes = container.contract_type.get_deployment_bytecode()
    return "0x" + keccak(code + bytes(encoded)).hex()


def _read(path: Path) -> dict[str, Any]:
    """Read the record, or begin one; one of another chain with the same id is begun anew."""
    fresh = {
        "chain_id": chain.chain_id,
        "genesis": "0x" + bytes(chain.provider.get_block(0).hash or b"").hex(),
        "contracts": {},
    }
    if not path.is_file():
        return fresh
    record: dict[str, Any] = json.loads(path.read_text())
    same = (record["chain_id"], record["genesis"]) == (fresh["chain_id"], fresh["genesis"])
    return record if same else fresh


def _write(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(partial, path)
