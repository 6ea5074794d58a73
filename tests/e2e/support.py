"""What the end-to-end tests of verdict and gate share: quick timings, commands, and waiting."""

import getpass
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trio

from healthd.demo.fleet import Fleet
from healthd.demo.running import RunningDaemon, write_config
from healthd.verdict import schedule

SWIFT: Mapping[str, Mapping[str, Any]] = {
    "probe": {
        "interval": "1500ms",
        "deadline": "1200ms",
        "fast_interval": "300ms",
        "shift": "500ms",
    },
    "verdict": {
        "fall_after": "1s",
        "rise_interval": "300ms",
        "min_down": "1s",
        "down_interval": "600ms",
        "probation": "1s",
        "damping_hold": 0,
    },
    "gate": {"mass_failure_within": "6s"},
}
"""Twice as quick as the quick timings. Damping is off: most tests hurt nodes more than once."""

INTERVAL = 1.5
FALL_LIMIT = 25.0
"""Seconds within which a dead node has fallen, on a busy machine; it takes five on an idle one."""


def swift_config(
    fleet: Fleet, directory: Path, change: Mapping[str, Mapping[str, Any]] | None = None
) -> Path:
    """A configuration with these timings, in a directory that is made."""
    directory.mkdir(exist_ok=True)
    sections = {name: dict(section) for name, section in SWIFT.items()}
    for name, section in (change or {}).items():
        sections.setdefault(name, {}).update(section)
    return write_config(fleet, directory, change=sections)


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def in_step(count: int, prefix: str) -> list[str]:
    """Node ids whose slots lie within a few milliseconds of each other: they fail as one."""
    ids = _by_phase(prefix)
    phases = [schedule.phase(node_id, INTERVAL) for node_id in ids]
    spans = [phases[at + count - 1] - phases[at] for at in range(len(ids) - count + 1)]
    first = spans.index(min(spans))
    return ids[first : first + count]


def all_over(count: int) -> list[str]:
    """Node ids whose slots lie all over the interval: their failures are found one by one."""
    ids = _by_phase("n")
    return [ids[number * (len(ids) - 1) // (count - 1)] for number in range(count)]


def _by_phase(prefix: str) -> list[str]:
    ids = [f"{prefix}{number}" for number in range(400)]
    return sorted(ids, key=lambda node_id: schedule.phase(node_id, INTERVAL))


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed for programs; that it printed it says that all went well."""
        assert self.out, self.err
        return json.loads(self.out)


async def healthd(config: Path, *words: str) -> Finished:
    """Run a real command of ours with a configuration."""
    done = await trio.run_process(
        [sys.executable, "-m", "healthd", *words, "-c", str(config)],
        check=False,
        capture_stdout=True,
        capture_stderr=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "300"},
    )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


async def tell(config: Path, what: str, body: Mapping[str, Any]) -> Any:
    """Ask the daemon's control socket, as the commands do."""
    transport = httpx.AsyncHTTPTransport(uds=str(config.parent / "control.sock"))
    async with httpx.AsyncClient(transport=transport, timeout=15) as client:
        answer = await client.post(f"http://healthd/api/v1/{what}", json=body)
    assert answer.is_success, answer.text
    return answer.json()


def author() -> str:
    """Whom the commands name as the author of an override."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


async def wait_for(
    condition: Callable[[], Awaitable[bool]], limit: float, what: str, every: float = 0.1
) -> None:
    """Wait for something that has to be asked for.

    Raises:
        TimeoutError: it did not come true; says what was waited for.
    """
    began = trio.current_time()
    while not await condition():
        if trio.current_time() - began > limit:
            raise TimeoutError(f"{what}: not within {limit:g} s")
        await trio.sleep(every)


async def wait_healths(
    daemon: RunningDaemon, wanted: Mapping[str, str], limit: float = FALL_LIMIT
) -> None:
    """Wait until these nodes have these healths."""
    found: dict[str, str] = {}

    async def are() -> bool:
        found.update({node["id"]: node["health"] for node in (await daemon.status())["nodes"]})
        return wanted.items() <= found.items()

    try:
        await wait_for(are, limit, f"healths {dict(wanted)}")
    except TimeoutError as why:
        raise TimeoutError(f"{why}: {found}") from None


async def wait_mode(daemon: RunningDaemon, mode: str, limit: float = FALL_LIMIT) -> dict[str, Any]:
    """Wait until the gate is in this mode, in status and metric; return the publication."""
    found: dict[str, Any] = {}

    async def is_so() -> bool:
        found.update((await daemon.status())["publications"][0])
        return found["mode"] == mode and await daemon.metric("publication_mode", mode=mode) == 1.0

    try:
        await wait_for(is_so, limit, f"mode {mode}")
    except TimeoutError as why:
        raise TimeoutError(f"{why}: {found}") from None
    return found


async def probes(daemon: RunningDaemon, ids: Iterable[str], **labels: str) -> dict[str, float]:
    """How many probes each node has had, of this result if one is named."""
    return {each: await daemon.metric("probes_total", node=each, **labels) for each in ids}


async def wait_probed(
    daemon: RunningDaemon, ids: Iterable[str], more: int, limit: float = 30.0, **labels: str
) -> None:
    """Wait until each node was probed so many times more, with this result if one is named."""
    nodes = list(ids)
    before = await probes(daemon, nodes, **labels)

    async def were() -> bool:
        now = await probes(daemon, nodes, **labels)
        return all(now[each] >= before[each] + more for each in nodes)

    await wait_for(were, limit, f"{more} more probes {labels} of {nodes}", every=0.3)


async def at_once(act: Callable[[str], Awaitable[None]], ids: Iterable[str]) -> None:
    """Do something to several servers at the same moment."""
    async with trio.open_nursery() as nursery:
        for each in ids:
            nursery.start_soon(act, each)


def transitions(daemon: RunningDaemon) -> list[dict[str, Any]]:
    """The changes of health in its log so far."""
    return [
        event for event in daemon.events if event["event"].startswith("node_") and "before" in event
    ]


def frozen(public: Path) -> dict[str, tuple[bytes, int]]:
    """What is served, byte for byte and with its times; what no client must see move."""
    names = ("links.txt", "xray.json", "meta.json")
    return {
        name: ((public / name).read_bytes(), (public / name).stat().st_mtime_ns) for name in names
    }


def now() -> float:
    """Wall-clock seconds."""
    return time.time()
