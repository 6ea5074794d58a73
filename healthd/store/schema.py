"""The tables, and how an older file becomes a newer one.

Times are wall-clock seconds. A file says how far it has come in `PRAGMA user_version`; the scripts
behind that number are run, each in one transaction with the number. Scripts that were shipped never
change: another table or column is another script at the end.
"""

import sqlite3
from collections.abc import Sequence

APPLICATION_ID = 0x68656C64
"""Marks a file as ours, see `file`(1): "held"."""

MIGRATIONS: tuple[str, ...] = (
    """
    -- When the daemon last wrote ("alive").
    CREATE TABLE meta (key TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;

    -- From when until when a node or a publication was in the configuration.
    CREATE TABLE watched (
        kind TEXT NOT NULL, name TEXT NOT NULL, since REAL NOT NULL, until REAL,
        PRIMARY KEY (kind, name, since)
    ) WITHOUT ROWID;

    -- What a restart takes up again; one JSON document a node.
    CREATE TABLE state (node TEXT PRIMARY KEY, saved_at REAL NOT NULL, document TEXT NOT NULL);

    -- The endpoint that last carried a request. A credential.
    CREATE TABLE proven (
        node TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, link TEXT NOT NULL, name TEXT NOT NULL
    );

    -- In the order in which they were made.
    CREATE TABLE overrides (
        id INTEGER PRIMARY KEY, pattern TEXT NOT NULL UNIQUE, mode TEXT NOT NULL,
        reason TEXT NOT NULL, author TEXT NOT NULL, created REAL NOT NULL, expires REAL
    );

    CREATE TABLE transitions (
        at REAL NOT NULL, node TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL,
        reason TEXT, evidence TEXT NOT NULL, detail TEXT NOT NULL
    );
    CREATE INDEX transitions_by_node ON transitions (node, at);
    CREATE INDEX transitions_by_time ON transitions (at);

    CREATE TABLE publications (
        at REAL NOT NULL, publication TEXT NOT NULL, generation INTEGER NOT NULL,
        mode TEXT NOT NULL, nodes TEXT NOT NULL, added TEXT NOT NULL, removed TEXT NOT NULL
    );
    CREATE INDEX publications_by_time ON publications (at);

    -- The hour leads the key: what is written now, and what is removed, then lies side by side.
    CREATE TABLE ledger (
        hour INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, interval REAL NOT NULL,
        good INTEGER NOT NULL, bad INTEGER NOT NULL, excluded INTEGER NOT NULL,
        unknown INTEGER NOT NULL, latency_sum REAL NOT NULL, latency_count INTEGER NOT NULL,
        latency_max REAL NOT NULL,
        PRIMARY KEY (hour, kind, name)
    ) WITHOUT ROWID;

    -- Blocks of single results, see healthd.verdict.trace.
    CREATE TABLE results (
        node TEXT NOT NULL, began REAL NOT NULL, ended REAL NOT NULL, block BLOB NOT NULL
    );
    CREATE INDEX results_by_node ON results (node, began);
    CREATE INDEX results_by_time ON results (ended);
    """,
)

VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, scripts: Sequence[str] = MIGRATIONS) -> None:
    """Bring a file of ours, or an empty one, up to the version that these scripts make."""
    begun = version_of(connection)
    for number, script in enumerate(scripts[begun:], start=begun + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {script} PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {number}; COMMIT;"
        )


def version_of(connection: sqlite3.Connection) -> int:
    """How many of the scripts a file has been through."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def is_marked(connection: sqlite3.Connection) -> bool:
    """Whether a file says that it is ours."""
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    return bool(mark == APPLICATION_ID)


def layout(connection: sqlite3.Connection) -> frozenset[tuple[str, str]]:
    """Every table and column there is."""
    return frozenset(
        connection.execute(
            "SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c"
            " WHERE m.type = 'table'"
        )
    )


def expected() -> frozenset[tuple[str, str]]:
    """Every table and column that a file of this version has."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(connection)
        return layout(connection)
    finally:
        connection.close()
