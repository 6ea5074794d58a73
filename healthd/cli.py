"""The commands. Thin: each reads its arguments, calls a room, and prints what came back.

Data goes to stdout, everything for eyes to stderr. Exit codes: 0 all well, 1 the answer is bad,
2 usage or configuration error.
"""

import json
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any, NoReturn

import click
import httpx
import trio
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from healthd import __version__, daemon, oneshot, startup
from healthd.config import Config, join_listen, split_listen
from healthd.engines import find
from healthd.errors import HealthdError
from healthd.model import IN_SERVICE, Node, Outcome, Result

DEFAULT_CONFIG = Path("/etc/healthd/config.toml")

_STYLES = {
    "up": "green",
    "success": "green",
    "suspect": "yellow",
    "recovering": "yellow",
    "inconclusive": "yellow",
    "unknown": "dim",
    "down": "red",
    "failure": "red",
    "invalid": "magenta",
}

errors = Console(stderr=True, highlight=False)


def main() -> None:
    """Entry point of the ``healthd`` command."""
    cli(prog_name="healthd")


def _clear_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Our own errors are for people: their words and exit code 2, no traceback."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever click passes
        try:
            command(*args, **kwargs)
        except HealthdError as why:
            _give_up(str(why))

    return wrapped


def _give_up(words: str) -> NoReturn:
    for line in words.splitlines():
        click.echo(f"healthd: {line}", err=True)
    sys.exit(2)


_config_option = click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="The configuration file.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Health checks and failover for fleets of VPN nodes."""


@cli.command()
@_config_option
@_clear_errors
def run(path: Path) -> None:
    """Run the daemon."""
    daemon.run(path)


@cli.command("check-config")
@_config_option
@_clear_errors
def check_config(path: Path) -> None:
    """Check a configuration, and ask Xray about its nodes."""
    config = startup.read_config(path)
    for warning in startup.warnings(path, config):
        click.echo(f"warning: {warning}", err=True)
    engine = find.find_xray(config.engines.xray)
    startup.load_tls(config)
    startup.check_directories(config)
    refused = trio.run(oneshot.refused, engine.path, config.fleet())
    for node_id, words in refused.items():
        click.echo(f"{path}: node {node_id!r}: Xray refuses it: {words}", err=True)
    if refused:
        sys.exit(2)
    nodes, tables = len(config.nodes), len(config.publish)
    click.echo(f"{path}: sound; {nodes} nodes, {tables} publications, Xray {engine.version}")


@cli.command()
@_config_option
@click.argument("nodes", nargs=-1)
@click.option("--link", help="Probe this share link instead; '-' reads it from standard input.")
@_json_option
@_clear_errors
def probe(path: Path, nodes: tuple[str, ...], link: str | None, as_json: bool) -> None:
    """Probe nodes once, now; all of the configuration, or the NODES named.

    Exits 0 when every node carried the request, 1 when one did not.
    """
    config = _config_for_probe(path, link)
    fleet = oneshot.fleet_of_link(_read_link(link)) if link else _chosen(config, nodes)
    engine = find.find_xray(config.engines.xray)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("probing", total=len(fleet))
        advance = partial(progress.advance, task)
        results = trio.run(oneshot.probe, fleet, config, engine.path, advance)
    _print_results(results, as_json)
    sys.exit(any(result.outcome is not Outcome.SUCCESS for _, result in results))


def _config_for_probe(path: Path, link: str | None) -> Config:
    """With --link the file is only needed if it is there: for check URLs and the engine."""
    if link and not path.exists():
        return Config()
    return startup.read_config(path)


def _read_link(link: str) -> str:
    return sys.stdin.read() if link == "-" else link


