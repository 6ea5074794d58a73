"""Is our own event loop on time?"""

import time

import trio
import trio.lowlevel
import trio.testing

from healthd.probing.lag import LIMIT, PERIOD, LoopWatch
from tests.fakes import wait_until


async def test_a_loop_on_time_is_never_late(nursery, autojump_clock):
    """An hour without a stall."""
    told: list[float] = []
    watch = LoopWatch(lambda: told.append(trio.current_time()))
    nursery.start_soon(watch.run)
    await trio.sleep(3600)
    assert not watch.late_since(0.0)
    assert told == []


async def test_a_stall_is_noticed(nursery):
    """Standing still for longer than the limit counts for whoever began before it, and no other."""
    told: list[float] = []
    watch = LoopWatch(lambda: told.append(trio.current_time()))
    nursery.start_soon(watch.run)
    began = trio.current_time()
    await trio.testing.wait_all_tasks_blocked()
    time.sleep(PERIOD + LIMIT + 0.1)  # noqa: ASYNC251 - the stall itself
    await wait_until(lambda: watch.late_since(began))
    assert not watch.late_since(trio.current_time())
    assert len(told) == 1
