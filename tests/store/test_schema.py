"""Migrations: from nothing, from each older version, and each all or nothing."""

import sqlite3
from collections.abc import Iterator

import pytest

from healthd.store import schema


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(":memory:", isolation_level=None)
    yield made
    made.close()


def test_from_nothing(connection):
    """An empty file gets every table, our mark and the latest version."""
    schema.migrate(connection)

    tables = {table for table, _ in schema.layout(connection)}
    assert tables == {
        *("meta", "watched", "state", "proven", "overrides"),
        *("transitions", "publications", "ledger", "results"),
    }
    assert schema.is_marked(connection)
    assert schema.version_of(connection) == schema.VERSION == len(schema.MIGRATIONS)


@pytest.mark.parametrize("version", range(schema.VERSION + 1))
def test_from_each_version(connection, version):
    """A file of any version comes to the same tables."""
    schema.migrate(connection, schema.MIGRATIONS[:version])
    schema.migrate(connection)

    assert schema.layout(connection) == schema.expected()
    assert schema.version_of(connection) == schema.VERSION


def test_next_version_keeps_what_is_there(connection):
    """A later script finds the rows of an earlier one, and runs once."""
    schema.migrate(connection)
    connection.execute("INSERT INTO meta VALUES ('a', 1.5)")
    later = (*schema.MIGRATIONS, "ALTER TABLE meta ADD COLUMN more TEXT DEFAULT 'none';")
    schema.migrate(connection, later)
    schema.migrate(connection, later)

    assert connection.execute("SELECT * FROM meta").fetchall() == [("a", 1.5, "none")]
    assert schema.version_of(connection) == schema.VERSION + 1


def test_a_script_that_fails_changes_nothing(connection):
    """Half of a script is never kept, nor its number."""
    schema.migrate(connection)
    later = (*schema.MIGRATIONS, "CREATE TABLE more (a); CREATE TABLE meta (a);")
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(connection, later)
    connection.execute("ROLLBACK")

    assert schema.layout(connection) == schema.expected()
    assert schema.version_of(connection) == schema.VERSION
