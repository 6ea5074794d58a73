"""The file: for its owner alone, checked, set aside when it is damaged, and only then."""

import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from healthd.errors import StoreError, StoreFault
from healthd.store import database as files
from healthd.store import schema
from healthd.store.database import Database
from tests.fakes import as_nobody
from tests.store.support import change, rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "healthd.db"


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that another user can reach."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o777)
        yield Path(place)


def filled(path: Path, rows_of_it: int = 300) -> None:
    """A sound file with some rows, closed."""
    database = Database(path)
    database.open()
    with database.writing() as connection:
        connection.executemany(
            "INSERT INTO state VALUES (?, 1.0, ?)",
            ((f"n{number}", "x" * 200) for number in range(rows_of_it)),
        )
    database.close()


def fault_of(path: Path) -> StoreError:
    """What opening it comes to."""
    with pytest.raises(StoreError) as caught:
        Database(path).open()
    return caught.value


class TestNewFile:
    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
    def test_nobody_else_can_read_it(self, path, umask):
        """The file, its log and its index are 0600 and a directory made for it 0700."""
        before = os.umask(umask)
        try:
            database = Database(path)
            assert database.open()
            with database.writing() as connection:
                connection.execute("INSERT INTO meta VALUES ('a', 1)")
        finally:
            os.umask(before)

        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
        assert modes == dict.fromkeys(("healthd.db", "healthd.db-wal", "healthd.db-shm"), 0o600)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        database.close()

    def test_open_mode_is_closed(self, path):
        """A file that was readable by others is so no longer once it is opened."""
        filled(path)
        path.chmod(0o644)
        database = Database(path)

        assert not database.open()  # it was there
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        database.close()

    def test_settings(self, path):
        """WAL, freed pages are given back bit by bit, and the file says whose it is."""
        filled(path)

        assert rows(path, "PRAGMA journal_mode") == [("wal",)]
        assert rows(path, "PRAGMA auto_vacuum") == [(2,)]
        assert rows(path, "PRAGMA application_id") == [(schema.APPLICATION_ID,)]
        assert rows(path, "PRAGMA user_version") == [(schema.VERSION,)]

    def test_empty_file_is_begun(self, path):
        """Zero bytes, as a daemon killed at the very first moment leaves them: nothing is lost."""
        path.parent.mkdir()
        path.touch()
        Database(path).open()

        assert rows(path, "SELECT count(*) FROM state") == [(0,)]


class TestTransactions:
    def test_all_or_nothing(self, path):
        """An error in the block undoes the block."""
        database = Database(path)
        database.open()
        twice = [("a",), ("a",)]
        with pytest.raises(StoreError) as caught, database.writing() as connection:
            connection.executemany("INSERT INTO meta VALUES (?, 1)", twice)

        assert caught.value.kind is StoreFault.FAILED
        with database.writing() as connection:
            assert connection.execute("SELECT count(*) FROM meta").fetchone() == (0,)
        database.close()

    @pytest.mark.parametrize(("durable", "level"), [(False, 1), (True, 2)])
    def test_power_cut(self, path, durable, level):
        """What must outlive a power cut is synced at once (2 is FULL), all else at checkpoints."""
        database = Database(path)
        database.open()
        with database.writing(durable=durable) as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
        database.close()

    @pytest.mark.parametrize("replaced", [False, True])
    def test_removed_file(self, path, replaced):
        """A file that was removed under us is noticed: SQLite would write into nowhere."""
        filled(path)
        database = Database(path)
        database.open()
        if replaced:
            filled(path.with_name("other"))
            path.with_name("other").rename(path)
        else:
            path.unlink()
        removed = pytest.raises(StoreError, match="was removed while in use")
        with removed as caught, database.writing():
            pass

        assert caught.value.kind is StoreFault.MISSING
        assert not database.is_open
        database.open()
        database.close()


class TestDamage:
    @pytest.mark.parametrize("size", [2, 50, 99, 100, 500, 4095, 4096, 5000, 12288, 40000])
    def test_truncated(self, path, size):
        """A file cut anywhere is damaged."""
        filled(path)
        assert path.stat().st_size > size
        os.truncate(path, size)

        assert fault_of(path).kind is StoreFault.DAMAGED

    @pytest.mark.parametrize("at", [0, 16, 100, 4096, 9000, 20000])
    def test_garbage(self, path, at):
        """Garbage in the header, in the schema or in a page is found."""
        filled(path)
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes(range(256)) * 16)

        assert fault_of(path).kind is StoreFault.DAMAGED

    @pytest.mark.parametrize("content", [b"\0" * 8192, b"hello" * 2000, os.urandom(8192)])
    def test_not_a_database(self, path, content):
        """Zeros, text or noise are no database."""
        path.parent.mkdir()
        path.write_bytes(content)

        assert fault_of(path).kind is StoreFault.DAMAGED

    def test_directory(self, path):
        """A directory in its place is no database either."""
        path.mkdir(parents=True)

        assert fault_of(path).why == "is not a file"

    @pytest.mark.parametrize(
        ("script", "why"),
        [
            ("DROP TABLE ledger", "lacks ledger.bad"),
            ("ALTER TABLE state DROP COLUMN document", "lacks state.document"),
            ("PRAGMA application_id = 7", "is another program's database"),
            ("PRAGMA user_version = 0", "is another program's database"),
        ],
    )
    def test_not_our_tables(self, path, script, why):
        """A sound database that lacks what we need, or is not ours."""
        filled(path)
        change(path, script)
        found = fault_of(path)

        assert (found.kind, found.why) == (StoreFault.DAMAGED, why)

    def test_checked_once(self, path):
        """A file that was found sound is opened again without being looked through again."""
        filled(path)
        database = Database(path)
        database.open()
        database.close()
        with path.open("r+b") as file:
            file.seek(20000)
            file.write(bytes(range(256)) * 16)
        database.open()
        database.close()

        assert fault_of(path).kind is StoreFault.DAMAGED  # by others it is

    def test_set_aside_with_all_that_belongs_to_it(self, path):
        """File, log and index get new names together; no two set aside get the same one."""
        filled(path)
        log, index = path.with_name("healthd.db-wal"), path.with_name("healthd.db-shm")
        database = Database(path)
        for content in (b"1", b"2"):
            for each in (path, log, index):
                each.write_bytes(content)
            database.set_aside("20231114T221320Z")

        assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == {
            f"healthd.db.damaged-20231114T221320Z{second}{suffix}": content
            for second, content in (("", b"1"), ("-2", b"2"))
            for suffix in ("", "-wal", "-shm")
        }


