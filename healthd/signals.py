"""What signals ask of the daemon: SIGHUP to reload, SIGTERM and SIGINT to stop."""

import signal
from collections.abc import Awaitable, Callable

import structlog
import trio

log = structlog.get_logger()


async def heed_signals(
    reload: Callable[[], Awaitable[None]],
    stop: Callable[[], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Call ``reload`` at each SIGHUP; call ``stop`` at SIGTERM or SIGINT, and return."""
    wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    with trio.open_signal_receiver(*wanted) as signals:
        task_status.started()
        async for number in signals:
            if number == signal.SIGHUP:
                await reload()
                continue
            log.info("daemon_stopping", signal=signal.Signals(number).name)
            stop()
            return
