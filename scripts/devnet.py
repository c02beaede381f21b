"""`ape run devnet`: keeps a local chain with Lattice deployed open until Ctrl-C."""

import contextlib
import signal

import click
from ape import accounts, networks

from scripts._support.deployment import ROOT, deploy, record_path
from scripts._support.devnet import Anvil
from scripts._support.plan import Settings

HOME = ROOT / ".lattice" / "devnet"


@click.command()
def cli() -> None:
    """Keep a local chain with Lattice deployed open until Ctrl-C."""
    HOME.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the chain would go on alone
    with (
        Anvil(HOME / "anvil.log") as anvil,
        networks.parse_network_choice(anvil.url),
    ):
        sender = accounts.test_accounts[0]
        path = record_path(anvil.chain_id, HOME)
        deploy(sender, Settings(sender.address, sender.address), path, click.echo)
        click.echo(f"chain: {anvil.url}\nrecord: {path}\nCtrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
