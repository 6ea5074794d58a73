"""Retention: what is too old goes in small chunks, what is young stays, and the file shrinks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from healthd.store.database import Database
from healthd.store.pruning import CHUNK, FORGOTTEN_AFTER, prune
from tests.store.support import HOUR, WALL, change, rows

DAY = 86400.0
KEEP = 400 * DAY
RESULTS = 30 * DAY


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "healthd.db")
    made.open()
    yield made
    made.close()


def pruned(database: Database, *, keep: float = KEEP, results: float = RESULTS) -> bool:
    return prune(database, wall=WALL, keep=keep, results=results)


def test_each_table_by_its_age(database):
    """Transitions, publications and the ledger stay 400 days, results 30."""
    with database.writing() as connection:
        for age in (0, 29 * DAY, 31 * DAY, 399 * DAY, 401 * DAY):
            at = WALL - age
            connection.execute("INSERT INTO transitions VALUES (?,'a','up','down',0,'','')", (at,))
            connection.execute("INSERT INTO publications VALUES (?,'u',1,'m','','','')", (at,))
            connection.execute("INSERT INTO results VALUES ('a', ?, ?, '')", (at - 9, at))
            hour = HOUR - age // 3600
            connection.execute("INSERT INTO ledger VALUES (?,'node','a',30,1,0,0,0,0,0,0)", (hour,))
            connection.execute("INSERT INTO watched VALUES ('node','a',?,?)", (at - 9, at))
    assert not pruned(database)

    assert [len(rows(database.path, f"SELECT 1 FROM {table}")) for table in TABLES] == [  # noqa: S608
        *(4, 4, 2, 4, 4)
    ]
    assert rows(database.path, "SELECT min(ended) FROM results") == [(WALL - 29 * DAY,)]


TABLES = ("transitions", "publications", "results", "ledger", "watched")


def test_in_chunks(database):
    """One call removes a bounded number of rows, and says that there is more."""
    count = 2 * CHUNK + 1
    with database.writing() as connection:
        connection.executemany(
            "INSERT INTO transitions VALUES (?,'a','up','down',0,'','')",
            ((float(at),) for at in range(count)),
        )
        connection.execute("INSERT INTO transitions VALUES (?,'a','up','down',0,'','')", (WALL,))
    answers, left = [], []
    for _ in range(3):
        answers.append(pruned(database))
        left.append(len(rows(database.path, "SELECT 1 FROM transitions")))

    assert (answers, left) == ([True, True, False], [CHUNK + 2, 2, 1])


def test_what_a_removed_node_leaves(database):
    """A day after a node left the configuration its credentials and its state are removed."""
    with database.writing() as connection:
        for name in ("here", "back", "left", "lately", "unknown"):
            connection.execute("INSERT INTO proven VALUES (?, 'f', 'vless://x', 'n')", (name,))
            connection.execute("INSERT INTO state VALUES (?, 1, '')", (name,))
        spans = [
            ("here", WALL - 9 * DAY, None),
            ("back", WALL - 9 * DAY, WALL - 8 * DAY),
            ("back", WALL - 2 * DAY, None),
            ("left", WALL - 9 * DAY, WALL - FORGOTTEN_AFTER - 1),
            ("lately", WALL - 9 * DAY, WALL - FORGOTTEN_AFTER + 1),
        ]
        connection.executemany("INSERT INTO watched VALUES ('node', ?, ?, ?)", spans)
        connection.execute("INSERT INTO watched VALUES ('publication', 'here', 1, 2)")
    pruned(database)

    for table in ("proven", "state"):
        left = {name for (name,) in rows(database.path, f"SELECT node FROM {table}")}  # noqa: S608
        assert left == {"here", "back", "lately", "unknown"}


def test_the_file_shrinks(database):
    """Space that many removed rows leave is given back, bit by bit."""
    with database.writing() as connection:
        connection.executemany(
            "INSERT INTO results VALUES ('a', ?, ?, zeroblob(16000))",
            ((float(at), float(at)) for at in range(1000)),
        )
    change(database.path, "PRAGMA wal_checkpoint(TRUNCATE)")
    before = database.path.stat().st_size
    for _ in range(5):
        pruned(database)
    change(database.path, "PRAGMA wal_checkpoint(TRUNCATE)")

    assert before > 16e6
    assert database.path.stat().st_size < 10e6
