"""Puts the parts together for a home folder: endpoints, contracts, key, database, worker, provider."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from offchain_worker.child import Setup
from offchain_worker.hardware import memory_bytes
from offchain_worker.models import SHARE_OF_MEMORY
from oracle.chain.contracts import Contracts, Deployment
from oracle.chain.listener import Listener
from oracle.chain.outbox import Outbox, TransactionSigner
from oracle.chain.rpc import Rpc
from oracle.chain.store import Store
from oracle.chain.tracker import Interest, Tracker
from oracle.config import Settings
from oracle.errors import ConfigError, StoreBusy
from oracle.keys import KeySigner, from_settings
from oracle.logs import line
from oracle.remote_signer import RemoteSigner
from oracle.server.http import HealthServer
from oracle.services.lease import Lease
from oracle.services.pin_sender import PinSender
from oracle.services.provider import Provider
from oracle.services.runner import Runner
from oracle.services.sandbox import Sandbox
from oracle.services.serve import Prover

if TYPE_CHECKING:
    from oracle.services.queue_worker import QueueWorker

WEI_PER_GWEI = 10**9
DATABASE_WAIT_S = 15.0

_log = logging.getLogger(__name__)


def connect(settings: Settings) -> Contracts:
    """Return the contracts that the settings name. Asks the chain nothing yet.

    Raises:
        DeploymentMismatch: the deployment record or the manifest cannot be read.
    """
    deployment = Deployment.read(settings.path(settings.chain.deployment))
    rpc = Rpc(
        settings.chain.rpc_urls,
        deployment.chain_id,
        deployment.genesis,
        timeout_s=settings.chain.request_timeout_s,
        max_lag_blocks=settings.chain.max_lag_blocks,
        quorum=settings.chain.quorum,
    )
    return Contracts(rpc, deployment)


def open_signer(settings: Settings, contracts: Contracts) -> KeySigner | RemoteSigner:
    """Return the key that the settings name.

    Raises:
        KeyUnavailable, ConfigError: it cannot be opened.
    """
    return from_settings(settings, contracts.deployment.chain_id)


def open_database(settings: Settings, contracts: Contracts, *, read_only: bool = False) -> Store:
    """Open the job database of this home folder; `read_only` for a look that makes and writes nothing.

    Raises:
        StoreUnusable: it belongs to another chain, router or provider, or cannot be opened.
    """
    deployment = contracts.deployment
    identity = {
        "chain_id": str(deployment.chain_id),
        "genesis": deployment.genesis,
        "router": contracts.address("InferenceRouter"),
        "provider": str(settings.provider.number),
    }
    return Store(settings.path(settings.paths.database), identity, read_only=read_only)


def wait_for_database(settings: Settings, contracts: Contracts) -> Store:
    """As `open_database`, and wait while the disk is full or another program holds a lock."""
    while True:
        try:
            return open_database(settings, contracts)
        except StoreBusy as error:
            _log.warning(line("database busy", reason=error, retry_in_s=DATABASE_WAIT_S))
            time.sleep(DATABASE_WAIT_S)


def worker_setup(settings: Settings, contracts: Contracts) -> Setup:
    """Return what a worker of this home folder is made from, here and in the processes that run models."""
    limits = settings.limits
    each_bytes = limits.model_memory_mib << 20
    processes = 1 if settings.queue.url else limits.model_processes  # a queue's worker has one
    return Setup(
        str(settings.path(settings.paths.store)),
        str(settings.path(settings.paths.cache)),
        {contracts.address("SignatureVerifier"): "signature"},
        settings.provider.backend or None,
        each_bytes or int(SHARE_OF_MEMORY * memory_bytes() / processes),
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """What `wire` made."""

    store: Store
    outbox: Outbox
    listener: Listener
    provider: Provider


def wire(
    settings: Settings,
    contracts: Contracts,
    store: Store,
    signer: TransactionSigner,
    prover: Prover,
    runner: Runner,
    too_large: Callable[[str], str | None] = lambda model_cid: None,
) -> Parts:
    """Connect database, outbox, listener and provider with one another."""
    outbox = Outbox(
        store,
        contracts,
        signer,
        lambda: listener.current(),  # made below: each needs the other
        max_in_flight=settings.limits.max_in_flight,
        max_fee_wei=int(settings.limits.max_fee_gwei * WEI_PER_GWEI),
    )
    interest = Interest(
        provider=settings.provider.number,
        requesters=frozenset(address.lower() for address in settings.keeper.requesters),
        everything=settings.keeper.refund == "any",
    )
    tracker = Tracker(store, contracts, interest, outbox.cancel_job)
    listener = Listener(
        contracts,
        store,
        tracker,
        confirmations=settings.chain.confirmations,
        range_blocks=settings.chain.log_range_blocks,
        rescan_every_s=settings.chain.rescan_every_s,
    )
    provider = Provider(settings, contracts, store, outbox, runner, prover, listener, too_large)
    return Parts(store, outbox, listener, provider)


def key_lock(settings: Settings, contracts: Contracts, signer: TransactionSigner) -> Path:
    """Return the lock file of a key on a chain."""
    if settings.paths.locks:
        folder = settings.path(settings.paths.locks)
    else:
        folder = platformdirs.user_state_path("lattice") / "locks"
    return folder / f"{contracts.deployment.chain_id}-{signer.address.lower()}.lock"


@contextmanager
def health_server(settings: Settings, running: Provider) -> Iterator[None]:
    """Serve the pages of a provider, if the settings name a port."""
    if settings.server.port == 0:
        yield
        return
    try:
        server = HealthServer(
            settings.server.host, settings.server.port, running.pulse, running.metrics
        )
    except OSError as error:
        raise ConfigError(
            f"server.port: cannot listen on {settings.server.host}:{settings.server.port}: {error.strerror}; "
            "choose another server.port, or stop what listens there"
        ) from None
    server.start()
    try:
        yield
    finally:
        server.close()


def open_runner(settings: Settings, contracts: Contracts, setup: Setup) -> Runner:
    """Return where models run: processes of our own, or workers behind the queue that the settings name.

    Raises:
        ConfigError: what the queue needs is not installed.
    """
    limits, queue = settings.limits, settings.queue
    if not queue.url:
        return Sandbox(
            setup,
            processes=limits.model_processes,
            time_s=limits.model_time_s,
            memory_mib=limits.model_memory_mib,
        )
    require_scale()
    from oracle.services.broker import Names
    from oracle.services.remote import Remote

    return Remote(
        queue.url,
        Names.of(contracts, settings.provider.number),
        ahead=queue.ahead,
        lost_after_s=queue.lost_after_s,
    )


def open_queue_worker(settings: Settings) -> "QueueWorker":
    """Return a worker for the queue that the settings name.

    Raises:
        ConfigError: they name none, or what it needs is not installed.
    """
    if not settings.queue.url:
        raise ConfigError(
            "queue.url is empty, expected the Redis of the provider that this is a worker of"
        )
    require_scale()
    from oracle.services.broker import Names
    from oracle.services.queue_worker import QueueWorker

    contracts = connect(settings)
    return QueueWorker(
        settings.queue.url,
        Names.of(contracts, settings.provider.number),
        worker_setup(settings, contracts),
        lost_after_s=settings.queue.lost_after_s,
        time_s=settings.limits.model_time_s,
        memory_mib=settings.limits.model_memory_mib,
    )


def require_scale() -> None:
    """Check that the packages of the extra `scale` are installed: only a queue needs them.

    Raises:
        ConfigError: they are not.
    """
    if find_spec("taskiq_redis") is None:
        raise ConfigError(
            "queue.url is set, and the packages for it are missing: `pip install 'lattice[scale]'`"
        )


@contextmanager
def open_pin_sender(settings: Settings, contracts: Contracts) -> Iterator[PinSender]:
    """Yield what brings a pinner's transactions to the chain, with its lease held.

    Raises:
        OracleError: a setting, key or database is missing or wrong, or another process runs already.
    """
    signer = open_signer(settings, contracts)
    deployment = contracts.deployment
    identity = {
        "chain_id": str(deployment.chain_id),
        "genesis": deployment.genesis,
        "incentives": contracts.address("IPFSIncentives"),
    }
    with (
        Lease(settings.home / "pinner.lock", f"the pins of {settings.home}"),
        Lease(key_lock(settings, contracts, signer), f"the key of {signer.address}"),
    ):
        store = Store(settings.path(settings.paths.database).with_name("pins.sqlite"), identity)
        try:
            sender = PinSender(
                store,
                contracts,
                signer,
                confirmations=settings.chain.confirmations,
                max_fee_wei=int(settings.limits.max_fee_gwei * WEI_PER_GWEI),
                bump_after_blocks=settings.limits.bump_after_blocks,
            )
            sender.start()
            yield sender
        finally:
            store.close()


@contextmanager
def open_provider(settings: Settings) -> Iterator[Provider]:
    """Yield the provider of a home folder, with its lease held.

    Raises:
        OracleError: a setting, key, record or database is missing or wrong, or another process runs already.
    """
    if settings.provider.number == 0:
        raise ConfigError(
            "provider.number is 0, expected the number that `lattice provider register` gave"
        )
    contracts = connect(settings)
    signer = open_signer(settings, contracts)
    with (
        Lease(settings.home / "provider.lock", f"the home folder {settings.home}"),
        Lease(key_lock(settings, contracts, signer), f"the key of {signer.address}"),
    ):
        store = wait_for_database(settings, contracts)
        setup = worker_setup(settings, contracts)
        runner = open_runner(settings, contracts, setup)
        try:
            prover = setup.open(signer)
            parts = (settings, contracts, store, signer, prover, runner)
            # Whoever takes jobs from a queue has another machine's memory.
            running = (
                wire(*parts) if settings.queue.url else wire(*parts, prover.too_large)
            ).provider
            with health_server(settings, running):
                yield running
        finally:
            runner.close()
            store.close()
