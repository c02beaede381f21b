"""Looks over all that a provider needs, a finding per line, and says what to do about each that is not well."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from offchain_worker.backends import open_for
from offchain_worker.errors import WorkerError
from offchain_worker.job import NO_ADDRESS
from offchain_worker.proofs.throwaway import ThrowawaySigner
from offchain_worker.storage.cid import DAG_PB, Cid
from offchain_worker.storage.store import EmbeddedStore
from offchain_worker.worker import Worker
from oracle.chain.contracts import Contracts
from oracle.chain.offers import Offer, find_offers
from oracle.chain.outbox import TransactionSigner
from oracle.chain.rpc import Rpc
from oracle.config import Settings
from oracle.errors import OracleError
from oracle.node import connect, open_database, open_signer, worker_setup
from oracle.policy import ANSWER_GAS

FEW_ANSWERS = 100
"""Warn when the money for gas is for fewer answers than this."""
LEAST_FREE_BYTES = 1 << 30


class Finding(NamedTuple):
    """One line: `state` "fail" means that no job can be answered until somebody has done what `found` says."""

    state: Literal["ok", "warn", "fail"]
    what: str
    found: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at settings, endpoints, contracts, key, money, models, disk; end early where nothing can follow."""
    yield Finding("ok", "settings", f"{settings.home / 'lattice.toml'} is complete")
    try:
        contracts = connect(settings)
    except OracleError as error:
        yield Finding("fail", "deployment", str(error))
        return
    yield from _endpoints(settings, contracts)
    try:
        contracts.rpc.head()
    except OracleError as error:
        advice = "name others under chain.rpc_urls, or look at the network and at chain.deployment"
        yield Finding("fail", "chain", f"{error}; {advice}")
        return
    yield _try("contracts", lambda: _contracts(contracts))
    signer: TransactionSigner | None = None
    try:
        signer = open_signer(settings, contracts)
        signer.check()
        yield _key(settings, signer.address)
    except OracleError as error:
        yield Finding("fail", "key", str(error))
    if settings.provider.number == 0:
        yield Finding("fail", "provider", "it has no number: run `lattice provider register`")
        return
    if signer is not None:
        address = signer.address
        yield _try("operator", lambda: _operator(settings, contracts, address))
        yield _try("money for gas", lambda: _money(contracts, address))
    yield from _offers(settings, contracts)
    yield _try("job database", lambda: _database(settings, contracts))
    yield _disk(settings)
    yield _process(settings)