class TestNewerVersion:
    def test_is_left_alone(self, path):
        """A later healthd's file is neither changed nor read: who knows what it means."""
        filled(path)
        change(path, f"PRAGMA user_version = {schema.VERSION + 1}")
        before = path.read_bytes()
        found = fault_of(path)

        assert found.kind is StoreFault.NEWER
        assert "install the healthd that wrote it" in str(found)
        assert path.read_bytes() == before
        with pytest.raises(StoreError) as caught, files.reading(path):
            pass
        assert caught.value.kind is StoreFault.NEWER


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user's rights")
class TestRights:
    def test_unreadable(self, public):
        """Mode 000: denied, and the same for those who only read."""
        path = public / "healthd.db"
        filled(path)
        path.chmod(0)
        with as_nobody():
            assert fault_of(path).kind is StoreFault.DENIED
            with pytest.raises(StoreError) as caught, files.reading(path):
                pass
        assert caught.value.kind is StoreFault.DENIED

    def test_read_only_file(self, public):
        """A file that may only be read: read-only, and it can be read."""
        path = public / "healthd.db"
        filled(path, 3)
        path.chmod(0o444)
        with as_nobody():
            assert fault_of(path).kind is StoreFault.READ_ONLY
            with files.reading(path) as connection:
                assert connection.execute("SELECT count(*) FROM state").fetchone() == (3,)

    def test_read_only_directory(self, public):
        """A directory in which nothing can be made: read-only, and the file can be read."""
        path = public / "healthd.db"
        filled(path, 3)
        path.chmod(0o666)
        public.chmod(0o555)
        with as_nobody():
            assert fault_of(path).kind is StoreFault.READ_ONLY
            with files.reading(path) as connection:
                assert connection.execute("SELECT count(*) FROM state").fetchone() == (3,)

    def test_read_only_directory_with_a_log(self, public):
        """There the log of a killed daemon cannot be read: no half of the truth is told."""
        path = public / "healthd.db"
        filled(path, 3)
        path.chmod(0o666)
        path.with_name("healthd.db-wal").write_bytes(b"x" * 100)
        public.chmod(0o555)
        with as_nobody(), pytest.raises(StoreError), files.reading(path):
            pass

    def test_rights_of_what_lies_beside_it(self, public):
        """A log and an index made while the file was read-only are not in the way later."""
        path = public / "healthd.db"
        filled(path, 3)
        os.chown(path, 65534, 65534)
        with as_nobody():
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).touch(0o444)
            database = Database(path)
            database.open()
            with database.writing() as connection:
                connection.execute("DELETE FROM state")
            database.close()

        assert rows(path, "SELECT count(*) FROM state") == [(0,)]

    def test_hidden_directory(self, public):
        """A directory that may not be entered: denied."""
        hidden = public / "hidden"
        hidden.mkdir(mode=0o700)
        with as_nobody():
            assert fault_of(hidden / "healthd.db").kind is StoreFault.DENIED


class TestLocks:
    def test_somebody_holds_it_all(self, path):
        """A file that another program has for itself: locked, and never read around the lock."""
        filled(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            other.execute("DELETE FROM state")
            database = Database(path, busy=0.01)
            with pytest.raises(StoreError) as caught:
                database.open()
            assert caught.value.kind is StoreFault.LOCKED

    def test_somebody_writes(self, path):
        """Another writer: reading goes on, writing is locked, and works when he has done."""
        filled(path, 3)
        database = Database(path, busy=0.01)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            database.open()
            with database.reading() as connection:
                assert connection.execute("SELECT count(*) FROM state").fetchone() == (3,)
            with pytest.raises(StoreError) as caught, database.writing():
                pass
            assert caught.value.kind is StoreFault.LOCKED
            other.execute("COMMIT")
        with database.writing() as connection:
            connection.execute("DELETE FROM state")
        database.close()

        assert rows(path, "SELECT count(*) FROM state") == [(0,)]


def test_reading_what_is_not_there(path):
    """No file: it says so, and none is made."""
    with pytest.raises(StoreError, match="has healthd run") as caught, files.reading(path):
        pass

    assert caught.value.kind is StoreFault.MISSING
    assert not path.parent.exists()


def test_reading_an_empty_file(path):
    """The same for an empty one."""
    path.parent.mkdir()
    path.touch()
    with pytest.raises(StoreError) as caught, files.reading(path):
        pass

    assert caught.value.kind is StoreFault.MISSING


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_failures_leak_nothing(path):
    """Whatever fails while it is opened, no descriptor is left behind."""
    path.parent.mkdir()
    for content in (b"hello" * 2000, b""):
        path.write_bytes(content)
        with pytest.raises(StoreError), files.reading(path):
            pass
    path.write_bytes(b"hello" * 2000)
    with capture_logs():
        fault_of(path)
