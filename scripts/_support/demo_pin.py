"""The demo of pinning: a deal for a model of 40 MiB, joined twice, challenged, proved and paid, or not.

Starts anvil on a free loopback port, deploys, and registers a model. A funder opens a deal; two pinners fetch the model
and join, each a process of its own (`lattice pin run`). Then one of them loses its blocks. Blocks are mined only as
fast as the honest pinner answers, so a slow machine changes nothing. What it makes lies in `.lattice/demo-pin`. It
fails if the honest pinner is not paid in full, the other one is paid, or a wei is missing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ape import accounts, networks
from ape.logging import logger as ape_log
from rich.table import Table

from offchain_worker.pipeline import add_packaged
from offchain_worker.storage.store import EmbeddedStore
from oracle.chain.contracts import Contracts, Deployment
from oracle.chain.rpc import Rpc
from scripts._support.demo_report import ETHER, NATIVE, DemoFailed, console
from scripts._support.deployment import deploy, record_path
from scripts._support.devnet import ROOT, Anvil, lattice
from scripts._support.plan import Settings

HOME = ROOT / ".lattice" / "demo-pin"
MODEL_BYTES = 40 << 20
BLOCK_S, PERIOD_S, WINDOW_S = 12, 480, 180
CHALLENGES, SAMPLES = 12, 8
RATE = "5ether"
ANSWER_TIMEOUT_S = 120.0

ape_log.set_level("WARNING")


class PinProcess:
    """`lattice pin run` as a process of its own, as a context manager."""

    def __init__(self, home: Path) -> None:
        environment = os.environ | {"LATTICE_KEY": (home / "key.env").read_text()}
        command = [*(sys.executable, "-m", "oracle", "pin", "run"), "--every-s", "0.1"]
        self._log = (home / "pin.log").open("w")
        self.process = subprocess.Popen(
            [*command, "--home", str(home)],
            cwd=ROOT,
            env=environment,
            stdout=self._log,
            stderr=self._log,
        )

    def __enter__(self) -> PinProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()


class Demo:
    """The chain, the funder and the two pinners."""

    def __init__(self, anvil: Anvil) -> None:
        self.anvil = anvil
        people = ("deployer", "owner", "funder", "honest", "careless")
        self.keys = dict(zip(people, accounts.test_accounts, strict=False))
        self.homes: dict[str, Path] = {}

    def deploy(self) -> None:
        """Deploy with Ape, and give everyone a home folder."""
        deployer = self.keys["deployer"]
        path = record_path(self.anvil.chain_id, HOME)
        deploy(
            deployer, Settings(deployer.address, deployer.address, block_ms=BLOCK_S * 1000), path
        )
        record = Deployment.read(path)
        self.contracts = Contracts(Rpc([self.anvil.url], record.chain_id, record.genesis), record)
        for person in ("owner", "funder", "honest", "careless"):
            home = self.homes[person] = HOME / person
            words = ("init", "--rpc", self.anvil.url, "--deployment", path)
            key = self.keys[person].private_key
            lattice(home, *words, "--key-env", "LATTICE_KEY", key=key)

    def register(self) -> None:
        """Register a model whose weights are random bytes; only its files matter here."""
        folder = HOME / "model"
        folder.mkdir()
        described = EmbeddedStore(HOME / "packaged")
        described.export(add_packaged("xor", described), HOME / "xor", 1 << 20)
        shutil.copytree(HOME / "xor", folder, dirs_exist_ok=True)
        (folder / "more-weights.bin").write_bytes(os.urandom(MODEL_BYTES))
        words = ("model", "register", folder, "--price", "1gwei", "--json")
        self.model = json.loads(lattice(self.homes["owner"], *words))

    def fund(self) -> None:
        """Open the deal."""
        terms = {"rate": RATE, "period-s": PERIOD_S, "window-s": WINDOW_S, "copies": 2}
        terms |= {"challenges": CHALLENGES, "samples": SAMPLES}
        words = [word for name, value in terms.items() for word in (f"--{name}", value)]
        shown = lattice(self.homes["funder"], "pin", "fund", self.model["model"], *words, "--json")
        opened = json.loads(shown)
        self.deal, self.paid_wei, self.bond_wei = (
            opened[name] for name in ("deal", "paid_wei", "bond_wei")
        )

    def join(self, person: str) -> None:
        """Let a pinner have the model, and join the deal."""
        lattice(self.homes[person], "pin", "add", HOME / "model")
        lattice(self.homes[person], "pin", "join", self.deal)

    def place(self, person: str) -> dict[str, Any]:
        """A pinner's place."""
        address = self.keys[person].address
        place: dict[str, Any] = self.contracts.read("IPFSIncentives", "place", self.deal, address)
        return place

    def mine_to(self, block: int) -> None:
        """Mine up to a block, if it is not there yet."""
        missing = block - int(self.contracts.rpc.call("eth_blockNumber"), 16)
        if missing > 0:
            self.anvil.call("anvil_mine", hex(missing))

    def play(self) -> None:
        """Go from challenge to challenge of the honest pinner, until both places have ended."""
        for number in range(CHALLENGES):
            self.mine_to(self.place("honest")["round"] + 1)
            self.wait(lambda n=number: self.place("honest")["decided"] > n, f"answer {number + 1}")
        for _ in range(CHALLENGES):
            if self.place("careless")["settled"]:
                break
            missed = self.place("careless")["missed"]
            self.mine_to(self.place("careless")["round"] + WINDOW_S // BLOCK_S + 2)
            self.wait(
                lambda m=missed: self.place("careless")["missed"] > m or self.settled("careless"),
                "the careless pinner's miss",
            )
            if self.place("careless")["missed"] == 3:
                self.wait(lambda: self.settled("careless"), "the careless pinner's end")
        self.wait(lambda: self.settled("honest"), "the honest pinner's claim")

    def settled(self, person: str) -> bool:
        """Whether a place has ended and was claimed."""
        return bool(self.place(person)["settled"])

    def wait(self, done: Any, what: str) -> None:
        """Wait until something is so."""
        end = time.monotonic() + ANSWER_TIMEOUT_S
        while not done():
            if time.monotonic() > end:
                raise DemoFailed(f"{what} did not come in {ANSWER_TIMEOUT_S:.0f} s; see {HOME}")
            time.sleep(0.02)

    def free(self, person: str) -> int:
        """Free balance in the Vault, in wei."""
        return int(self.contracts.read("Vault", "free", self.keys[person].address, NATIVE))


def show_books(demo: Demo) -> None:
    """Who got what, checked to the wei."""
    table = Table("pinner", "proved", "missed", "bond, ether", "got back, ether", "of it pay")
    for person in ("honest", "careless"):
        place, got = demo.place(person), demo.free(person)
        back = demo.bond_wei if place["missed"] < 2 else 0
        table.add_row(
            *(person, str(place["proved"]), str(place["missed"])),
            *(f"{demo.bond_wei / ETHER:f}", f"{got / ETHER:f}", f"{(got - back) / ETHER:f}"),
        )
    console.rule("Books")
    console.print(table)
    pay = demo.paid_wei // 2
    left = demo.contracts.read("IPFSIncentives", "deal", demo.deal)["free"]
    held = demo.contracts.read("Vault", "locked", demo.contracts.address("IPFSIncentives"), NATIVE)
    expected = {"honest": demo.bond_wei + pay, "careless": 0}
    for person, amount in expected.items():
        if demo.free(person) != amount:
            raise DemoFailed(f"{person} has {demo.free(person)} wei, expected {amount}")
    total = demo.paid_wei + 2 * demo.bond_wei
    missing = total - demo.free("honest") - demo.free("careless") - held
    console.print(f"left in the deal for the funder: {left / ETHER:f} ether")
    console.print(f"paid in - paid out - held: {missing} wei")
    if missing or left != held:
        raise DemoFailed("the books do not balance")


def play(demo: Demo) -> None:
    """The demo, step by step."""
    console.rule("A chain, a model, a deal")
    demo.deploy()
    demo.register()
    console.print(f"registered a model of {MODEL_BYTES >> 20} MiB as {demo.model['cid']}")
    demo.fund()
    console.print(
        f"deal {demo.deal}: {CHALLENGES} challenges of {SAMPLES} leaves, {demo.paid_wei / ETHER:f} ether "
        f"for two pinners, bond {demo.bond_wei / ETHER:f} ether each"
    )
    for person in ("honest", "careless"):
        demo.join(person)
        console.print(f"{person} has the model, has checked its possession root, and joined")
    shutil.rmtree(demo.homes["careless"] / "store" / "packs")
    console.print("careless deletes its copy to save the disk")

    console.rule("Challenges")
    with PinProcess(demo.homes["honest"]), PinProcess(demo.homes["careless"]):
        demo.play()
    console.print(lattice(demo.homes["honest"], "pin", "stats").strip())
    show_books(demo)


def run() -> bool:
    """Run the demo; returns whether everything held."""
    started = time.monotonic()
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    with (
        Anvil(HOME / "anvil.log") as anvil,
        networks.parse_network_choice(anvil.url),
    ):
        try:
            play(Demo(anvil))
        except DemoFailed as error:
            console.print(f"[red]demo failed: {error}[/]")
            return False
    console.print(
        f"took {time.monotonic() - started:.0f} s; homes and logs are in {HOME.relative_to(ROOT)}"
    )
    return True
