"""`ape run demo_pin`: one deal, one pinner that keeps the file and is paid, one that does not and is not."""

import sys

import click

from scripts._support.demo_pin import run


@click.command()
def cli() -> None:
    """Fund a deal, join it twice, delete one copy, and check who is paid, to the wei."""
    sys.exit(0 if run() else 1)
