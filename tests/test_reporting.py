"""Signs of life for systemd."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from healthd.model import Node, Result
from healthd.observing.sdnotify import SystemdNotifier
from healthd.probing.selfcheck import SelfCheck
from healthd.reporting import report
from healthd.verdict.board import Board
from healthd.watching import WALL_JUMP, Listeners, Watchers
from tests.fakes import make_node

INTERVAL = 30.0


class Stage:
    """A board of two nodes whose tasks have not begun, and what systemd hears about them."""

    def __init__(self, nursery: trio.Nursery, heard: socket.socket, path: Path) -> None:
        self._heard = heard
        self.ahead = 0.0
        self.jumps = 0
        self.board = Board()
        self.board.replace([make_node("a"), make_node("b")], trio.current_time())
        self.self_check = SelfCheck(self._ask, INTERVAL)
        watchers = Watchers(nursery, self.board, self._probe, self._nobody(), wall=self._wall)
        systemd = SystemdNotifier({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "10000000"})
        nursery.start_soon(report, systemd, self.board, watchers, self.self_check, self._jumped)

    def said(self) -> list[str]:
        """What systemd has heard since the last time."""
        found = []
        while True:
            try:
                found.append(self._heard.recv(200).decode())
            except BlockingIOError:
                return found

    def _wall(self) -> float:
        return trio.current_time() + self.ahead

    def _jumped(self) -> None:
        self.jumps += 1

    async def _probe(self, node: Node, *, recheck: bool, confirm: bool, bulk: bool) -> Result:
        raise AssertionError("nothing is probed here")

    async def _ask(self) -> str | None:
        raise AssertionError("nothing is asked here")

    @staticmethod
    def _nobody() -> Listeners:
        def ignore(*_: object) -> None:
            pass

        return Listeners(*[ignore] * 6)


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


@pytest.fixture
async def stage(nursery, autojump_clock, heard, tmp_path):
    """The report has been made once, and was heard."""
    stage = Stage(nursery, heard, tmp_path / "notify")
    await trio.sleep(1)
    assert stage.said() == ["STATUS=0 of 2 nodes in service", "WATCHDOG=1"]
    return stage


async def test_twice_in_the_time_of_the_watchdog(stage, autojump_clock):
    """A watchdog of ten seconds hears a line of status and a sign of life every five."""
    await trio.sleep(10)

    assert stage.said() == ["STATUS=0 of 2 nodes in service", "WATCHDOG=1"] * 2


async def test_a_fault_of_ours_is_told(stage, autojump_clock):
    """Who looks at the service's status sees why nothing is judged; that is no reason to die."""
    stage.self_check.note_late()
    await trio.sleep(5)

    assert stage.said() == ["STATUS=0 of 2 nodes in service; at fault here: loop", "WATCHDOG=1"]


async def test_no_sign_of_life_while_a_task_stands_still(stage, autojump_clock):
    """When a node's task shows none for three intervals, systemd is to start us again."""
    for _ in range(24):  # the socket holds but a few messages
        await trio.sleep(5)
        assert stage.said()
    await trio.sleep(5)
    assert stage.said() == ["STATUS=0 of 2 nodes in service"]

    for record in stage.board:
        record.ticked = trio.current_time()
    await trio.sleep(5)
    assert "WATCHDOG=1" in stage.said()


async def test_a_jump_of_the_wall_clock_is_counted_once(stage, autojump_clock):
    """From then on, the clock that jumped is the right one."""
    stage.ahead = 2 * WALL_JUMP
    await trio.sleep(20)

    assert stage.jumps == 1
