"""What would be published now, without publishing it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click

from healthd import startup
from healthd.cli.asking import ask_status
from healthd.cli.common import clear_errors, config_option
from healthd.cli.files import write_private
from healthd.cli.kept import nodes_of, whole_fleet
from healthd.config import Config, FormatName, PublishConfig
from healthd.errors import HealthdError
from healthd.model import Node
from healthd.publishing.formats import FORMATS, About, Rendering, render_all
from healthd.publishing.users import User, floor_for
from healthd.verdict.gate import floor_of


@click.command()
@config_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="A directory to write all files to, for its owner only.",
)
@click.option("--publication", help="Which one; needed with --format when there are several.")
@click.option(
    "--format",
    "form",
    type=click.Choice(get_args(FormatName)),
    help="Print this one document instead.",
)
@click.option("--user", help="One user's files, with the user's own credentials.")
@clear_errors
def render(
    path: Path, output: Path | None, publication: str | None, form: str | None, user: str | None
) -> None:
    """Show what would be published now, without publishing it.

    The order is the running daemon's; when none answers, all nodes in failover order. Documents
    hold credentials: they go to standard output (--format) or into a directory (-o), nowhere else.

    Exits 1 when a document cannot be rendered, because its format can express too few nodes.
    """
    if (output is None) == (form is None):
        raise click.UsageError("say either --format FORMAT or -o DIRECTORY")
    config = startup.read_config(path)
    tables = _tables(config, publication)
    if form is not None and len(tables) > 1:
        names = ", ".join(table.name for table in tables)
        raise click.UsageError(f"say which --publication; there are: {names}")
    person = _user(config, user)
    fleet, orders = whole_fleet(config), _orders(config)
    whole = True
    for table in tables:
        nodes = _nodes(table, fleet, orders.get(table.name))
        made = _rendered(config, table, nodes, person, form)
        whole &= not made.too_few
        _tell(table, made)
        if output is None:
            sys.stdout.buffer.write(b"".join(made.documents.values()))
        else:
            places = [output] if len(tables) == 1 else [output, output / table.name]
            _write(config, places, made)
    sys.exit(not whole)


def _tables(config: Config, name: str | None) -> Sequence[PublishConfig]:
    found = [table for table in config.publish if name in {None, table.name}]
    if not found:
        names = ", ".join(table.name for table in config.publish)
        raise HealthdError(f"no publication {name!r}; there are: {names}")
    return found


def _user(config: Config, name: str | None) -> User | None:
    """Whose files they are.

    Raises:
        HealthdError: there is no such user; or there are users, and none is named.
    """
    if config.users.file is None:
        if name is not None:
            raise HealthdError("--user: the configuration has no users.file")
        return None
    if name is None:
        raise HealthdError("this configuration has users, each with files of his own: say --user")
    for user in startup.read_users(config):
        if user.name == name:
            return user
    raise HealthdError(f"no user {name!r} in {config.users.file}")


def _orders(config: Config) -> dict[str, Sequence[str]]:
    """Publication -> ids of the nodes that the daemon publishes, in its order."""
    try:
        state: Any = ask_status(config)
    except HealthdError:
        click.echo(
            "healthd: no daemon answers: these are all nodes in failover order, well or not",
            err=True,
        )
        return {}
    return {each["name"]: each["nodes"] for each in state["publications"] if each["nodes"]}


def _nodes(
    table: PublishConfig, fleet: Sequence[Node], order: Sequence[str] | None
) -> Sequence[Node]:
    if order is None:
        found = [node for node in fleet if node.selected_by(table.select)]
        return found[: table.limit or None]
    known = {node.id: node for node in fleet}
    if missing := [node_id for node_id in order if node_id not in known]:
        click.echo(f"healthd: not known here, so left out: {', '.join(missing)}", err=True)
    return [known[node_id] for node_id in order if node_id in known]


def _rendered(
    config: Config,
    table: PublishConfig,
    nodes: Sequence[Node],
    user: User | None,
    form: str | None,
) -> Rendering:
    about = About.of(table, config.probe.urls[0], config.probe.expect_status)
    names = [name for name in FORMATS if name == form] if form else table.formats
    floor = floor_of(len(nodes), config.gate, table.limit)
    if user is None:
        return render_all(nodes, names, about, floor=floor)
    own, why = nodes_of(user, config, nodes)
    for node_id, words in why.items():
        click.echo(f"healthd: {table.name}: without {node_id}: it {words}", err=True)
    return render_all(own, names, about, floor=floor_for(floor, len(own), len(nodes)))


def _tell(table: PublishConfig, made: Rendering) -> None:
    for file, why in made.left_out.items():
        for node_id, words in why.items():
            click.echo(f"healthd: {table.name}/{file}: without {node_id}: {words}", err=True)
    for file, words in made.too_few.items():
        click.echo(f"healthd: {table.name}/{file}: not rendered: {words}", err=True)


def _write(config: Config, places: Sequence[Path], made: Rendering) -> None:
    """Write the documents into the last of these directories, but never into what is published.

    Raises:
        HealthdError: it is published, or cannot be written.
    """
    place = places[-1]
    for table in config.publish:
        if place.resolve().is_relative_to(table.directory.resolve()):
            raise HealthdError(f"{place} is in the publication {table.name!r}; choose another one")
    for directory in places:  # one by one: parents made on the way would be open to all
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as why:
            raise HealthdError(f"{directory}: cannot be made: {why.strerror}") from why
    for file, document in made.documents.items():
        write_private(place / file, document, replace=True)
