"""The demo: the whole path once. A real model answers paid requests on a local chain, and the books balance.

Starts anvil on a free loopback port, deploys, registers the file-type model of the package `magika`, starts two
providers as processes of their own (`lattice provider run`), and asks for the type of real files. One provider is
killed with `kill -9` in the middle and started again; one request runs out because its provider stays dead. What it
makes lies in `.lattice/demo`. It fails if an answer differs from what the model says when run directly, or a wei is
missing.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ape import accounts, networks, project
from ape.logging import logger as ape_log
from eth_account import Account

from offchain_worker import payload
from offchain_worker.pipeline.magika_model import import_magika
from oracle.chain.contracts import Contracts, Deployment
from oracle.chain.events import EventReader, RouterEvent
from oracle.chain.history import read_logs
from oracle.chain.rpc import Rpc
from oracle.chain.transact import transact
from oracle.keys import KeySigner
from scripts._support.demo_report import DemoFailed, console, show_answers, show_books
from scripts._support.deployment import deploy, record_path
from scripts._support.devnet import Anvil, ProviderProcess, lattice
from scripts._support.plan import Settings
from scripts._support.sample_files import sample_files

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".lattice" / "demo"
ETHER = 10**18
NATIVE = "0x" + "00" * 20
ASK, MODEL_PRICE, ROYALTY_BPS = ETHER // 1_000, ETHER // 5_000, 1_000
PRICE = ASK + MODEL_PRICE
ANSWER_TIMEOUT_S = 60.0
GATE_GAS = 500_000
"""More than `FileGate.ask` needs: anvil's estimates have no slack, and another draw may cost 200 gas more."""
WINDOW_S = 600
"""Time that the requests give for an answer, in seconds of chain time."""

ape_log.set_level("WARNING")  # the demo says itself what it does


@dataclass
class Asked:
    """A request that was sent, and what came of it."""

    name: str
    content: bytes
    job_id: int
    request_gas: int
    answer: dict[str, Any] | None = None
    provider: int = 0
    answer_gas: int = 0
    paid: int = 0
    how: str = ""


