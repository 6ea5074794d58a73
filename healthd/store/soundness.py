"""Whether a file is what we take it for; each way in which it is not has its own words. Blocks."""

import os
import sqlite3
from pathlib import Path

from healthd.errors import StoreError, StoreFault
from healthd.store import schema


def refuse_unreadable(path: Path) -> None:
    """Refuse what is no file, or not for our eyes.

    By asking, not by opening: to close a descriptor of a file ends all locks that a process has on
    it, SQLite's as well.
    """
    if not path.is_file():
        raise StoreError(str(path), StoreFault.DAMAGED, "is not a file")
    if not os.access(path, os.R_OK):
        raise StoreError(str(path), StoreFault.DENIED, "may not be read by this user")


def refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse what another program, or a later healthd, made. An empty file is nobody's."""
    version, is_ours = schema.version_of(connection), schema.is_marked(connection)
    if is_ours and version > schema.VERSION:
        words = f"has version {version}, and this healthd knows {schema.VERSION} at most"
        raise StoreError(str(path), StoreFault.NEWER, words)
    if not (is_ours and version) and schema.layout(connection):
        raise StoreError(str(path), StoreFault.DAMAGED, "is another program's database")


def refuse_incomplete(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that lacks a table or a column."""
    if lacking := sorted(schema.expected() - schema.layout(connection)):
        table, column = lacking[0]
        raise StoreError(str(path), StoreFault.DAMAGED, f"lacks {table}.{column}")


def refuse_unsound(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file in which SQLite finds pages that do not fit together."""
    if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise StoreError(str(path), StoreFault.DAMAGED, "did not pass SQLite's quick_check")
