"""`lattice provider`: register, offer, run, look, claim."""

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from offchain_worker.hardware import detect, usable
from offchain_worker.proofs.throwaway import ThrowawaySigner
from oracle import config, logs
from oracle.chain.offers import Offer, find_offers
from oracle.chain.store import REBUILT, open_read_only
from oracle.chain.transact import transact
from oracle.cli.common import (
    Address,
    Amount,
    ModelId,
    Session,
    first_of,
    home_option,
    json_option,
    say,
    show,
    show_rows,
    shown_amount,
)
from oracle.errors import ConfigError, HomeInUse, StoreUnusable
from oracle.node import connect, open_provider, worker_setup
from oracle.services.doctor import examine, running_pid

PROFILE_COLUMNS = ("backend", "p50_ms", "p99_ms", "peak_bytes", "cosine", "max_batch")


@click.group()
def provider() -> None:
    """Serve models and be paid for it."""


@provider.command()
@home_option
@json_option
@click.option(
    "--operator", type=Address(), help="Address of the key that answers; by default this one."
)
@click.option(
    "--payout", type=Address(), help="Address that earnings are credited to; by default this one."
)
@click.option("--stake", type=Amount(), help="Stake; by default the least there may be.")
def register(
    home: Path, as_json: bool, operator: str | None, payout: str | None, stake: int | None
) -> None:
    """Register a provider of your key (its owner), stake for it, and note its number in the settings."""
    session = Session(home)
    contracts, signer = session.contracts, session.signer
    amount = contracts.read("ProviderStaking", "MIN_STAKE") if stake is None else stake
    receipt = transact(
        contracts,
        signer,
        "ProviderStaking",
        "register",
        operator or signer.address,
        payout or signer.address,
        amount,
        value=amount,
    )
    event = contracts.event("ProviderStaking", "ProviderRegistered")
    number = first_of(event, receipt.logs)["provider"]
    _note_number(home, number)
    show({"provider": number, "stake_wei": amount, "tx": receipt.tx_hash}, as_json)


