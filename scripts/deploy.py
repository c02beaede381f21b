"""`ape run deploy`: deploys Lattice to --network and writes deployments/chain-<id>.json. Safe to run again."""

import click
from ape import accounts, chain, networks
from ape.cli import ConnectedProviderCommand
from eth_utils import to_checksum_address

from scripts._support.deployment import ROOT, deploy, record_path
from scripts._support.plan import DEFAULT_BLOCK_MS, DEFAULT_FEE_BPS, Settings


@click.command(cls=ConnectedProviderCommand)
@click.option(
    "--account", help="Ape account that pays. Local chains default to the first test account."
)
@click.option(
    "--treasury", help="Gets the protocol's share of earnings. Defaults to the paying account."
)
@click.option(
    "--admin", help="May pause new requests and stakes, and name who may. Defaults to the treasury."
)
@click.option(
    "--fee-bps", default=DEFAULT_FEE_BPS, show_default=True, help="The protocol's share, 1/10,000."
)
@click.option(
    "--block-ms",
    default=DEFAULT_BLOCK_MS,
    show_default=True,
    help="Time between blocks of the chain, in milliseconds.",
)
def cli(
    account: str | None, treasury: str | None, admin: str | None, fee_bps: int, block_ms: int
) -> None:
    """Deploy Lattice to --network and write deployments/chain-<id>.json. Safe to run again."""
    local = networks.provider.network.is_dev
    if account is None and not local:
        raise click.UsageError(
            f"expected --account for {networks.provider.network.choice}, got none"
        )
    sender = accounts.load(account) if account else accounts.test_accounts[0]
    path = record_path(chain.chain_id)
    try:
        treasury = to_checksum_address(treasury or sender.address)
        chosen = Settings(
            treasury, to_checksum_address(admin or treasury), fee_bps, block_ms=block_ms
        )
        deploy(sender, chosen, path, click.echo)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"record: {path.relative_to(ROOT)}")
