"""The subscriptions of the running daemon: how they are, and taking an answer that was refused."""

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from healthd import startup
from healthd.cli.asking import ask_control, ask_status, author
from healthd.cli.common import clear_errors, config_option, json_option


@click.group()
def source() -> None:
    """Show the sources of nodes, or take an answer that was refused."""


@source.command("list")
@config_option
@json_option
@clear_errors
def list_sources(path: Path, as_json: bool) -> None:
    """Show how each source is.

    Exits 1 when one is not well.
    """
    sources = ask_status(startup.read_config(path))["sources"]
    if as_json:
        click.echo(json.dumps(sources, indent=2))
    else:
        console = Console(highlight=False)
        console.print(_table(sources))
        for each in sources:
            if each["why"]:
                console.print(
                    f"[red]{escape(each['name'])}:[/] {escape(each['why'])}", soft_wrap=True
                )
            for problem in each["problems"]:
                told = f"{each['name']}, {problem['where']}: {problem['why']}"
                console.print(f"[dim]{escape(told)}[/]")
    sys.exit(any(not each["ok"] for each in sources))


@source.command()
@click.argument("name")
@config_option
@json_option
@clear_errors
def accept(path: Path, name: str, as_json: bool) -> None:
    """Take the latest answer of source NAME although it was refused.

    An answer that has lost many nodes is refused until somebody says that this is meant.
    """
    about = {"name": name, "author": author()}
    told = ask_control(path, "POST", "sources/accept", about)
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo(f"{told['name']}: {told['nodes']} nodes, {told['nodes_before']} before")


def _table(sources: Any) -> Table:  # noqa: ANN401 - JSON
    table = Table(box=None, header_style="bold")
    for column in ("source", "nodes", "entries", "last success", "where"):
        table.add_column(column, overflow="fold")
    for each in sources:
        counts = (f"{count} {outcome}" for outcome, count in each["entries"].items() if count)
        style = "green" if each["ok"] else "red"
        table.add_row(
            f"[{style}]{escape(each['name'])}[/]",
            str(each["nodes"]),
            ", ".join(counts),
            (each["last_success"] or "never").replace("T", " ").removesuffix("Z"),
            escape(each["where"]),
        )
    return table
