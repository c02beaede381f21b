"""`lattice request`: ask, look, take back."""

import json
import time
from pathlib import Path
from typing import Any

import click

from offchain_worker import payload
from oracle.chain.events import ChainJob, RouterEvent, add_up, terms_of
from oracle.chain.history import read_logs
from oracle.chain.transact import transact
from oracle.cli.common import (
    NATIVE,
    Amount,
    ModelId,
    Session,
    home_option,
    json_option,
    say,
    show,
    shown_amount,
)
from oracle.errors import RequestFailed, RpcError

PUBLIC = (
    "Inputs and outputs are PUBLIC for ever: they are written to the blockchain, where anyone can read them and nobody "
    "can delete them."
)
POLL_S = 0.2


@click.group()
def request() -> None:
    """Ask for inferences."""


@request.command()
@home_option
@json_option
@click.argument("model_id", type=ModelId())
@click.option(
    "--file", "files", multiple=True, metavar="NAME=PATH", help="Input NAME: the bytes of a file."
)
@click.option("--text", "texts", multiple=True, metavar="NAME=TEXT", help="Input NAME: a text.")
@click.option(
    "--value", "values", multiple=True, metavar="NAME=JSON", help="Input NAME: a JSON value."
)
@click.option("--version", type=int, default=0, help="Version of the model; by default the latest.")
@click.option(
    "--offer", type=int, default=0, help="Offer that should answer; by default one is drawn."
)
@click.option(
    "--max-price", type=Amount(), help="Most to pay; by default the highest price on offer."
)
@click.option("--deadline-s", type=int, default=600, show_default=True, help="Time for the answer.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the answer.")
@click.option("--yes", is_flag=True, help="Inputs and outputs may be public; do not ask.")
def send(
    home: Path,
    as_json: bool,
    model_id: bytes,
    files: tuple[str, ...],
    texts: tuple[str, ...],
    values: tuple[str, ...],
    version: int,
    offer: int,
    max_price: int | None,
    deadline_s: int,
    no_wait: bool,
    yes: bool,
) -> None:
    """Ask MODEL_ID for one inference, pay with the same transaction, and wait for the answer."""
    session = Session(home)
    data = payload.encode(_inputs(files, texts, values))
    market = session.market(model_id, version)
    price = max_price if max_price is not None else _highest_price(session, market, offer)
    _confirm_public(home, yes)
    now_s = _next_block_time_s(session)
    asked = {
        "market": market,
        "offerId": offer,
        "units": 1,
        "callbackGas": 0,
        "deadline": now_s + deadline_s,
        "maxPrice": price,
        "input": data,
    }
    native = market["token"] == NATIVE
    receipt = transact(
        session.contracts,
        session.signer,
        "InferenceRouter",
        "request",
        asked,
        value=price if native else 0,
    )
    job_id = session.events(receipt.logs)[0].job_id
    if no_wait:
        show({"job": job_id, "tx": receipt.tx_hash}, as_json)
        return
    if not as_json:
        say(f"job {job_id} is on chain, waiting for the answer")
    job = wait_for_answer(session, job_id, receipt.block_number, deadline_s)
    show(_job_table(job, as_json), as_json)


@request.command("show")
@home_option
@json_option
@click.argument("job_id", type=int)
def show_request(home: Path, as_json: bool, job_id: int) -> None:
    """Show a job: its state, its terms and, if there is one, its answer."""
    session = Session(home)
    show(_job_table(_find(session, job_id), as_json), as_json)


@request.command()
@home_option
@click.argument("job_id", type=int)
def refund(home: Path, job_id: int) -> None:
    """Take back the money of a job that nobody answered until its deadline."""
    session = Session(home)
    job = _find(session, job_id)
    terms = terms_of(job.terms)
    transact(session.contracts, session.signer, "InferenceRouter", "refund", job_id, terms)
    amount = shown_amount(terms["price"] + terms["bond"], terms["token"])
    say(f"{amount} of job {job_id} went back to {terms['requester']} in the Vault")


def _inputs(
    files: tuple[str, ...], texts: tuple[str, ...], values: tuple[str, ...]
) -> dict[str, Any]:
    """Return the input by name from the three kinds of options."""
    inputs: dict[str, Any] = {}
    for options, read in ((files, _read_file), (texts, str), (values, _read_json)):
        for option in options:
            name, found, content = option.partition("=")
            if not found or not name:
                raise click.UsageError(f"expected NAME=..., got {option!r}")
            inputs[name] = read(content)
    if not inputs:
        raise click.UsageError(
            "expected an input: --file NAME=PATH, --text NAME=TEXT or --value NAME=JSON"
        )
    return inputs


