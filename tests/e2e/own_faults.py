"""Scenarios of the monitor's own faults: each shows by its name, and no node is blamed for it."""

import os
import resource
import shutil
import signal
from pathlib import Path

import trio

from healthd.demo.fleet import open_fleet
from healthd.demo.running import RunningDaemon, start_daemon
from tests.e2e.support import (
    at_once,
    frozen,
    swift_config,
    transitions,
    wait_for,
    wait_healths,
    wait_mode,
    wait_probed,
)

IDS = ["a", "b", "c"]


def blamed_nobody(daemon: RunningDaemon) -> None:
    """The only changes of health are the first successes."""
    told = [(event["node"], event["event"], event["before"]) for event in transitions(daemon)]
    assert sorted(told) == [(node_id, "node_up", "unknown") for node_id in IDS]


async def few_descriptors(xray: str, directory: Path) -> None:
    """With hardly a descriptor left no failure is believed, and what is published stays."""
    async with open_fleet(xray, IDS, checks=2) as fleet:
        config = swift_config(fleet, directory)
        async with start_daemon(config) as daemon:
            await daemon.wait_until(lambda: daemon.links() == IDS, 30, "published")
            served = frozen(daemon.public)
            _, hard = plenty = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
            opened = len(list(Path(f"/proc/{daemon.pid}/fd").iterdir()))
            resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (opened + 24, hard))
            fault = await daemon.wait_event("self_check_changed", ok=False)
            assert list(fault["faults"]) == ["descriptors"]
            assert "LimitNOFILE" in fault["faults"]["descriptors"]
            await wait_mode(daemon, "offline")
            assert await daemon.metric("self_check_fault", fault="descriptors") == 1.0

            # Two nodes do fail now, and still they are not judged.
            await at_once(fleet.kill, ["a", "b"])
            await wait_probed(daemon, ["a", "b"], 4, result="inconclusive")
            assert await daemon.metric("probe_failures_total", reason="resources") >= 8.0
            assert await daemon.metric("self_check_ok") == 0.0
            await at_once(fleet.restore, ["a", "b"])
            await wait_probed(daemon, IDS, 1, result="success")

            resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, plenty)
            await wait_for(lambda: ok_is(daemon, 1.0), 20, "all is well again")
            await wait_mode(daemon, "normal")
            blamed_nobody(daemon)
            assert await daemon.metric("probes_total", result="failure") == 0.0
            assert frozen(daemon.public) == served


async def loop_stood_still(xray: str, directory: Path) -> None:
    """A daemon that was stopped for 4 s under its probes does not believe what they found."""
    async with open_fleet(xray, IDS, checks=2) as fleet:
        config = swift_config(fleet, directory)
        async with start_daemon(config) as daemon:
            await daemon.wait_until(lambda: daemon.links() == IDS, 30, "published")
            await wait_probed(daemon, IDS, 1, result="success")
            served = frozen(daemon.public)
            for check in fleet.checks:
                check.delay = 0.5  # so that probes are in flight most of the time
            asked = fleet.checks[0].requests
            await daemon.wait_until(
                lambda: fleet.checks[0].requests > asked, 5, "a probe in flight"
            )
            os.kill(daemon.pid, signal.SIGSTOP)
            await trio.sleep(4)
            os.kill(daemon.pid, signal.SIGCONT)
            fault = await daemon.wait_event("self_check_changed", ok=False)
            assert list(fault["faults"]) == ["loop"]
            for check in fleet.checks:
                check.delay = 0.0
            with trio.fail_after(20):
                await daemon.wait_event("self_check_changed", ok=True)
            await wait_mode(daemon, "normal")
            await wait_probed(daemon, IDS, 1, result="success")
            blamed_nobody(daemon)
            assert await daemon.metric("probe_failures_total", reason="loop_lag") >= 1.0
            assert await daemon.metric("probes_total", result="failure") == 0.0
            assert await daemon.metric("node_slots_total", verdict="bad") == 0.0
            assert await daemon.metric("node_slots_total", verdict="unknown") >= 3.0
            assert frozen(daemon.public) == served


async def engine_does_not_start(xray: str, directory: Path) -> None:
    """An engine that no longer starts (an update gone wrong, say) is told, and blames nobody."""
    directory.mkdir(exist_ok=True)
    binary = directory / "xray"
    shutil.copy(xray, binary)
    async with open_fleet(xray, IDS, checks=2) as fleet:
        config = swift_config(fleet, directory, {"engines": {"xray": str(binary)}})
        async with start_daemon(config) as daemon:
            await daemon.wait_until(lambda: daemon.links() == IDS, 30, "published")
            served = frozen(daemon.public)
            replace_binary(binary, b"#!/bin/sh\necho broken >&2\nexit 1\n")
            fault = await daemon.wait_event("self_check_changed", ok=False)
            assert list(fault["faults"]) == ["spawn"]
            await wait_mode(daemon, "offline")
            await wait_probed(daemon, IDS, 3, result="inconclusive")
            assert await daemon.metric("self_check_ok") == 0.0
            assert await daemon.metric("self_check_fault", fault="spawn") == 1.0
            assert await daemon.metric("engine_starts_total", outcome="failed") >= 3.0
            assert await daemon.metric("probe_failures_total", reason="spawn") >= 9.0

            replace_binary(binary, Path(xray).read_bytes())
            await daemon.wait_event("self_check_changed", ok=True)
            await wait_mode(daemon, "normal")
            await wait_probed(daemon, IDS, 2, result="success")
            assert await daemon.metric("probes_total", result="failure") == 0.0
            blamed_nobody(daemon)
            assert frozen(daemon.public) == served


def replace_binary(binary: Path, content: bytes) -> None:
    """As a package manager does: the running processes keep theirs."""
    new = binary.with_name("new")
    new.write_bytes(content)
    new.chmod(0o755)
    new.replace(binary)


async def quiet_line(xray: str, directory: Path) -> None:
    """The self-check follows the line, also when every node is dead and cannot vouch for it."""
    async with open_fleet(xray, IDS, checks=1) as fleet:
        config = swift_config(fleet, directory)
        async with start_daemon(config) as daemon:
            await daemon.wait_until(lambda: daemon.links() == IDS, 30, "published")
            await at_once(fleet.kill, IDS)
            await wait_healths(daemon, dict.fromkeys(IDS, "down"))
            assert await daemon.metric("self_check_ok") == 1.0
            told = len(transitions(daemon))

            fleet.checks[0].stop()
            await wait_for(lambda: ok_is(daemon, 0.0), 10, "self_check_ok falls")
            await wait_mode(daemon, "offline")
            await fleet.checks[0].start()
            await wait_for(lambda: ok_is(daemon, 1.0), 10, "self_check_ok rises")
            await wait_mode(daemon, "last-good")
            assert len(transitions(daemon)) == told


async def ok_is(daemon: RunningDaemon, value: float) -> bool:
    return await daemon.metric("self_check_ok") == value
