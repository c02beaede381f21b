"""`lattice account`: money in the Vault."""

from pathlib import Path

import click

from oracle.chain.transact import transact
from oracle.cli.common import (
    NATIVE,
    Address,
    Amount,
    Session,
    home_option,
    json_option,
    say,
    show,
    shown_amount,
)


@click.group()
def account() -> None:
    """Deposit, withdraw and look at your money in the Vault."""


@account.command()
@home_option
@click.argument("amount", type=Amount())
def deposit(home: Path, amount: int) -> None:
    """Put AMOUNT of the native token on your balance, and let the router spend it on your requests."""
    session = Session(home)
    contracts, signer = session.contracts, session.signer
    transact(contracts, signer, "Vault", "deposit", signer.address, NATIVE, amount, value=amount)
    router = contracts.address("InferenceRouter")
    if not contracts.read("Vault", "isAllowed", signer.address, router):
        transact(contracts, signer, "Vault", "allowModule", router, True)
    say(f"deposited {shown_amount(amount)}")


@account.command()
@home_option
@click.argument("amount", type=Amount())
@click.option("--to", type=Address(), help="Who gets it; by default you.")
def withdraw(home: Path, amount: int, to: str | None) -> None:
    """Take AMOUNT of the native token out of the Vault."""
    session = Session(home)
    signer = session.signer
    transact(session.contracts, signer, "Vault", "withdraw", NATIVE, amount, to or signer.address)
    say(f"withdrew {shown_amount(amount)} to {to or signer.address}")


@account.command("show")
@home_option
@json_option
def show_account(home: Path, as_json: bool) -> None:
    """Show your address, your wallet and your balance in the Vault (in wei with --json)."""
    session = Session(home)
    contracts, address = session.contracts, session.signer.address
    wallet = int(contracts.rpc.call("eth_getBalance", address, "latest"), 16)
    free = contracts.read("Vault", "free", address, NATIVE)
    router = contracts.address("InferenceRouter")
    values = {
        "address": address,
        "wallet": wallet if as_json else shown_amount(wallet),
        "free_in_vault": free if as_json else shown_amount(free),
        "router_may_spend": contracts.read("Vault", "isAllowed", address, router),
        "chain_id": contracts.deployment.chain_id,
    }
    show(values, as_json)
