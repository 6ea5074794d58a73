"""Removing what is too old, a little at a time: a long transaction would keep the news waiting."""

from healthd.store.database import Database
from healthd.verdict.ledger import hour_of

CHUNK = 2000
"""Rows of a table that are removed in one transaction."""
FORGOTTEN_AFTER = 86400.0
"""Seconds after which state and credentials of a node that left the configuration are removed."""

_SPARE = 2048
"""Free pages that the file keeps for what comes next: 8 MB."""

_BY_TIME = {
    "transitions": "at",
    "publications": "at",
    "results": "ended",
}

_LEFT = (
    "SELECT name FROM watched WHERE kind = 'node' GROUP BY name"
    " HAVING count(*) = count(until) AND max(until) < ?"
)


def prune(database: Database, *, wall: float, keep: float, results: float) -> bool:
    """Remove one chunk of what is too old; return whether there may be more of it.

    Args:
        database: The open file.
        wall: Wall-clock seconds now.
        keep: Seconds for which everything but results is kept.
        results: Seconds for which single results are kept.

    Raises:
        StoreError: it could not be written.
    """
    oldest = {"transitions": wall - keep, "publications": wall - keep, "results": wall - results}
    removed = []
    with database.writing() as connection:
        for table, column in _BY_TIME.items():
            rows = f"SELECT rowid FROM {table} WHERE {column} < ? LIMIT {CHUNK}"  # noqa: S608 - ours
            query = f"DELETE FROM {table} WHERE rowid IN ({rows})"  # noqa: S608 - names of our own
            removed.append(connection.execute(query, (oldest[table],)).rowcount)
        removed.append(
            connection.execute(
                "DELETE FROM ledger WHERE (hour, kind, name) IN"
                " (SELECT hour, kind, name FROM ledger WHERE hour < ? LIMIT ?)",
                (hour_of(wall - keep), CHUNK),
            ).rowcount
        )
        gone = (wall - FORGOTTEN_AFTER,)
        connection.execute(f"DELETE FROM state WHERE node IN ({_LEFT})", gone)  # noqa: S608 - ours
        connection.execute(f"DELETE FROM proven WHERE node IN ({_LEFT})", gone)  # noqa: S608 - ours
        connection.execute("DELETE FROM watched WHERE until < ?", (wall - keep,))
    with database.reading() as connection:
        if connection.execute("PRAGMA freelist_count").fetchone()[0] > _SPARE:
            # Not `execute`, which would stop at the first page: there are no columns to fetch.
            connection.executescript(f"PRAGMA incremental_vacuum({CHUNK});")
    return max(removed) >= CHUNK
