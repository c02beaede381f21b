"""A real Anvil with the real contracts, and providers that run on it in this process or in their own."""

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account import Account
from web3 import Web3

from offchain_worker.commitment import payload_hash
from offchain_worker.job import Inference, Job, Result
from offchain_worker.payload import encode
from offchain_worker.proofs.signature import prove
from oracle import config
from oracle.chain.contracts import Contracts, Deployment
from oracle.chain.rpc import Rpc
from oracle.errors import RpcError
from oracle.keys import KeySigner
from oracle.node import Parts, connect, open_database, wire
from oracle.remote_signer import RemoteSigner
from oracle.services.runner import Inline
from scripts._support.plan import PLAN, Settings

ROOT = Path(__file__).parent.parent.parent
ANVIL = ROOT / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
NATIVE = "0x" + "00" * 20
ETHER = 10**18
ASK = 10**15
MODEL_PRICE = 10**14
PRICE = ASK + MODEL_PRICE
ANSWER = encode({"y": 1})
TIMEOUT_S = 240.0
"""How long to wait for what has to happen: much longer than it takes, also on a machine that is busy."""


def artifacts() -> dict[str, Any]:
    """Return what Ape compiled; compile first if a source is newer."""
    built = ROOT / ".build" / "__local__.json"
    newest = max(path.stat().st_mtime for path in (ROOT / "contracts").rglob("*.sol"))
    if not built.is_file() or built.stat().st_mtime < newest:
        subprocess.run([Path(sys.executable).parent / "ape", "compile"], cwd=ROOT, check=True)
    types: dict[str, Any] = json.loads(built.read_text())["contractTypes"]
    return types


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Anvil:
    """A running chain. Every account of the list is unlocked and rich."""

    url: str
    process: subprocess.Popen[bytes]
    contracts: Contracts = None  # type: ignore[assignment]
    accounts: list[str] = field(default_factory=list)
    record: Path = Path()
    workers: "list[subprocess.Popen[str]]" = field(default_factory=list)
    """Providers that tests started on it."""

    def __call__(self, method: str, *params: Any) -> Any:
        return Rpc([self.url], tries=1, timeout_s=60.0).call(method, *params)

    def mine(self, blocks: int = 1) -> None:
        self("anvil_mine", hex(blocks))

    def head(self) -> int:
        return int(self("eth_blockNumber"), 16)

    def reorg(self, depth: int, transactions: list[Any] | None = None) -> None:
        before = self("eth_getBlockByNumber", "latest", False)["hash"]
        self("anvil_reorg", depth, transactions or [])
        assert self("eth_getBlockByNumber", "latest", False)["hash"] != before

    def end_workers(self) -> None:
        """Kill the providers that a failed test left behind: they would go on for ever."""
        for worker in self.workers:
            worker.kill()
            worker.communicate()
        self.workers.clear()

    def send(
        self, contract: str, function: str, *arguments: Any, sender: str, value: int = 0
    ) -> dict[str, Any]:
        """Send a transaction of an unlocked account; returns the receipt of a success."""
        data = self.contracts.encode(contract, function, *arguments)
        call = {
            "from": sender,
            "to": self.contracts.address(contract),
            "data": "0x" + data.hex(),
            "value": hex(value),
        }
        self.contracts.simulate(sender, call["to"], data, value)
        receipt = self.receipt(self("eth_sendTransaction", call))
        assert receipt["status"] == "0x1"
        return receipt

    def receipt(self, tx_hash: str) -> dict[str, Any]:
        """Wait for a receipt: Anvil mines a moment after it took a transaction."""
        end = time.monotonic() + TIMEOUT_S
        while time.monotonic() < end:
            if receipt := self("eth_getTransactionReceipt", tx_hash):
                found: dict[str, Any] = receipt
                return found
            time.sleep(0.01)
        raise AssertionError(f"{tx_hash} was not mined")

    def settle(self) -> None:
        """Wait until what was sent is mined: Anvil does it a moment later. Nothing to wait for without automine."""
        while self("anvil_getAutomine") and int(self("txpool_status")["pending"], 16):
            time.sleep(0.005)

    def read(self, contract: str, function: str, *arguments: Any) -> Any:
        return self.contracts.read(contract, function, *arguments)


