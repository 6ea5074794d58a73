"""The main job on real parts: real Xray servers, real clients, a real daemon, the real files."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import trio

from healthd.demo.fleet import open_fleet
from healthd.demo.running import OPEN_GATE, QUICK, RunningDaemon, start_daemon, write_config
from healthd.endpoints import Reality, Vless
from healthd.fleet import links

FALL = QUICK["verdict"]["fall"]


def add_nodes(config: Path, nodes: dict[str, str]) -> None:
    """Append nodes to a configuration, by id and link."""
    with config.open("a") as file:
        for node_id, link in nodes.items():
            file.write(f"\n[[nodes]]\nid = {json.dumps(node_id)}\nlink = {json.dumps(link)}\n")


def failures_until_down(daemon: RunningDaemon, node_id: str, metrics: str) -> int:
    """How many failed probes the daemon has counted for a node."""
    line = next(
        line
        for line in metrics.splitlines()
        if line.startswith("healthd_probes_total") and f'"{node_id}"' in line and "failure" in line
    )
    return int(float(line.split()[-1]))


async def test_every_kind_of_death(xray, tmp_path):
    """A dead node leaves both files by the fall rule and not before, and comes back to its place.

    Killed: refused. Stopped (SIGSTOP): silent. Replaced by a listener that accepts and carries
    nothing: silent. Wrong credentials: never published, and the reason tells which.
    """
    ids = ["killed", "stopped", "muted", "well"]
    with trio.fail_after(90):
        async with open_fleet(xray, ids, checks=2) as fleet:
            well = fleet.servers["well"].endpoint
            assert isinstance(well, Vless)
            wrong_user = replace(well, user="00000000-1111-2222-3333-444444444444")
            keys = await fleet.key_pair()
            assert isinstance(well.security, Reality)
            wrong_key = replace(well, security=replace(well.security, public_key=keys.public))
            config = write_config(fleet, tmp_path, change={"gate": OPEN_GATE})
            add_nodes(config, {"user": links.write(wrong_user), "key": links.write(wrong_key)})
            async with start_daemon(config) as daemon:
                await daemon.wait_until(lambda: daemon.links() == ids, 20, "first publication")
                assert daemon.xray_remarks() == ids

                await fleet.kill("killed")
                fleet.freeze("stopped")
                await fleet.mute("muted")
                for node_id in ids[:3]:
                    await daemon.wait_event("node_down", node=node_id)
                await daemon.wait_until(lambda: daemon.links() == ["well"], 5, "all three out")
                assert daemon.xray_remarks() == ["well"]
                assert daemon.named("node_down", node="killed")[0]["reason"] == "refused"
                for silent in ("stopped", "muted"):
                    assert daemon.named("node_down", node=silent)[0]["reason"] in {
                        "deadline",
                        "timeout",
                    }
                for node_id in ids[:3]:
                    _left_by_the_fall_rule(daemon, node_id)

                assert (await daemon.node("user"))["reason"] == "auth_or_reset"
                assert (await daemon.node("key"))["reason"] == "reality"
                for bad in ("user", "key"):
                    assert not any(bad in e["added"] for e in daemon.named("config_published"))

                fleet.thaw("stopped")
                await fleet.restore("killed")
                await fleet.restore("muted")
                await daemon.wait_until(lambda: daemon.links() == ids, 20, "all back in place")
                assert daemon.xray_remarks() == ids
                for node_id in ids[:3]:
                    back = daemon.named("node_up", node=node_id)[-1]
                    assert back["before"] == "recovering"
                    successes, _, unit = back["evidence"].partition(" ")
                    assert unit == "successes"
                    assert int(successes) >= QUICK["verdict"]["rise"]
        _no_secret_in(daemon, config)


def _left_by_the_fall_rule(daemon: RunningDaemon, node_id: str) -> None:
    """The removal came after the verdict, and the verdict after `fall` failures."""
    names = [
        (event["event"], event)
        for event in daemon.events
        if event.get("node") == node_id or event["event"] == "config_published"
    ]
    down = next(i for i, (name, _) in enumerate(names) if name == "node_down")
    out = next(i for i, (_, event) in enumerate(names) if node_id in event.get("removed", {}))
    assert out > down
    failures, _, seconds = names[down][1]["evidence"].partition(" failures in ")
    assert int(failures) >= FALL
    assert float(seconds.removesuffix(" s")) >= 2  # fall_after


def _no_secret_in(daemon: RunningDaemon, config: Path) -> None:
    """No user id, key or link of the configuration is in anything the daemon said."""
    said = json.dumps(daemon.events) + "".join(daemon.other_output)
    for line in config.read_text().splitlines():
        if line.startswith("link = "):
            endpoint = links.parse(json.loads(line.removeprefix("link = ")))[0]
            assert not [
                secret for secret in endpoint.secrets() if len(secret) > 4 and secret in said
            ]
    assert "vless://" not in said


async def test_one_bad_key_among_ten(xray, tmp_path):
    """One node the engine refuses is invalid; its nine neighbours are probed in the same shift."""
    good = [f"n{number}" for number in range(9)]
    with trio.fail_after(60):
        async with open_fleet(xray, good, checks=1) as fleet:
            # One shift for all: they share one client, and the bad one would spoil it.
            config = write_config(fleet, tmp_path, change={"probe": {"shift": "3s"}})
            endpoint = fleet.servers["n0"].endpoint
            assert isinstance(endpoint, Vless)
            assert isinstance(endpoint.security, Reality)
            bad = replace(endpoint, security=replace(endpoint.security, public_key="AAAA"))
            add_nodes(config, {"bad": links.write(bad)})
            async with start_daemon(config) as daemon:
                await daemon.wait_event("node_invalid", node="bad")
                await daemon.wait_until(lambda: daemon.links() == good, 10, "the others published")
                invalid = daemon.named("node_invalid", node="bad")[0]
                assert "REALITY" in invalid["detail"]
                assert "AAAA" not in json.dumps(daemon.events)
                metrics = (await daemon.get("/metrics")).text
                assert 'healthd_engine_starts_total{engine="xray",outcome="refused"} 1.0' in metrics
                assert not daemon.named("node_suspect")


async def test_xray_killed_in_mid_shift(xray, tmp_path):
    """A client that dies under its probes makes them inconclusive; the next shift is fine."""
    with trio.fail_after(60):
        async with open_fleet(xray, ["a", "b"], checks=1) as fleet:
            config = write_config(fleet, tmp_path)
            async with start_daemon(config) as daemon:
                await daemon.wait_until(lambda: daemon.links() == ["a", "b"], 20, "published")
                fleet.checks[0].delay = 1.0  # probes are in flight most of the time now
                asked = fleet.checks[0].requests
                await daemon.wait_until(lambda: fleet.checks[0].requests > asked, 5, "in flight")
                for pid in _clients(daemon.pid):
                    subprocess.run(["kill", "-9", str(pid)], check=True)
                fleet.checks[0].delay = 0.0
                while (await _probes(daemon, "inconclusive")) == 0:
                    await trio.sleep(0.1)
                good = await _probes(daemon, "success")
                while (await _probes(daemon, "success")) < good + 2:
                    await trio.sleep(0.1)
                assert await _probes(daemon, "failure") == 0
                assert daemon.links() == ["a", "b"]
                assert not daemon.named("node_suspect")


def _clients(pid: int) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(each) for each in listed.stdout.split()]


async def _probes(daemon: RunningDaemon, result: str) -> int:
    return sum(
        int(float(line.split()[-1]))
        for line in (await daemon.get("/metrics")).text.splitlines()
        if line.startswith("healthd_probes_total") and f'result="{result}"' in line
    )
