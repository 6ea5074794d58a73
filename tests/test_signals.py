"""What signals ask of the daemon."""

import os
import signal

import pytest
import trio

from healthd.signals import heed_signals
from tests.fakes import wait_until


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
async def test_reload_any_number_of_times_and_stop_once(nursery, end):
    """Each SIGHUP reloads; SIGTERM and SIGINT stop, and from then on signals are the system's."""
    told: list[str] = []

    async def reload() -> None:
        await trio.lowlevel.checkpoint()
        told.append("reload")

    ended = trio.Event()

    async def heed(*, task_status: trio.TaskStatus[None]) -> None:
        await heed_signals(reload, lambda: told.append("stop"), task_status=task_status)
        ended.set()

    before = signal.getsignal(end)
    await nursery.start(heed)
    os.kill(os.getpid(), signal.SIGHUP)
    await wait_until(lambda: len(told) == 1)
    os.kill(os.getpid(), signal.SIGHUP)
    await wait_until(lambda: len(told) == 2)
    os.kill(os.getpid(), end)
    with trio.fail_after(5):
        await ended.wait()

    assert told == ["reload", "reload", "stop"]
    assert signal.getsignal(end) is before
