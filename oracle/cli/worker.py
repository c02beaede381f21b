"""`lattice worker`: run models for a provider that hands its jobs out through a queue."""

from pathlib import Path

import click

from oracle import config, logs
from oracle.cli.common import home_option
from oracle.node import open_queue_worker


@click.group()
def worker() -> None:
    """Run models for a provider on other machines."""


@worker.command()
@home_option
def run(home: Path) -> None:
    """Take jobs from the queue of the home folder's provider until you stop it (SIGTERM or Ctrl-C). Needs no key."""
    settings = config.load(home)
    queue_worker = open_queue_worker(settings)
    with logs.written(settings.log_level, form=settings.log_format):
        queue_worker.run()
