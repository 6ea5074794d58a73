"""`healthd demo`: the whole job on a real fleet on loopback, step by step, each step asserted.

Four servers of different protocols, two check URLs and a daemon with quick timings. The primary is
killed, another node is replaced by one that accepts connections and carries nothing, the check
URLs are stopped, and all is brought back; then all nodes die at once. Each time the published file
must follow, or stay.
"""

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from healthd.demo.fleet import Fleet, open_fleet
from healthd.demo.running import RunningDaemon, start_daemon, write_config
from healthd.engines.find import find_xray

NODES = {
    "hk-1": "vless-reality-vision",
    "jp-1": "hysteria2",
    "sg-1": "trojan-tls",
    "de-1": "ss-2022",
}
"""The nodes, and what kind of server each is."""
PRIMARY = "hk-1"
STEP_LIMIT = 25.0
"""Seconds a step may take; with the quick timings each needs about ten."""

TOTAL_LIMIT = 90.0

_QUIET = 8.0
"""Seconds without check URLs: longer than it takes to remove a dead node."""

_COLOURS = {"up": "green", "down": "red", "invalid": "magenta"}


def main(*, keep: bool) -> int:
    """Run the demo; return the exit code: 0, or 1 when a step failed."""
    console = Console(highlight=False)
    try:
        failed = trio.run(_demo, find_xray().path, console, keep)
    except* KeyboardInterrupt:
        failed = "stopped by hand" if not keep else None
    if failed is not None:
        console.print(f"[red]FAILED[/] {failed}", soft_wrap=True)
    return 0 if failed is None else 1


async def _demo(xray: str, console: Console, keep: bool) -> str | None:
    """Run it; return which step failed, and how."""
    directory = Path(tempfile.mkdtemp(prefix="healthd-demo-"))
    failed: str | None = f"the demo took over {TOTAL_LIMIT:.0f} s"
    with trio.move_on_after(TOTAL_LIMIT) as limit:
        async with open_fleet(xray, list(NODES), kinds=NODES, checks=2) as fleet:
            config = write_config(fleet, directory, roles={PRIMARY: "primary"})
            async with start_daemon(config) as daemon:
                stage = _Stage(fleet, daemon, console)
                failed = await stage.play()
                if keep and failed is None:
                    limit.deadline = float("inf")
                    await stage.stay()
    return failed


class _NotShownError(Exception):
    """What a step must show did not happen."""


