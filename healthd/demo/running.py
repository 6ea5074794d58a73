"""A real daemon as a child process, for the demo, the tests and the benchmarks."""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import tomli_w
import trio
from prometheus_client.parser import text_string_to_metric_families

from healthd.demo.fleet import Fleet

QUICK: Mapping[str, Mapping[str, Any]] = {
    "probe": {
        "interval": "3s",
        "deadline": "2500ms",  # Xray takes 2.0 s to give up on a refused port
        "fast_interval": "500ms",
        "shift": "1s",
    },
    "verdict": {
        "fall": 3,
        "fall_after": "2s",
        "rise": 2,
        "rise_interval": "500ms",
        "min_down": "2s",
        "down_interval": "1s",
        "probation": "2s",
    },
    "gate": {
        "debounce": "200ms",
        "spacing": "500ms",
        "removal_period": "5s",
        "mass_failure_within": "12s",
        "panic_hold": "2s",
    },
    "log": {"format": "json", "level": "info"},
}
"""Timings that show in a minute what takes half an hour in production."""

OPEN_GATE: Mapping[str, Any] = {"floor": 0.0, "min_nodes": 1, "max_removals": 1.0}
"""A gate that lets all but the last node go: shows the verdicts alone."""


def write_config(
    fleet: Fleet,
    directory: Path,
    *,
    roles: Mapping[str, str] | None = None,
    change: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write a configuration for the fleet; return its path.

    Args:
        fleet: The servers and check URLs.
        directory: Where config, state and publication go.
        roles: Node id -> role.
        change: Sections to add to, or change in, the quick timings.
    """
    sections: dict[str, Any] = {name: dict(section) for name, section in QUICK.items()}
    sections["probe"]["urls"] = [check.url for check in fleet.checks]
    sections["engines"] = {name.replace("-", "_"): path for name, path in fleet.engines.items()}
    if fleet.ca_file:
        sections["engines"]["ca_file"] = str(fleet.ca_file)
    sections["paths"] = {"state": str(directory / "state")}
    sections["http"] = {"listen": "127.0.0.1:0"}
    sections["control"] = {"socket": str(directory / "control.sock")}
    for name, section in (change or {}).items():
        sections.setdefault(name, {}).update(section)
    sections["publish"] = [{"name": "users", "directory": str(directory / "public")}]
    sections["nodes"] = [
        {"id": server.id, "link": server.link, "role": (roles or {}).get(server.id, "failover")}
        for server in fleet.servers.values()
    ]
    path = directory / "config.toml"
    path.touch(0o600)
    path.write_text(tomli_w.dumps(sections))
    return path


_STOP_LIMIT = 5.0
"""Seconds for a clean stop; the contract says two."""


class RunningDaemon:
    """A daemon that was started; reads its log, its API, and what it publishes."""

    def __init__(self, process: trio.Process, config: Path) -> None:
        self.process = process
        self.config = config
        self.public = config.parent / "public"
        self.events: list[dict[str, Any]] = []
        self.other_output: list[str] = []
        self._heard = trio.Event()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def named(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The log events with this name and these fields so far."""
        return [
            each
            for each in self.events
            if each.get("event") == event and fields.items() <= each.items()
        ]

    async def wait_event(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait until such an event is in the log; the caller sets the limit."""
        while not (found := self.named(event, **fields)):
            if self._heard.is_set() and self.process.returncode is not None:
                raise RuntimeError(f"the daemon ended: {self.other_output} {self.events[-3:]}")
            await self._heard.wait()
        return found[0]

    async def wait_until(self, condition: Callable[[], bool], limit: float, what: str) -> float:
        """Wait for a condition; return the seconds it took.

        Raises:
            TimeoutError: it did not come true; says what was waited for.
        """
        began = trio.current_time()
        while not condition():
            if trio.current_time() - began > limit:
                raise TimeoutError(f"{what}: not within {limit:g} s")
            await trio.sleep(0.05)
        return trio.current_time() - began

    async def get(self, path: str) -> httpx.Response:
        """Ask its HTTP surface."""
        listen = (await self.wait_event("daemon_started"))["listen"]
        # Else the server keeps the connection, and a descriptor, for some seconds more.
        headers = {"Connection": "close"}
        async with httpx.AsyncClient(trust_env=False, timeout=10, headers=headers) as client:
            return await client.get(f"http://{listen}{path}")

    async def status(self) -> Any:  # noqa: ANN401 - JSON
        """Its view of the fleet."""
        return (await self.get("/api/v1/status")).json()

    async def node(self, node_id: str) -> dict[str, Any]:
        """Its view of one node."""
        found: dict[str, Any] = next(
            node for node in (await self.status())["nodes"] if node["id"] == node_id
        )
        return found

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric, without ``healthd_``, that bear these labels."""
        text = (await self.get("/metrics")).text
        found = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"healthd_{name}" and labels.items() <= sample.labels.items()
        ]
        if not found:
            raise LookupError(f"there is no healthd_{name} with {labels}")
        return sum(found)

    def links(self) -> list[str]:
        """Names in the published links.txt, in order; empty before the first publication."""
        try:
            text = base64.b64decode((self.public / "links.txt").read_bytes(), validate=False)
        except FileNotFoundError:
            return []
        lines = [line for line in text.decode().splitlines() if not line.startswith("#")]
        return [unquote(line.rpartition("#")[2]) for line in lines]

    def xray_remarks(self) -> list[str]:
        """Names in the published xray.json, without the automatic one."""
        configs = json.loads((self.public / "xray.json").read_bytes())
        return [config["remarks"] for config in configs[1:]]

    def reload(self) -> None:
        """Send SIGHUP."""
        self.process.send_signal(signal.SIGHUP)

    async def read(self, stream: trio.abc.ReceiveStream) -> None:
        """Take in its log until it ends."""
        rest = b""
        async for chunk in stream:
            *lines, rest = (rest + bytes(chunk)).split(b"\n")
            for line in lines:
                self._read_line(line)
            self._heard.set()
            self._heard = trio.Event()
        self._heard.set()

    def _read_line(self, line: bytes) -> None:
        try:
            self.events.append(json.loads(line))
        except ValueError:
            self.other_output.append(line.decode(errors="replace"))


@asynccontextmanager
async def start_daemon(
    config: Path,
    *,
    environment: Mapping[str, str] | None = None,
    through: Sequence[str] = (),
) -> AsyncIterator[RunningDaemon]:
    """Run ``healthd run`` on a configuration for as long as the block lasts; SIGTERM ends it.

    Args:
        config: The configuration file.
        environment: Added to ours.
        through: A command that gives it other limits or rights, and then becomes it.
    """
    process = await trio.lowlevel.open_process(
        [*through, sys.executable, "-m", "healthd", "run", "-c", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
    )
    assert process.stdout is not None
    running = RunningDaemon(process, config)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.read, process.stdout)
            yield running
            await _end(process)
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)


async def _end(process: trio.Process) -> None:
    """SIGTERM first: a daemon that is killed leaves its clients behind."""
    if process.returncode is None:
        process.terminate()
    with trio.move_on_after(_STOP_LIMIT):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
