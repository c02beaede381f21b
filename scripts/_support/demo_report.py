"""What the demo shows at its end, and checks: the answers against the model itself, and the books to the wei."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from scripts._support.demo import Demo

ETHER = 10**18
NATIVE = "0x" + "00" * 20

console = Console(width=max(Console().width, 132), highlight=False)


class DemoFailed(Exception):
    """Something did not hold; the message says what."""


def show_answers(demo: Demo) -> None:
    """The table of answers, each compared with what the model says when it is run directly."""
    from magika import Magika  # the package itself, to run its model without us

    direct = Magika()
    table = Table(
        "input",
        "bytes",
        "answer",
        "confidence",
        "provider",
        "proof",
        "gas (ask + answer)",
        "ms",
        "paid",
        "",
    )
    wrong, latencies = [], latencies_ms(demo)
    for asked in demo.asked:
        if asked.answer is None:
            table.add_row(
                asked.name,
                str(len(asked.content)),
                "none",
                "",
                "2 (dead)",
                "",
                f"{asked.request_gas:,}",
                "",
                "0",
                asked.how,
            )
            continue
        expected = direct.identify_bytes(asked.content)
        same = (asked.answer["label"], asked.answer["score"]) == (
            expected.output.label,
            float(expected.score),
        )
        if not same:
            wrong.append(
                f"{asked.name}: {asked.answer} on chain, {expected.output.label} {expected.score} directly"
            )
        table.add_row(
            asked.name,
            str(len(asked.content)),
            asked.answer["label"],
            f"{asked.answer['score']:.4f}",
            str(asked.provider),
            "signature",
            f"{asked.request_gas:,} + {asked.answer_gas:,}",
            latencies.get(asked.job_id, "killed"),
            f"{asked.paid / ETHER:f}",
            asked.how,
        )
    console.rule("Answers")
    console.print(table)
    console.print(
        "ms: from the event, as the provider read it, to its answer sent (or it was killed before it noted that); "
        "paid: ether, split below"
    )
    gate, label = demo.asked[1], demo.gate.typeOf(demo.gate.fileOf(demo.asked[1].job_id))
    console.print(f"the contract FileGate was called back and keeps: {gate.name} is {label}")
    if gate.answer is None or label != gate.answer["label"]:
        wrong.append(f"FileGate keeps {label!r} for {gate.name}")
    if wrong:
        raise DemoFailed("answers differ from running the model directly: " + "; ".join(wrong))


def latencies_ms(demo: Demo) -> dict[int, str]:
    """Milliseconds from event read to answer sent by job, as the providers wrote them down.

    A provider that is killed between the two never does.
    """
    found: dict[int, str] = {}
    for process in demo.providers.values():
        db = sqlite3.connect(f"file:{process.home / 'jobs.sqlite'}?mode=ro", uri=True)
        rows = db.execute(
            "SELECT job_id, sent_at_ms - read_at_ms FROM jobs WHERE sent_at_ms IS NOT NULL"
        )
        found |= {job_id: f"{took_ms:.0f}" for job_id, took_ms in rows}
        db.close()
    return found


def show_books(demo: Demo) -> None:
    """Everything paid in = paid out + still held, to the wei."""
    read = demo.contracts.read
    amounts = {
        name: [int(log["data"][2:], 16) for log in demo.logs("Vault", name)]
        for name in ("Deposited", "Withdrawn")
    }
    paid_in, paid_out = sum(amounts["Deposited"]), sum(amounts["Withdrawn"])
    people = {name: demo.address(name) for name in demo.signers} | {"FileGate": demo.gate.address}
    free = {name: read("Vault", "free", address, NATIVE) for name, address in people.items()}
    locked = {
        name: read("Vault", "locked", demo.contracts.address(name), NATIVE)
        for name in ("InferenceRouter", "ProviderStaking")
    }
    real = int(
        demo.contracts.rpc.call("eth_getBalance", demo.contracts.address("Vault"), "latest"), 16
    )

    console.rule("Paid to each party")
    table = Table("offer", "provider", "model owner", "protocol", title_justify="left")
    for log in demo.logs("InferenceRouter", "Claimed"):
        parts = [int(log["data"][2 + 64 * i : 66 + 64 * i], 16) for i in range(3)]
        table.add_row(str(int(log["topics"][1], 16)), *(f"{part / ETHER:f}" for part in parts))
    console.print(table)

    console.rule("Books, in wei")
    table = Table("", "wei", show_header=False)
    table.add_row("paid in", f"{paid_in:,}")
    table.add_row("paid out", f"{paid_out:,}")
    for name, amount in {**free, **{f"locked under {n}": a for n, a in locked.items()}}.items():
        if amount:
            table.add_row(f"held: {name}", f"{amount:,}")
    held = sum(free.values()) + sum(locked.values())
    table.add_row("paid in - paid out - held", f"{paid_in - paid_out - held:,}")
    table.add_row("ether in the Vault - held", f"{real - held:,}")
    console.print(table)
    if paid_in != paid_out + held or real != held or read("Vault", "accounted", NATIVE) != held:
        raise DemoFailed("the books do not balance")
    console.print("[green]Every answer is what the model says, and every wei is accounted for.[/]")
