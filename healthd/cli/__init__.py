"""The commands. Thin: each reads its arguments, calls a room, and prints what came back.

Data goes to stdout, everything for eyes to stderr. Exit codes: 0 all well, 1 the answer is bad,
2 usage or configuration error.
"""

import sys

import click

from healthd import __version__
from healthd.cli.common import clear_errors
from healthd.cli.engines import engines
from healthd.cli.history import history, sla
from healthd.cli.importing import import_nodes
from healthd.cli.linking import link
from healthd.cli.overriding import drain, force_down, force_up, maintain, resume
from healthd.cli.probing import probe
from healthd.cli.rendering import render
from healthd.cli.replay import replay
from healthd.cli.running import check_config, run, status
from healthd.cli.sources import source


def main() -> None:
    """Entry point of the ``healthd`` command."""
    cli(prog_name="healthd")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Health checks and failover for fleets of VPN nodes."""


@click.command()
@click.option("--keep", is_flag=True, help="Leave fleet and daemon running at the end.")
@clear_errors
def demo(keep: bool) -> None:
    """Show the whole job on a real fleet on loopback: kill nodes, watch the file follow."""
    from healthd.demo import show  # noqa: PLC0415 - the daemon has no use for the stage

    sys.exit(show.main(keep=keep))


for command in (
    run,
    check_config,
    probe,
    status,
    engines,
    demo,
    drain,
    maintain,
    force_up,
    force_down,
    resume,
    history,
    sla,
    replay,
    import_nodes,
    render,
    link,
    source,
):
    cli.add_command(command)
