"""The daemon's store as a recording."""

import sqlite3
from pathlib import Path

import pytest

from healthd.errors import ReplayError, StoreError
from healthd.replay.recording import merged, read_store
from healthd.store import schema
from healthd.verdict.trace import encode
from tests.replay.stories import Trace, story, told


def write_store(path: Path, *stories: Trace, block: int = 4) -> Path:
    """A store with these results, so many in a block."""
    store = sqlite3.connect(path, isolation_level=None)
    schema.migrate(store)
    for one in stories:
        for first in range(0, len(one), block):
            part = [each for _, _, each in one[first : first + block]]
            row = (one[0][1], part[0].began, part[-1].began, encode(part))
            store.execute("INSERT INTO results VALUES (?, ?, ?, ?)", row)
    store.close()
    return path


STORIES = (story("b", "..xxx.." * 3, begin=30.0), story("a", "." * 20, begin=40.0))


def test_store(tmp_path):
    """All results of all nodes in the order in which they came."""
    found = read_store(write_store(tmp_path / "healthd.db", *STORIES))

    assert list(merged(found)) == told(*STORIES)
    assert (found.nodes, found.latest) == (("b", "a"), 630.0)
    assert found.name == str(tmp_path / "healthd.db")


def test_since(tmp_path):
    """What began before a moment is left out, within a block too."""
    found = read_store(write_store(tmp_path / "healthd.db", *STORIES))

    assert list(merged(found, 335.0)) == [each for each in told(*STORIES) if each[2].began >= 335.0]


def test_is_only_read(tmp_path):
    """A replay changes nothing in the store."""
    path = write_store(tmp_path / "healthd.db", *STORIES)
    before = path.read_bytes()

    assert sum(1 for _ in merged(read_store(path))) == 41
    assert path.read_bytes() == before


def test_damaged_block(tmp_path):
    """A block that cannot be read: which file, and whose."""
    path = write_store(tmp_path / "healthd.db", *STORIES)
    store = sqlite3.connect(path)
    with store:
        store.execute("UPDATE results SET block = x'00' WHERE node = 'a'")
    store.close()

    with pytest.raises(ReplayError) as caught:
        list(merged(read_store(path)))
    assert caught.value.where == f"{path}, results of a"
    assert caught.value.why.startswith("not a block of results")


def test_empty_store(tmp_path):
    """A store without results: it says so."""
    path = write_store(tmp_path / "healthd.db")

    with pytest.raises(ReplayError, match=r"healthd\.db: holds no results"):
        read_store(path)


def test_no_store(tmp_path):
    """No store at all is the store's own error, and none is made."""
    with pytest.raises(StoreError):
        read_store(tmp_path / "healthd.db")
    assert list(tmp_path.iterdir()) == []
