"""`ape run deploy`: deploys Lattice to --network and writes deployments/chain-<id>.json. Safe to run again."""

import click
from ape import accounts, chain, networks
from ape.cli import ConnectedProviderCommand
from eth_utils import to_checksum_address

from scripts._support.deployment import DEFAULT_FEE_BPS, ROOT, deploy, record_path


@click.command(cls=ConnectedProviderCommand)
@click.option(
    "--account", help="Ape account that pays. Local chains default to the first test account."
)
@click.option(
    "--treasury", help="Gets the protocol's share of earnings. Defaults to the paying account."
)
@click.option(
    "--fee-bps", default=DEFAULT_FEE_BPS, show_default=True, help="The protocol's share, 1/10,000."
)
def cli(account: str | None, treasury: str | None, fee_bps: int) -> None:
    """Deploy Lattice to --network and write deployments/chain-<id>.json. Safe to run again."""
    local = networks.provider.network.is_dev
    if account is None and not local:
        raise click.UsageError(
            f"expected --account for {networks.provider.network.choice}, got none"
        )
    sender = accounts.load(account) if account else accounts.test_accounts[0]
    path = record_path(chain.chain_id)
    try:
        deploy(sender, to_checksum_address(treasury or sender.address), fee_bps, path, click.echo)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"record: {path.relative_to(ROOT)}")
