"""A store in a test's directory, its clock, and what it was heard to say."""

import sqlite3
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from healthd.config import StoreConfig
from healthd.model import Health, Reason
from healthd.store.reading import Loaded
from healthd.store.service import Store
from healthd.verdict.board import Record
from healthd.verdict.machine import Transition

WALL = 1_700_002_800.0
"""A whole hour."""
HOUR = 472_223
"""Its number."""

FELL = Transition(Health.SUSPECT, Health.DOWN, 5.0, Reason.TIMEOUT, "4 failures in 20 s")


class Wall:
    """A wall clock that begins at a known second, and may be set."""

    def __init__(self, begin: float = WALL) -> None:
        self._shift = begin - time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() + self._shift

    def jump(self, seconds: float) -> None:
        """Somebody sets the clock."""
        self._shift += seconds


@dataclass
class Stage:
    """One run of the store."""

    store: Store
    loaded: Loaded
    wall: Wall
    health: list[bool] = field(default_factory=list)
    late: list[Any] = field(default_factory=list)


def stage(path: Path, wall: Wall | None = None, **config: str) -> Stage:
    """Open a store as the daemon does."""
    wall = wall or Wall()
    health: list[bool] = []
    late: list[Any] = []
    store = Store(
        path,
        StoreConfig.model_validate(config),
        interval=lambda: 30.0,
        wall=wall,
        on_health=health.append,
        on_overrides=late.append,
    )
    return Stage(store, store.open_and_load(), wall, health, late)


@asynccontextmanager
async def running(store: Store, records: Iterable[Record] = ()) -> AsyncIterator[None]:
    """Let it write while the block lasts."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run, records)
        yield
        nursery.cancel_scope.cancel()


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """What somebody else finds in the file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def change(path: Path, script: str) -> None:
    """Somebody else's hand in the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(script)