def deploy(chain: Anvil, folder: Path) -> None:
    """Deploy everything and write the deployment record."""
    deployer = chain.accounts[0]
    built = artifacts()
    record: dict[str, Any] = {
        "chain_id": int(chain("eth_chainId"), 16),
        "genesis": chain("eth_getBlockByNumber", "0x0", False)["hash"],
        "contracts": {},
    }
    at: dict[str, str] = {}
    web3 = Web3(Web3.HTTPProvider(chain.url))
    chosen = Settings(treasury=chain.accounts[9], admin=deployer)
    for name, arguments in PLAN.items():
        bytecode = built[name]["deploymentBytecode"]["bytecode"]
        factory = web3.eth.contract(abi=built[name]["abi"], bytecode=bytecode)
        receipt = web3.eth.wait_for_transaction_receipt(
            factory.constructor(*arguments(at, chosen)).transact({"from": deployer})
        )
        at[name] = receipt["contractAddress"]
        record["contracts"][name] = {
            "address": at[name],
            "block": receipt["blockNumber"],
            "tx": receipt["transactionHash"].to_0x_hex(),
        }
    chain.record = folder / "chain-31337.json"
    chain.record.write_text(json.dumps(record))
    deployment = Deployment.read(chain.record)
    chain.contracts = Contracts(Rpc([chain.url], tries=1), deployment)


