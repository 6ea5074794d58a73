"""Every protocol on real parts: a real server of each kind, a real daemon, real probes."""

import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from healthd.demo.fleet import Fleet, open_fleet
from healthd.demo.kinds import KINDS
from healthd.demo.running import OPEN_GATE, RunningDaemon, start_daemon, write_config
from tests.e2e.support import at_once, wait_healths

GROUPS = [list(KINDS)[at : at + 4] for at in range(0, len(KINDS), 4)]
"""Who dies together: few enough not to look like a fault of the monitor's."""

SILENT = ("hysteria2", "tuic")

REASONS = {
    # QUIC in Xray does not hear of the closed port.
    "hysteria2": {"deadline", "timeout"},
}
"""What a killed server is down for, if not for a refused connection."""


A_FEW = [["vless-reality-xhttp", "vless-tls-ws", "trojan-tls", "tuic"]]
"""One of each way to tell a failure: XHTTP's own, WebSocket's, Xray's, and sing-box's."""


async def test_every_kind_of_server_is_probed(xray: str, sing_box: str, tmp_path: Path) -> None:
    """All kinds become UP by real probes; some are found dead, with the reason, and recover."""
    await _prove(xray, sing_box, tmp_path, A_FEW, silent=())


@pytest.mark.slow
async def test_every_kind_of_server_dies_and_comes_back(
    xray: str, sing_box: str, tmp_path: Path
) -> None:
    """Each kind is found dead, for the right reason, and recovers.

    Four are killed at a time, the others stay where they are. At last the two over UDP fall silent
    instead: nothing answers, nothing refuses.
    """
    await _prove(xray, sing_box, tmp_path, GROUPS, SILENT)


async def _prove(
    xray: str, sing_box: str, tmp_path: Path, groups: list[list[str]], silent: tuple[str, ...]
) -> None:
    with trio.fail_after(170):
        async with open_fleet(xray, list(KINDS), sing_box=sing_box, kinds=KINDS, checks=2) as fleet:
            config = write_config(fleet, tmp_path, change={"gate": OPEN_GATE})
            async with start_daemon(config) as daemon:
                await wait_healths(daemon, dict.fromkeys(KINDS, "up"), 30)
                for group in groups:
                    found = await _die_and_come_back(fleet, daemon, fleet.kill, group)
                    for name, reason in found.items():
                        assert reason in REASONS.get(name, {"refused"}), (name, reason)
                muted = await _die_and_come_back(fleet, daemon, fleet.mute, silent)
                assert set(muted.values()) <= {"deadline", "timeout"}
                fallen = [each["node"] for each in daemon.named("node_down")]
                assert sorted(fallen) == sorted([*itertools.chain(*groups), *silent])


async def _die_and_come_back(
    fleet: Fleet,
    daemon: RunningDaemon,
    hurt: Callable[[str], Awaitable[None]],
    names: list[str] | tuple[str, ...],
) -> dict[str, str]:
    """Hurt these servers and heal them again; what each was down for."""
    await at_once(hurt, names)
    await wait_healths(daemon, dict.fromkeys(names, "down"))
    reasons = {name: (await daemon.node(name))["reason"] for name in names}
    await at_once(fleet.restore, names)
    await wait_healths(daemon, dict.fromkeys(names, "up"), 30)
    return reasons
