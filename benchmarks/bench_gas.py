"""Gas of what users pay for, as receipts of whole transactions on anvil, written to benchmarks/results/gas.json.

Steady state: every account, offer and market has been used before, and the ring of job cells has gone round once, as
a deployed one has after 16,384 jobs. Inputs and outputs are hash-like bytes (no zeros). Which two offers a request
draws changes its gas by a few hundred, so every figure is the median of several runs, and the extremes stand beside it.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import ape
from eth_utils import keccak, to_checksum_address

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests" / "helpers")]

from gas_of_modules import measure_modules  # noqa: E402
from pinning import BigPinning  # noqa: E402
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
CROWDS = (1, 16, 1_000, 10_000)
"""How many providers with one ticket each the market has; figures without a suffix are with 16."""
TOGETHER = (1, 2, 8, 32)
"""How many answers share a transaction."""
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


def run(bench: Bench) -> None:
    """Measure everything, the crowd growing."""
    s = bench.system
    bench.go_round()
    for size in CROWDS:
        bench.grow(size)
        for _ in range(
            3 * min(size, 16)
        ):  # nearly every offer that is drawn below has earned before
            bench.answered(bench.asked(), 0)
        suffix = "" if size == 16 else f"_{size}"
        for length in (32, 256, 1_024):
            bench.measure(
                f"request_{length}{suffix}", lambda i, n=length: bench.asked(n, i).receipt
            )
        bench.measure(f"answer{suffix}", lambda i: bench.answered(bench.asked(run=i), i))
        bench.measure(
            f"answer_callback{suffix}", lambda i: bench.answered(bench.asked_by_contract(i), i)
        )
        bench.measure(f"refund{suffix}", lambda i: bench.refunded(bench.asked(run=i)))
    answers_together(bench)
    bench.measure("claim", bench.claimed)
    bench.measure(
        "withdraw", lambda i: s.vault.withdraw(NATIVE, 10 + i, s.requester, sender=s.requester)
    )
    bench.measure(
        "deposit",
        lambda i: s.vault.deposit(s.requester, NATIVE, 10 + i, value=10 + i, sender=s.requester),
    )
    bench.measure("register_model", bench.registered_model)
    pairs = [bench.registered_provider(i) for i in range(RUNS + 1)][1:]
    for name, gas in (
        ("register_provider_stake", [a.gas_used for a, _ in pairs]),
        ("register_provider_offer", [b.gas_used for _, b in pairs]),
        ("register_provider", [a.gas_used + b.gas_used for a, b in pairs]),
    ):
        bench.actions[name] = {
            "gas": round(statistics.median(gas)),
            "min": min(gas),
            "max": max(gas),
        }
    pins(bench)
    measure_modules(bench, dense)
    total = bench.actions["request_32"]["gas"] + bench.actions["answer_callback"]["gas"]
    bench.actions["lifecycle_callback"] = {"gas": total}
    print(f"{'lifecycle_callback':24} {total:>9,}")


def answers_together(bench: Bench) -> None:
    """One answer, when it shares its transaction with others; with outputs of 32 and 1,024 bytes."""
    for length, suffix in ((32, ""), (1_024, "_output_1024")):
        for count in TOGETHER:
            bench.measure(
                f"answer_of_{count}{suffix}",
                lambda i, n=count, size=length: bench.answered_together(n, size, i),
                each=count,
            )


def pins(bench: Bench) -> None:
    """A deal for a version of 1 GiB: open, join, answer with 1 and with 8 leaves, claim."""
    pinning = BigPinning.deploy(bench.system)
    funder, pinner = pinning.funder, pinning.pinners[0]
    bench.measure("open_deal", pinning.opened)
    for samples, challenges in ((1, 90), (8, 12)):
        deals = [pinning.open(samples=samples, challenges=challenges) for _ in range(RUNS + 1)]
        bench.measure("join_deal", lambda i, numbers=deals: pinning.join(numbers[i], pinner))
        first = deals[0]
        pinning.answered(first, pinner)  # a counter's first step costs more than the others
        bench.measure(f"answer_{samples}_of_1_gib", lambda _, n=first: pinning.answered(n, pinner))
        if samples == 1:
            bench.measure("claim_reward", lambda _, n=first: pinning.claimed(n, pinner, funder))


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


def main() -> None:
    """Start anvil, measure, write the file."""
    with on_anvil() as provider:
        bench = Bench()
        run(bench)
        settings = {
            "date": datetime.now(UTC).date().isoformat(),
            "chain": provider.web3.client_version,
            "evm": "prague",
            "compiler": "solc 0.8.37, via-IR, 500 runs",
            "policy": "signature (settle, lifecycle_optimistic, batch_50: signature and a resolution)",
            "token": "native, from the requester's balance in the Vault",
            "occupancy": "the ring of 16,384 job cells has gone round once; all of its jobs are final",
            "each": "signed_100_one, signed_50_distinct, batch_50, settle_50, answer_of_8: whole transactions by items",
            "output_bytes": 32,
            "providers": "16, one ticket each, unless the name ends in another number",
            "runs": RUNS,
            "gas": "whole transaction; median of the runs",
            "register_provider": "two transactions, register with stake and open an offer",
        }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"settings": settings, "actions": bench.actions}, indent=1)
    (RESULTS / "gas.json").write_text(text + "\n")
    print("wrote benchmarks/results/gas.json")


if __name__ == "__main__":
    main()
