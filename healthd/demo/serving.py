"""An engine as a server: its configuration, and one process from start to end."""

import json
import re
from collections.abc import Mapping
from typing import Any

import trio

from healthd.engines import process

_START_LIMIT = 20.0
"""Seconds for a server to listen; a busy two-core machine needs a fraction of a second."""

_STARTED = re.compile(rb"core: Xray \S+ started|sing-box started")
"""What an engine says once all its ports are open."""

_STDIN = {"xray": "stdin:", "sing-box": "stdin"}
"""How each engine is told to read its configuration from there."""


def xray_config(inbounds: list[dict[str, Any]], cut_off: frozenset[int]) -> dict[str, Any]:
    """An Xray server that carries everything everywhere, but for these ports."""
    ports = ",".join(map(str, sorted(cut_off)))
    return {
        "log": {"loglevel": "warning", "access": "none"},
        "inbounds": inbounds,
        "outbounds": [
            {"protocol": "freedom", "settings": {"finalRules": [{"action": "allow"}]}},
            {"protocol": "blackhole", "tag": "nowhere"},
        ],
        "routing": {"rules": [{"port": ports, "outboundTag": "nowhere"}] if ports else []},
    }


def singbox_config(inbounds: list[dict[str, Any]], cut_off: frozenset[int]) -> dict[str, Any]:
    """The same for sing-box."""
    rules = [{"port": sorted(cut_off), "action": "reject"}] if cut_off else []
    return {
        "log": {"level": "info"},
        "inbounds": inbounds,
        "outbounds": [{"type": "direct"}],
        "route": {"rules": rules},
    }


async def serve(
    engine: str,
    path: str,
    config: dict[str, Any],
    *,
    owner: str,
    environment: Mapping[str, str] | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run one engine until cancelled; it has started, with a process id, when all ports are open.

    Args:
        engine: "xray" or "sing-box".
        path: Its binary.
        config: What it is told.
        owner: The mark in its environment.
        environment: What else is in it.
        task_status: Told the process id.

    Raises:
        RuntimeError: it ended before its ports were open; says its words.
    """
    said, started = bytearray(), trio.Event()

    def hear(chunk: bytes) -> None:
        if not started.is_set():
            said.extend(chunk)
            if _STARTED.search(said):
                started.set()

    async def run(task_status: trio.TaskStatus[int]) -> None:
        await process.run(
            [path, "run", "-c", _STDIN[engine]],
            stdin=json.dumps(config).encode(),
            on_output=hear,
            owner=owner,
            environment=environment,
            task_status=task_status,
        )
        if not started.is_set():
            raise RuntimeError(f"{engine} did not start: {said.decode(errors='replace')}")

    async with trio.open_nursery() as nursery:
        pid: int = await nursery.start(run)
        with trio.fail_after(_START_LIMIT):
            await started.wait()
        task_status.started(pid)
