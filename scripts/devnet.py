"""`ape run devnet`: keeps a local chain with Lattice deployed open until Ctrl-C, with a block each second."""

import contextlib
import signal
from pathlib import Path

import click
from ape import accounts, networks

from oracle.cli.common import Address
from scripts._support.deployment import ROOT, deploy, record_path
from scripts._support.devnet import Anvil
from scripts._support.plan import Settings

HOME = ROOT / ".lattice" / "devnet"


@click.command()
@click.option(
    "--fund",
    multiple=True,
    type=Address(),
    help="Address that gets 100 ether of this chain; repeat for more.",
)
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=HOME,
    help="Folder for the deployment record; a second devnet at the same time needs its own.",
)
def cli(fund: tuple[str, ...], home: Path) -> None:
    """Keep a local chain with Lattice deployed open until Ctrl-C, with a block each second."""
    home.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGINT):  # else the chain would go on alone
        signal.signal(number, signal.default_int_handler)
    with (
        Anvil(home / "anvil.log") as anvil,
        networks.parse_network_choice(anvil.url),
    ):
        sender = accounts.test_accounts[0]
        path = record_path(anvil.chain_id, home)
        deploy(sender, Settings(sender.address, sender.address), path, click.echo)
        for address in fund:
            anvil.call("anvil_setBalance", address, hex(100 * 10**18))
        anvil.call("evm_setIntervalMining", 1)  # else nothing becomes final while nobody sends
        click.echo(f"chain: {anvil.url}\nrecord: {path}\nCtrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