def start_anvil(*options: str) -> Anvil:
    """Start a chain. It writes no states of old blocks: they are hundreds of kilobytes each, and outlive a kill."""
    for _ in range(5):  # somebody else may take the port before it does
        port = free_port()
        process = subprocess.Popen(
            [
                *(str(ANVIL), "--port", str(port), "--silent", "--hardfork", "prague"),
                *("--max-persisted-states", "0"),
                *options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        chain = Anvil(f"http://127.0.0.1:{port}", process)
        end = time.monotonic() + TIMEOUT_S
        while process.poll() is None and time.monotonic() < end:
            try:
                accounts = chain("eth_accounts")
            except RpcError:
                time.sleep(0.05)
                continue
            if process.poll() is None:
                chain.accounts = [Web3.to_checksum_address(a) for a in accounts]
                return chain
        process.kill()
        process.wait()
    raise AssertionError("Anvil did not start")


@dataclass
class Market:
    """A model of `owner` under the signature policy, and requests for it."""

    chain: Anvil
    market: dict[str, Any]
    requester: str

    def request(
        self,
        payload: bytes | None = None,
        *,
        window_s: int = 3600,
        callback_gas: int = 0,
        offer: int = 0,
    ) -> int:
        """Ask, pay with the call, and return the job's number."""
        self.chain.send(
            "InferenceRouter",
            "request",
            self.asked(payload, window_s, callback_gas, offer),
            sender=self.requester,
            value=PRICE,
        )
        return self.chain.read("InferenceRouter", "lastJobId")

    def call(
        self, payload: bytes | None = None, *, window_s: int = 3600, offer: int = 0
    ) -> dict[str, Any]:
        """A request as a transaction that Anvil may sign."""
        asked = self.asked(payload, window_s, offer=offer)
        data = self.chain.contracts.encode("InferenceRouter", "request", asked)
        return {
            "from": self.requester,
            "to": self.chain.contracts.address("InferenceRouter"),
            "data": "0x" + data.hex(),
            "value": hex(PRICE),
            "gas": hex(1_000_000),
        }

    def asked(
        self, payload: bytes | None, window_s: int = 3600, callback_gas: int = 0, offer: int = 0
    ) -> dict[str, Any]:
        now = int(self.chain("eth_getBlockByNumber", "pending", False)["timestamp"], 16)
        return {
            "market": self.market,
            "offerId": offer,
            "units": 1,
            "callbackGas": callback_gas,
            "deadline": now + window_s,
            "maxPrice": PRICE,
            "input": payload or encode({"n": time.time_ns() % 10**9}),
        }

    def state(self, job_id: int) -> int:
        return int(self.chain.read("InferenceRouter", "stateOf", job_id))


ASSIGNED, OPEN, ANSWERED, SETTLED, UNDELIVERED, REFUNDED = range(1, 7)


class RecordingWorker:
    """Answers every job with the same bytes, really signed, and remembers what it was asked."""

    def __init__(self, signer: KeySigner) -> None:
        self.signer = signer
        self.inferred: list[int] = []
        self.failures: list[Exception] = []

    def infer(self, job: Job) -> Inference:
        self.inferred.append(job.job_id)
        if self.failures:
            raise self.failures.pop(0)
        return Inference(
            job_id=job.job_id,
            units=1,
            output=ANSWER,
            output_hash=payload_hash(ANSWER),
            backend="recording",
            device="cpu",
            duration_ms=0.0,
            answer={"y": 1},
        )

    def prove(self, job: Job, inference: Inference) -> Result:
        fields = {name: getattr(inference, name) for name in Inference.__slots__}
        return Result(**fields, proofs=(prove(job, inference, self.signer),))


@dataclass
class Node:
    """A provider on the chain and its home folder."""

    chain: Anvil
    home: Path
    number: int
    offer: int
    signer: KeySigner | RemoteSigner
    key: str
    worker: RecordingWorker = field(init=False)
    parts: Parts = field(init=False)

    def __post_init__(self) -> None:
        assert isinstance(self.signer, KeySigner)
        self.worker = RecordingWorker(self.signer)

    def settings(self, **changes: Any) -> config.Settings:
        text = config.template(
            {
                "chain.rpc_urls": [self.chain.url],
                "chain.deployment": str(self.chain.record),
                "chain.confirmations": 2,
                "chain.poll_interval_s": 0.02,
                "key.source": "env",
                "provider.number": self.number,
                "limits.bump_after_blocks": 2,
                "keeper.every_s": 0.1,
                "keeper.claim": False,
                "paths.locks": str(self.home.parent / "locks"),
                **changes,
            }
        )
        self.home.mkdir(exist_ok=True)
        (self.home / config.FILE_NAME).write_text(text)
        return config.load(self.home)

    def open(self, **changes: Any) -> "Node":
        """Start in this process, as after a crash if it was open before."""
        self.open_unstarted(**changes).parts.provider.start()
        return self

    def open_unstarted(self, **changes: Any) -> "Node":
        """Put the parts together, and leave the start to `parts.provider.step`."""
        settings = self.settings(**changes)
        contracts = connect(settings)
        store = open_database(settings, contracts)
        self.parts = wire(settings, contracts, store, self.signer, self.worker, Inline(self.worker))
        return self

    def crash(self) -> "Node":
        """End as a killed process does: what was not committed is gone."""
        self.parts.store.rollback()
        self.parts.store.close()
        return self

    def tick(self, times: int = 1) -> "Node":
        for _ in range(times):
            self.parts.provider.tick()
            self.chain.settle()
        return self

    def tick_until(self, job_id: int, *states: str) -> "Node":
        """Tick until the job is in one of the states: on a busy machine Anvil shows a block a little late."""
        for number in range(100):
            if self.state(job_id) in states:
                return self
            self.tick()
            time.sleep(0.0 if number < 20 else 0.1)
        raise AssertionError(f"job {job_id} is {self.state(job_id)}, expected one of {states}")

    def job(self, job_id: int) -> Any:
        return self.parts.store.job(job_id)

    def state(self, job_id: int) -> str | None:
        job = self.job(job_id)
        return job.state if job else None

    def rows(self) -> list[tuple[str, int, str]]:
        """(purpose's first word, nonce, state) of every row of the outbox."""
        return [
            (row["purpose"].split(":")[0], row["nonce"], row["state"])
            for row in self.parts.store.read("SELECT * FROM outbox ORDER BY id")
        ]

    def run(self, *, crash_at: str = "", **changes: Any) -> "subprocess.Popen[str]":
        """Start as a process of its own: `lattice provider run`."""
        self.settings(**changes)
        environment = {**os.environ, "LATTICE_KEY": self.key}
        if crash_at:
            environment["CRASH_AT"] = crash_at
        process = subprocess.Popen(
            [sys.executable, "-m", "oracle", "provider", "run", "--home", str(self.home)],
            cwd=ROOT,
            env=environment,
            text=True,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.chain.workers.append(process)
        return process


def register(market: Market, home: Path, owner: int = 3) -> Node:
    """Register a provider with a new operator key and open its offer."""
    chain = market.chain
    account = Account.create()
    chain("anvil_setBalance", account.address, hex(10 * ETHER))
    sender = chain.accounts[owner]
    chain.send(
        "ProviderStaking", "register", account.address, sender, ETHER, sender=sender, value=ETHER
    )
    number = 1
    while chain.read("ProviderStaking", "operatorOf", number) != account.address:
        number += 1
    terms = {
        "ask": ASK,
        "capacity": 1000,
        "inputUnits": 4,
        "minWindow": 600,
        "backend": "reference",
    }
    chain.send("InferenceRouter", "openOffer", number, market.market, terms, sender=sender)
    market_id = chain.read("InferenceRouter", "marketIdOf", market.market)
    offer = chain.read("InferenceRouter", "offerOf", number, market_id)
    return Node(chain, home, number, offer, KeySigner(account), account.key.to_0x_hex())