def _read_file(path: str) -> bytes:
    return Path(path).read_bytes()


def _read_json(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"expected JSON, got {text!r}: {error}") from None
    if isinstance(value, dict) and set(value) == {"dtype", "shape", "data"}:
        import numpy as np  # only for tensors

        return np.array(value["data"], dtype=value["dtype"]).reshape(value["shape"])
    return value


def _confirm_public(home: Path, yes: bool) -> None:
    """Say once per home folder that everything is public, and go on only if that is understood."""
    mark = home / "public-understood"
    if mark.exists():
        return
    click.echo(PUBLIC, err=True)
    if not yes:
        click.confirm("Go on?", abort=True, err=True)
    mark.touch()


def _highest_price(session: Session, market: dict[str, Any], offer: int) -> int:
    """The price of the named offer, or the highest of those that could be drawn (of the first 64 tickets)."""
    contracts = session.contracts
    if offer:
        return int(contracts.read("InferenceRouter", "offer", offer)["price"])
    market_id = contracts.read("InferenceRouter", "marketIdOf", market)
    tickets = min(contracts.read("InferenceRouter", "ticketCount", market_id), 64)
    offers = {
        contracts.read("InferenceRouter", "ticketAt", market_id, index) for index in range(tickets)
    }
    if not offers:
        raise RequestFailed(
            f"nobody offers model 0x{market['modelId'].hex()} version {market['version']} now: "
            "choose another version, or wait for a provider"
        )
    return max(
        int(contracts.read("InferenceRouter", "offer", number)["price"]) for number in offers
    )


def _next_block_time_s(session: Session) -> int:
    """Time of the block that a transaction sent now will be in: the latest block of a quiet chain may be old."""
    rpc = session.contracts.rpc
    return int((rpc.block("pending") or rpc.head())["timestamp"], 16)


def _events(session: Session, job_id: int, first: int) -> list[RouterEvent]:
    contracts = session.contracts
    last = int(contracts.rpc.call("eth_blockNumber"), 16)
    ranges = read_logs(
        contracts.rpc,
        contracts.address("InferenceRouter"),
        [None, f"0x{job_id:064x}"],
        first,
        last,
        session.settings.chain.log_range_blocks,
    )
    events = session.events([log for _, logs in ranges for log in logs])
    return [event for event in events if event.job_id == job_id]


def _find(session: Session, job_id: int) -> ChainJob:
    first = session.contracts.deployment.at("InferenceRouter").block
    job = add_up(_events(session, job_id, first))
    if job is None:
        last = session.contracts.read("InferenceRouter", "lastJobId")
        raise RequestFailed(f"there is no job {job_id}, the latest is {last}")
    return job


def wait_for_answer(session: Session, job_id: int, first: int, timeout_s: int) -> ChainJob:
    """Wait for a job's answer, also while the endpoint fails: the job is paid for.

    Args:
        session: Where.
        job_id: Job.
        first: Block of its request.
        timeout_s: Longest wait, in seconds.

    Raises:
        RequestFailed: it was refunded, or there is no answer in time.
    """
    end = time.monotonic() + timeout_s
    declined = False
    while time.monotonic() < end:
        try:
            job = add_up(_events(session, job_id, first))
        except RpcError as error:
            if error.action != "retry":
                raise
            job = None
        if job is not None and job.status == "open" and not declined:
            declined = True
            click.echo("its provider gave it back; it waits for another one to take it", err=True)
        if job is not None and job.status == "refunded":
            raise RequestFailed(f"job {job_id} was refunded: nobody answered it")
        if job is not None and job.status in ("answered", "settled"):
            return job
        time.sleep(POLL_S)
    raise RequestFailed(
        f"job {job_id} was not answered within {timeout_s} s: "
        f"`lattice request refund {job_id}` takes the money back"
    )


def _job_table(job: ChainJob, as_json: bool) -> dict[str, Any]:
    terms = job.terms
    price = terms["price"]
    table = {
        "job": job.job_id,
        "state": job.status,
        "provider": job.provider,
        "model": terms["modelId"],
        "version": terms["version"],
        "price": price if as_json else shown_amount(price, terms["token"]),
        "deadline_s": terms["deadline"],
    }
    if job.output:
        data = bytes.fromhex(job.output[2:])
        table["answer"] = payload.for_people(payload.decode(data, payload.MAX_OUTPUT_BYTES))
    return table
