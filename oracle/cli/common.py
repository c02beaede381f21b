"""What the commands share: options, amounts, tables, and the way to the chain."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from web3 import Web3

from offchain_worker.storage.store import EmbeddedStore
from oracle import config
from oracle.chain.abi import Event
from oracle.chain.contracts import Contracts
from oracle.chain.events import EventReader, RouterEvent
from oracle.chain.outbox import TransactionSigner
from oracle.errors import ConfigError
from oracle.node import connect, open_signer

NATIVE = "0x" + "00" * 20
FILE_WIDTH = 200
"""Columns of a table that goes into a pipe or a file."""

_UNITS = {"wei": 1, "gwei": 10**9, "ether": 10**18, "eth": 10**18}

Command = TypeVar("Command", bound=Callable[..., Any])


def home_option(command: Command) -> Command:
    """Add `--home`."""
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path(".lattice"),
        envvar="LATTICE_HOME",
        show_default=True,
        help="Home folder: settings, jobs, models.",
    )(command)


def json_option(command: Command) -> Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


class Amount(click.ParamType):
    """An amount of money: `1000` (smallest unit), `5gwei`, `0.1ether`."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the amount in the smallest unit."""
        text = str(value).strip().lower()
        unit = next((unit for unit in ("gwei", "wei", "ether", "eth") if text.endswith(unit)), "")
        try:
            amount = Decimal(text.removesuffix(unit).strip()) * _UNITS.get(unit, 1)
            fits = amount.is_finite() and 0 <= amount < 1 << 256 and amount == int(amount)
        except InvalidOperation:
            fits = False
        if not fits:
            self.fail(
                f"expected an amount such as 1000 (wei), 5gwei or 0.1ether, got {value!r}",
                param,
                ctx,
            )
        return int(amount)


class ModelId(click.ParamType):
    """A model's identifier: 0x and 64 hex digits."""

    name = "model"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        """Return the 32 bytes."""
        if isinstance(value, bytes):
            return value
        try:
            data = bytes.fromhex(str(value).removeprefix("0x"))
        except ValueError:
            data = b""
        if len(data) != 32:
            self.fail(f"expected 0x and 64 hex digits, got {value!r}", param, ctx)
        return data


class Address(click.ParamType):
    """An address: 0x and 40 hex digits."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the address with checksum."""
        if not Web3.is_address(value):
            self.fail(f"expected an address, 0x and 40 hex digits, got {value!r}", param, ctx)
        return Web3.to_checksum_address(value)


def shown_amount(wei: int, token: str = NATIVE) -> str:
    """Return an amount for people."""
    if token != NATIVE:
        return f"{wei} of {token}"
    return f"{Decimal(wei) / 10**18:f} ether" if wei >= 10**12 else f"{wei} wei"


class Session:
    """Settings, contracts and (when asked for) the key of a home folder."""

    def __init__(self, home: Path) -> None:
        self.settings = config.load(home)
        self.contracts: Contracts = connect(self.settings)
        self._signer: TransactionSigner | None = None

    @property
    def signer(self) -> TransactionSigner:
        """The key, opened when first needed."""
        if self._signer is None:
            self._signer = open_signer(self.settings, self.contracts)
        return self._signer

    @property
    def provider(self) -> int:
        """Our provider number.

        Raises:
            ConfigError: there is none.
        """
        if self.settings.provider.number == 0:
            raise ConfigError(
                "provider.number is 0, expected the number that `lattice provider register` gave"
            )
        return self.settings.provider.number

    def events(self, logs: Sequence[Mapping[str, Any]]) -> list[RouterEvent]:
        """Return the job events of the router among raw logs."""
        reader = EventReader(self.contracts.events("InferenceRouter"))
        router = self.contracts.address("InferenceRouter").lower()
        return [
            reader.read(log)
            for log in logs
            if log["address"].lower() == router and log["topics"][0] in reader.topics
        ]

    def market(self, model_id: bytes, version: int) -> dict[str, Any]:
        """Return the market of a model version: current terms, signature policy.

        Raises:
            Reverted: there is no such model.
        """
        model = self.contracts.read("ModelRegistry", "model", model_id)
        terms = self.contracts.read("ModelRegistry", "terms", model_id, model["epoch"])
        return {
            "modelId": model_id,
            "version": version or model["versions"],
            "epoch": model["epoch"],
            "token": terms["token"],
            "verifier": self.contracts.address("SignatureVerifier"),
            "secondVerifier": NATIVE,
            "resolution": NATIVE,
        }


def open_store(home: Path) -> EmbeddedStore:
    """Return the store of a home folder."""
    settings = config.load(home)
    return EmbeddedStore(settings.path(settings.paths.store))


def first_of(event: Event, logs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the arguments of the first log of an event, which a receipt has to have."""
    return event.read(next(log for log in logs if log["topics"][0] == event.topic))


def say(text: str) -> None:
    """Print a line for people."""
    click.echo(text)


def show(values: Mapping[str, Any], as_json: bool) -> None:
    """Print names and values, as JSON or as a table."""
    if as_json:
        click.echo(json.dumps(values, indent=2, default=_plain))
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        text = (
            json.dumps(value, default=_plain)
            if isinstance(value, dict | list)
            else str(_plain(value))
        )
        table.add_row(name.replace("_", " "), text)
    Console(soft_wrap=False, highlight=False, markup=False).print(table)


def show_rows(rows: Sequence[Mapping[str, Any]], as_json: bool, empty: str) -> None:
    """Print rows with the same columns, as a JSON list or as a table."""
    if as_json:
        click.echo(json.dumps(list(rows), indent=2, default=_plain))
    elif not rows:
        click.echo(empty)
    else:
        table = Table()
        for name in rows[0]:  # folded, never cut: people copy addresses and numbers from here
            table.add_column(name.replace("_", " "), overflow="fold")
        for row in rows:
            table.add_row(*(str(_plain(value)) for value in row.values()))
        width = None if sys.stdout.isatty() else FILE_WIDTH
        Console(highlight=False, markup=False, width=width).print(table)


def _plain(value: Any) -> Any:
    return "0x" + value.hex() if isinstance(value, bytes) else value
