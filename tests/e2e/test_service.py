"""Running under systemd: readiness, watchdog, reload, and the unit file."""

import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from healthd.demo.fleet import open_fleet
from healthd.demo.running import start_daemon, write_config

UNIT = Path(__file__).parents[2] / "systemd" / "healthd.service"
CONFINE = str(Path(__file__).parents[1] / "confine.py")


async def test_sd_notify(xray, tmp_path):
    """READY after the start, WATCHDOG while it runs, RELOADING then READY, STOPPING at the end."""
    with trio.fail_after(60), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        told: list[str] = []

        def heard(message: str) -> bool:
            try:
                while True:
                    told.append(sock.recv(4096).decode())
            except BlockingIOError:
                return any(each.startswith(message) for each in told)

        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        async with open_fleet(xray, ["a"], checks=1) as fleet:
            config = write_config(fleet, tmp_path)
            async with start_daemon(config, environment=environment) as daemon:
                await daemon.wait_until(lambda: heard("READY=1"), 10, "READY")
                await daemon.wait_until(lambda: heard("WATCHDOG=1"), 5, "WATCHDOG")
                assert heard("STATUS=0 of 1 nodes in service")
                told.clear()
                daemon.reload()
                await daemon.wait_until(lambda: heard("RELOADING=1\nMONOTONIC_USEC="), 5, "HUP")
                await daemon.wait_until(lambda: heard("READY=1"), 5, "READY again")
                daemon.process.terminate()
                await daemon.wait_until(lambda: heard("STOPPING=1"), 5, "STOPPING")
                assert await daemon.process.wait() == 0


def test_unit_is_hardened():
    """`systemd-analyze security` rates the unit at or below 1.5, and finds no fault in it."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed (Debian: systemd)")
    rated = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=True,
    )
    exposure = re.search(r"Overall exposure level for healthd.service: ([\d.]+)", rated.stdout)
    assert exposure is not None
    assert float(exposure[1]) <= 1.5
    verified = subprocess.run(
        [analyze, "verify", "--man=no", str(UNIT)], capture_output=True, text=True, check=False
    )
    faults = [
        line for line in verified.stderr.splitlines() if "healthd" in line and "/opt/" not in line
    ]
    assert faults == []


async def test_engines_run_under_the_unit(xray, sing_box, tmp_path):
    """With the unit's address families, both engines start and carry.

    Without netlink, which tells the kernel's routes, sing-box ends: so the confinement is at work.
    """
    (line,) = re.findall(r"^RestrictAddressFamilies=(.*)$", UNIT.read_text(), re.MULTILINE)
    allowed = [int(getattr(socket, family)) for family in line.split()]
    kinds = {"a": "vless-reality-vision", "b": "tuic"}
    with trio.fail_after(60):
        async with open_fleet(xray, list(kinds), sing_box=sing_box, kinds=kinds, checks=2) as fleet:
            config = write_config(fleet, tmp_path)

            async def probe(families: list[int]) -> dict[str, str]:
                words = [sys.executable, CONFINE, ",".join(map(str, families)), sys.executable]
                words += ["-m", "healthd", "probe", "-c", str(config), "--json"]
                done = await trio.run_process(
                    words, capture_stdout=True, capture_stderr=True, check=False
                )
                assert done.stdout, done.stderr.decode()
                return {each["id"]: each["outcome"] for each in json.loads(done.stdout)}

            assert await probe(allowed) == {"a": "success", "b": "success"}
            fewer = [each for each in allowed if each != socket.AF_NETLINK]
            assert await probe(fewer) == {"a": "success", "b": "inconclusive"}
