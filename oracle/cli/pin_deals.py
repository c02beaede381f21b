"""`lattice pin` of deals: pay others for keeping a model, keep models of others, and be paid for it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from offchain_worker.storage.store import EmbeddedStore
from oracle.chain.transact import transact
from oracle.cli.common import (
    Amount,
    ModelId,
    Session,
    first_of,
    home_option,
    json_option,
    open_store,
    say,
    show,
    show_rows,
)
from oracle.cli.pin import MOST_BYTES, SIZE, from_option, pin, with_service
from oracle.errors import RpcError, SignerUnavailable, StoreBusy
from oracle.node import open_pin_sender
from oracle.services.pin_places import PinPlaces
from oracle.services.pin_sender import PinSender
from oracle.services.pinning import PinningManager, beside

DAY_S = 86_400
EVERY_S = 5.0

_U8, _U16, _U32 = ((1 << bits) - 1 for bits in (8, 16, 32))

# --- funders


@pin.command()
@home_option
@json_option
@click.argument("model_id", type=ModelId())
@click.option(
    "--version",
    type=click.IntRange(0, _U32),
    default=0,
    help="Version of the model; by default the latest.",
)
@click.option("--rate", type=Amount(), required=True, help="Pay per GiB and day.")
@click.option("--bond", type=Amount(), help="Bond of a place; by default all that it can earn.")
@click.option(
    "--period-s",
    type=click.IntRange(1, _U32),
    default=DAY_S,
    show_default=True,
    help="Average between challenges.",
)
@click.option(
    "--window-s",
    type=click.IntRange(1, _U32),
    default=2_400,
    show_default=True,
    help="Time to answer.",
)
@click.option(
    "--challenges",
    type=click.IntRange(1, _U16),
    default=30,
    show_default=True,
    help="Challenges of a place.",
)
@click.option(
    "--samples",
    type=click.IntRange(1, _U8),
    default=4,
    show_default=True,
    help="Leaves per challenge.",
)
@click.option(
    "--copies",
    type=click.IntRange(1, _U16),
    default=3,
    show_default=True,
    help="Pinners at the same time.",
)
@click.option(
    "--join-days",
    type=click.FloatRange(0, 36_500),
    default=7.0,
    show_default=True,
    help="How long pinners may join.",
)
def fund(
    home: Path,
    as_json: bool,
    model_id: bytes,
    version: int,
    rate: int,
    bond: int | None,
    period_s: int,
    window_s: int,
    challenges: int,
    samples: int,
    copies: int,
    join_days: float,
) -> None:
    """Open a deal for MODEL_ID, and pay for all of its places now."""
    session = Session(home)
    read = session.contracts.read
    number = version or read("ModelRegistry", "model", model_id)["versions"]
    size = read("ModelRegistry", "version", model_id, number)["sizeBytes"]
    pay = read("IPFSIncentives", "payOf", rate, size, period_s)
    terms = {
        "rate": rate,
        "bond": pay * challenges if bond is None else bond,
        "period": period_s,
        "window": window_s,
        "challenges": challenges,
        "samples": samples,
        "copies": copies,
        "joinUntil": int(session.contracts.rpc.head()["timestamp"], 16) + int(join_days * DAY_S),
    }
    total = pay * challenges * copies
    receipt = transact(
        *(session.contracts, session.signer, "IPFSIncentives", "openDeal", model_id, number, terms),
        value=total,
    )
    event = session.contracts.event("IPFSIncentives", "DealOpened")
    deal = first_of(event, receipt.logs)["dealId"]
    values = {"deal": deal, "paid_wei": total, "bond_wei": terms["bond"]}
    show(values | {"tx": receipt.tx_hash}, as_json)


@pin.command()
@home_option
@click.argument("deal", type=int)
def reclaim(home: Path, deal: int) -> None:
    """Give the funder of DEAL what nobody earned, after the last moment to join."""
    session = Session(home)
    receipt = transact(session.contracts, session.signer, "IPFSIncentives", "reclaim", deal)
    say(f"reclaimed in {receipt.tx_hash}")


# --- pinners


@pin.command()
@home_option
@json_option
def deals(home: Path, as_json: bool) -> None:
    """List deals with a free place, the most profitable first."""
    rows = [asdict(offer) | {"cid": str(offer.cid)} for offer in _places(home).offered()]
    show_rows(rows, as_json, "no deal has a free place")


@pin.command()
@home_option
@click.argument("deal", type=int)
@from_option
def join(home: Path, deal: int, gateways: tuple[str, ...]) -> None:
    """Fetch and check the version of DEAL, and take a place in it."""
    with _pinner(home) as (manager, sender, store):
        purpose = _take(manager, store, deal, gateways, lambda: _tick(manager), EVERY_S)
        say(f"joined in {sender.wait(purpose)}")


@pin.command()
@home_option
@from_option
@click.option("--take", is_flag=True, help="Also join deals that pay more than they cost.")
@click.option("--max-bytes", type=SIZE, default=MOST_BYTES, help="Join no deal for more than this.")
@click.option(
    "--every-s",
    type=click.FloatRange(0.01, DAY_S),
    default=EVERY_S,
    show_default=True,
    help="How often to look.",
)
def run(home: Path, gateways: tuple[str, ...], take: bool, max_bytes: int, every_s: float) -> None:
    """Answer challenges and claim rewards until told to end."""
    refused: set[int] = set()
    while True:
        try:
            with _pinner(home) as (manager, _, store):
                while True:
                    with _waiting():
                        manager.tick()
                        if take:
                            _take_profitable(manager, store, gateways, refused, max_bytes, every_s)
                    time.sleep(every_s)
        except (RpcError, SignerUnavailable, StoreBusy) as error:  # at the start, or a full disk
            if error.action != "retry":
                raise
            say(f"waiting: {error}")
            time.sleep(every_s)


def _take_profitable(
    manager: PinningManager,
    store: EmbeddedStore,
    gateways: tuple[str, ...],
    refused: set[int],
    max_bytes: int,
    every_s: float = EVERY_S,
) -> None:
    """Join the deals that pay more than they cost, but for those that were refused before."""
    for offer in manager.places.offered():
        wanted = offer.profit_wei > 0 and offer.size_bytes <= max_bytes
        if wanted and offer.deal_id not in refused:
            _try_to_take(manager, store, offer.deal_id, gateways, refused, every_s)


def _try_to_take(
    manager: PinningManager,
    store: EmbeddedStore,
    deal: int,
    gateways: tuple[str, ...],
    refused: set[int],
    every_s: float = EVERY_S,
) -> None:
    """Join a deal. One bad deal must not end the others; one that only failed for now is tried again."""
    try:
        _take(manager, store, deal, gateways, lambda: _tick(manager), every_s)
    except Exception as error:
        if getattr(error, "action", "stop") == "retry":
            say(f"deal {deal} waits: {error}")
            return
        refused.add(deal)
        say(f"deal {deal} is left alone: {error}")


@pin.command()
@home_option
@json_option
def status(home: Path, as_json: bool) -> None:
    """Show our places: what is proved, missed, owed and next."""
    rows = [asdict(held) | {"cid": str(held.cid)} for held in _places(home).held()]
    show_rows(rows, as_json, "no place in any deal")


@pin.command()
@home_option
@json_option
def stats(home: Path, as_json: bool) -> None:
    """Show sums over all places, and what this store keeps."""
    held = _places(home).held()
    decided = sum(place.decided for place in held)
    values = {
        "places": len(held),
        "places_that_last": sum(not place.ended for place in held),
        "paid_for_bytes": sum(place.size_bytes for place in held if not place.ended),
        "challenges_proved": sum(place.proved for place in held),
        "challenges_missed": sum(place.missed for place in held),
        "proved_share": sum(place.proved for place in held) / decided if decided else None,
        "owed_wei": sum(place.owed_wei for place in held),
        "earned_wei": sum(place.earned_wei for place in held),
        "pins": len(open_store(home).pins.all()),
    }
    show(values, as_json)


@pin.command()
@home_option
@click.argument("deal", type=int)
def claim(home: Path, deal: int) -> None:
    """Claim what our place in DEAL has earned so far, to the balance in the Vault."""
    with _pinner(home) as (manager, sender, _):
        purpose = manager.claim(deal)
        say(f"claimed in {sender.wait(purpose)}" if purpose else f"nothing is owed for deal {deal}")


def _places(home: Path) -> PinPlaces:
    session = Session(home)
    return PinPlaces(session.contracts, session.signer.address)


@contextmanager
def _pinner(home: Path) -> Iterator[tuple[PinningManager, PinSender, EmbeddedStore]]:
    session, store = Session(home), open_store(home)
    places = PinPlaces(session.contracts, session.signer.address)
    with open_pin_sender(session.settings, session.contracts) as sender:
        yield PinningManager(session.contracts, places, sender, store), sender, store


def _take(
    manager: PinningManager,
    store: EmbeddedStore,
    deal: int,
    gateways: tuple[str, ...],
    meanwhile: Callable[[], None],
    every_s: float,
) -> str:
    """Fetch and join, and go on with what else there is to do while the fetch takes its time."""
    return with_service(
        store, gateways, lambda service: beside(manager.take(deal, service.pin), meanwhile, every_s)
    )


def _tick(manager: PinningManager) -> None:
    with _waiting():
        manager.tick()


@contextmanager
def _waiting() -> Iterator[None]:
    """Say what fails only for now, and go on."""
    try:
        yield
    except (RpcError, SignerUnavailable) as error:
        if error.action != "retry":
            raise
        say(f"waiting: {error}")
