"""The one task that writes: in batches, in a worker thread, whatever the file does to it.

State goes to the file every ten seconds, and soon after a transition. A batch is never written
twice, so nothing but the end of the daemon leaves one alone, and that not before two seconds.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

import trio

from healthd.config import StoreConfig
from healthd.errors import StoreError, StoreFault
from healthd.store import pruning, writing
from healthd.store.database import Database
from healthd.store.health import Health
from healthd.store.news import News
from healthd.store.opening import BEYOND_HOPE, Opener
from healthd.store.reading import Loaded
from healthd.verdict.board import Record

PERIOD = 10.0
"""Seconds between two batches."""
SOON = 0.5
"""Seconds after a transition within which it is written."""
LAST_BATCH = 2.0
"""Seconds that the daemon waits for the last batch when it ends."""
ANSWER_WITHIN = 10.0
"""Seconds after which :meth:`Writer.flush` gives up."""
STUCK_AFTER = 30.0
"""Seconds that a write may take before that is told."""
PRUNE_EVERY = 3600.0

_STALE = {StoreFault.READ_ONLY, StoreFault.DENIED, StoreFault.FAILED}
"""Faults after which the file is better opened again than used as it is."""

T = TypeVar("T")


class Run(Protocol):
    """Runs a blocking job beside the event loop, and gives up waiting for it when cancelled."""

    async def __call__(self, job: Callable[[], T]) -> T:
        """Return what the job returns."""


class OneThread:
    """Runs jobs in a worker thread, one at a time."""

    def __init__(self) -> None:
        self._one = trio.CapacityLimiter(1)

    async def __call__(self, job: Callable[[], T]) -> T:
        """Return what the job returns."""
        return await trio.to_thread.run_sync(job, abandon_on_cancel=True, limiter=self._one)


@dataclass(slots=True)
class _Round:
    """One batch on its way."""

    done: trio.Event = field(default_factory=trio.Event)
    ok: bool = False
    is_last: bool = False


class Writer:
    """Writes what is news.

    Args:
        database: The file; nobody else uses it while :meth:`run` does.
        opener: Opens it.
        config: Gives how long what is kept.
        news: What to write.
        health: Told how it goes.
        interval: Gives the seconds of a slot.
        wall: The wall clock.
        on_opened: Told what the file says, each time that it was opened here.
        beside: Runs what blocks.
    """

    def __init__(
        self,
        database: Database,
        opener: Opener,
        *,
        config: Callable[[], StoreConfig],
        news: News,
        health: Health,
        interval: Callable[[], float],
        wall: Callable[[], float],
        on_opened: Callable[[Loaded], None],
        beside: Run,
    ) -> None:
        self._database = database
        self._opener = opener
        self._config = config
        self._news = news
        self._health = health
        self._interval = interval
        self._wall = wall
        self._on_opened = on_opened
        self._beside = beside
        self._prune_at = float("-inf")
        self._busy_since: float | None = None
        self._scope = trio.CancelScope(shield=True)
        self._next = _Round()
        self._wanted_soon, self._wanted_now = trio.Event(), trio.Event()
        self._ended = trio.Event()

    def hasten(self) -> None:
        """There is something that should be written soon."""
        self._wanted_soon.set()

    async def flush(self) -> bool:
        """Write everything that waits; return whether it is known to be in the file."""
        awaited = self._next
        self._hurry()
        with trio.move_on_after(ANSWER_WITHIN):
            await awaited.done.wait()
        return awaited.ok

    async def run(self, records: Iterable[Record]) -> None:
        """Write until cancelled, and once more on the way out.

        Args:
            records: The fleet; gone through for each batch.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write_on, records)
            try:
                await self._watch()
            finally:
                self._next.is_last = True
                self._hurry()
                with trio.move_on_after(LAST_BATCH, shield=True):
                    await self._ended.wait()
                self._scope.cancel(reason="the last batch takes too long")

    def _hurry(self) -> None:
        self._wanted_soon.set()
        self._wanted_now.set()

    async def _watch(self) -> None:
        """A disk that hangs raises nothing: look at the clock."""
        while True:
            await trio.sleep(STUCK_AFTER / 3)
            began = self._busy_since
            if began is not None and trio.current_time() - began >= STUCK_AFTER:
                words = f"a write has not come back for {STUCK_AFTER:.0f} s"
                self._health.failed(StoreError(str(self._database.path), StoreFault.FAILED, words))

    async def _write_on(self, records: Iterable[Record]) -> None:
        try:
            with self._scope:
                while True:
                    await self._wait_for_work()
                    this, self._next = self._next, _Round()
                    await self._write(records, this)
                    this.done.set()
                    if this.is_last:
                        break
                await self._run(self._database.close)
        finally:
            self._next.done.set()
            self._ended.set()

    async def _wait_for_work(self) -> None:
        with trio.move_on_after(PERIOD - SOON):
            await self._wanted_soon.wait()
        with trio.move_on_after(SOON):
            await self._wanted_now.wait()
        self._wanted_soon, self._wanted_now = trio.Event(), trio.Event()

    async def _write(self, records: Iterable[Record], this: _Round) -> None:
        """Write what waits, if the file lets us; one that is beyond hope gives way to another."""
        try:
            try:
                await self._write_batch(records, this)
            except StoreError as why:
                if why.kind not in BEYOND_HOPE:
                    raise
                await self._run(partial(self._opener.give_up, why))
                await self._write_batch(records, this)
        except StoreError as why:
            self._health.failed(why)
            self._news.bound()
            if why.kind in _STALE:
                await self._run(self._database.close)
        else:
            self._health.works()
        self._health.note_lost(self._news.pending)

    async def _write_batch(self, records: Iterable[Record], this: _Round) -> None:
        if not self._database.is_open:
            loaded = await self._run(self._opener.open)
            self._news.forget()
            self._on_opened(loaded)
        batch = self._news.collect(
            records,
            now=trio.current_time(),
            wall=self._wall(),
            interval=self._interval(),
            last=this.is_last,
        )
        try:
            await self._run(partial(writing.write, self._database, batch))
        except StoreError:
            self._news.put_back(batch)
            raise
        self._news.wrote(batch)
        this.ok = True
        this.done.set()
        if not this.is_last:
            await self._prune()

    async def _prune(self) -> None:
        now = trio.current_time()
        if now < self._prune_at:
            return
        self._prune_at = now + PRUNE_EVERY  # also when it fails
        keep, results = self._config().keep, self._config().results
        prune = partial(
            pruning.prune, self._database, wall=self._wall(), keep=keep, results=results
        )
        if await self._run(prune):
            self._prune_at = now

    async def _run(self, job: Callable[[], T]) -> T:
        """Cancelled by :meth:`run` alone, when nobody will use the file any more."""
        self._busy_since = trio.current_time()
        try:
            return await self._beside(job)
        finally:
            self._busy_since = None
