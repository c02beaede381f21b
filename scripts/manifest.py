"""`ape run manifest`: writes `oracle/manifest.json`, the ABI of every deployable contract.

The file is committed, so that a review shows a changed ABI as a diff and an installed worker needs no compiler. With
`--check` nothing is written and a stale file is an error.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
from ape import project

from scripts._support.build import drop_stale_build

PATH = Path(__file__).resolve().parent.parent / "oracle" / "manifest.json"
ALSO = ("IInferenceConsumer", "IProofVerifier", "IResolution")
"""Interfaces that others implement, and so have no bytecode here."""
NOT = ("ProtocolAccess",)
"""Called by its administrators through Ape or a wallet, never by a worker; its errors are OpenZeppelin's."""


def build() -> str:
    """Compile and return the text that the manifest has to have: one line for each ABI entry."""
    drop_stale_build()
    contracts: dict[str, list[str]] = {}
    for name, contract_type in project.load_contracts().items():
        folder = Path(contract_type.source_id or "").parent.name
        code = contract_type.deployment_bytecode
        deployable = (
            folder in ("contracts", "modules", "verifiers", "resolutions", "randomness")
            and code
            and (code.bytecode or "0x") != "0x"  # abstract
        )
        if (deployable and name not in NOT) or name in ALSO:
            contracts[name] = sorted(
                json.dumps(json.loads(entry.model_dump_json(exclude_none=True)), sort_keys=True)
                for entry in contract_type.abi
            )
    parts = [
        f' "{name}": {{"abi": [\n  ' + ",\n  ".join(entries) + "\n ]}"
        for name, entries in sorted(contracts.items())
    ]
    return '{"contracts": {\n' + ",\n".join(parts) + "\n}}\n"


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail when the file is stale.")
def cli(check: bool) -> None:
    """Write oracle/manifest.json from the contracts."""
    text = build()
    if check and (not PATH.is_file() or PATH.read_text() != text):
        raise click.ClickException("oracle/manifest.json is stale: run `ape run manifest`")
    if not check:
        PATH.write_text(text)
        click.echo(f"wrote {PATH.name}: {len(json.loads(text)['contracts'])} contracts")