@provider.command()
@home_option
@json_option
@click.argument("model_id", type=ModelId())
@click.option("--version", type=int, default=0, help="Version of the model; by default the latest.")
@click.option("--ask", type=Amount(), required=True, help="What you ask per unit of work.")
@click.option("--capacity", type=click.IntRange(1, 65_535), default=16, show_default=True)
@click.option(
    "--max-input-bytes", type=click.IntRange(1, 255 * 128), default=16_384, show_default=True
)
@click.option(
    "--window-s", type=int, default=60, show_default=True, help="Time you need to answer."
)
@click.option(
    "--backend", default="onnx", show_default=True, help="Name of your backend, for people."
)
def offer(
    home: Path,
    as_json: bool,
    model_id: bytes,
    version: int,
    ask: int,
    capacity: int,
    max_input_bytes: int,
    window_s: int,
    backend: str,
) -> None:
    """Offer to answer requests for a model. Needs the owner key of the provider."""
    session = Session(home)
    market = session.market(model_id, version)
    terms = {
        "ask": ask,
        "capacity": capacity,
        "inputUnits": -(-max_input_bytes // 128),
        "minWindow": window_s,
        "backend": backend,
    }
    contracts, number = session.contracts, session.provider
    receipt = transact(
        contracts, session.signer, "InferenceRouter", "openOffer", number, market, terms
    )
    market_id = contracts.read("InferenceRouter", "marketIdOf", market)
    offer_id = contracts.read("InferenceRouter", "offerOf", number, market_id)
    price = contracts.read("InferenceRouter", "offer", offer_id)["price"]
    show({"offer": offer_id, "price_wei": price, "tx": receipt.tx_hash}, as_json)


@provider.command()
@home_option
@click.argument("offer_id", type=int, metavar="OFFER")
def close(home: Path, offer_id: int) -> None:
    """Close an OFFER: it gets no more jobs. Those that it has are still to be answered. Needs the owner key."""
    session = Session(home)
    transact(session.contracts, session.signer, "InferenceRouter", "closeOffer", offer_id)
    say(f"offer {offer_id} is closed")


@provider.command()
@json_option
def hardware(as_json: bool) -> None:
    """Show this machine, and which backends can be used on it."""
    found = detect()
    values = {"backends": usable(), "identity": found.identity, **asdict(found)}
    if as_json:
        show(values, True)
        return
    backends = values.pop("backends")
    show(values, False)
    show_rows([{"backend": name, "here": state} for name, state in backends.items()], False, "none")


@provider.command()
@home_option
@json_option
@click.argument("model_cid", metavar="CID")
def profile(home: Path, as_json: bool, model_cid: str) -> None:
    """Measure every backend that runs the model of a CID here, once; the provider takes the first of them.

    A running provider does this by itself, unless two copies of the model would not fit into memory.
    """
    settings = config.load(home)
    worker = worker_setup(settings, connect(settings)).open(ThrowawaySigner())
    rows = [asdict(found) for found in worker.measure(model_cid)]
    if not as_json:
        rows = [{name: row[name] for name in PROFILE_COLUMNS} for row in rows]
    show_rows(rows, as_json, "none")


@provider.command()
@home_option
def run(home: Path) -> None:
    """Answer requests until you stop it (SIGTERM or Ctrl-C: lets models finish and sends what is signed)."""
    settings = config.load(home)
    file = settings.path(settings.paths.log) if settings.paths.log else None
    with (
        logs.written(settings.log_level, file, form=settings.log_format),
        open_provider(settings) as running,
    ):
        running.run()


@provider.command()
@home_option
@json_option
def status(home: Path, as_json: bool) -> None:
    """Show jobs by state, transactions under way and jobs that were given up. Asks the chain nothing."""
    settings = config.load(home)
    file = settings.path(settings.paths.database)
    if not file.is_file():
        raise StoreUnusable(f"there is no job database {file} yet: start `lattice provider run`")

    def rows(sql: str) -> list[dict[str, Any]]:
        try:
            with contextlib.closing(open_read_only(file)) as db:
                return [dict(row) for row in db.execute(sql)]
        except sqlite3.Error as error:
            raise StoreUnusable(
                f"cannot read the job database {file}: {error}; {REBUILT}"
            ) from None

    cursor = rows("SELECT number, hash FROM cursor")
    jobs = {
        row["state"]: row["n"] for row in rows("SELECT state, COUNT(*) n FROM jobs GROUP BY state")
    }
    dead = rows("SELECT job_id, tries, reason FROM dead_letters ORDER BY at_ms DESC LIMIT 20")
    waiting = rows(
        "SELECT purpose, nonce, state FROM outbox WHERE state IN ('signed', 'sent', 'mined') ORDER BY nonce"
    )
    values = {
        "provider": settings.provider.number,
        "process": running_pid(settings),
        "block": cursor[0]["number"] if cursor else None,
        "jobs": jobs,
        "transactions": waiting,
        "given_up": dead,
    }
    if as_json:
        show(values, True)
        return
    show(
        {
            "provider": values["provider"],
            "process": values["process"],
            "block": values["block"],
            "jobs": jobs,
        },
        False,
    )
    show_rows(waiting, False, "no transaction is under way")
    show_rows(dead, False, "no job was given up")


@provider.command()
@home_option
@json_option
def doctor(home: Path, as_json: bool) -> None:
    """Look over settings, endpoints, key, money, models and disk. Exit code 1 when no job could be answered."""
    findings = []
    for finding in examine(config.load(home)):
        findings.append(finding)
        if not as_json:
            say(f"{finding.state:4}  {finding.what}: {finding.found}")
    if as_json:
        show_rows([finding._asdict() for finding in findings], True, "")
    if any(finding.state == "fail" for finding in findings):
        raise click.exceptions.Exit(1)


@provider.command()
@home_option
@click.option(
    "--wait-s",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="How long to wait for its end.",
)
def drain(home: Path, wait_s: float) -> None:
    """Tell the running provider to take nothing more on, finish what is in a model, and end."""
    settings = config.load(home)
    pid = running_pid(settings)
    if pid is None:
        say("no provider is running with this home folder")
        return
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + wait_s
    while running_pid(settings) == pid:
        if time.monotonic() > end:
            raise HomeInUse(
                f"process {pid} has not ended within {wait_s:g} s: a model still runs (limits.drain_s); "
                "wait, or send SIGTERM again to end it at once"
            )
        time.sleep(0.1)
    say(f"process {pid} has ended")


@provider.command("logs")
@home_option
@click.option("--lines", type=click.IntRange(1), default=50, show_default=True)
@click.option("--follow", is_flag=True, help="Go on as there is more.")
def show_logs(home: Path, lines: int, follow: bool) -> None:
    """Show the end of the provider's log."""
    settings = config.load(home)
    file = settings.path(settings.paths.log)
    if not settings.paths.log or not file.is_file():
        raise ConfigError(f"there is no log {file}: start `lattice provider run`, or set paths.log")
    for text in logs.tail(file, lines, follow=follow):
        click.echo(text, nl=False)


@provider.command()
@home_option
@json_option
def claim(home: Path, as_json: bool) -> None:
    """Pay out what your offers have earned: to you, the model's owner and the protocol."""
    session = Session(home)
    contracts = session.contracts
    claimed = []
    for found in find_offers(
        contracts,
        provider=session.provider,
        range_blocks=session.settings.chain.log_range_blocks,
    ):
        if contracts.read("InferenceRouter", "offer", found.offer_id)["earned"] > 0:
            claimed.append(_claim(session, found, as_json))
    show_rows(claimed, as_json, "nothing to claim")


def _claim(session: Session, found: Offer, as_json: bool) -> dict[str, Any]:
    contracts = session.contracts
    amounts = contracts.read("InferenceRouter", "claim", found.offer_id, found.market)
    transact(contracts, session.signer, "InferenceRouter", "claim", found.offer_id, found.market)
    token = found.market["token"]
    shown = [amount if as_json else shown_amount(amount, token) for amount in amounts]
    return {
        "offer": found.offer_id,
        "to_provider": shown[0],
        "to_model": shown[1],
        "to_protocol": shown[2],
    }


def _note_number(home: Path, number: int) -> None:
    """Write the provider's number into the settings file, where it is one line of its own."""
    file = (home / config.FILE_NAME).resolve()  # where it is a link, what it points to
    text, found = re.subn(r"(?m)^number = \d+$", f"number = {number}", file.read_text(), count=1)
    if found:
        written = file.with_name(f".{file.name}")
        written.write_text(text)
        shutil.copymode(file, written)
        written.replace(file)  # in one step: who is killed in the middle keeps the old settings
    else:
        say(f"put `number = {number}` under [provider] in {file}")