def _chosen(config: Config, names: tuple[str, ...]) -> tuple[Node, ...]:
    fleet = config.fleet()
    known = {node.id: node for node in fleet}
    if unknown := [name for name in names if name not in known]:
        raise click.UsageError(
            f"no node {unknown[0]!r} in the configuration; there are: {', '.join(known)}"
        )
    return tuple(known[name] for name in names) or fleet


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
        style = _STYLES[result.outcome]
        table.add_row(
            escape(node.id),
            f"[{style}]{result.outcome}[/]",
            latency,
            result.reason or "",
            escape(result.detail),
        )
    Console(highlight=False).print(table)


@cli.command()
@_config_option
@_json_option
@_clear_errors
def status(path: Path, as_json: bool) -> None:
    """Show what the running daemon thinks and publishes.

    Exits 1 when a node is out of service.
    """
    state = _ask_daemon(startup.read_config(path))
    if as_json:
        click.echo(json.dumps(state, indent=2))
    else:
        console = Console(highlight=False)
        console.print(status_table(state))
        for each in state["publications"]:
            console.print(
                f"{each['name']}: generation {each['generation']}, {len(each['nodes'])} nodes, "
                f"{each['mode']}, in {each['directory']}"
            )
        if not state["self_check_ok"]:
            console.print("[red]the monitor itself is offline: no node is judged[/]")
    sys.exit(any(node["health"] not in IN_SERVICE for node in state["nodes"]))


def _ask_daemon(config: Config) -> Any:  # noqa: ANN401 - JSON
    host, port = split_listen(config.http.listen)
    where = join_listen(host, port)
    try:
        answer = httpx.get(f"http://{where}/api/v1/status", timeout=10, trust_env=False)
        answer.raise_for_status()
        return answer.json()
    except (httpx.HTTPError, ValueError) as why:
        raise HealthdError(
            f"no healthd answers on {config.http.listen} ({type(why).__name__}); "
            "is it running with this configuration?"
        ) from why


def status_table(state: Any) -> Table:  # noqa: ANN401 - JSON
    """The nodes of an API status as a table."""
    table = Table(box=None, header_style="bold")
    for column in ("node", "health", "since", "latency", "published", "why"):
        table.add_column(column, overflow="fold")
    for node in state["nodes"]:
        latency = "" if node["latency_ms"] is None else f"{node['latency_ms']:.0f} ms"
        style = _STYLES[node["health"]]
        name = f"[bold]{node['id']}[/]" if node["role"] == "primary" else node["id"]
        table.add_row(
            name,
            f"[{style}]{node['health']}[/]",
            (node["since"] or "").replace("T", " ").removesuffix("Z"),
            latency,
            "[green]yes[/]" if node["published"] else "[red]no[/]",
            escape(" ".join(filter(None, [node["reason"] or "", node["evidence"]]))),
        )
    return table


@cli.group(invoke_without_command=True)
@_config_option
@_json_option
@click.pass_context
@_clear_errors
def engines(context: click.Context, path: Path, as_json: bool) -> None:
    """Show the engines that are used with a configuration, or install one."""
    if context.invoked_subcommand is not None:
        return
    config = startup.read_config(path) if path.exists() else Config()
    engine = find.find_xray(config.engines.xray)
    if as_json:
        click.echo(json.dumps({"xray": {"path": engine.path, "version": engine.version}}))
    else:
        click.echo(f"xray {engine.version} {engine.path}")


@engines.command()
@_clear_errors
def install() -> None:
    """Obtain the pinned Xray into the user's cache: built with Go, else the official release."""
    engine = find.install_xray(lambda words: click.echo(words, err=True))
    click.echo(f"xray {engine.version} {engine.path}")


@cli.command()
@click.option("--keep", is_flag=True, help="Leave fleet and daemon running at the end.")
@_clear_errors
def demo(keep: bool) -> None:
    """Show the whole job on a real fleet on loopback: kill nodes, watch the file follow."""
    from healthd.demo import show  # noqa: PLC0415 - the daemon has no use for the stage

    sys.exit(show.main(keep=keep))
