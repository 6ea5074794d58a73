"""Opening the store, come what may: a damaged file is set aside, and a new one begun. Blocks."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from healthd.errors import StoreError, StoreFault
from healthd.store import reading
from healthd.store.database import Database
from healthd.store.database import reading as peek
from healthd.store.reading import Loaded

log = structlog.get_logger()

BEYOND_HOPE = {StoreFault.DAMAGED, StoreFault.MISSING}
"""Faults that another file mends at once."""

MOST_SET_ASIDE = 3
"""Damaged files of one run: a disk that makes more of them must not be filled with them."""


class Opener:
    """Opens one file, as often as need be.

    Args:
        database: What to open.
        wall: The wall clock; it names what is set aside.
    """

    def __init__(self, database: Database, wall: Callable[[], float]) -> None:
        self._database = database
        self._wall = wall
        self._set_aside = 0

    def open(self) -> Loaded:
        """Open the file, and read what it says.

        Raises:
            StoreError: it cannot be used as things are.
        """
        try:
            return self._open()
        except StoreError as why:
            if why.kind is not StoreFault.DAMAGED:
                raise
            self.give_up(why)
            return replace(self._open(), problem=f"{why.path}: {why.why}; it was set aside")

    def give_up(self, why: StoreError) -> None:
        """Make way for a new file: put a damaged one aside; one that was removed is gone anyway.

        Raises:
            StoreError: the same, as that is not possible, or was done too often.
        """
        self._database.close()
        if why.kind is StoreFault.MISSING:
            log.error("store_removed", path=why.path, why=why.why)
            return
        if self._set_aside >= MOST_SET_ASIDE:
            raise why
        stamp = datetime.fromtimestamp(self._wall(), UTC).strftime("%Y%m%dT%H%M%SZ")
        try:
            aside = self._database.set_aside(stamp)
        except StoreError:  # what is wrong with the file says more
            raise why from None
        self._set_aside += 1
        log.error("store_set_aside", path=why.path, aside=str(aside), why=why.why)

    def glimpse(self) -> Loaded | None:
        """What a file says that cannot be written, or that cannot be opened for it now."""
        try:
            with peek(self._database.path) as connection:
                return reading.load(connection)
        except StoreError:
            return None

    def _open(self) -> Loaded:
        made = self._database.open()
        try:
            with self._database.reading() as connection:
                loaded = reading.load(connection)
        except StoreError:
            self._database.close()
            raise
        if made:
            log.info("store_begun", path=str(self._database.path))
        if loaded.unreadable:
            log.error(
                "store_rows_unreadable", path=str(self._database.path), rows=loaded.unreadable
            )
        return loaded
