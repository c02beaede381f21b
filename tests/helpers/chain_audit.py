"""The books of a router as the chain alone tells them: nothing here has seen a worker, its database or its log.

Every job has to be paid once or refunded once, every wei has to be somewhere, and no operator may have a gap in its
nonces or pay for transactions in vain.
"""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from oracle.chain.contracts import Contracts, Deployment
from oracle.chain.rpc import Rpc

NATIVE = "0x" + "00" * 20
ASSIGNED, OPEN, ANSWERED, SETTLED, UNDELIVERED, REFUNDED = range(1, 7)
FINAL = (SETTLED, UNDELIVERED, REFUNDED)
RANGE_BLOCKS = 1000


@dataclass(frozen=True)
class Books:
    """What became of every request. Amounts in wei.

    Args:
        open: Jobs that are neither paid nor refunded.
        lost: Of these, the jobs whose deadline has passed.
        paid_twice: Jobs with more than one end: paid or refunded again.
        unaccounted_wei: All differences between what went in, what went out and what is held, added up.
        nonce_gaps: Operators with transactions that wait for a nonce below theirs, or that wait at all.
        reverted: Transactions of operators that failed.
        wasted_gas: Gas of these and of transfers to oneself.
        gas: Gas of all transactions of operators.
        paid_to: Jobs that were paid, by the number of the provider that answered.
    """

    requests: int
    answered: int
    refunded: int
    open: tuple[int, ...]
    lost: tuple[int, ...]
    paid_twice: tuple[int, ...]
    funded_wei: int
    paid_wei: int
    refunded_wei: int
    unaccounted_wei: int
    nonce_gaps: int
    reverted: int
    wasted_gas: int
    gas: int
    paid_to: dict[int, tuple[int, ...]]

    def faults(self) -> list[str]:
        """Return what is wrong, one sentence each; empty when the books are in order."""
        wrong = {
            "jobs neither paid nor refunded after their deadline": self.lost,
            "jobs paid or refunded twice": self.paid_twice,
            "wei unaccounted for": self.unaccounted_wei,
            "operators with a gap in their nonces": self.nonce_gaps,
        }
        return [f"{what}: {found}" for what, found in wrong.items() if found]


def audit(contracts: Contracts, operators: Sequence[str]) -> Books:
    """Read all events of the router, the Vault's balances and the operators' transactions, and add up."""
    rpc = contracts.rpc
    head = rpc.head()
    last, now_s = int(head["number"], 16), int(head["timestamp"], 16)
    events = _events(contracts, last)
    prices = {e["args"]["jobId"]: e["args"]["job"]["price"] for e in events["InferenceRequested"]}
    for taken in sorted(events["InferenceTaken"], key=lambda e: (e["blockNumber"], e["logIndex"])):
        prices[taken["args"]["jobId"]] = taken["args"]["job"]["price"]
    asked_wei = sum(e["args"]["job"]["price"] for e in events["InferenceRequested"])
    returned_wei = asked_wei - sum(prices.values())  # a job was taken over for less
    deadlines = {
        e["args"]["jobId"]: e["args"]["job"]["deadline"] for e in events["InferenceRequested"]
    }
    paid = {e["args"]["jobId"]: e["args"]["paid"] for e in events["InferenceSettled"]}
    refunds = {e["args"]["jobId"]: e["args"]["amount"] for e in events["InferenceRefunded"]}
    ends = Counter(e["args"]["jobId"] for e in events["InferenceSettled"])
    ends.update(e["args"]["jobId"] for e in events["InferenceRefunded"])
    still_open = tuple(
        job
        for job in prices
        if contracts.read("InferenceRouter", "stateOf", job) not in FINAL and not ends[job]
    )
    escrow_wei = sum(prices[job] for job in still_open)
    bonds_wei = _bonds(events, prices, paid, refunds)
    unaccounted_wei = abs(
        asked_wei
        - returned_wei
        - sum(paid.values())
        - _given_back(prices, paid, refunds)
        - escrow_wei
    )
    unaccounted_wei += _held_elsewhere(contracts, events, escrow_wei + bonds_wei)
    reverted, wasted_gas, gas = _waste(contracts, operators, last)
    paid_to: dict[int, tuple[int, ...]] = {}
    for event in events["InferenceSettled"]:
        provider, job = event["args"]["provider"], event["args"]["jobId"]
        paid_to[provider] = (*paid_to.get(provider, ()), job)
    return Books(
        requests=len(prices),
        answered=len(paid),
        refunded=len(refunds),
        open=still_open,
        lost=tuple(job for job in still_open if deadlines[job] < now_s),
        paid_twice=tuple(job for job, times in ends.items() if times > 1),
        funded_wei=asked_wei,
        paid_wei=sum(paid.values()),
        refunded_wei=sum(refunds.values()),
        unaccounted_wei=unaccounted_wei,
        nonce_gaps=sum(_waits(contracts, operator) for operator in operators),
        reverted=reverted,
        wasted_gas=wasted_gas,
        gas=gas,
        paid_to=paid_to,
    )


