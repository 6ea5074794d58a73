"""The whole fleet without the daemon: the configuration's nodes, and what its sources gave last."""

from pathlib import Path

import click

from healthd.config import Config, SourceConfig
from healthd.errors import HealthdError
from healthd.fleet import joining, subscriptions
from healthd.fleet.reading import Unreadable
from healthd.model import Node
from healthd.sourcing.shelf import Shelf


def whole_fleet(config: Config) -> tuple[Node, ...]:
    """Every node in failover order. A source that gave nothing yet is told of on stderr."""
    found = {source.name: _kept_nodes(config.paths.state, source) for source in config.sources}
    return joining.join(config.fleet(), found).fleet


def chosen(config: Config, node_id: str) -> Node:
    """The node of this id.

    Raises:
        HealthdError: there is none.
    """
    fleet = whole_fleet(config)
    for node in fleet:
        if node.id == node_id:
            return node
    known = ", ".join(node.id for node in fleet[:20]) + (", …" if len(fleet) > 20 else "")
    raise HealthdError(f"no node {node_id!r}; there are: {known or 'none'}")


def _kept_nodes(state: Path, source: SourceConfig) -> tuple[Node, ...]:
    """What the daemon keeps of a source's last good answer."""
    why = "healthd has not had an answer of it yet"
    try:
        if (kept := Shelf(state / "sources").take(source.name)) is not None:
            most = max(source.max_nodes, kept.nodes)
            reading = subscriptions.read(kept.body, max_nodes=most)
            return joining.nodes(reading, prefix=source.prefix, role=source.role, tags=source.tags)
    except OSError as fault:
        why = f"{fault.strerror}; run this as the user that healthd runs as"
    except (ValueError, Unreadable):
        why = "its kept answer is damaged"
    click.echo(f"healthd: the nodes of source {source.name!r} are missing here: {why}", err=True)
    return ()
