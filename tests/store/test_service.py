"""The store at work: what is noted is in the file, a restart finds it, no trouble ends it."""

import errno
import json
import os
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from healthd.model import AdminMode, Health, Reason, failure, success
from healthd.store import schema
from healthd.store.reading import Loaded
from healthd.store.restoring import restore
from healthd.store.service import Store
from healthd.verdict import trace
from healthd.verdict.board import Board
from healthd.verdict.ledger import Kind, SlotVerdict
from healthd.verdict.machine import State
from healthd.verdict.overrides import Override
from healthd.verdict.quality import Speed
from healthd.verdict.trace import Recorded
from tests.builders import PUBLIC_KEY, SHORT_ID, USER, node, nodes, vless
from tests.fakes import as_nobody
from tests.store.support import FELL, HOUR, WALL, change, rows, running, stage

DRAINED = Override(
    pattern="n1", mode=AdminMode.DRAIN, reason="disk", author="eve", created=WALL - 60
)
FORCED = Override(
    pattern="n*",
    mode=AdminMode.FORCE_UP,
    reason="test",
    author="adam",
    created=WALL - 30,
    expires=WALL + 3600,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "healthd.db"


def fleet(count: int = 3) -> Board:
    """A board of nodes, all up; n1 has been proven with another endpoint."""
    board = Board()
    board.replace(nodes(count), 0.0)
    for record in board:
        record.state = State(health=Health.UP, since=trio.current_time() - 5)
        record.speed = Speed(0.25, samples=(0.25,), sampled_at=trio.current_time() - 5)
        record.last_good, record.changed, record.evidence = WALL - 3, WALL - 5, "a success"
    board["n1"].proven = node("n1", endpoint=vless(address="192.0.2.200"))
    return board


def note_everything(store: Store) -> None:
    """One of each."""
    store.watched_are(["n1", "n2", "n3"], ["users"], WALL)
    store.set_overrides([DRAINED, FORCED])
    store.note_transition("n2", FELL, WALL + 1, "no answer")
    store.note_publication(
        "users",
        7,
        "top-up",
        nodes=["n1", "n3"],
        added=["n3"],
        removed={"n2": "down"},
        wall=WALL + 2,
    )
    store.ledger.note(Kind.NODE, "n1", WALL + 3, SlotVerdict.GOOD, 0.25)
    store.ledger.note(Kind.PUBLICATION, "users", WALL + 3, SlotVerdict.BAD)
    store.note_result("n1", Recorded(WALL + 3, 0.3, success(0.25), True))
    store.note_result("n1", Recorded(WALL + 8, 0.2, failure(Reason.REFUSED), False))


class TestRoundTrip:
    async def test_everything_noted_is_in_the_file(self, path):
        """State, proven endpoint, overrides, transition, publication, slots and results."""
        here, board = stage(path), fleet()
        async with running(here.store, board):
            note_everything(here.store)
            assert await here.store.flush()

        assert rows(path, "SELECT node FROM state") == [("n1",), ("n2",), ("n3",)]
        assert rows(path, "SELECT node, fingerprint, name FROM proven") == [
            ("n1", board["n1"].proven.fingerprint, "n1")  # type: ignore[union-attr]
        ]
        assert rows(path, "SELECT * FROM overrides ORDER BY id") == [
            (0, "n1", "drain", "disk", "eve", WALL - 60, None),
            (1, "n*", "force-up", "test", "adam", WALL - 30, WALL + 3600),
        ]
        assert rows(path, "SELECT * FROM transitions") == [
            (WALL + 1, "n2", "suspect", "down", "timeout", "4 failures in 20 s", "no answer")
        ]
        assert rows(path, "SELECT * FROM publications") == [
            (WALL + 2, "users", 7, "top-up", '["n1", "n3"]', '["n3"]', '{"n2": "down"}')
        ]
        assert rows(path, "SELECT * FROM ledger ORDER BY kind") == [
            (HOUR, "node", "n1", 30.0, 1, 0, 0, 0, 0.25, 1, 0.25),
            (HOUR, "publication", "users", 30.0, 0, 1, 0, 0, 0.0, 0, 0.0),
        ]
        ((name, began, ended, block),) = rows(path, "SELECT * FROM results")
        assert (name, began, ended) == ("n1", WALL + 3, WALL + 8)
        assert [each.result.outcome for each in trace.decode(block)] == ["success", "failure"]
        assert [name for _, name, _, _ in rows(path, "SELECT * FROM watched ORDER BY name")] == [
            *("n1", "n2", "n3", "users")
        ]

    async def test_next_run_takes_it_up(self, path):
        """State on the new clock, the proven endpoint, and the overrides in their order."""
        here, board = stage(path), fleet()
        async with running(here.store, board):
            note_everything(here.store)
        next_run = stage(path, here.wall)
        loaded = next_run.loaded

        assert loaded.problem is None
        assert loaded.overrides == (DRAINED, FORCED)
        records = restore(loaded, nodes(3), now=5000.0, wall=next_run.wall())
        assert records.keys() == {"n1", "n2", "n3"}
        record = records["n1"]
        assert record.state.health is Health.UP
        lived = trio.current_time() - board["n1"].state.since
        assert record.state.since == pytest.approx(5000.0 - lived, abs=0.5)
        assert record.publishable.endpoint.address == "192.0.2.200"
        assert record.evidence == "a success"

    async def test_hours_add_up(self, path):
        """Slots of one hour that come in two batches, or two runs, are one row."""
        for _ in range(2):
            here = stage(path)
            async with running(here.store):
                for latency in (0.2, 0.4):
                    here.store.ledger.note(Kind.NODE, "n1", WALL, SlotVerdict.GOOD, latency)
                    here.store.ledger.note(Kind.NODE, "n1", WALL, SlotVerdict.EXCLUDED)
                    assert await here.store.flush()

        assert rows(path, "SELECT good, bad, excluded, unknown, latency_count FROM ledger") == [
            (4, 0, 4, 0, 4)
        ]
        assert rows(path, "SELECT latency_sum, latency_max FROM ledger") == [
            (pytest.approx(1.2), 0.4)
        ]

    async def test_last_batch_on_the_way_out(self, path):
        """What was noted just before the end is in the file, incomplete blocks as well."""
        here = stage(path)
        async with running(here.store, fleet()):
            note_everything(here.store)

        assert rows(path, "SELECT count(*) FROM transitions") == [(1,)]
        assert rows(path, "SELECT count(*) FROM results") == [(1,)]
        assert not path.with_name("healthd.db-wal").exists()  # closed, not just left

    async def test_flush_after_the_end(self, path):
        """Nobody writes any more: the answer is no, and at once."""
        here = stage(path)
        async with running(here.store):
            pass
        with trio.fail_after(1):
            assert not await here.store.flush()

    async def test_results_are_recorded_only_if_wanted(self, path):
        """`results = "0s"` records none."""
        here = stage(path, results="0s")
        async with running(here.store):
            note_everything(here.store)

        assert rows(path, "SELECT count(*) FROM results") == [(0,)]


class TestStates:
    async def test_only_news_is_written(self, path):
        """A record that did not change is not written again; one that did is."""
        here, board = stage(path), fleet()
        query = "SELECT node, saved_at FROM state ORDER BY node"
        async with running(here.store, board):
            assert await here.store.flush()
            first = dict(rows(path, query))
            board["n2"].last_good = WALL + 9
            assert await here.store.flush()
            second = dict(rows(path, query))

        assert {name for name in first if second[name] != first[name]} == {"n2"}

    async def test_unchanged_state_stays_young_while_the_daemon_lives(self, path):
        """A node that was quietly up for an hour has no old state: the daemon held it."""
        here, board = stage(path), fleet()
        async with running(here.store, board):
            here.store.watched_are(["n1", "n2"], [], WALL)
            assert await here.store.flush()
            here.wall.jump(0.5)  # too little to write the states anew
        loaded = stage(path, here.wall).loaded
        saved = dict(rows(path, "SELECT node, saved_at FROM state"))

        assert loaded.states["n1"][0] - saved["n1"] == pytest.approx(0.5, abs=0.4)
        assert loaded.states["n3"][0] == saved["n3"]  # nobody watches it

    async def test_clock_that_was_set(self, path):
        """After a jump of the wall clock all states are written anew: their times have moved."""
        here, board = stage(path), fleet()
        async with running(here.store, board):
            assert await here.store.flush()
            here.wall.jump(3600)
            assert await here.store.flush()

        ((document,),) = rows(path, "SELECT document FROM state WHERE node = 'n1'")
        since = json.loads(document)["state"]["since"]
        assert since == pytest.approx(WALL + 3600 - 5, abs=2)

    async def test_unreadable_rows_cost_themselves(self, path):
        """Rows that make no sense are passed over and told once, without what they hold."""
        here, board = stage(path), fleet()
        async with running(here.store, board):
            note_everything(here.store)
        secret = f"vless://{USER}@h:notaport?pbk={PUBLIC_KEY}"
        change(path, "UPDATE state SET document = 'x' || document WHERE node = 'n1'")
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE proven SET link = ?", (secret,))
        change(path, "UPDATE overrides SET mode = 'sideways' WHERE id = 0")
        change(path, "UPDATE meta SET value = 'noon'")
        with capture_logs() as logs:
            loaded = stage(path).loaded

        assert loaded.states.keys() == {"n2", "n3"}
        assert loaded.proven == {}
        assert loaded.overrides == (FORCED,)
        assert [(line["event"], line.get("rows")) for line in logs] == [
            ("store_rows_unreadable", 4)
        ]


class TestWatched:
    async def test_leaving_and_coming_back(self, path):
        """Each time in the configuration is a span of its own; a restart is none."""
        for _ in range(2):
            here = stage(path)
            async with running(here.store):
                here.store.watched_are(["a", "b"], ["users"], WALL)
                assert await here.store.flush()
        here = stage(path)
        async with running(here.store):
            here.store.watched_are(["a"], ["users"], WALL + 100)
            assert await here.store.flush()
            here.store.watched_are(["a", "b"], [], WALL + 200)
            assert await here.store.flush()

        assert rows(path, "SELECT * FROM watched ORDER BY name, since") == [
            ("node", "a", WALL, None),
            ("node", "b", WALL, WALL + 100),
            ("node", "b", WALL + 200, None),
            ("publication", "users", WALL, WALL + 200),
        ]

    async def test_clock_that_went_back(self, path):
        """A span never ends before it began."""
        here = stage(path)
        async with running(here.store):
            here.store.watched_are(["a"], [], WALL)
            assert await here.store.flush()
            here.store.watched_are([], [], WALL - 500)
            assert await here.store.flush()

        assert rows(path, "SELECT since, until FROM watched") == [(WALL, WALL)]

    async def test_node_that_leaves_is_written_anew_when_it_returns(self, path):
        """Its state and endpoint may have been removed from the file meanwhile."""
        here, board = stage(path), fleet()
        async with running(here.store, board):
            here.store.watched_are(["n1", "n2", "n3"], [], WALL)
            assert await here.store.flush()
            here.store.watched_are(["n2"], [], WALL + 1)
            board.replace(nodes(3)[1:2], 0.0)
            assert await here.store.flush()
            change(path, "DELETE FROM state WHERE node = 'n1'; DELETE FROM proven")
            board.replace(nodes(3), 0.0)
            board["n1"].proven = board["n1"].node
            here.store.watched_are(["n1", "n2", "n3"], [], WALL + 2)
            assert await here.store.flush()

        assert rows(path, "SELECT node FROM proven") == [("n1",)]
        assert ("n1",) in rows(path, "SELECT node FROM state")


# --- trouble ----------------------------------------------------------------------------------


def told(logs: Any) -> list[tuple[str, Any]]:
    """Events about the store, with their kind."""
    return [(line["event"], line.get("kind")) for line in logs]


def ruin(path: Path) -> None:
    """A page that makes no sense."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8192))


class TestDamage:
    async def test_at_the_start(self, path):
        """The damaged file is set aside and told, both paths named, and the daemon begins anew."""
        path.write_bytes(b"nonsense" * 1000)
        with capture_logs() as logs:
            here = stage(path)
        aside = path.with_name("healthd.db.damaged-20231114T230000Z")

        assert aside.read_bytes() == b"nonsense" * 1000
        assert told(logs) == [("store_set_aside", None), ("store_begun", None)]
        assert (logs[0]["path"], logs[0]["aside"]) == (str(path), str(aside))
        assert here.loaded == Loaded(problem=f"{path}: file is not a database; it was set aside")
        assert here.store.ok
        async with running(here.store, fleet()):
            assert await here.store.flush()
        assert rows(path, "SELECT count(*) FROM state") == [(3,)]

    async def test_while_running(self, path):
        """Damage at run time: set aside, and the new file holds all that is known now."""
        here, board = stage(path), fleet()
        async with running(here.store, board):
            note_everything(here.store)
            assert await here.store.flush()
            change(path, "PRAGMA wal_checkpoint(TRUNCATE); DROP TABLE transitions")
            with capture_logs() as logs:
                here.store.note_transition("n3", FELL, WALL + 9)
                assert await here.store.flush()

        assert told(logs) == [("store_set_aside", None), ("store_begun", None)]
        assert rows(path, "SELECT node FROM transitions") == [("n3",)]
        assert rows(path, "SELECT count(*) FROM state") == [(3,)]
        assert rows(path, "SELECT pattern FROM overrides ORDER BY id") == [("n1",), ("n*",)]
        assert rows(path, "SELECT count(*) FROM watched") == [(4,)]
        assert rows(path, "SELECT count(*) FROM proven") == [(1,)]
        assert here.health == []

    async def test_overrides_of_the_last_run_outlive_damage(self, path):
        """They are written to the new file, although nobody laid them in this run."""
        first = stage(path)
        async with running(first.store):
            first.store.set_overrides([DRAINED])
        here = stage(path)
        async with running(here.store):
            change(path, "DROP TABLE ledger")
            here.store.ledger.note(Kind.NODE, "a", WALL, SlotVerdict.GOOD)
            assert await here.store.flush()

        assert rows(path, "SELECT pattern FROM overrides") == [("n1",)]

    async def test_removed_while_running(self, path):
        """A file that somebody removed is begun anew, with all that is known, and that is told."""
        here, board = stage(path), fleet()
        async with running(here.store, board):
            note_everything(here.store)
            assert await here.store.flush()
            path.unlink()
            with capture_logs() as logs:
                assert await here.store.flush()

        assert told(logs) == [("store_removed", None), ("store_begun", None)]
        assert rows(path, "SELECT count(*) FROM state") == [(3,)]

    async def test_a_disk_that_goes_on_damaging(self, path):
        """Three damaged files are set aside; then it is left alone, lest they fill the disk."""
        here = stage(path)
        with capture_logs() as logs:
            async with running(here.store):
                for _ in range(5):
                    assert await here.store.flush() == here.store.ok
                    change(path, "DROP TABLE IF EXISTS meta")

        assert len(list(path.parent.glob("*.damaged-*"))) == 3
        assert [line["event"] for line in logs].count("store_failed") == 1
        assert here.health == [False]
        assert here.store.problem is not None


class TestOutage:
    """Locked, denied, read-only, full, newer: told once, nothing is touched, all arrives later."""

    async def outage(self, here: Any, board: Board) -> None:
        """Note one of each in several attempts that fail."""
        note_everything(here.store)
        for number in range(3):
            here.store.note_transition("n1", FELL, WALL + 10 + number)
            assert not await here.store.flush()
        board["n3"].last_good = WALL + 99

    def arrived(self, path: Path) -> dict[str, int]:
        tables = self.ALL.keys() - {"slots"}
        counted = {table: len(rows(path, f"SELECT 1 FROM {table}")) for table in tables}  # noqa: S608
        counted["slots"] = rows(path, "SELECT sum(good + bad) FROM ledger")[0][0]
        return counted

    ALL = {  # noqa: RUF012 - a constant
        "state": 3,
        "proven": 1,
        "overrides": 2,
        "transitions": 4,
        "publications": 1,
        "results": 1,
        "slots": 2,
    }

    async def test_locked(self, path):
        """Another program writes for long; when it has done, everything arrives once."""
        here, board = stage(path), fleet()
        with capture_logs() as logs, closing(sqlite3.connect(path, isolation_level=None)) as other:
            async with running(here.store, board):
                other.execute("BEGIN IMMEDIATE")
                note_everything(here.store)
                assert not await here.store.flush()
                assert here.store.problem == (
                    f"{path}: database is locked; end the other program that holds it"
                )
                other.execute("COMMIT")
                for number in range(3):
                    here.store.note_transition("n1", FELL, WALL + 10 + number)
                assert await here.store.flush()

        assert self.arrived(path) == self.ALL
        assert told(logs) == [("store_failed", "locked"), ("store_recovered", None)]
        assert here.health == [False, True]
        assert here.store.ok

    @pytest.mark.parametrize(("mode", "kind"), [(0o000, "denied"), (0o444, "read-only")])
    async def test_rights(self, mode, kind):
        """No right to read or write it: it stays where it is, and works with the right back."""
        with tempfile.TemporaryDirectory() as place:
            Path(place).chmod(0o777)
            path = Path(place) / "healthd.db"
            first = stage(path)
            async with running(first.store):
                first.store.set_overrides([DRAINED])
            path.chmod(mode)
            with capture_logs() as logs, as_nobody():
                here, board = stage(path), fleet()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(here.store.run, board)
                    await self.outage(here, board)
                    os.setresuid(0, 0, 0)
                    path.chmod(0o666)
                    os.setresuid(65534, 65534, 0)
                    assert await here.store.flush()
                    nursery.cancel_scope.cancel()

            assert self.arrived(path) == self.ALL
            assert told(logs) == [("store_failed", kind), ("store_recovered", None)]
            assert here.health == [False, True]
            assert [each.name for each in Path(place).iterdir()] == ["healthd.db"]
            # What may be read is taken up all the same.
            assert here.loaded.overrides == ((DRAINED,) if mode else ())
            assert here.loaded.problem is not None

    async def test_newer_version(self, path):
        """A later healthd's file is not touched, and the daemon runs without it."""
        first = stage(path)
        async with running(first.store):
            pass
        change(path, f"PRAGMA user_version = {schema.VERSION + 1}")
        before = path.read_bytes()
        with capture_logs() as logs:
            here, board = stage(path), fleet()
            async with running(here.store, board):
                await self.outage(here, board)

        assert told(logs) == [("store_failed", "newer")]
        assert path.read_bytes() == before
        assert [each.name for each in path.parent.iterdir()] == ["healthd.db"]

    async def test_cause_that_changes(self, tmp_path):
        """Another cause is told again; the same one is not."""
        path = tmp_path / "state" / "healthd.db"
        first = stage(path)
        async with running(first.store):
            pass
        change(path, f"PRAGMA user_version = {schema.VERSION + 1}")
        with capture_logs() as logs:
            here = stage(path)
            async with running(here.store):
                assert not await here.store.flush()
                path.unlink()
                path.parent.rmdir()
                path.parent.touch()
                assert not await here.store.flush()
                assert not await here.store.flush()
                path.parent.unlink()
                assert await here.store.flush()  # it makes the directory again

        assert told(logs) == [
            ("store_failed", "newer"),
            ("store_failed", "failed"),
            ("store_begun", None),
            ("store_recovered", None),
        ]
        assert here.health == [False, True]

    async def test_overrides_that_could_only_be_read_late(self, path):
        """An operator's drain is in force as soon as it can be read, and never overwritten."""
        first = stage(path)
        async with running(first.store):
            expired = Override(
                pattern="x", mode=AdminMode.DRAIN, reason="", author="", created=1.0, expires=2.0
            )
            mine = Override(pattern="n*", mode=AdminMode.DRAIN, reason="", author="", created=1.0)
            first.store.set_overrides([expired, mine, DRAINED])
        change(path, f"PRAGMA user_version = {schema.VERSION + 1}")
        here = stage(path)
        async with running(here.store):
            here.store.set_overrides([FORCED])
            assert not await here.store.flush()
            change(path, f"PRAGMA user_version = {schema.VERSION}")
            assert await here.store.flush()

        assert here.late == [(DRAINED, FORCED)]  # one of a pattern, and the expired one is gone
        assert rows(path, "SELECT pattern, mode FROM overrides ORDER BY id") == [
            ("n1", "drain"),
            ("n*", "force-up"),
        ]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    place = tmp_path / "tiny"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs mount")
    if mounted.returncode != 0:
        pytest.skip(f"needs the right to mount: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(path: Path) -> None:
    """Leave no room on its disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(descriptor, b"x" * 4096):
            pass
    except OSError as why:
        assert why.errno == errno.ENOSPC
    finally:
        os.close(descriptor)


class TestFullDisk:
    async def test_while_running(self, tiny_disk):
        """ENOSPC: told, what is in the file stays sound, and room makes everything arrive."""
        path = tiny_disk / "healthd.db"
        here, board = stage(path), fleet()
        filler = tiny_disk / "filler"
        with capture_logs() as logs:
            async with running(here.store, board):
                assert await here.store.flush()
                fill(filler)
                await TestOutage().outage(here, board)
                filler.unlink()
                assert await here.store.flush()

        assert TestOutage().arrived(path) == TestOutage.ALL
        assert told(logs) == [("store_failed", "full"), ("store_recovered", None)]
        assert rows(path, "PRAGMA integrity_check") == [("ok",)]

    async def test_at_the_start(self, tiny_disk):
        """No room to begin a file, or to open one: the daemon starts without it all the same."""
        path, filler = tiny_disk / "healthd.db", tiny_disk / "filler"
        first = stage(path)
        async with running(first.store, fleet()):
            first.store.set_overrides([DRAINED])
        fill(filler)
        with capture_logs() as logs:
            here = stage(path)
            async with running(here.store, fleet()):
                assert not await here.store.flush()
                assert here.loaded.overrides == (DRAINED,)  # it can be read
                filler.unlink()
                assert await here.store.flush()

        assert told(logs) == [("store_failed", "full"), ("store_recovered", None)]


async def test_bounds_while_broken(path):
    """What waits is bounded while the store is broken; the loss is told at once, and in the end."""
    change(path, f"PRAGMA application_id = {schema.APPLICATION_ID}; PRAGMA user_version = 999")
    with capture_logs() as logs:
        here = stage(path)
        async with running(here.store):
            for number in range(10_050):
                here.store.note_transition("a", FELL, WALL + number)
            for _ in range(3):
                assert not await here.store.flush()
            path.unlink()
            assert await here.store.flush()

    events = {line["event"]: line for line in logs}
    assert told(logs) == [
        ("store_failed", "newer"),
        ("store_overflowed", None),
        ("store_begun", None),
        ("store_recovered", None),
    ]
    lost = {"results": 0, "transitions": 50, "publications": 0, "slots": 0}
    assert events["store_overflowed"]["lost"] == events["store_recovered"]["lost"] == lost
    assert rows(path, "SELECT count(*), min(at) FROM transitions") == [(10_000, WALL + 50)]


async def test_no_secret_is_told(path):
    """Whatever goes wrong, no link, user id or key gets into a log or an error."""
    here, board = stage(path), fleet()
    for record in board:
        record.proven = record.node
    with capture_logs() as logs:
        async with running(here.store, board):
            assert await here.store.flush()
            change(path, "ALTER TABLE proven RENAME COLUMN link TO url")
            board["n1"].proven = node("n1", endpoint=vless(address="192.0.2.77"))
            assert await here.store.flush()  # set aside
            change(
                path,
                "CREATE TRIGGER no BEFORE UPDATE ON proven BEGIN SELECT raise(ABORT, 'x'); END",
            )
            board["n1"].proven = node("n1", endpoint=vless(address="192.0.2.78"))
            assert not await here.store.flush()
            said = repr(logs) + str(here.store.problem)

    assert [event for event, _ in told(logs)] == ["store_set_aside", "store_begun", "store_failed"]
    assert [secret for secret in (USER, PUBLIC_KEY, SHORT_ID, "vless://") if secret in said] == []
    assert rows(path, "SELECT link LIKE 'vless://%' FROM proven WHERE node = 'n1'") == [(1,)]
