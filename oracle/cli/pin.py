"""`lattice pin` of files: keep models by their CID, fetch them, and let others keep them, too."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from offchain_worker.storage.audit import audit
from offchain_worker.storage.car import write_car
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.peers.gateway import Gateway
from offchain_worker.storage.peers.kubo import Kubo
from offchain_worker.storage.peers.pinning_service import PinningService
from offchain_worker.storage.service import StorageService
from offchain_worker.storage.store import EmbeddedStore
from offchain_worker.storage.walk import Stat
from oracle.cli.common import (
    Command,
    home_option,
    json_option,
    open_store,
    say,
    show,
)

MOST_BYTES = 1 << 40
MOST_SAMPLES = 100_000
SIZE = click.IntRange(0, 1 << 63)
"""A number of bytes."""

Result = TypeVar("Result")


class CidType(click.ParamType):
    """A CID such as bafybei..."""

    name = "cid"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Cid:
        """Return the CID; a wrong one is an error of the command."""
        return value if isinstance(value, Cid) else Cid.parse(str(value))


def from_option(command: Command) -> Command:
    """Add `--from`."""
    return click.option(
        "--from", "gateways", multiple=True, help="Gateway to fetch from; repeat for more."
    )(command)


def max_bytes_option(command: Command) -> Command:
    """Add `--max-bytes`."""
    return click.option(
        "--max-bytes", type=SIZE, default=MOST_BYTES, help="Refuse what is longer."
    )(command)


@click.group()
def pin() -> None:
    """Keep models by their CID, be paid for it, and pay others for it."""


@pin.command()
@home_option
@json_option
@click.argument("path", type=click.Path(exists=True, path_type=Path))
def add(home: Path, as_json: bool, path: Path) -> None:
    """Store and pin a file or folder."""
    found = asyncio.run(StorageService(open_store(home)).store(path))
    values = {
        "cid": str(found.cid),
        "size_bytes": found.size_bytes,
        "shards": len(found.shards),
        "possession_root": found.tree.root,
    }
    show(values, as_json)


@pin.command()
@home_option
@json_option
@click.argument("cid", type=CidType())
@from_option
@max_bytes_option
@click.option("--to", type=click.Path(path_type=Path), help="Also write the file or folder here.")
def get(
    home: Path,
    as_json: bool,
    cid: Cid,
    gateways: tuple[str, ...],
    max_bytes: int,
    to: Path | None,
) -> None:
    """Fetch what is missing of CID, check it, and pin it."""
    if to is not None and (to.exists() or to.is_symlink()):
        raise FileExistsError(f"expected nothing at {to}")

    async def run(service: StorageService) -> Stat:
        found = await service.pin(cid, max_bytes)
        if to is not None:
            await service.retrieve(cid, to, max_bytes)
        return found

    show(asdict(with_service(open_store(home), gateways, run)), as_json)


@pin.command("export")
@home_option
@click.argument("cid", type=CidType())
@click.argument("to", type=click.Path(path_type=Path))
@from_option
@max_bytes_option
def export_car(home: Path, cid: Cid, to: Path, gateways: tuple[str, ...], max_bytes: int) -> None:
    """Write CID with all below it to a CAR file."""
    with_service(open_store(home), gateways, lambda service: service.export_car(cid, to, max_bytes))
    say(f"wrote {to}")


@pin.command("import")
@home_option
@click.argument("car", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@max_bytes_option
def import_car(home: Path, car: Path, max_bytes: int) -> None:
    """Store and pin what a CAR file holds; shows its root."""
    say(str(open_store(home).add_car(car, max_bytes)))


@pin.command()
@home_option
@click.argument("cid", type=CidType())
@click.option("--kubo", "nodes", multiple=True, help="RPC of a Kubo node: it gets all of CID.")
@click.option(
    "--service", "services", multiple=True, help="Pinning service: it fetches CID itself."
)
@click.option("--token-env", default="", help="Environment variable with the services' token.")
@max_bytes_option
def share(
    home: Path,
    cid: Cid,
    nodes: tuple[str, ...],
    services: tuple[str, ...],
    token_env: str,
    max_bytes: int,
) -> None:
    """Let other nodes keep CID, too."""
    if not nodes and not services:
        raise click.UsageError("name a --kubo or a --service")
    store = open_store(home)

    async def run() -> None:
        for url in nodes:
            async with Kubo(url) as kubo:
                await kubo.push(write_car(cid, store.get, max_bytes))
                say(f"{kubo.name} keeps it")
        for url in services:
            async with PinningService(url, os.environ.get(token_env, "")) as service:
                await service.pin(cid)
                say(f"{service.name} keeps it")

    asyncio.run(run())


@pin.command()
@home_option
@click.argument("cid", type=CidType())
def rm(home: Path, cid: Cid) -> None:
    """Keep CID no longer, and delete its blocks that nothing else needs."""
    say(f"deleted {open_store(home).unpin(cid)} blocks")


@pin.command()
@json_option
@click.argument("cid", type=CidType())
@click.option("--at", "gateway", required=True, help="The gateway of whoever should have it.")
@click.option(
    "--samples",
    type=click.IntRange(1, MOST_SAMPLES),
    default=20,
    show_default=True,
    help="Random leaves to ask for.",
)
def check(as_json: bool, cid: Cid, gateway: str, samples: int) -> None:
    """Ask somebody else for random leaves of CID, and check them."""

    async def run() -> Any:
        async with Gateway(gateway) as peer:
            return await audit(peer, cid, samples)

    show(asdict(asyncio.run(run())), as_json)


def with_service(
    store: EmbeddedStore,
    gateways: tuple[str, ...],
    do: Callable[[StorageService], Awaitable[Result]],
) -> Result:
    """Return what `do` gives with a service over the store, which fetches from these gateways."""

    async def run() -> Result:
        async with AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(Gateway(url)) for url in gateways]
            return await do(StorageService(store, peers))

    return asyncio.run(run())
