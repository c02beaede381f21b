"""`ape run devnet`: keeps a local chain with Lattice deployed open until Ctrl-C, with a block each second."""

import contextlib
import signal

import click
from ape import accounts, networks

from scripts._support.deployment import ROOT, deploy, record_path
from scripts._support.devnet import Anvil
from scripts._support.plan import Settings

HOME = ROOT / ".lattice" / "devnet"


@click.command()
@click.option(
    "--fund", multiple=True, help="Address that gets 100 ether of this chain; repeat for more."
)
def cli(fund: tuple[str, ...]) -> None:
    """Keep a local chain with Lattice deployed open until Ctrl-C, with a block each second."""
    HOME.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the chain would go on alone
    with (
        Anvil(HOME / "anvil.log") as anvil,
        networks.parse_network_choice(anvil.url),
    ):
        sender = accounts.test_accounts[0]
        path = record_path(anvil.chain_id, HOME)
        deploy(sender, Settings(sender.address, sender.address), path, click.echo)
        for address in fund:
            anvil.call("anvil_setBalance", address, hex(100 * 10**18))
        anvil.call("evm_setIntervalMining", 1)  # else nothing becomes final while nobody sends
        click.echo(f"chain: {anvil.url}\nrecord: {path}\nCtrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