class _Stage:
    """The demo's steps, and what the audience sees."""

    def __init__(self, fleet: Fleet, daemon: RunningDaemon, console: Console) -> None:
        self._fleet = fleet
        self._daemon = daemon
        self._console = console
        self._done: list[str] = []
        self._now = "starting the daemon"
        self._state: dict[str, Any] = {"nodes": [], "publications": []}

    async def play(self) -> str | None:
        """All steps; a live table on a terminal, one line per step elsewhere."""
        if not self._console.is_terminal:
            failed = await self._steps()
        else:
            live = Live(console=self._console, refresh_per_second=8, get_renderable=self._draw)
            with live:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._watch)
                    failed = await self._steps()
                    nursery.cancel_scope.cancel()
        if failed is None:
            self._console.print(f"all steps shown; the published files: {self._daemon.public}")
        return failed

    async def stay(self) -> None:
        """Leave everything running, and say where."""
        listen = (await self._daemon.wait_event("daemon_started"))["listen"]
        self._console.print(f"still running (Ctrl-C ends it): http://{listen}/api/v1/status")
        self._console.print(f"  http://{listen}/metrics   healthd status -c {self._daemon.config}")
        await trio.sleep_forever()

    async def _steps(self) -> str | None:
        steps: tuple[tuple[str, Callable[[], Awaitable[str]]], ...] = (
            ("four nodes are found up and published, the primary first", self._start),
            (f"(a) the primary {PRIMARY} is killed: it leaves the file", self._kill),
            ("(b) sg-1 accepts TCP but carries nothing: it leaves too", self._mute),
            ("(c) the check URLs die: nothing may be removed", self._cut),
            ("(d) all is brought back: the file is whole again", self._heal),
            ("(e) all nodes die at once: users keep what they have", self._storm),
        )
        for title, act in steps:
            self._now = title
            began = trio.current_time()
            failed, shown = "", ""
            with trio.move_on_after(STEP_LIMIT) as limit:
                try:
                    shown = await act()
                except _NotShownError as why:
                    failed = str(why)
                self._state = await self._daemon.status()
            if limit.cancelled_caught or failed:
                return f"{title}: {failed or f'took over {STEP_LIMIT:.0f} s'}"
            self._tell(f"[green]ok[/] {trio.current_time() - began:4.1f} s  {title}: {shown}")
        self._now = ""
        return None

    def _tell(self, line: str) -> None:
        self._done.append(line)
        if not self._console.is_terminal:
            self._console.print(line, soft_wrap=True)

    async def _start(self) -> str:
        await self._expect(list(NODES))
        return "links.txt: " + " ".join(self._daemon.links())

    async def _kill(self) -> str:
        await self._fleet.kill(PRIMARY)
        await self._expect(["jp-1", "sg-1", "de-1"])
        return await self._reason(PRIMARY, {"refused"})

    async def _mute(self) -> str:
        await self._fleet.mute("sg-1")
        await self._expect(["jp-1", "de-1"])
        return await self._reason("sg-1", {"deadline", "timeout"})

    async def _cut(self) -> str:
        before = self._bytes()
        for check in self._fleet.checks:
            check.stop()
        await self._daemon.wait_event("self_check_changed", ok=False)
        await trio.sleep(_QUIET)
        if self._bytes() != before:
            raise _NotShownError("the published files changed while the monitor was offline")
        for node_id in ("jp-1", "de-1"):
            node = await self._daemon.node(node_id)
            if node["health"] != "up" or node["last_result"]["outcome"] != "inconclusive":
                raise _NotShownError(f"{node_id} was blamed, or not probed: {node}")
        return "every probe inconclusive, the files stay byte for byte"

    async def _heal(self) -> str:
        for check in self._fleet.checks:
            await check.start()
        await self._fleet.restore(PRIMARY)
        await self._fleet.restore("sg-1")
        await self._expect(list(NODES))
        return "links.txt: " + " ".join(self._daemon.links())

    async def _storm(self) -> str:
        before = self._bytes()
        async with trio.open_nursery() as nursery:
            for node_id in NODES:
                nursery.start_soon(self._fleet.kill, node_id)
        await self._daemon.wait_event("gate_mode_changed", mode="last-good")
        if self._bytes() != before:
            raise _NotShownError("the published files changed although no node is better")
        return "every node down, mode last-good, the files stay byte for byte"

    async def _expect(self, nodes: list[str]) -> None:
        def published() -> bool:
            return self._daemon.links() == nodes == self._daemon.xray_remarks()

        try:
            await self._daemon.wait_until(published, STEP_LIMIT - 1, "")
        except TimeoutError:
            raise _NotShownError(f"expected {nodes}, got {self._daemon.links()}") from None

    async def _reason(self, node_id: str, expected: set[str]) -> str:
        node = await self._daemon.node(node_id)
        if node["reason"] not in expected:
            raise _NotShownError(f"{node_id} is down because of {node['reason']}, not {expected}")
        return f"{node_id} down: {node['reason']}, {node['evidence']}"

    def _bytes(self) -> dict[str, bytes]:
        public = self._daemon.public
        return {
            name: (public / name).read_bytes() for name in ("links.txt", "xray.json", "meta.json")
        }

    async def _watch(self) -> None:
        while True:
            self._state = await self._daemon.status()
            await trio.sleep(0.25)

    def _draw(self) -> Group:
        table = Table("node", "health", "since", "latency", "reason", "published", box=None)
        for node in self._state["nodes"]:
            colour = _COLOURS.get(node["health"], "yellow")
            latency = "" if node["latency_ms"] is None else f"{node['latency_ms']:.0f} ms"
            table.add_row(
                node["id"],
                f"[{colour}]{node['health']}[/]",
                (node["since"] or "")[11:19],
                latency,
                node["reason"] or "",
                "yes" if node["published"] else "no",
            )
        published = " ".join(self._daemon.links())
        return Group(*self._done, f"[bold]{self._now}[/]", "", table, "", f"links.txt: {published}")
