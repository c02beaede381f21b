"""Gas of a request and its answer while the books grow: 10,000 models, 10,000 offers, 100,000 jobs on anvil.

    python benchmarks/scale_of_contracts.py [--jobs 100000] [--models 10000] [--offers 10000]

Prints the figures at the beginning and after each step, and writes benchmarks/results/scale.json. Takes a quarter of an
hour or so, which is why `make bench` leaves it out.
"""

from __future__ import annotations

import argparse
import json
import statistics
from datetime import UTC, datetime
from typing import Any

import ape
from eth_utils import keccak
from gas_system import RESULTS, RING, Bench, on_anvil  # puts the helpers on the path
from system import offer_terms, terms, version

MODELS_PER_TRANSACTION = 50
RUNS = 9


def measured(bench: Bench) -> dict[str, Any]:
    """Medians of a request and of its answer, and what a page of models costs to read."""
    asked = [bench.asked(run=run) for run in range(RUNS)]
    answers = [bench.answered(job, run) for run, job in enumerate(asked)]
    registry = bench.system.registry
    page = {"to": registry.address, "data": registry.modelsFrom.encode_input(0, 1_000)}
    return {
        "request_32": round(statistics.median(job.receipt.gas_used for job in asked)),
        "answer": round(statistics.median(answer.gas_used for answer in answers)),
        "models_in_a_page_of_1000": len(registry.modelsFrom(0, 1_000)),
        "gas_of_that_page": ape.networks.active_provider.web3.eth.estimate_gas(page),
        "jobs": bench.system.router.lastJobId(),
        "models": registry.modelCount(),
        "offers": bench.size,
    }


def publish(bench: Bench, count: int) -> None:
    """Register `count` models."""
    publisher = ape.accounts.test_accounts[8].deploy(ape.project.MockPublisher)
    s = bench.system
    for first in range(0, count, MODELS_PER_TRANSACTION):
        seed = version(keccak(b"first of many %d" % first))
        bench.send(
            publisher.publish,
            *(s.registry, tuple(seed.values()), tuple(terms(s.model_owner).values())),
            *(s.policy_id(), MODELS_PER_TRANSACTION),
        )


def main() -> None:
    """Grow, measure, write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, most in (("jobs", 100_000), ("models", 10_000), ("offers", 10_000)):
        parser.add_argument(f"--{name}", type=int, default=most)
    wanted = parser.parse_args()
    steps: dict[str, dict[str, Any]] = {}

    def note(bench: Bench, name: str) -> None:
        steps[name] = measured(bench)
        print(name, steps[name], flush=True)

    with on_anvil() as provider:
        bench = Bench()
        bench.go_round()
        bench.grow(16)
        for _ in range(48):  # every offer has earned before
            bench.answered(bench.asked(), 0)
        note(bench, "begin")
        publish(bench, wanted.models)
        note(bench, "models")
        bench.grow(wanted.offers)
        note(bench, "offers")
        while bench.system.router.lastJobId() < wanted.jobs:
            bench.go_round()
        note(bench, "jobs")
        settings = {
            "date": datetime.now(UTC).date().isoformat(),
            "chain": provider.web3.client_version,
            "offer_terms": {**offer_terms(), "minWindow": 60},
            "ring": RING,
            "gas": "whole transactions, median of 9; a page is an estimate of a call",
        }
    text = json.dumps({"settings": settings, "steps": steps}, indent=1)
    (RESULTS / "scale.json").write_text(text + "\n")
    print("wrote benchmarks/results/scale.json")


if __name__ == "__main__":
    main()
