"""When the store writes, and that a disk which hangs holds up nobody. On a simulated clock."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from structlog.testing import capture_logs

from healthd.config import StoreConfig
from healthd.store.database import Database
from healthd.store.health import Health
from healthd.store.news import News
from healthd.store.opening import Opener
from healthd.store.pruning import CHUNK
from healthd.store.writer import ANSWER_WITHIN, LAST_BATCH, PERIOD, SOON, STUCK_AFTER, Writer
from healthd.store.writing import NotedTransition
from tests.store.support import FELL, WALL, rows

T = TypeVar("T")


class Disk:
    """Jobs take no time at all, or do not come back until it ``goes_on``."""

    def __init__(self) -> None:
        self.goes_on = trio.Event()
        self.goes_on.set()

    def hang(self) -> None:
        """From now on nothing comes back."""
        self.goes_on = trio.Event()

    async def __call__(self, job: Callable[[], T]) -> T:
        await self.goes_on.wait()
        return job()


class Bench:
    """A writer, and all that it works with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.disk = Disk()
        database = Database(path)
        self.news = News()
        self.changes: list[bool] = []
        self.health = Health(path, self.changes.append)
        self.writer = Writer(
            database,
            Opener(database, lambda: WALL),
            config=StoreConfig,
            news=self.news,
            health=self.health,
            interval=lambda: 30.0,
            wall=self.wall,
            on_opened=lambda _: None,
            beside=self.disk,
        )

    def wall(self) -> float:
        return WALL + trio.current_time()

    def note(self) -> None:
        """A transition."""
        self.news.pending.note_transition(NotedTransition("a", FELL, self.wall(), ""))
        self.writer.hasten()

    def alive(self) -> float:
        """When it wrote last, on the wall clock."""
        ((at,),) = rows(self.path, "SELECT max(value) FROM meta")
        return float(at)

    def transitions(self) -> int:
        return len(rows(self.path, "SELECT 1 FROM transitions"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "healthd.db")


async def test_every_ten_seconds(bench, autojump_clock):
    """A batch each ten seconds, news or not: it tells the next run how long this one lived."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.writer.run, [])
        written = [bench.wall()]
        for _ in range(3):
            await trio.sleep(PERIOD + 0.2)
            written.append(bench.alive())
        nursery.cancel_scope.cancel()

    gaps = [later - earlier for earlier, later in pairwise(written)]
    assert gaps == pytest.approx([PERIOD] * 3, abs=0.2)


async def test_soon_after_a_transition(bench, autojump_clock):
    """A transition is written within half a second; a storm of them in one batch."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.writer.run, [])
        await trio.sleep(3)
        for _ in range(5):
            bench.note()
            await trio.sleep(SOON / 10)
        assert not bench.path.exists()
        await trio.sleep(SOON / 2 + 0.1)
        assert bench.transitions() == 5
        nursery.cancel_scope.cancel()


async def test_flush_does_not_wait(bench, autojump_clock):
    """Whoever asks for it gets it at once."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.writer.run, [])
        bench.note()
        began = trio.current_time()
        assert await bench.writer.flush()
        assert trio.current_time() - began < SOON
        assert bench.transitions() == 1
        nursery.cancel_scope.cancel()


async def test_hanging_disk(bench, autojump_clock):
    """A write that does not come back: flush says no in time, and after a while it is told."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.writer.run, [])
        assert await bench.writer.flush()
        bench.disk.hang()
        bench.note()
        began = trio.current_time()
        with capture_logs() as logs:
            assert not await bench.writer.flush()
            assert trio.current_time() - began == pytest.approx(ANSWER_WITHIN, abs=0.5)
            await trio.sleep(STUCK_AFTER * 2)
            assert bench.health.problem is not None
            bench.note()
            bench.disk.goes_on.set()
            assert await bench.writer.flush()
        nursery.cancel_scope.cancel()

    assert [line["event"] for line in logs] == ["store_failed", "store_recovered"]
    assert f"has not come back for {STUCK_AFTER:.0f} s" in logs[0]["why"]
    assert bench.changes == [False, True]
    assert bench.transitions() == 2  # nothing was written twice


async def test_end_on_a_hanging_disk(bench, autojump_clock):
    """The daemon ends within two seconds, whatever the disk does."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.writer.run, [])
        assert await bench.writer.flush()
        bench.disk.hang()
        bench.note()
        await trio.sleep(SOON + 0.1)
        nursery.cancel_scope.cancel()
        began = trio.current_time()
    ended = trio.current_time() - began
    bench.disk.goes_on.set()

    assert ended == pytest.approx(LAST_BATCH, abs=0.2)


async def test_end_at_the_very_beginning(bench, autojump_clock):
    """A daemon that is stopped at once still writes what was noted."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.writer.run, [])
        bench.note()
        nursery.cancel_scope.cancel()

    assert bench.transitions() == 1


async def test_nobody_runs(bench, autojump_clock):
    """A flush without a writer is a no, not a wait for ever."""
    assert not await bench.writer.flush()


async def test_a_cancelled_flush_leaves_the_batch_alone(bench, autojump_clock):
    """An operator who hangs up does not stop the write that he asked for."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.writer.run, [])
        bench.disk.hang()
        bench.note()
        with trio.move_on_after(0.2) as scope:
            await bench.writer.flush()
        bench.disk.goes_on.set()
        assert scope.cancelled_caught
        assert await bench.writer.flush()
        nursery.cancel_scope.cancel()

    assert bench.transitions() == 1


async def test_old_rows_go_each_hour(bench, autojump_clock):
    """What is too old is removed by itself: at the start, and then each hour."""
    old = partial(NotedTransition, "a", FELL, WALL - 500 * 86400.0, "")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.writer.run, [])
        bench.news.pending.note_transition(old())
        assert await bench.writer.flush()
        await trio.sleep(1)
        assert bench.transitions() == 0
        bench.news.pending.note_transition(old())
        assert await bench.writer.flush()
        await trio.sleep(1)
        assert bench.transitions() == 1
        await trio.sleep(3600)
        assert bench.transitions() == 0
        nursery.cancel_scope.cancel()


async def test_many_old_rows_go_chunk_by_chunk(bench, autojump_clock):
    """A retention that was shortened empties the file over some batches, not in one."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.writer.run, [])
        for number in range(2 * CHUNK + 1):
            noted = NotedTransition("a", FELL, WALL - 500 * 86400.0 + number, "")
            bench.news.pending.note_transition(noted)
        left = []
        for _ in range(3):
            assert await bench.writer.flush()
            await trio.sleep(0.1)
            left.append(bench.transitions())
        nursery.cancel_scope.cancel()

    assert left == [CHUNK + 1, 1, 0]