class Demo:
    """The chain, the people and what has been asked so far."""

    def __init__(self, anvil: Anvil) -> None:
        self.anvil = anvil
        people = (
            "deployer",
            "treasury",
            "model_owner",
            "requester",
            "owner_1",
            "owner_2",
            "operator_1",
            "operator_2",
        )
        self.keys = dict(zip(people, accounts.test_accounts, strict=False))
        self.signers = {
            name: KeySigner(Account.from_key(key.private_key)) for name, key in self.keys.items()
        }
        self.asked: list[Asked] = []
        self.providers: dict[int, ProviderProcess] = {}

    def address(self, person: str) -> str:
        """Address of a person."""
        return self.signers[person].address

    # --- setting up

    def deploy(self) -> None:
        """Deploy with Ape, and connect the way every other part does: by the record and the manifest."""
        path = record_path(self.anvil.chain_id, HOME)
        treasury = self.address("treasury")
        deploy(self.keys["deployer"], Settings(treasury, treasury), path)
        record = Deployment.read(path)
        self.record = path
        self.contracts = Contracts(Rpc([self.anvil.url], record.chain_id, record.genesis), record)
        self.reader = EventReader(self.contracts.events("InferenceRouter"))
        self.gate = self.keys["requester"].deploy(
            project.FileGate,
            self.contracts.address("InferenceRouter"),
            self.contracts.address("Vault"),
        )

    def register_model(self) -> None:
        """Package magika's model, and register it with a price and a royalty through the command line."""
        import_magika(HOME / "magika")
        home = self.home("model_owner")
        lattice(
            home,
            "model",
            "register",
            HOME / "magika",
            "--price",
            MODEL_PRICE,
            "--royalty-bps",
            ROYALTY_BPS,
        )
        (log,) = self.logs("ModelRegistry", "ModelRegistered")
        self.model_id = bytes.fromhex(log["topics"][1][2:])
        self.market = {
            **{
                "modelId": self.model_id,
                "version": 1,
                "epoch": 1,
                "token": NATIVE,
                "resolution": NATIVE,
            },
            **{"verifier": self.contracts.address("SignatureVerifier"), "secondVerifier": NATIVE},
        }

    def start_provider(self, number: int) -> None:
        """Register a provider that stakes, put the model into its store, offer, and start its process."""
        home, operator = self.home(f"owner_{number}"), f"operator_{number}"
        lattice(home, "provider", "register", "--operator", self.address(operator))
        lattice(home, "model", "import", "magika")
        lattice(
            home, "provider", "offer", "0x" + self.model_id.hex(), "--ask", ASK, "--window-s", 30
        )
        keeper = {
            "refund": "any" if number == 1 else "own",
            "always": True,
            "every_s": 2.0,
            "claim": False,
        }
        self.providers[number] = ProviderProcess(
            home,
            self.keys[operator].private_key,
            {"keeper": keeper, "limits": {"price_to_gas": 0.0}},
        )

    def home(self, person: str) -> Path:
        """A home folder with the key of a person."""
        home = HOME / person
        lattice(
            home,
            "init",
            "--rpc",
            self.anvil.url,
            "--deployment",
            self.record,
            "--key-env",
            "LATTICE_KEY",
            key=self.keys[person].private_key,
        )
        return home

    # --- asking

    def ask(
        self, name: str, content: bytes, offer: int = 0, how: str = "", window_s: int = WINDOW_S
    ) -> Asked:
        """Ask for the type of a file, paying in the same transaction."""
        asked = {
            "market": self.market,
            "offerId": offer,
            "units": 1,
            "callbackGas": 0,
            "maxPrice": PRICE,
            "deadline": self.now_s() + window_s,
            "input": payload.encode({"file": content}),
        }
        receipt = transact(
            self.contracts,
            self.signers["requester"],
            "InferenceRouter",
            "request",
            asked,
            value=PRICE,
        )
        return self.note(name, content, receipt.logs, receipt.gas_used, how)

    def ask_by_contract(self, name: str, content: bytes) -> Asked:
        """The same through a contract that is called back."""
        receipt = self.gate.ask(
            self.market,
            content,
            PRICE,
            self.now_s() + WINDOW_S,
            value=PRICE,
            sender=self.keys["requester"],
            gas=GATE_GAS,
        )
        raw = self.contracts.rpc.call("eth_getTransactionReceipt", receipt.txn_hash)
        return self.note(name, content, raw["logs"], receipt.gas_used, "callback")

    def note(
        self, name: str, content: bytes, logs: list[dict[str, Any]], gas: int, how: str
    ) -> Asked:
        """Remember a request whose transaction gave these logs."""
        (event,) = [self.reader.read(log) for log in logs if log["topics"][0] in self.reader.topics]
        asked = Asked(name, content, event.job_id, gas, how=how)
        self.asked.append(asked)
        console.print(
            f"  job {asked.job_id}: what is [bold]{name}[/]? ({len(content)} bytes{', ' + how if how else ''})"
        )
        return asked

    def wait(self, *awaited: Asked) -> None:
        """Wait until jobs are answered."""
        end = time.monotonic() + ANSWER_TIMEOUT_S
        while open_jobs := [asked for asked in awaited if asked.answer is None]:
            if time.monotonic() > end:
                names = ", ".join(f"{asked.job_id} ({asked.name})" for asked in open_jobs)
                raise DemoFailed(
                    f"jobs without an answer after {ANSWER_TIMEOUT_S:.0f} s: {names}; logs are in {HOME}"
                )
            for process in self.providers.values():
                process.check()
            for event in self.events():
                self.settle(event)
            time.sleep(0.005)

    def settle(self, event: RouterEvent) -> None:
        """Note what an event says of a job that was asked for."""
        asked = next((asked for asked in self.asked if asked.job_id == event.job_id), None)
        if asked is None or event.kind != "settled":
            return
        if not event.fields["delivered"]:
            raise DemoFailed(f"the callback of job {asked.job_id} failed")
        if asked.answer is None:
            asked.paid = event.fields["paid"]
            asked.provider = event.fields["provider"]
            asked.answer = payload.decode(bytes.fromhex(event.fields["output"][2:]))
            receipt = self.contracts.rpc.call("eth_getTransactionReceipt", event.tx_hash)
            asked.answer_gas = int(receipt["gasUsed"], 16)
            label = asked.answer["label"]
            console.print(
                f"  job {asked.job_id}: {asked.name} is [bold]{label}[/], says provider {asked.provider}"
            )

    # --- the chain

    def now_s(self) -> int:
        """Chain time, Unix time in seconds."""
        return int(self.contracts.rpc.head()["timestamp"], 16)

    def logs(self, contract: str, event: str) -> list[dict[str, Any]]:
        """All logs of one event."""
        return self.raw_logs(contract, [self.contracts.event(contract, event).topic])

    def raw_logs(self, contract: str, topics: list[Any]) -> list[dict[str, Any]]:
        """All logs of a contract that fit the topics."""
        last = int(self.contracts.rpc.call("eth_blockNumber"), 16)
        ranges = read_logs(
            self.contracts.rpc, self.contracts.address(contract), topics, 0, last, 1_000
        )
        return [log for _, logs in ranges for log in logs]

    def events(self) -> list[RouterEvent]:
        """All job events so far."""
        return [
            self.reader.read(log)
            for log in self.raw_logs("InferenceRouter", [list(self.reader.topics)])
        ]


