"""One batch of news, and how it is written. Runs in the worker thread; the batch is its own."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter

from healthd.fleet import links
from healthd.model import Node
from healthd.store import states
from healthd.store.database import Database
from healthd.store.states import Saved
from healthd.verdict import trace
from healthd.verdict.ledger import Key, Kind, Tally
from healthd.verdict.machine import Transition
from healthd.verdict.overrides import Override
from healthd.verdict.trace import Recorded

_FIGURES = attrgetter(*(each.name for each in fields(Tally)))
"""The columns of the ledger are the fields of a tally, in their order."""

Block = tuple[str, tuple[Recorded, ...]]
"""Results of one node, oldest first; at least one."""


@dataclass(frozen=True, slots=True)
class NotedTransition:
    """A transition of a node, with the wall-clock second at which it was noted."""

    node: str
    transition: Transition
    wall: float
    detail: str


@dataclass(frozen=True, slots=True)
class NotedPublication:
    """A generation that was written. ``removed`` tells why, by node id."""

    publication: str
    generation: int
    mode: str
    nodes: tuple[str, ...]
    added: tuple[str, ...]
    removed: Mapping[str, str]
    wall: float


@dataclass(frozen=True, slots=True)
class Watched:
    """All nodes and publications that are in the configuration, from this wall-clock second on."""

    nodes: frozenset[str]
    publications: frozenset[str]
    wall: float


@dataclass(slots=True)
class Batch:
    """What is to be written in one transaction. None: no news."""

    wall: float
    shift: float
    """Seconds that the wall clock shows more than the monotonic one."""
    interval: float
    """Seconds of a slot now."""
    states: dict[str, Saved] = field(default_factory=dict)
    proven: dict[str, Node] = field(default_factory=dict)
    overrides: tuple[Override, ...] | None = None
    watched: Watched | None = None
    transitions: list[NotedTransition] = field(default_factory=list)
    publications: list[NotedPublication] = field(default_factory=list)
    tallies: dict[Key, Tally] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)


def write(database: Database, batch: Batch) -> None:
    """Write a batch, all of it or nothing.

    Raises:
        StoreError: it could not be written.
    """
    # An operator is told that his override is kept: then it must be.
    with database.writing(durable=batch.overrides is not None) as connection:
        _write_states(connection, batch)
        _write_proven(connection, batch.proven)
        if batch.overrides is not None:
            _write_overrides(connection, batch.overrides)
        if batch.watched is not None:
            _write_watched(connection, batch.watched)
        _write_events(connection, batch)
        _write_tallies(connection, batch.tallies, batch.interval)
        _write_blocks(connection, batch.blocks)
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('alive', ?)", (batch.wall,))


def _write_states(connection: sqlite3.Connection, batch: Batch) -> None:
    connection.executemany(
        "INSERT INTO state VALUES (?, ?, ?) ON CONFLICT (node) DO UPDATE"
        " SET saved_at = excluded.saved_at, document = excluded.document",
        (
            (node, batch.wall, states.write(kept.moved(batch.shift)))
            for node, kept in batch.states.items()
        ),
    )


def _write_proven(connection: sqlite3.Connection, proven: Mapping[str, Node]) -> None:
    connection.executemany(
        "INSERT INTO proven VALUES (?, ?, ?, ?) ON CONFLICT (node) DO UPDATE SET"
        " fingerprint = excluded.fingerprint, link = excluded.link, name = excluded.name",
        (
            (node_id, node.fingerprint, links.write(node.endpoint, node.name), node.name)
            for node_id, node in proven.items()
        ),
    )


def _write_overrides(connection: sqlite3.Connection, laid: Sequence[Override]) -> None:
    connection.execute("DELETE FROM overrides")
    connection.executemany(
        "INSERT INTO overrides VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (number, each.pattern, each.mode, each.reason, each.author, each.created, each.expires)
            for number, each in enumerate(laid)
        ),
    )


def _write_watched(connection: sqlite3.Connection, watched: Watched) -> None:
    wanted = {(Kind.NODE.value, name) for name in watched.nodes}
    wanted |= {(Kind.PUBLICATION.value, name) for name in watched.publications}
    known = set(connection.execute("SELECT kind, name FROM watched WHERE until IS NULL"))
    connection.executemany(
        "UPDATE watched SET until = max(since, ?) WHERE kind = ? AND name = ? AND until IS NULL",
        ((watched.wall, *subject) for subject in known - wanted),
    )
    connection.executemany(
        "INSERT OR REPLACE INTO watched VALUES (?, ?, ?, NULL)",
        ((*subject, watched.wall) for subject in wanted - known),
    )


def _write_events(connection: sqlite3.Connection, batch: Batch) -> None:
    connection.executemany(
        "INSERT INTO transitions VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (each.wall, each.node, made.before, made.after, made.reason, made.evidence, each.detail)
            for each in batch.transitions
            for made in (each.transition,)
        ),
    )
    connection.executemany(
        "INSERT INTO publications VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (
                each.wall,
                each.publication,
                each.generation,
                each.mode,
                json.dumps(each.nodes),
                json.dumps(each.added),
                json.dumps(dict(each.removed)),
            )
            for each in batch.publications
        ),
    )


def _write_tallies(
    connection: sqlite3.Connection, tallies: Mapping[Key, Tally], interval: float
) -> None:
    connection.executemany(
        "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (hour, kind, name) DO UPDATE SET interval = excluded.interval,"
        " good = ledger.good + excluded.good, bad = ledger.bad + excluded.bad,"
        " excluded = ledger.excluded + excluded.excluded,"
        " unknown = ledger.unknown + excluded.unknown,"
        " latency_sum = ledger.latency_sum + excluded.latency_sum,"
        " latency_count = ledger.latency_count + excluded.latency_count,"
        " latency_max = max(ledger.latency_max, excluded.latency_max)",
        (
            (hour, kind, name, interval, *_FIGURES(each))
            for (kind, name, hour), each in tallies.items()
        ),
    )


def _write_blocks(connection: sqlite3.Connection, blocks: Iterable[Block]) -> None:
    connection.executemany(
        "INSERT INTO results VALUES (?, ?, ?, ?)",
        (
            (node, results[0].began, results[-1].began, trace.encode(results))
            for node, results in blocks
        ),
    )
