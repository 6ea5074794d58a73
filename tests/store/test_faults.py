"""Every error of SQLite and of the system becomes ours, with a kind and a mend."""

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from healthd.errors import HealthdError, StoreError, StoreFault
from healthd.store.faults import translated

PATH = Path("/var/lib/healthd/healthd.db")


def translation(why: Exception) -> StoreError:
    with pytest.raises(StoreError) as caught, translated(PATH):
        raise why
    return caught.value


def sqlite_error(code: int, words: str = "words") -> sqlite3.Error:
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_CORRUPT, StoreFault.DAMAGED),
        (sqlite3.SQLITE_CORRUPT_INDEX, StoreFault.DAMAGED),
        (sqlite3.SQLITE_NOTADB, StoreFault.DAMAGED),
        (sqlite3.SQLITE_BUSY, StoreFault.LOCKED),
        (sqlite3.SQLITE_BUSY_RECOVERY, StoreFault.LOCKED),
        (sqlite3.SQLITE_READONLY_DIRECTORY, StoreFault.READ_ONLY),
        (sqlite3.SQLITE_FULL, StoreFault.FULL),
        (sqlite3.SQLITE_IOERR_SHMSIZE, StoreFault.FULL),
        (sqlite3.SQLITE_IOERR_READ, StoreFault.FAILED),
        (sqlite3.SQLITE_CANTOPEN, StoreFault.DENIED),
        (sqlite3.SQLITE_ERROR, StoreFault.FAILED),
    ],
)
def test_sqlite(code, kind):
    """By the code, the extended ones included."""
    found = translation(sqlite_error(code))

    assert (found.path, found.kind, found.why) == (str(PATH), kind, "words")


@pytest.mark.parametrize("words", ["no such table: state", "no such column: at"])
def test_tables_that_are_gone(words):
    """Somebody dropped a table while we used the file."""
    assert translation(sqlite_error(sqlite3.SQLITE_ERROR, words)).kind is StoreFault.DAMAGED


def test_error_without_a_code():
    """Errors of Python's own module have none."""
    assert translation(sqlite3.ProgrammingError("closed")).kind is StoreFault.FAILED


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, StoreFault.MISSING),
        (errno.EISDIR, StoreFault.DAMAGED),
        (errno.EACCES, StoreFault.DENIED),
        (errno.EROFS, StoreFault.READ_ONLY),
        (errno.ENOSPC, StoreFault.FULL),
        (errno.EDQUOT, StoreFault.FULL),
        (errno.EIO, StoreFault.FAILED),
    ],
)
def test_system(number, kind):
    """By the errno; the words are the system's."""
    found = translation(OSError(number, os.strerror(number)))

    assert (found.kind, found.why) == (kind, os.strerror(number))


def test_system_without_words():
    """An error without an errno is named by its type."""
    assert translation(OSError()).why == "OSError"


@pytest.mark.parametrize("kind", StoreFault)
def test_every_kind_names_a_mend(kind):
    """Path, cause and mend make one sentence for people."""
    error = StoreError(str(PATH), kind, "is so")

    assert isinstance(error, HealthdError)
    assert str(error) == f"{PATH}: is so; {error.mend}"
    assert error.mend


def test_bugs_pass():
    """What is neither SQLite's nor the system's is a bug, and not hidden."""
    with pytest.raises(KeyError), translated(PATH):
        raise KeyError