def play(demo: Demo) -> None:
    """The demo, step by step."""
    console.rule("A chain, a model, two providers")
    demo.deploy()
    console.print(
        f"anvil at {demo.anvil.url}, contracts deployed, record in {demo.record.relative_to(ROOT)}"
    )
    demo.register_model()
    console.print(
        f"registered magika as 0x{demo.model_id.hex()[:12]}…, {MODEL_PRICE / ETHER} ether and 10 % royalty"
    )
    for number in (1, 2):
        demo.start_provider(number)
        console.print(
            f"provider {number} has staked 0.1 ether and runs as process {demo.providers[number].pid}"
        )
    console.print(
        "[yellow]Inputs and outputs are PUBLIC: they are written to the chain for ever.[/]"
    )

    console.rule("Real files")
    files = sample_files(ROOT)
    for index, (name, content) in enumerate(files.items()):
        demo.wait(demo.ask_by_contract(name, content) if index == 1 else demo.ask(name, content))

    console.rule("kill -9 in the middle")
    burst = [
        demo.ask(name, content, offer=1, how="kill -9") for name, content in list(files.items())[:4]
    ]
    demo.providers[1].kill()
    console.print("  killed provider 1 with these jobs in its hands, starting it again")
    demo.providers[1].start()
    demo.wait(*burst)

    console.rule("A provider that stays dead")
    demo.providers[2].kill()
    expired = demo.ask(*next(iter(files.items())), offer=2, how="refunded", window_s=60)
    demo.anvil.wait(61)
    console.print("  a minute passes; the keeper of provider 1 looks for expired jobs")
    wait_for_refund(demo, expired)
    demo.providers[1].stop()
    for offer in (1, 2):
        transact(
            demo.contracts,
            demo.signers["requester"],
            "InferenceRouter",
            "claim",
            offer,
            demo.market,
        )
    transact(
        demo.contracts,
        demo.signers["model_owner"],
        "Vault",
        "withdraw",
        NATIVE,
        demo.contracts.read("Vault", "free", demo.address("model_owner"), NATIVE),
        demo.address("model_owner"),
    )


def wait_for_refund(demo: Demo, asked: Asked) -> None:
    """Wait until a job is refunded."""
    end = time.monotonic() + ANSWER_TIMEOUT_S
    while time.monotonic() < end:
        for event in demo.events():
            if event.job_id == asked.job_id and event.kind == "refunded":
                console.print(
                    f"  job {asked.job_id} was refunded: {event.fields['amount'] / ETHER} ether"
                )
                return
        time.sleep(0.05)
    raise DemoFailed(f"job {asked.job_id} was not refunded within {ANSWER_TIMEOUT_S:.0f} s")


def run() -> bool:
    """Run the demo; returns whether everything held."""
    started = time.monotonic()
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    with (
        Anvil(HOME / "anvil.log") as anvil,
        networks.parse_network_choice(anvil.url),
    ):
        demo = Demo(anvil)
        try:
            play(demo)
            show_answers(demo)
            show_books(demo)
        except DemoFailed as error:
            console.print(f"[red]demo failed: {error}[/]")
            return False
        finally:
            for process in demo.providers.values():
                process.kill()
    console.print(
        f"took {time.monotonic() - started:.0f} s; homes and logs are in {HOME.relative_to(ROOT)}"
    )
    return True
