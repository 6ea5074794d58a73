"""Signs of life for systemd: how we are, and that no node's task stands still."""

from collections.abc import Callable

import structlog
import trio

from healthd.model import IN_SERVICE
from healthd.observing.sdnotify import SystemdNotifier
from healthd.probing.selfcheck import SelfCheck
from healthd.verdict.board import Board
from healthd.watching import Watchers

log = structlog.get_logger()

_PERIOD = 5.0
"""Seconds between two lines for `systemctl status`."""


async def report(
    systemd: SystemdNotifier,
    board: Board,
    watchers: Watchers,
    self_check: SelfCheck,
    on_clock_jump: Callable[[], None],
) -> None:
    """Tell systemd that we live until cancelled: only while every node's task shows that it does.

    Args:
        systemd: Is told.
        board: What its line of status is about.
        watchers: Asked for tasks that stand still, and whether the wall clock has jumped.
        self_check: Whether the monitor can be trusted.
        on_clock_jump: Told when it has.
    """
    period = min(_PERIOD, (systemd.watchdog or _PERIOD) / 2)
    while True:
        systemd.status(_status(board, self_check))
        if watchers.check_clock():
            on_clock_jump()
        if not (stalled := watchers.stalled()):
            systemd.alive()
        else:
            log.error("watchers_stalled", nodes=len(stalled), first=stalled[0])
        await trio.sleep(period)


def _status(board: Board, self_check: SelfCheck) -> str:
    up = sum(record.state.health in IN_SERVICE for record in board)
    told = f"{up} of {len(board)} nodes in service"
    return told if self_check.ok else f"{told}; at fault here: {', '.join(self_check.faults)}"
