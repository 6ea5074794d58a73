"""What the commands ask of the file, whether or not the daemon runs. Only reads; blocks."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from pathlib import Path

from healthd.errors import StoreError, StoreFault
from healthd.model import Health, Reason
from healthd.store.database import reading
from healthd.store.reading import overrides
from healthd.verdict.ledger import HOUR, Availability, HourOf, Kind, Tally, hour_of, summed
from healthd.verdict.overrides import Override


@dataclass(frozen=True, slots=True)
class Change:
    """A transition of a node. ``at`` is wall-clock seconds."""

    at: float
    before: Health
    after: Health
    reason: Reason | None
    evidence: str
    detail: str


@dataclass(frozen=True, slots=True)
class History:
    """What happened to a node, oldest first, and what operators want of it now."""

    changes: tuple[Change, ...]
    overrides: tuple[Override, ...]
    """Those that match it and have not expired; the last one holds."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the slots of a node, or of a publication, say of a span of time."""

    kind: Kind
    name: str
    begin: float
    """Wall-clock seconds; not before it was watched first."""
    end: float
    figures: Availability


def known_nodes(path: Path) -> frozenset[str]:
    """The nodes of which the file knows something.

    Raises:
        StoreError: it cannot be read.
    """
    with reading(path) as connection:
        query = "SELECT name FROM watched WHERE kind = 'node' UNION SELECT node FROM transitions"
        return frozenset(name for (name,) in connection.execute(query))


def history(path: Path, node_id: str, *, since: float, now: float) -> History:
    """What happened to a node since a wall-clock second.

    Raises:
        StoreError: the file cannot be read.
    """
    query = (
        "SELECT at, before, after, reason, evidence, detail FROM transitions"
        " WHERE node = ? AND at >= ? ORDER BY at, rowid"
    )
    with reading(path) as connection:
        rows = connection.execute(query, (node_id, since)).fetchall()
        laid = overrides(connection)
    holding = [each for each in laid if each.holds(now) and each.matches(node_id)]
    try:
        return History(tuple(_change(*row) for row in rows), tuple(holding))
    except (ValueError, TypeError) as why:
        raise _garbage(path) from why


def _change(
    at: float, before: str, after: str, reason: str | None, evidence: str, detail: str
) -> Change:
    because = None if reason is None else Reason(reason)
    return Change(float(at), Health(before), Health(after), because, str(evidence), str(detail))


def sla(path: Path, *, since: float, now: float, interval: float) -> list[Standing]:
    """How everything that was watched since a wall-clock second stands; publications first.

    Time in which the daemon did not run counts as unknown, time in which a node was not in the
    configuration does not count at all.

    Args:
        path: The file.
        since: Where the span begins; it is extended to the whole hour.
        now: Where it ends.
        interval: Seconds of a slot in hours of which nothing was kept.

    Raises:
        StoreError: the file cannot be read.
    """
    since = hour_of(since) * HOUR
    try:
        with reading(path) as connection:
            spans = _spans(connection, since, now)
            hours = _hours(connection, hour_of(since), hour_of(now))
            found = {
                subject: _standing(subject, spans[subject], list(rows), interval)
                for subject, rows in hours
                if subject in spans
            }
    except (ValueError, TypeError) as why:
        raise _garbage(path) from why
    for subject in spans.keys() - found:
        found[subject] = _standing(subject, spans[subject], [], interval)
    return sorted(found.values(), key=lambda each: (each.kind is Kind.NODE, each.name))


Subject = tuple[Kind, str]
Span = tuple[float, float]


def _spans(connection: sqlite3.Connection, since: float, now: float) -> dict[Subject, list[Span]]:
    """When each subject was watched between these seconds; those that never were are left out."""
    found: dict[Subject, list[Span]] = {}
    rows = connection.execute("SELECT kind, name, since, until FROM watched ORDER BY since")
    for kind, name, first, last in rows:
        begin, end = max(since, float(first)), min(now, now if last is None else float(last))
        if begin < end:
            found.setdefault((Kind(kind), str(name)), []).append((begin, end))
    return found


def _hours(
    connection: sqlite3.Connection, first: int, last: int
) -> Iterator[tuple[Subject, Iterator[HourOf]]]:
    rows = connection.execute(
        "SELECT kind, name, hour, interval, good, bad, excluded, unknown,"
        " latency_sum, latency_count, latency_max"
        " FROM ledger WHERE hour BETWEEN ? AND ? ORDER BY kind, name, hour",
        (first, last),
    )
    for (kind, name), group in groupby(rows, key=lambda row: (row[0], row[1])):
        yield (
            (Kind(kind), str(name)),
            (HourOf(int(row[2]), float(row[3]), Tally(*row[4:])) for row in group),
        )


def _standing(
    subject: Subject, spans: Sequence[Span], hours: Iterable[HourOf], interval: float
) -> Standing:
    begin, end = spans[0][0], max(last for _, last in spans)
    figures = summed(hours, begin=begin, end=end, interval=interval)
    away = sum(
        int(max(0.0, later - earlier) / interval + 0.5)
        for (_, earlier), (later, _) in pairwise(spans)
    )
    figures = replace(figures, unknown=max(0, figures.unknown - away))
    return Standing(*subject, begin, end, figures)


def _garbage(path: Path) -> StoreError:
    return StoreError(str(path), StoreFault.DAMAGED, "holds values that make no sense")
