"""`ape run demo`: a real model answers paid requests on a local chain, from nothing to the books."""

import sys

import click

from scripts._support.demo import run


@click.command()
def cli() -> None:
    """Deploy, ask, kill, refund and settle on a local chain, and check every answer and every wei."""
    sys.exit(0 if run() else 1)