def _try(what: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except OracleError as error:
        return Finding("fail", what, str(error))


def _endpoints(settings: Settings, contracts: Contracts) -> Iterator[Finding]:
    """Each endpoint alone: whether it answers, serves the right chain, and keeps up."""
    heights: dict[str, int] = {}
    deployment = contracts.deployment
    for url in settings.chain.rpc_urls:
        rpc = Rpc([url], deployment.chain_id, deployment.genesis, timeout_s=5.0, tries=1)
        name = rpc.endpoints[0].name
        try:
            heights[name] = int(rpc.head()["number"], 16)
        except OracleError as error:
            yield Finding("warn", f"endpoint {name}", str(error))
    best = max(heights.values(), default=0)
    for name, height in heights.items():
        late = best - height > settings.chain.max_lag_blocks
        found = f"block {height}" + (f", {best - height} behind the best" if late else "")
        yield Finding("warn" if late else "ok", f"endpoint {name}", found)
    if len(settings.chain.rpc_urls) < 3:
        yield Finding(
            "warn",
            "endpoints",
            f"{len(settings.chain.rpc_urls)} named: with three or more of different operators, no single one can lie",
        )


def _contracts(contracts: Contracts) -> Finding:
    router = contracts.address("InferenceRouter")
    if contracts.rpc.call("eth_getCode", router, "latest") in ("0x", None):
        return Finding(
            "fail", "contracts", f"there is no contract at {router}: the record is of another chain"
        )
    jobs = contracts.read("InferenceRouter", "lastJobId")
    return Finding("ok", "contracts", f"router {router}, {jobs} jobs so far")


def _key(settings: Settings, address: str) -> Finding:
    """A key that can be used. What asks a remote signer without TLS can be listened to, and imitated."""
    key = settings.key
    found = f"{address} from {key.source}"
    if key.source != "remote":
        return Finding("ok", "key", found)
    parts = urlsplit(key.signer_url)
    found += f" signer {parts.hostname}"
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        return Finding("warn", "key", f"{found}, over plain http: use https, or a signer here")
    return Finding("ok", "key", found)


def _operator(settings: Settings, contracts: Contracts, address: str) -> Finding:
    number = settings.provider.number
    operator = contracts.read("ProviderStaking", "operatorOf", number)
    if operator != address:
        return Finding("fail", "operator", _not_ours(number, operator, address))
    stake = contracts.read("ProviderStaking", "stakeOf", number)
    return Finding("ok", "operator", f"of provider {number}, with a stake of {stake} wei")


def _not_ours(number: int, operator: str, address: str) -> str:
    if operator == NO_ADDRESS:
        return (
            f"there is no provider {number} on this chain: put the number that `lattice provider register` gave into "
            "provider.number"
        )
    return (
        f"of provider {number} is {operator}, and the key is {address}: name the operator's key under [key], or "
        "look at provider.number"
    )


def _money(contracts: Contracts, address: str) -> Finding:
    balance_wei = int(contracts.rpc.call("eth_getBalance", address, "latest"), 16)
    price_wei = int(contracts.rpc.call("eth_gasPrice"), 16)
    answers = balance_wei // max(price_wei * ANSWER_GAS, 1)
    found = f"{balance_wei} wei, enough for about {answers} answers at the present price of gas"
    if answers == 0:
        return Finding("fail", "money for gas", f"{found}: send some to {address}")
    return Finding("ok" if answers >= FEW_ANSWERS else "warn", "money for gas", found)


def _offers(settings: Settings, contracts: Contracts) -> Iterator[Finding]:
    """Whether we offer something, and have the models for it."""
    try:
        offers = find_offers(
            contracts,
            provider=settings.provider.number,
            range_blocks=settings.chain.log_range_blocks,
        )
    except OracleError as error:
        yield Finding("fail", "offers", str(error))
        return
    offers = [
        o for o in offers if contracts.read("InferenceRouter", "offer", o.offer_id)["capacity"]
    ]
    if not offers:
        yield Finding("warn", "offers", "there is none: open one with `lattice provider offer`")
    folder = settings.path(settings.paths.store)
    if not folder.is_dir() or not any(folder.iterdir()):  # to open it would make one
        for offer in offers:
            yield Finding("fail", f"offer {offer.offer_id}", f"there is no model in {folder} yet")
        return
    store = EmbeddedStore(folder)
    worker = worker_setup(settings, contracts).open(ThrowawaySigner())
    for offer in offers:
        what = f"offer {offer.offer_id}"
        yield _try(what, partial(_model, settings, contracts, store, worker, offer))
        if offer.market["token"] == NO_ADDRESS and settings.limits.price_to_gas > 0:
            yield _try(f"{what}'s price", partial(_price, settings, contracts, offer))


def _model(
    settings: Settings, contracts: Contracts, store: EmbeddedStore, worker: Worker, offer: Offer
) -> Finding:
    market = offer.market
    version = contracts.read("ModelRegistry", "version", market["modelId"], market["version"])
    cid = Cid.of_digest(DAG_PB, version["digest"])
    what, model = f"offer {offer.offer_id}", f"model 0x{market['modelId'].hex()}"
    if not store.has(cid):
        return Finding("fail", what, f"{model}: its folder {cid} is not in the store of this home")
    kind = version["format"].rstrip(b"\0").decode(errors="replace")
    if not settings.queue.url:  # else it runs on other machines
        try:
            open_for(kind, settings.provider.backend or None)
        except WorkerError as error:
            return Finding("fail", what, f"{model}: {error}")
    if reason := worker.too_large(str(cid)):
        return Finding("fail", what, f"{model}: {reason}")
    return Finding("ok", what, f"{model}, {kind}, in the store")


def _price(settings: Settings, contracts: Contracts, offer: Offer) -> Finding:
    """Whether a job at the offer's price is taken at the present price of gas."""
    gas_wei = int(contracts.rpc.call("eth_gasPrice"), 16)
    needed = int(ANSWER_GAS * gas_wei * settings.limits.price_to_gas)
    what, found = f"offer {offer.offer_id}'s price", f"{offer.price} wei for one unit of work"
    if offer.price >= needed:
        return Finding("ok", what, found)
    return Finding(
        "warn",
        what,
        f"{found}, and a job worth less than {needed} wei is declined at the present price of gas: close the offer and "
        "open a dearer one, or lower limits.price_to_gas",
    )


def _database(settings: Settings, contracts: Contracts) -> Finding:
    file = settings.path(settings.paths.database)
    if not file.exists():
        return Finding("ok", "job database", f"none yet: `lattice provider run` makes {file}")
    with contextlib.closing(open_database(settings, contracts, read_only=True)) as store:
        counts, cursor = store.counts(), store.cursor()
    shown = ", ".join(f"{n} {state}" for state, n in sorted(counts.items())) or "no jobs yet"
    return Finding("ok", "job database", f"up to block {cursor[0] if cursor else 'none'}: {shown}")


def _disk(settings: Settings) -> Finding:
    """The fullest of the disks that hold home folder, database and store."""
    paths = settings.paths
    database, store = settings.path(paths.database).parent, settings.path(paths.store)
    folders = [folder for folder in (settings.home, database, store) if folder.is_dir()]
    free, folder = min(
        ((shutil.disk_usage(folder).free, folder) for folder in folders), key=lambda found: found[0]
    )
    found = f"{free >> 20} MiB free in {folder}"
    if free >= LEAST_FREE_BYTES:
        return Finding("ok", "disk", found)
    return Finding("warn", "disk", f"{found}, expected {LEAST_FREE_BYTES >> 20}: make room there")


def _process(settings: Settings) -> Finding:
    pid = running_pid(settings)
    if pid is None:
        return Finding("warn", "process", "none is running: `lattice provider run`")
    return Finding("ok", "process", f"{pid} is running")


def running_pid(settings: Settings) -> int | None:
    """Return the process that runs with this home folder, or None."""
    file = settings.home / "provider.lock"
    if not file.is_file():
        return None
    descriptor = os.open(file, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 20).decode(errors="replace").strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(descriptor)
    return None
