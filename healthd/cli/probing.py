"""Probing nodes once, now."""

import json
import sys
from functools import partial
from pathlib import Path

import click
import trio
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from healthd import oneshot, startup
from healthd.cli.common import STYLES, clear_errors, config_option, errors, json_option
from healthd.cli.kept import chosen, whole_fleet
from healthd.config import Config
from healthd.model import Node, Outcome, Result


@click.command()
@config_option
@click.argument("nodes", nargs=-1)
@click.option("--link", help="Probe this share link instead; '-' reads it from standard input.")
@json_option
@clear_errors
def probe(path: Path, nodes: tuple[str, ...], link: str | None, as_json: bool) -> None:
    """Probe nodes once, now: all, or the NODES named.

    Of the sources it knows the nodes of the last good answer that healthd has had.

    Exits 0 when every node carried the request, 1 when one did not.
    """
    config = _config_for_probe(path, link)
    if link:
        fleet = oneshot.fleet_of_link(_read_link(link))
    else:
        fleet = chosen(config, nodes) if nodes else whole_fleet(config)
    engines = startup.prepare_engines(config)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("probing", total=len(fleet))
        advance = partial(progress.advance, task)
        results = trio.run(oneshot.probe, fleet, config, engines, advance)
    _print_results(results, as_json)
    sys.exit(any(result.outcome is not Outcome.SUCCESS for _, result in results))


def _config_for_probe(path: Path, link: str | None) -> Config:
    """With --link the file is only needed if it is there: for check URLs and the engine."""
    if link and not path.exists():
        return Config()
    return startup.read_config(path)


def _read_link(link: str) -> str:
    return sys.stdin.read() if link == "-" else link


def _print_results(results: list[tuple[Node, Result]], as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "id": node.id,
                "outcome": result.outcome,
                "reason": result.reason,
                "latency_ms": None if result.latency is None else round(result.latency * 1000, 1),
                "detail": result.detail,
            }
            for node, result in results
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("node", "result", "latency", "reason", "detail", box=None, header_style="bold")
    for node, result in results:
        latency = "" if result.latency is None else f"{result.latency * 1000:.0f} ms"
        style = STYLES[result.outcome]
        table.add_row(
            escape(node.id),
            f"[{style}]{result.outcome}[/]",
            latency,
            result.reason or "",
            escape(result.detail),
        )
    Console(highlight=False).print(table)
