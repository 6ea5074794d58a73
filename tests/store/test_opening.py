"""Opening, come what may: which faults make way for a new file, and which are left alone."""

import tempfile
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from healthd.errors import StoreError, StoreFault
from healthd.store.database import Database
from healthd.store.opening import MOST_SET_ASIDE, Opener
from healthd.store.reading import Loaded
from tests.fakes import as_nobody
from tests.store.support import WALL


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "healthd.db"


def test_damage_that_shows_when_it_is_read(path):
    """A page that only reading finds to be broken: set aside as well."""
    database = Database(path)
    opener = Opener(database, lambda: WALL)
    opener.open()
    with database.writing() as connection:
        connection.executemany(
            "INSERT INTO state VALUES (?, 1.0, 'x')", ((f"n{number}",) for number in range(2000))
        )
    database.close()
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 30_000)
    with capture_logs() as logs:
        loaded = opener.open()  # found sound before, and so not looked through again

    assert loaded.problem is not None
    assert loaded.states == {}
    assert [line["event"] for line in logs] == ["store_set_aside", "store_begun"]
    assert database.is_open
    database.close()


def test_no_more_than_three_are_set_aside(path):
    """The fourth damaged file of a run stays where it is."""
    database = Database(path)
    opener = Opener(database, lambda: WALL)
    for _ in range(MOST_SET_ASIDE):
        path.write_bytes(b"nonsense" * 1000)
        opener.open()
        database.close()
    path.write_bytes(b"nonsense" * 1000)
    with pytest.raises(StoreError) as caught:
        opener.open()

    assert caught.value.kind is StoreFault.DAMAGED
    assert path.read_bytes() == b"nonsense" * 1000


def test_damaged_where_nothing_can_be_renamed():
    """The damage is what is told, and the file stays."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "healthd.db"
        path.write_bytes(b"nonsense" * 1000)
        path.chmod(0o666)
        Path(place).chmod(0o555)
        opener = Opener(Database(path), lambda: WALL)
        with as_nobody():
            for _ in range(MOST_SET_ASIDE + 1):
                with pytest.raises(StoreError) as caught:
                    opener.open()
                assert caught.value.kind is StoreFault.DAMAGED

        assert path.read_bytes() == b"nonsense" * 1000


def test_directory_in_its_place(path):
    """It is set aside with all that lies in it."""
    path.mkdir()
    (path / "mine.txt").write_text("keep")
    database = Database(path)
    loaded = Opener(database, lambda: WALL).open()
    database.close()

    assert loaded == Loaded(problem=f"{path}: is not a file; it was set aside")
    assert [each.read_text() for each in path.parent.glob("*.damaged-*/mine.txt")] == ["keep"]


def test_glimpse(path):
    """What can be read is, and a file that cannot is no error here."""
    database = Database(path)
    opener = Opener(database, lambda: WALL)
    assert opener.glimpse() is None
    opener.open()

    assert opener.glimpse() == Loaded()
    database.close()
