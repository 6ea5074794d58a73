"""The file: opening it, finding out what is wrong with it, and setting it aside. All calls block.

It holds credentials, so nobody but its owner can read it; the files that SQLite puts beside it get
the same mode. SQLite runs in WAL mode: readers (the commands) and the writer never wait for each
other, and a killed daemon leaves a file that the next one simply opens.
"""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from healthd.errors import StoreError, StoreFault
from healthd.store import schema, soundness
from healthd.store.faults import translated

BUSY = 2.0
"""Seconds to wait for somebody else's lock."""

CHECKED_UP_TO = 256 * 2**20
"""Bytes: larger files are not looked through when they are opened; it would take too long."""

_LOG_SIZE = 16 * 2**20
"""Bytes that the write-ahead log keeps for itself after it was larger."""

_BESIDE = ("-wal", "-shm")

_NO_INDEX = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}
"""What SQLite says when it cannot make the index of the log."""

_READABLE_BY_OTHERS = 0o077


class Database:
    """One file, open for writing or not. Only one thread may use it at a time.

    Args:
        path: The file.
        busy: Seconds to wait for somebody else's lock.
    """

    def __init__(self, path: Path, *, busy: float = BUSY) -> None:
        self.path = path
        self._busy = busy
        self._connection: sqlite3.Connection | None = None
        self._place: tuple[int, int] | None = None
        self._sound = False

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def open(self) -> bool:
        """Open the file, make it if there is none; return whether it was made.

        Raises:
            StoreError: it cannot be used.
        """
        with translated(self.path):
            made = _make(self.path)
            connection = _connect(str(self.path), busy=self._busy)
            try:
                self._prepare(connection)
                about = self.path.stat()
            except BaseException:
                connection.close()
                raise
        self._connection, self._place = connection, (about.st_dev, about.st_ino)
        return made

    def close(self) -> None:
        """Close it; what the write-ahead log holds goes into the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def set_aside(self, stamp: str) -> Path:
        """Give the file, and what lies beside it, other names; return the new one.

        Raises:
            StoreError: that is not possible.
        """
        self.close()
        self._sound = False
        with translated(self.path):
            aside = _free(self.path.with_name(f"{self.path.name}.damaged-{stamp}"))
            # These first: a log must never meet a file that it does not belong to.
            for suffix in _BESIDE:
                with suppress(FileNotFoundError):
                    _beside(self.path, suffix).rename(_beside(aside, suffix))
            self.path.rename(aside)
        return aside

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The open connection, to read from.

        Raises:
            StoreError: it cannot be read.
        """
        assert self._connection is not None, "not open"  # noqa: S101 - a bug of the caller
        with translated(self.path):
            yield self._connection

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction on the open connection: all of the block, or nothing.

        Args:
            durable: Whether it must outlive a power cut as well as the death of the process.

        Raises:
            StoreError: it could not be written.
        """
        with self.reading() as connection:
            self._check_place()
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # SQLite did so itself, or the file is beyond that
                    connection.execute("ROLLBACK")
                raise

    def _check_place(self) -> None:
        """Notice when somebody removed the file: SQLite would go on writing into nowhere."""
        try:
            about = self.path.stat()
        except FileNotFoundError:
            about = None
        if about is None or (about.st_dev, about.st_ino) != self._place:
            self.close()
            raise StoreError(str(self.path), StoreFault.MISSING, "was removed while in use")

    def _prepare(self, connection: sqlite3.Connection) -> None:
        soundness.refuse_foreign(connection, self.path)
        if not schema.version_of(connection):  # later it has no effect
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_SIZE}")
        if not self._sound and self.path.stat().st_size <= CHECKED_UP_TO:
            soundness.refuse_unsound(connection, self.path)
        schema.migrate(connection)
        soundness.refuse_incomplete(connection, self.path)
        self._sound = True


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot change the file, while the block lasts.

    Raises:
        StoreError: it cannot be read.
    """
    with translated(path):
        if not path.stat().st_size:
            raise StoreError(str(path), StoreFault.MISSING, "is empty")
        soundness.refuse_unreadable(path)
        connection = _connect_to_read(path)
        try:
            soundness.refuse_foreign(connection, path)
            soundness.refuse_incomplete(connection, path)
            yield connection
        finally:
            connection.close()


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """Without any means to change the file.

    In WAL mode SQLite reads through an index beside the file. That cannot be made in a directory
    that we may not write, or on a full disk; beside a file that we may not write it would be in the
    way later. Where there is no log, the file alone is all there is.
    """
    name = f"file:{quote(os.fsencode(path))}?mode=ro"
    alone = f"{name}&immutable=1"
    if not os.access(path, os.W_OK) and not _has_log(path):
        return _connect(alone, uri=True)
    connection = _connect(name, uri=True)
    try:
        schema.version_of(connection)
        schema.layout(connection)
    except sqlite3.OperationalError as why:
        connection.close()
        if why.sqlite_errorcode & 0xFF not in _NO_INDEX or _has_log(path):
            raise
        return _connect(alone, uri=True)
    except BaseException:
        connection.close()
        raise
    return connection


def _has_log(path: Path) -> bool:
    try:
        return _beside(path, "-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def _connect(name: str, *, busy: float = BUSY, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        name, timeout=busy, isolation_level=None, check_same_thread=False, uri=uri
    )
    # Garbage must not keep the rest from being read.
    connection.text_factory = lambda raw: raw.decode(errors="replace")
    return connection


def _make(path: Path) -> bool:
    """Make the file if there is none, or see whether it can be used; return whether it was made.

    By our own hands: SQLite would leave its mode to the umask.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    else:
        return True
    soundness.refuse_unreadable(path)
    if not os.access(path, os.W_OK):
        raise StoreError(str(path), StoreFault.READ_ONLY, "may be read, but not written")
    if stat.S_IMODE(path.stat().st_mode) & _READABLE_BY_OTHERS:
        _chmod(path)
    for suffix in _BESIDE:
        # SQLite made them with the mode that the file had then: perhaps a read-only one.
        beside = _beside(path, suffix)
        if beside.exists() and not os.access(beside, os.W_OK):
            _chmod(beside)
    return False


def _chmod(path: Path) -> None:
    with suppress(PermissionError):  # another user's: it is for him to say
        path.chmod(0o600)


def _free(wanted: Path) -> Path:
    """The name, or one like it that nobody has."""
    name, number = wanted, 1
    while os.path.lexists(name):
        number += 1
        name = wanted.with_name(f"{wanted.name}-{number}")
    return name


def _beside(path: Path, suffix: str) -> Path:
    """The file that SQLite puts beside another: ``-wal``, the log, or ``-shm``, its index."""
    return path.with_name(path.name + suffix)
