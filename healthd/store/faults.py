"""What SQLite and the system say, translated into our own error: here, and nowhere else."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from healthd.errors import StoreError, StoreFault

_BY_CODE = {
    sqlite3.SQLITE_CORRUPT: StoreFault.DAMAGED,
    sqlite3.SQLITE_NOTADB: StoreFault.DAMAGED,
    sqlite3.SQLITE_BUSY: StoreFault.LOCKED,
    sqlite3.SQLITE_LOCKED: StoreFault.LOCKED,
    sqlite3.SQLITE_PROTOCOL: StoreFault.LOCKED,
    sqlite3.SQLITE_READONLY: StoreFault.READ_ONLY,
    sqlite3.SQLITE_FULL: StoreFault.FULL,
    sqlite3.SQLITE_CANTOPEN: StoreFault.DENIED,
    sqlite3.SQLITE_PERM: StoreFault.DENIED,
    sqlite3.SQLITE_AUTH: StoreFault.DENIED,
}

_BY_EXTENDED_CODE = {
    # The index of the write-ahead log cannot grow.
    sqlite3.SQLITE_IOERR_SHMSIZE: StoreFault.FULL,
}

_BY_ERRNO = {
    errno.ENOENT: StoreFault.MISSING,
    errno.EISDIR: StoreFault.DAMAGED,
    errno.EACCES: StoreFault.DENIED,
    errno.EPERM: StoreFault.DENIED,
    errno.EROFS: StoreFault.READ_ONLY,
    errno.ENOSPC: StoreFault.FULL,
    errno.EDQUOT: StoreFault.FULL,
}

_LACKS = ("no such table", "no such column")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite or the system raises in the block into a StoreError about this file.

    Raises:
        StoreError: something in the block failed.
    """
    try:
        yield
    except sqlite3.Error as why:
        raise StoreError(str(path), _kind_of(why), str(why)) from why
    except OSError as why:
        kind = _BY_ERRNO.get(why.errno or 0, StoreFault.FAILED)
        raise StoreError(str(path), kind, why.strerror or type(why).__name__) from why


def _kind_of(why: sqlite3.Error) -> StoreFault:
    # Errors of Python's own module bear no code.
    code = getattr(why, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code == sqlite3.SQLITE_ERROR and str(why).startswith(_LACKS):
        return StoreFault.DAMAGED
    primary = _BY_CODE.get(code & 0xFF, StoreFault.FAILED)
    return _BY_EXTENDED_CODE.get(code, primary)