def _events(contracts: Contracts, last: int) -> dict[str, list[Any]]:
    """Every event of the router by name, read with web3.py's own decoder."""
    handle = contracts.handle("InferenceRouter")
    first = contracts.deployment.at("InferenceRouter").block
    found: dict[str, list[Any]] = {event.name: [] for event in contracts.events("InferenceRouter")}
    for start in range(first, last + 1, RANGE_BLOCKS):
        end = min(start + RANGE_BLOCKS - 1, last)
        wanted = {"address": handle.address, "fromBlock": hex(start), "toBlock": hex(end)}
        for log in contracts.rpc.call("eth_getLogs", wanted):
            event = handle.events[_name_of(handle, log)]
            found[event.event_name].append(event().process_log(_typed(log)))
    return found


def _name_of(handle: Any, log: dict[str, Any]) -> str:
    topic = log["topics"][0].removeprefix("0x")
    return next(e.event_name for e in handle.events if e().topic.removeprefix("0x") == topic)


def _typed(log: dict[str, Any]) -> dict[str, Any]:
    """A log of JSON-RPC as web3.py's decoder wants it."""
    numbers = {name: int(log[name], 16) for name in ("blockNumber", "logIndex", "transactionIndex")}
    return {
        **log,
        **numbers,
        "topics": [bytes.fromhex(topic[2:]) for topic in log["topics"]],
        "data": bytes.fromhex(log["data"][2:]),
    }


def _given_back(prices: dict[int, int], paid: dict[int, int], refunds: dict[int, int]) -> int:
    """Of what was paid in: refunds without bonds, and what settled jobs did not charge."""
    return sum(prices[job] for job in refunds) + sum(prices[job] - paid[job] for job in paid)


def _bonds(
    events: dict[str, list[Any]],
    prices: dict[int, int],
    paid: dict[int, int],
    refunds: dict[int, int],
) -> int:
    """Bonds of jobs that were taken over and are not final."""
    bonds = {e["args"]["jobId"]: e["args"]["job"]["bond"] for e in events["InferenceTaken"]}
    return sum(bond for job, bond in bonds.items() if job not in paid and job not in refunds)


def _held_elsewhere(contracts: Contracts, events: dict[str, list[Any]], held_wei: int) -> int:
    """How far the Vault is off: its coins against its books, and its books against jobs and earnings."""
    offers = {e["args"]["job"]["offerId"] for e in events["InferenceRequested"]}
    offers |= {e["args"]["job"]["offerId"] for e in events["InferenceTaken"]}
    earned_wei = sum(contracts.read("InferenceRouter", "offer", n)["earned"] for n in offers)
    router = contracts.address("InferenceRouter")
    locked_wei = contracts.read("Vault", "locked", router, NATIVE)
    accounted_wei = contracts.read("Vault", "accounted", NATIVE)
    coins_wei = int(contracts.rpc.call("eth_getBalance", contracts.address("Vault"), "latest"), 16)
    return int(abs(coins_wei - accounted_wei) + abs(locked_wei - held_wei - earned_wei))


def _waits(contracts: Contracts, operator: str) -> bool:
    latest = contracts.rpc.call("eth_getTransactionCount", operator, "latest")
    pending = contracts.rpc.call("eth_getTransactionCount", operator, "pending")
    pool = contracts.rpc.call("txpool_content")
    waiting = {account.lower() for part in pool.values() for account, of in part.items() if of}
    return bool(latest != pending or operator.lower() in waiting)


def _waste(contracts: Contracts, operators: Sequence[str], last: int) -> tuple[int, int, int]:
    """Failed transactions of the operators, the gas of these and of transfers to oneself, and the gas of all."""
    reverted = wasted_gas = gas = 0
    known = {operator.lower() for operator in operators}
    for number in range(contracts.deployment.at("InferenceRouter").block, last + 1):
        block = contracts.rpc.call("eth_getBlockByNumber", hex(number), True)
        for transaction in block["transactions"]:
            if transaction["from"].lower() not in known:
                continue
            receipt = contracts.rpc.call("eth_getTransactionReceipt", transaction["hash"])
            failed = receipt["status"] == "0x0"
            reverted += failed
            gas += int(receipt["gasUsed"], 16)
            if failed or transaction["to"].lower() == transaction["from"].lower():
                wasted_gas += int(receipt["gasUsed"], 16)
    return reverted, wasted_gas, gas


def main(url: str, record: str, *operators: str) -> None:
    """Print the books as JSON, lists as their lengths."""
    deployment = Deployment.read(Path(record))
    contracts = Contracts(Rpc([url], deployment.chain_id, deployment.genesis), deployment)
    found = asdict(audit(contracts, operators))
    shown = {name: len(v) if isinstance(v, tuple) else v for name, v in found.items()}
    print(json.dumps(shown))


if __name__ == "__main__":
    main(*sys.argv[1:])
