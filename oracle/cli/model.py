"""`lattice model`: models and their artifact folders."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from web3 import Web3

from offchain_worker import manifest
from offchain_worker.pipeline import PACKAGED, add_packaged
from offchain_worker.storage.cid import DAG_PB, Cid
from offchain_worker.storage.service import StorageService
from oracle.chain.revenue import revenue_of
from oracle.chain.transact import transact
from oracle.cli.common import (
    NATIVE,
    Address,
    Amount,
    ModelId,
    Session,
    home_option,
    json_option,
    open_store,
    say,
    show,
    show_rows,
    shown_amount,
)
from oracle.cli.model_import import (
    COMPUTE_UNITS,
    FORMATS,
    INTEGER,
    PRECISIONS,
    SHAPES,
    TOKENS_HELP,
    import_from_hub,
)

MOST_BYTES = 1 << 40

_folder = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def model() -> None:
    """Import, register and look at models."""


@model.command("import")
@home_option
@click.argument("name")
@click.option("--to", type=click.Path(path_type=Path), help="Also write the artifact folders here.")
@click.option(
    "--format",
    "format_",
    type=click.Choice([*FORMATS, INTEGER, "all"]),
    default="onnx",
    show_default=True,
    help="Format to convert to.",
)
@click.option(
    "--quantize",
    type=click.Choice(sorted(PRECISIONS)),
    default="none",
    show_default=True,
    help="Precision of the weights.",
)
@click.option("--revision", default="main", show_default=True, help="Commit, tag or branch.")
@click.option("--tokens", type=click.IntRange(1), default=128, show_default=True, help=TOKENS_HELP)
@click.option(
    "--shapes",
    type=click.Choice(SHAPES),
    default=SHAPES[0],
    show_default=True,
    help="Core ML: lengths of a text. One; 16 and its doubles; or any.",
)
@click.option(
    "--compute-units",
    type=click.Choice(COMPUTE_UNITS),
    default=COMPUTE_UNITS[0],
    show_default=True,
    help="Core ML: what it is to run on. cpu_and_ne is the Neural Engine.",
)
@click.option("--licence", help="SPDX identifier, where the hub has none.")
@click.option("--accept-error", is_flag=True, help="Keep a model that differs too much.")
@click.option("--yes", is_flag=True, help="Download without asking.")
def import_model(home: Path, name: str, to: Path | None, **options: Any) -> None:
    """Put a model into the store of the home folder.

    NAME is a model of a hub, such as sentence-transformers/all-MiniLM-L6-v2, or a folder as a hub has it: it is
    converted, and what comes out is compared with the original. Or it is one that an installed package ships: magika,
    xor. Or it is a file of a static 8-bit ONNX model, for --format integer: the engine is compared with ONNX Runtime.
    """
    store = open_store(home)
    if name in PACKAGED:
        cid = add_packaged(name, store)
        if to is not None:
            store.export(cid, to, MOST_BYTES)
            say(f"wrote {to}")
        say(f"{name} is in the store: {cid}")
        return
    import_from_hub(name, store, to, **options)


@model.command()
@home_option
@click.argument("folder", type=_folder)
def add(home: Path, folder: Path) -> None:
    """Put an artifact FOLDER into the store, so that a provider of this home folder can serve it."""
    manifest.load(folder)
    say(str(open_store(home).add_folder(folder)))


@model.command()
@home_option
@json_option
@click.argument("folder", type=_folder)
@click.option("--price", type=Amount(), default=0, help="What you get per unit of work.")
@click.option(
    "--royalty-bps",
    type=click.IntRange(0, 10_000),
    default=0,
    help="Your share of what providers ask, in 1/10,000.",
)
@click.option("--receiver", type=Address(), help="Who gets price and royalty; by default you.")
@click.option("--name", default="", help="Name for people; by default that of the manifest.")
def register(
    home: Path,
    as_json: bool,
    folder: Path,
    price: int,
    royalty_bps: int,
    receiver: str | None,
    name: str,
) -> None:
    """Register the artifact FOLDER as a new model of yours, under the signature policy."""
    session = Session(home)
    contracts, signer = session.contracts, session.signer
    described = manifest.load(folder)
    stored = asyncio.run(StorageService(open_store(home)).store(folder))
    cid = stored.cid
    version = {
        "digest": cid.digest,
        "possessionRoot": stored.tree.root,
        "integerRoot": bytes(32),
        "manifestHash": bytes(Web3.keccak((folder / manifest.FILE_NAME).read_bytes())),
        "sizeBytes": stored.size_bytes,
        "format": described.format.encode().ljust(16, b"\0"),
    }
    terms = {
        "receiver": receiver or signer.address,
        "price": price,
        "royaltyBps": royalty_bps,
        "token": NATIVE,
    }
    verifier = contracts.address("SignatureVerifier")
    policy = contracts.read("ModelRegistry", "policyIdOf", verifier, NATIVE, NATIVE)
    called = name or described.name
    receipt = transact(
        contracts, signer, "ModelRegistry", "register", called, version, terms, policy
    )
    model_id = contracts.read("ModelRegistry", "modelIdOf", signer.address, version["digest"])
    show(
        {"model": model_id, "version": 1, "name": called, "cid": str(cid), "tx": receipt.tx_hash},
        as_json,
    )


@model.command("show")
@home_option
@json_option
@click.argument("model_id", type=ModelId())
def show_model(home: Path, as_json: bool, model_id: bytes) -> None:
    """Show a model: owner, latest version, price and royalty."""
    session = Session(home)
    found = session.contracts.read("ModelRegistry", "model", model_id)
    terms = session.contracts.read("ModelRegistry", "terms", model_id, found["epoch"])
    content = session.contracts.read("ModelRegistry", "version", model_id, found["versions"])
    price = terms["price"]
    values = {
        "model": model_id,
        "owner": found["owner"],
        "versions": found["versions"],
        "epoch": found["epoch"],
        "price": price if as_json else shown_amount(price, terms["token"]),
        "royalty_bps": terms["royaltyBps"],
        "deprecated": found["deprecated"],
        "format": content["format"].rstrip(b"\0").decode("ascii", "replace"),
        "size_bytes": content["sizeBytes"],
        "cid": str(Cid.of_digest(DAG_PB, content["digest"])),
    }
    show(values, as_json)


@model.command()
@home_option
@json_option
@click.argument("model_id", type=ModelId())
def revenue(home: Path, as_json: bool, model_id: bytes) -> None:
    """Show what a model has earned: claimed, for how many units, and not claimed yet; a row for each epoch."""
    session = Session(home)
    rows = []
    for found in revenue_of(session.contracts, model_id, session.settings.chain.log_range_blocks):
        row = asdict(found)
        if not as_json:
            amounts = ("claimed", "unclaimed", "fees")
            row |= {name: shown_amount(row[name], found.token) for name in amounts}
        rows.append(row)
    show_rows(rows, as_json, "nothing")
