"""The `lattice` command: one file per noun, each thin. Errors are one line on stderr and exit code 1."""

import sys
from pathlib import Path

import click

from offchain_worker.errors import WorkerError
from oracle import config
from oracle.cli import (
    account,
    model,
    pin,
    pin_deals,  # noqa: F401  # its commands are of the group `pin`
    provider,
    request,
    worker,
)
from oracle.cli.common import home_option, say
from oracle.errors import ConfigError, OracleError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def lattice() -> None:
    """AI inference that a smart contract can order, check and pay for."""


@lattice.command("init")
@home_option
@click.option(
    "--rpc", "rpc_urls", multiple=True, required=True, help="JSON-RPC endpoint; repeat for more."
)
@click.option(
    "--deployment",
    type=click.Path(path_type=Path),
    required=True,
    help="Deployment record, such as deployments/chain-1.json.",
)
@click.option("--keystore", default="", help="Ethereum keystore file with the key.")
@click.option("--ape-account", default="", help="Alias of an Ape account with the key.")
@click.option("--signer", default="", help="URL of a remote signer with the key, as Web3Signer.")
@click.option("--signer-address", default="", help="Address of the key there.")
@click.option("--key-env", default="", help="Variable with a raw key; only on local test chains.")
@click.option("--password-file", default="", help="File with the key's password.")
def init(
    home: Path,
    rpc_urls: tuple[str, ...],
    deployment: Path,
    keystore: str,
    ape_account: str,
    signer: str,
    signer_address: str,
    key_env: str,
    password_file: str,
) -> None:
    """Make a home folder with a settings file that explains every setting."""
    named = {"keystore": keystore, "ape": ape_account, "remote": signer, "env": key_env}
    sources = [source for source, name in named.items() if name]
    if len(sources) != 1:
        raise ConfigError(
            "name one key: --keystore FILE, --ape-account ALIAS, --signer URL or --key-env VARIABLE"
        )
    if bool(signer) != bool(signer_address):
        raise ConfigError("--signer URL and --signer-address ADDRESS go together")
    file = home / config.FILE_NAME
    if file.exists():
        raise ConfigError(f"{file} is there already: edit it, or choose another --home")
    values = {
        "chain.rpc_urls": list(rpc_urls),
        "chain.deployment": str(deployment.resolve()),
        "key.source": sources[0],
        "key.keystore": str(Path(keystore).resolve()) if keystore else "",
        "key.account": ape_account,
        "key.signer_url": signer,
        "key.address": signer_address,
        "key.env": key_env or "LATTICE_KEY",
        "key.password_file": str(Path(password_file).resolve()) if password_file else "",
    }
    text = config.template(values)
    home.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    try:
        config.load(home)
    except ConfigError:
        file.unlink()
        raise
    say(f"wrote {file}")


for group in (provider.provider, worker.worker, model.model, request.request):
    lattice.add_command(group)
for group in (account.account, pin.pin):
    lattice.add_command(group)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 for an error, 2 for a mistake in the command."""
    try:
        code = lattice(arguments, prog_name="lattice", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("Error: stopped", err=True)
        sys.exit(1)
    except (OracleError, WorkerError, OSError) as error:
        click.echo("Error: " + " ".join(str(error).split()), err=True)
        sys.exit(1)
    if isinstance(code, int):  # click gives back the code of an `Exit` that a command raised
        sys.exit(code)
