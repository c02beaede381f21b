"""Gas of what users pay for, as receipts of whole transactions on anvil, written to benchmarks/results/gas.json.

Steady state: every account, offer and market has been used before, and the ring of job cells has gone round once, as
a deployed one has after 16,384 jobs. Inputs and outputs are hash-like bytes (no zeros). Which two offers a request
draws changes its gas by a few hundred, so every figure is the median of several runs, and the extremes stand beside it.
"""

from __future__ import annotations

import json
import statistics
from datetime import UTC, datetime

from gas_of_modules import measure_modules
from gas_system import RESULTS, RUNS, Bench, on_anvil  # puts the helpers on the path
from pinning import BigPinning
from system import NATIVE

CROWDS = (1, 16, 1_000, 10_000)
"""How many providers with one ticket each the market has; figures without a suffix are with 16."""
TOGETHER = (1, 2, 8, 32)
"""How many answers share a transaction."""
LIFECYCLES = {
    "lifecycle_callback": ("request_32", "answer_callback"),
    "lifecycle_callback_contract": ("request_contract", "answer_callback"),
    "lifecycle_optimistic": ("request_optimistic", "answer_settle_callback"),
    "lifecycle_optimistic_contract": ("request_optimistic_contract", "answer_settle_callback"),
}
"""The transactions of a job's life. Where a contract asks, what its own code costs is in it, otherwise only ours."""


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
    measure_modules(bench)
    lifecycles(bench)


def lifecycles(bench: Bench) -> None:
    """Whole lives of a job with a callback: the sums of rows that were measured."""
    bench.measure("request_contract", lambda i: bench.asked_by_contract(i).receipt)
    for name, parts in LIFECYCLES.items():
        total = sum(bench.actions[part]["gas"] for part in parts)
        bench.actions[name] = {"gas": total}
        print(f"{name:24} {total:>9,}")


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
            "policy": "signature (settle, _optimistic, batch_50: signature and a resolution)",
            "token": "native, from the requester's balance in the Vault",
            "occupancy": "the ring of 16,384 job cells has gone round once; all of its jobs are final",
            "each": "signed_100_one, signed_50_distinct, batch_50, settle_50, answer_of_8: whole transactions by items",
            "lifecycle": "sums of measured rows; _contract: a contract asks, with what its own code costs",
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
