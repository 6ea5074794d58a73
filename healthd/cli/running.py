"""Running the daemon, checking a configuration, and what the running daemon thinks."""

import json
import sys
from pathlib import Path
from typing import Any

import click
import trio
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from healthd import daemon, oneshot, startup
from healthd.cli.asking import ask_status
from healthd.cli.common import STYLES, clear_errors, config_option, json_option
from healthd.cli.kept import without_nodes
from healthd.engines.carrying import DIALECTS
from healthd.model import IN_SERVICE
from healthd.sourcing import files as sources


@click.command()
@config_option
@clear_errors
def run(path: Path) -> None:
    """Run the daemon."""
    daemon.run(path)


@click.command("check-config")
@config_option
@clear_errors
def check_config(path: Path) -> None:
    """Check a configuration, and ask the engines about its nodes.

    Exits 2 when something is wrong; what is legal but hardly meant is a warning.
    """
    config = startup.read_config(path)
    for warning in startup.warnings(path, config):
        click.echo(f"warning: {warning}", err=True)
    users = startup.read_users(config)
    for warning in without_nodes(users, config):
        click.echo(f"warning: {warning}", err=True)
    engines = startup.prepare_engines(config)
    startup.load_tls(config)
    startup.check_directories(config)
    refused = trio.run(oneshot.refused, config.fleet(), config, engines)
    for node_id, words in refused.items():
        click.echo(f"{path}: node {node_id!r}: {words}", err=True)
    if refused:
        sys.exit(2)
    for source in config.sources:
        if source.file is not None:
            counts = sources.look(source).counts
            told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
            click.echo(f"{path}: source {source.name!r}: {told}")
    nodes, tables = len(config.nodes), len(config.publish)
    versions = ", ".join(f"{DIALECTS[name].title} {each.version}" for name, each in engines.items())
    people = f"{len(users)} users, " if users else ""
    click.echo(f"{path}: sound; {nodes} nodes, {tables} publications, {people}{versions}")


@click.command()
@config_option
@json_option
@clear_errors
def status(path: Path, as_json: bool) -> None:
    """Show what the running daemon thinks and publishes.

    Exits 1 when a node is out of service.
    """
    state = ask_status(startup.read_config(path))
    if as_json:
        click.echo(json.dumps(state, indent=2))
    else:
        console = Console(highlight=False)
        console.print(status_table(state))
        for each in state["publications"]:
            console.print(
                f"{each['name']}: generation {each['generation']}, {len(each['nodes'])} nodes, "
                f"{each['mode']} ({each['summary']}), in {each['directory']}"
            )
            for node_id in each["held"]:
                console.print(f"  [yellow]held {escape(node_id)}[/] {escape(each['why'][node_id])}")
            for file, why in each["not_written"].items():
                console.print(f"  [yellow]{file} is not written anew:[/] {escape(why)}")
            for file, nodes in each["left_out"].items():
                ids = ", ".join(f"{node_id} ({why})" for node_id, why in nodes.items())
                console.print(f"  {file} is without {escape(ids)}", soft_wrap=True)
        for source in state["sources"]:
            if not source["ok"]:
                name = f"source {escape(source['name'])}"
                console.print(f"[red]{name}:[/] {escape(source['why'])}")
        for fault, words in state["self_check_faults"].items():
            console.print(f"[red]the monitor itself is at fault: {fault}:[/] {escape(words)}")
        if state["store_problem"]:
            console.print(f"[yellow]nothing is being kept:[/] {escape(state['store_problem'])}")
    sys.exit(any(node["health"] not in IN_SERVICE for node in state["nodes"]))


def status_table(state: Any) -> Table:  # noqa: ANN401 - JSON
    """The nodes of an API status as a table."""
    table = Table(box=None, header_style="bold")
    for column in ("node", "health", "since", "latency", "published", "why"):
        table.add_column(column, overflow="fold")
    for node in state["nodes"]:
        latency = "" if node["latency_ms"] is None else f"{node['latency_ms']:.0f} ms"
        style = STYLES[node["health"]]
        name = f"[bold]{node['id']}[/]" if node["role"] == "primary" else node["id"]
        table.add_row(
            name,
            f"[{style}]{node['health']}[/]",
            (node["since"] or "").replace("T", " ").removesuffix("Z"),
            latency,
            "[green]yes[/]" if node["published"] else "[red]no[/]",
            escape(_why(node)),
        )
    return table


def _why(node: Any) -> str:  # noqa: ANN401 - JSON
    """Why it is what it is; an operator's word before all."""
    words = [node["reason"] or "", node["evidence"]]
    if (override := node["override"]) is not None:
        until = f" until {override['expires']}" if override["expires"] else ""
        words.insert(0, f"{override['mode']}{until} ({override['reason']}, {override['author']});")
    if node["slow"]:
        words.append("(slow)")
    return " ".join(filter(None, words))
