"""What a file says that the next run takes up. One unreadable row costs that row, nothing more."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from healthd.endpoints import Endpoint
from healthd.errors import LinkError
from healthd.fleet import links
from healthd.model import AdminMode
from healthd.store import states
from healthd.store.states import Saved
from healthd.verdict.overrides import Override

T = TypeVar("T")

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was known when the last run ended. Times are wall-clock seconds."""

    states: Mapping[str, tuple[float, Saved]] = field(default_factory=dict)
    """By node: when it was true last, and what was kept of it."""
    proven: Mapping[str, Endpoint] = field(default_factory=dict)
    """By node: the endpoint that last carried a request."""
    overrides: tuple[Override, ...] = ()
    unreadable: int = 0
    """How many rows could not be read."""
    problem: str | None = None
    """What is wrong with the store, in words."""


def load(connection: sqlite3.Connection) -> Loaded:
    """Read everything that the next run takes up."""
    rows = _Rows(connection)
    alive = rows.read("SELECT value FROM meta WHERE key = 'alive'", lambda row: float(row[0]))
    watched = connection.execute("SELECT name FROM watched WHERE kind = 'node' AND until IS NULL")
    # A state that has not changed was not written again, but held until the daemon ended.
    held = {name: at for (name,) in watched for at in alive}
    found = rows.read("SELECT node, saved_at, document FROM state", _state)
    return Loaded(
        states={node: (max(at, held.get(node, at)), kept) for node, at, kept in found},
        proven=dict(rows.read("SELECT node, link FROM proven", _proven)),
        overrides=tuple(rows.read(_OVERRIDES, override)),
        unreadable=rows.unreadable,
    )


_OVERRIDES = "SELECT pattern, mode, reason, author, created, expires FROM overrides ORDER BY id"


def overrides(connection: sqlite3.Connection) -> tuple[Override, ...]:
    """The overrides, in the order in which they were made."""
    return tuple(_Rows(connection).read(_OVERRIDES, override))


class _Rows:
    """Reads rows, and counts those that cannot be read."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.unreadable = 0

    def read(self, query: str, parse: Callable[[Row], T]) -> list[T]:
        found = []
        for row in self._connection.execute(query):
            try:
                found.append(parse(row))
            except (ValueError, TypeError, LinkError):
                self.unreadable += 1
        return found


def _state(row: Row) -> tuple[str, float, Saved]:
    node, saved_at, document = row
    return str(node), float(saved_at), states.parse(document)


def _proven(row: Row) -> tuple[str, Endpoint]:
    node, link = row
    return str(node), links.parse(str(link))[0]


def override(row: Row) -> Override:
    """One override; its columns as in the table, without the id.

    Raises:
        ValueError: it cannot be read.
    """
    pattern, mode, reason, author, created, expires = row
    return Override(
        pattern=str(pattern),
        mode=AdminMode(mode),
        reason=str(reason),
        author=str(author),
        created=float(created),
        expires=None if expires is None else float(expires),
    )
