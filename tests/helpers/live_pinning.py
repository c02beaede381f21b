"""A deal on a real chain, a version that a gateway has, and pinners with home folders of their own."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from types import SimpleNamespace

from eth_account import Account
from live_chain import ETHER, NATIVE, ROOT

from offchain_worker.storage.peers.gateway import Gateway
from offchain_worker.storage.service import StorageService
from offchain_worker.storage.store import EmbeddedStore
from oracle import config
from oracle.node import connect, open_pin_sender
from oracle.services.pin_places import CONTRACT, PinPlaces
from oracle.services.pinning import PinningManager

PERIOD, WINDOW = 40, 15
"""In blocks."""
BLOCK_S = 12
RATE = 10**22


def register(chain, scan, root=None, size=None):
    """Register the files as a model; returns its identifier."""
    owner = chain.accounts[1]
    verifier = chain.contracts.address("SignatureVerifier")
    version = {
        "digest": scan.cid.data[4:],
        "possessionRoot": root or scan.tree.root,
        "integerRoot": bytes(32),
        "manifestHash": bytes(32),
        "sizeBytes": size or scan.size_bytes,
        "format": b"onnx".ljust(16, b"\0"),
    }
    terms = {"receiver": owner, "price": 1, "royaltyBps": 0, "token": NATIVE}
    policy = chain.read("ModelRegistry", "policyIdOf", verifier, NATIVE, NATIVE)
    chain.send("ModelRegistry", "register", "files", version, terms, policy, sender=owner)
    return chain.read("ModelRegistry", "modelIdOf", owner, version["digest"])


def open_deal(chain, model_id, size, rate=RATE, copies=2):
    """Open a deal; returns its number."""
    pay = chain.read(CONTRACT, "payOf", rate, size, PERIOD * BLOCK_S)
    terms = {
        "rate": rate,
        "bond": pay * 12,
        "period": PERIOD * BLOCK_S,
        "window": WINDOW * BLOCK_S,
        "challenges": 12,
        "samples": 8,
        "copies": copies,
        "joinUntil": int(chain("eth_getBlockByNumber", "latest", False)["timestamp"], 16) + 10**6,
    }
    funder = chain.accounts[8]
    value = pay * 12 * copies
    chain.send(CONTRACT, "openDeal", model_id, 1, terms, sender=funder, value=value)
    return chain.read(CONTRACT, "lastDealId")


class Pinner:
    """A key with money, a home folder and what `lattice pin` makes of them."""

    def __init__(self, chain, home):
        account = Account.create()
        chain("anvil_setBalance", account.address, hex(100 * ETHER))
        self.chain, self.home, self.key = chain, home, account.key.to_0x_hex()
        self.address = account.address
        self.open = ExitStack()

    def settings(self, **changes):
        """Write the settings and return them."""
        given = {
            "chain.rpc_urls": [self.chain.url],
            "chain.deployment": str(self.chain.record),
            "chain.confirmations": 3,
            "key.source": "env",
            "limits.bump_after_blocks": 2,
            "paths.locks": str(self.home.parent / "locks"),
        }
        self.home.mkdir(exist_ok=True)
        (self.home / config.FILE_NAME).write_text(config.template(given | changes))
        return config.load(self.home)

    def start(self, **changes):
        """Start in this process, as after a kill if it was started before."""
        self.end()
        settings = self.settings(**changes)
        contracts = connect(settings)
        self.store = EmbeddedStore(settings.path(settings.paths.store))
        self.places = PinPlaces(contracts, self.address)
        os.environ["LATTICE_KEY"] = self.key
        self.sender = self.open.enter_context(open_pin_sender(settings, contracts))
        self.manager = PinningManager(contracts, self.places, self.sender, self.store)
        return self

    def end(self):
        """End; what was not committed is gone."""
        self.open.close()
        self.open = ExitStack()

    def run(self, *words, crash_at=""):
        """Start as a process of its own: `lattice pin run`."""
        self.settings()
        environment = os.environ | {"LATTICE_KEY": self.key}
        if crash_at:
            environment["CRASH_AT"] = crash_at
        command = ("pin", "run", "--every-s", "0.05", "--home", str(self.home), *words)
        process = subprocess.Popen(
            [sys.executable, "-m", "oracle", *command],
            cwd=ROOT,
            env=environment,
            text=True,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        self.chain.workers.append(process)
        return process

    def take(self, deal, gateway):
        """Join, and wait until that is on the chain."""

        async def run():
            async with Gateway(gateway.url) as peer:
                service = StorageService(self.store, [peer])
                return await self.manager.take(deal, service.pin)

        return self.sender.wait(asyncio.run(run()))

    def tick(self):
        """Tick, and let the chain mine what was sent."""
        queued = self.manager.tick()
        self.chain.settle()
        return queued

    def place(self, deal):
        return SimpleNamespace(**self.chain.read(CONTRACT, "place", deal, self.address))

    def to_challenge(self, deal):
        """Mine until the next challenge can be seen."""
        self.chain.mine(max(self.place(deal).round + 1 - self.chain.head(), 1))

    def past_window(self, deal):
        self.chain.mine(self.place(deal).round + WINDOW + 2 - self.chain.head())

    def table(self, sql):
        """Rows of its database, whoever has it open."""
        file = self.home / "pins.sqlite"
        if not file.is_file():
            return []
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)) as database:
            return database.execute(sql).fetchall()

    def rows(self):
        """(first word of the purpose, nonce, state) of every row of the outbox."""
        rows = self.table("SELECT purpose, nonce, state FROM outbox ORDER BY id")
        return [(purpose.split(":")[0], nonce, state) for purpose, nonce, state in rows]

    def hashes(self):
        return self.table("SELECT hash FROM attempts ORDER BY id")

    def questions(self):
        """The purposes of our answers: which leaves of which challenge."""
        return self.table("SELECT purpose FROM outbox WHERE purpose LIKE 'pin-answer:%'")

    def sent(self):
        """How many transactions of ours the chain has."""
        return int(self.chain("eth_getTransactionCount", self.address, "latest"), 16)
