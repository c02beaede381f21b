"""The system that gas is measured on: a crowd of providers on anvil, job cells that went round, one-line actions."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import ape
from eth_utils import keccak, to_checksum_address

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

from system import (  # noqa: E402 -- the path has to be set first
    ETHER,
    NATIVE,
    STAKE,
    Asked,
    Provider,
    System,
    deploy_system,
    offer_terms,
    plain,
    terms,
    version,
)

from scripts._support.build import drop_stale_build  # noqa: E402
from scripts._support.devnet import Anvil  # noqa: E402

RUNS = 9
PER_TRANSACTION = 40
RING_BITS = 14
RING = 2**RING_BITS
JOBS_PER_TRANSACTION = 64


def dense(length: int, seed: int) -> bytes:
    """Bytes without a zero among them, as a hash or a compressed file would have."""
    data = b"".join(
        keccak(seed.to_bytes(4) + index.to_bytes(4, "big")) for index in range(length // 32 + 1)
    )
    return bytes(byte or 1 for byte in data[:length])


class Bench:
    """A system with a crowd of providers that share one operator key."""

    def __init__(self) -> None:
        accounts = ape.accounts.test_accounts
        self.system: System = deploy_system(accounts, ape.project, RING_BITS)
        self.operator, self.stranger = accounts[5], accounts[9]
        self.crowd = accounts[4].deploy(ape.project.MockCrowd)
        self.consumer = accounts[4].deploy(ape.project.MockStorer)
        self.size = 0
        s, requester = self.system, self.system.requester
        s.vault.deposit(requester, NATIVE, 500 * ETHER, value=500 * ETHER, sender=requester)
        s.vault.deposit(self.consumer, NATIVE, 100 * ETHER, value=100 * ETHER, sender=requester)
        s.vault.allowModule(s.router, True, sender=requester)
        self.consumer.allow(s.router, s.vault, sender=requester)
        self.actions: dict[str, dict[str, int]] = {}

    def send(self, call: Any, *arguments: Any, value: int = 0) -> Any:
        """Send a call from the deployer without Ape's reading of traces and events; returns web3's receipt."""
        web3 = ape.networks.active_provider.web3
        tx = {
            "from": self.system.deployer.address,
            "to": call.contract.address,
            "data": call.encode_input(*arguments),
            "value": value,
            "gas": 25_000_000,
        }
        receipt = web3.eth.wait_for_transaction_receipt(web3.eth.send_transaction(tx), timeout=600)
        assert receipt["status"] == 1, f"{call} reverted"
        return receipt

    @cached_property
    def _cycle(self) -> tuple[Any, dict[str, Any]]:
        """A contract that asks in a market of its own, so that the crowd's is left alone, and what it asks."""
        s, owner = self.system, ape.accounts.test_accounts[8]
        cycler = owner.deploy(ape.project.MockCycler)
        cycler.fund(s.vault, s.router, value=20 * ETHER, sender=owner)
        market = s.market_of(s.register_model(s.model_owner, keccak(b"a model of its own")))
        offer = s.open_offer(s.provider(owner, owner, owner), market, capacity=JOBS_PER_TRANSACTION)
        return cycler, {"market": market, "offerId": offer}

    def go_round(self) -> None:
        """Let the ring of job cells go round: ask and refund as many jobs as it has places."""
        router = self.system.router
        cycler, wanted = self._cycle
        until = router.lastJobId() + RING
        while (first := router.lastJobId() + 1) <= until:
            receipt = self.send(
                cycler.ask, router, self.system.asking(**wanted), JOBS_PER_TRANSACTION
            )
            log = next(log for log in receipt["logs"] if log["address"] == router.address)
            (event,) = ape.networks.ethereum.decode_logs([log], router.InferenceRequested.abi)
            job = plain(event.job)
            ape.chain.pending_timestamp = job["deadline"] + 1
            self.send(cycler.refund, router, first, JOBS_PER_TRANSACTION, job)

    def grow(self, size: int) -> None:
        """Let providers join until there are `size`."""
        while self.size < size:
            count = min(PER_TRANSACTION, size - self.size)
            self.send(
                self.crowd.join,
                self.system.staking,
                self.system.router,
                self.system.market,
                tuple(offer_terms().values()),
                self.operator,
                count,
                value=count * STAKE,
            )
            self.size += count

    def send_value(self, to: str, value: int) -> None:
        """Send native money outside the Vault, for an account's own gas."""
        web3 = ape.networks.active_provider.web3
        tx = {"from": self.system.deployer.address, "to": to, "value": value}
        web3.eth.wait_for_transaction_receipt(web3.eth.send_transaction(tx), timeout=600)

    def measure(
        self, name: str, action: Callable[[int], Any], each: int = 1, runs: int = RUNS
    ) -> None:
        """Run `action` once to warm up and `runs` times for the figures.

        It returns a receipt, or the gas of several together; the figures are that divided by `each`.
        """
        results = [action(run) for run in range(runs + 1)][1:]
        gas = [
            (result if isinstance(result, int) else result.gas_used) // each for result in results
        ]
        self.actions[name] = {
            "gas": round(statistics.median(gas)),
            "min": min(gas),
            "max": max(gas),
        }
        print(f"{name:24} {self.actions[name]['gas']:>9,}   {min(gas):,} to {max(gas):,}")

    # --- one of each action

    def asked(self, length: int = 32, run: int = 0) -> Asked:
        return self.system.request(input=dense(length, run))

    def asked_by_contract(self, run: int, **changes: Any) -> Asked:
        asked = self.system.asking(input=dense(32, run), callbackGas=60_000, **changes)
        receipt = self.consumer.ask(self.system.router, asked, sender=self.system.requester)
        (event,) = receipt.events.filter(self.system.router.InferenceRequested)
        return Asked(event.jobId, plain(event.job), receipt)

    def answered(self, asked: Asked, run: int) -> Any:
        provider = Provider(asked.job["provider"], None, self.operator, None)
        return self.system.answer(asked, provider, output=dense(32, 100 + run), proofs=[b""])

    def answered_together(self, count: int, length: int, run: int) -> Any:
        """What a provider's worker sends for `count` jobs of one offer: their answers in one transaction."""
        router = self.system.router
        first = self.asked(run=run)
        rest = [
            self.system.request(input=dense(32, run), offerId=first.job["offerId"])
            for _ in range(count - 1)
        ]
        calls = [
            router.answer.encode_input(
                *(asked.id, asked.job, 1, dense(length, 1_000 * run + place), [b""])
            )
            for place, asked in enumerate([first, *rest])
        ]
        if count == 1:
            asked = first
            output = dense(length, 1_000 * run)
            return router.answer(asked.id, asked.job, 1, output, [b""], sender=self.operator)
        return router.multicall(calls, sender=self.operator)

    def refunded(self, asked: Asked) -> Any:
        ape.chain.pending_timestamp = asked.job["deadline"] + 1
        return self.system.router.refund(asked.id, asked.job, sender=self.stranger)

    def claimed(self, run: int) -> Any:
        asked = self.asked(run=run)
        self.answered(asked, run)
        return self.system.router.claim(
            asked.job["offerId"], self.system.market, sender=self.stranger
        )

    def registered_provider(self, run: int) -> list[Any]:
        """The two transactions of a new provider: register with a stake, open an offer."""
        s, owner = self.system, ape.accounts.test_accounts[7]
        operator = to_checksum_address(keccak(b"operator %d" % run)[:20])
        first = s.staking.register(operator, owner, STAKE, value=STAKE, sender=owner)
        number = first.events.filter(s.staking.ProviderRegistered)[0].event_arguments["provider"]
        return [first, s.router.openOffer(number, s.market, offer_terms(), sender=owner)]

    def registered_model(self, run: int) -> Any:
        s = self.system
        digest = keccak(b"bench %d" % run)
        return s.registry.register(
            "model", version(digest), terms(s.model_owner), s.policy_id(), sender=s.model_owner
        )


@contextmanager
def on_anvil() -> Iterator[Any]:
    """Ape connected to an Anvil that forgets old states; gives Ape's provider.

    Not the Anvil that Ape starts: that one keeps every step of every transaction, 24 GB in the end.
    """
    drop_stale_build()
    with (
        tempfile.TemporaryDirectory() as folder,
        Anvil(Path(folder) / "anvil.log", "--prune-history", "8") as anvil,
        ape.networks.parse_network_choice(
            "ethereum:local:foundry", provider_settings={"host": anvil.url}
        ) as provider,
    ):
        yield provider
