"""The whole fleet without the daemon: the configuration's nodes, and what its sources gave last."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from healthd.config import Config, SourceConfig
from healthd.errors import HealthdError
from healthd.fleet import joining
from healthd.fleet.reading import Unreadable
from healthd.model import Node
from healthd.publishing.users import User, allowed, nodes_for, tags_of
from healthd.sourcing.shelf import DIRECTORY, Shelf
from healthd.sourcing.weighing import nodes_of_source, recall


def whole_fleet(config: Config) -> tuple[Node, ...]:
    """Every node in failover order. A source that gave nothing yet is told of on stderr."""
    found = {source.name: _kept_nodes(config.paths.state, source) for source in config.sources}
    return joining.join(config.fleet(), found).fleet


def chosen(config: Config, names: Sequence[str]) -> tuple[Node, ...]:
    """The nodes of these ids, in their order.

    Raises:
        HealthdError: one of them is not known.
    """
    known = {node.id: node for node in whole_fleet(config)}
    for name in names:
        if name not in known:
            told = ", ".join(list(known)[:20]) + (", …" if len(known) > 20 else "")
            raise HealthdError(f"no node {name!r}; there are: {told or 'none'}")
    return tuple(known[name] for name in names)


def nodes_of(
    user: User, config: Config, nodes: Iterable[Node]
) -> tuple[tuple[Node, ...], dict[str, str]]:
    """Those of the nodes that a user gets, with his credentials; and by id: what he lacks."""
    return nodes_for(allowed(nodes, tags_of(user, config.users.tiers)), user)


def without_nodes(users: Sequence[User], config: Config) -> Iterator[str]:
    """A line for each user who would get nothing, and why."""
    fleet = whole_fleet(config) if users else ()
    for user in users:
        own, lacking = nodes_of(user, config, fleet)
        if not own:
            first = next((f"{node_id} {why}" for node_id, why in lacking.items()), None)
            yield f"user {user.name!r} gets no node: {first or 'tier and tags allow none'}"


def _kept_nodes(state: Path, source: SourceConfig) -> tuple[Node, ...]:
    """What the daemon keeps of a source's last good answer."""
    why = "healthd has not had an answer of it yet"
    try:
        if (kept := Shelf(state / DIRECTORY).take(source.name)) is not None:
            return nodes_of_source(recall(kept, source).reading, source)
    except OSError as fault:
        why = f"{fault.strerror}; run this as the user that healthd runs as"
    except (ValueError, Unreadable):
        why = "its kept answer is damaged"
    click.echo(f"healthd: the nodes of source {source.name!r} are missing here: {why}", err=True)
    return ()
