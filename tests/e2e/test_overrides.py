"""Overrides by the real commands: laid, kept over restarts, ended in time, or refused."""

import os
import signal
import stat
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from healthd.demo.fleet import Fleet, open_fleet
from healthd.demo.running import RunningDaemon, start_daemon
from tests.e2e.client import Client, watching
from tests.e2e.support import (
    FALL_LIMIT,
    author,
    free_port,
    healthd,
    now,
    swift_config,
    tell,
    transitions,
    wait_for,
    wait_healths,
    wait_mode,
    wait_probed,
)

IDS = ["hk-1", "hk-2", "de-1", "de-2", "us-1"]
ALONE = ["hk-2", "de-1", "de-2", "us-1"]
"""All without the one that is drained."""
MOVE = {"mode": "drain", "author": "test", "reason": "move"}


async def test_overrides(xray, tmp_path):
    """What operators want holds, whatever the nodes do, and whatever ends the daemon meanwhile."""
    with trio.fail_after(150):
        async with trio.open_nursery() as nursery:
            for scenario in (taking_out, forcing, maintaining, only_one_daemon):
                nursery.start_soon(scenario, xray, tmp_path / scenario.__name__)


def config_for(fleet: Fleet, directory: Path) -> Path:
    """With an address that the commands can know."""
    return swift_config(fleet, directory, {"http": {"listen": f"127.0.0.1:{free_port()}"}})


@asynccontextmanager
async def running(config: Path):
    """A daemon that has published, and a client."""
    async with start_daemon(config) as daemon, watching(daemon.public) as client:
        await daemon.wait_event("daemon_started")
        await wait_mode(daemon, "normal")
        yield daemon, client


# --- drain and force-down ---


async def taking_out(xray: str, directory: Path) -> None:
    """Drained nodes leave and are probed on; that outlives kill -9; the floor is guarded."""
    async with open_fleet(xray, IDS, checks=2) as fleet:
        config = config_for(fleet, directory)
        async with running(config) as (daemon, _):
            await daemon.wait_until(lambda: daemon.links() == IDS, 10, "published")
            await drained(daemon)
            daemon.process.kill()
            await daemon.process.wait()
        async with running(config) as (daemon, client):
            await still_drained(daemon, client)
            await resumed(daemon)
            await expires_by_itself(daemon)
            await floor_is_guarded(daemon)


async def drained(daemon: RunningDaemon) -> None:
    """One drain: gone at the next flip, still probed, and told everywhere with who and why."""
    began = trio.current_time()
    done = await healthd(daemon.config, "drain", "hk-1", "--reason", "new disk")
    assert (done.code, done.out, done.err) == (0, "drain: hk-1\n", "")
    await daemon.wait_until(lambda: daemon.links() == ALONE, 5, "it left the files")
    assert trio.current_time() - began < 10
    good = await daemon.metric("node_slots_total", node="hk-1", verdict="good")
    await wait_probed(daemon, ["hk-1"], 3, result="success")
    assert await daemon.metric("node_slots_total", node="hk-1", verdict="good") >= good + 2
    assert await daemon.metric("node_up", node="hk-1") == 1.0
    assert await daemon.metric("node_admin", node="hk-1", mode="drain") == 1.0
    assert await daemon.metric("node_admin", node="hk-1", mode="enabled") == 0.0
    laid = await daemon.wait_event("override_laid")
    assert (laid["author"], laid["why"], laid["nodes"]) == (author(), "new disk", ["hk-1"])
    override = (await daemon.node("hk-1"))["override"]
    assert (override["author"], override["reason"]) == (author(), "new disk")
    assert override["expires"] is None
    await told_by_commands(daemon)


async def told_by_commands(daemon: RunningDaemon) -> None:
    told = await healthd(daemon.config, "status")
    assert told.code == 0, told.err  # it is out, but well
    assert f"drain (new disk, {author()});" in told.out
    known = await healthd(daemon.config, "history", "hk-1", "--json")
    [kept] = known.json["overrides"]
    assert (kept["mode"], kept["author"], kept["reason"]) == ("drain", author(), "new disk")
    assert kept["expires"] is None


async def still_drained(daemon: RunningDaemon, client: Client) -> None:
    """After a kill -9 it was never given to users again, not for a moment."""
    assert (await daemon.wait_event("state_restored"))["overrides"] == 1
    await wait_probed(daemon, IDS, 2, result="success")
    assert daemon.links() == ALONE
    assert [seen.nodes for seen in client.seen] == [tuple(ALONE)]
    assert not daemon.named("config_published")
    assert (await daemon.node("hk-1"))["admin"] == "drain"


async def resumed(daemon: RunningDaemon) -> None:
    """A resumed node was well all the time: it is back at once, and in its place."""
    done = await healthd(daemon.config, "resume", "hk-1", "--reason", "disk is in")
    assert (done.code, done.out) == (0, "enabled: hk-1\n")
    await daemon.wait_until(lambda: daemon.links() == IDS, 5, "it is back")
    assert (await daemon.wait_event("override_lifted"))["why"] == "disk is in"
    assert not transitions(daemon)
    assert (await daemon.node("hk-1"))["override"] is None


async def expires_by_itself(daemon: RunningDaemon) -> None:
    """A pattern takes all that it matches, for as long as was said."""
    words = ("force-down", "de-*", "--for", "3s", "--reason", "line works")
    began = now()
    done = await healthd(daemon.config, *words, "--json")
    assert done.code == 0, done.err
    assert done.json["nodes"] == ["de-1", "de-2"]
    assert done.json["kept"] is True
    rest = ["hk-1", "hk-2", "us-1"]
    await daemon.wait_until(lambda: daemon.links() == rest, 5, "both have gone")
    await daemon.wait_until(lambda: daemon.links() == IDS, 10, "both are back")
    assert now() - began >= 3.0
    await daemon.wait_event("override_expired", pattern="de-*")
    assert await daemon.metric("node_admin", mode="enabled") == 5.0


async def floor_is_guarded(daemon: RunningDaemon) -> None:
    """Three of five are the floor: who wants fewer must say so."""
    config = daemon.config
    await tell(config, "overrides", {**MOVE, "pattern": "hk-*"})
    rest = ["de-1", "de-2", "us-1"]
    await daemon.wait_until(lambda: daemon.links() == rest, 5, "three are left")

    refused = await healthd(config, "drain", "de-1", "--reason", "move")
    assert refused.code == 1
    assert refused.out == ""
    assert "2 working nodes, below its floor of 3" in refused.err
    assert "--allow-below-floor" in refused.err
    assert (await daemon.node("de-1"))["admin"] == "enabled"

    insisted = await healthd(config, "drain", "de-1", "--reason", "move", "--allow-below-floor")
    assert insisted.code == 0, insisted.err
    await daemon.wait_until(lambda: daemon.links() == rest[1:], 5, "two are left")

    assert (await healthd(config, "resume", "*")).code == 0
    await daemon.wait_until(lambda: daemon.links() == IDS, 5, "all are back")


# --- force and maintain ---


async def forcing(xray: str, directory: Path) -> None:
    """Force-up publishes a dead node, force-down hides a good one; mistakes are told."""
    async with open_fleet(xray, IDS, checks=2) as fleet:
        config = config_for(fleet, directory)
        async with running(config) as (daemon, _):
            await daemon.wait_until(lambda: daemon.links() == IDS, 10, "published")
            await mistakes_are_told(daemon)
            await forced_down(daemon)
            await forced_up(daemon, fleet)


async def maintaining(xray: str, directory: Path) -> None:
    """What happens under maintenance does not count; afterwards the node must requalify."""
    async with open_fleet(xray, IDS, checks=2) as fleet:
        config = config_for(fleet, directory)
        async with running(config) as (daemon, _):
            await daemon.wait_until(lambda: daemon.links() == IDS, 10, "published")
            await maintained(daemon, fleet)
        async with running(config) as (daemon, client):
            await maintenance_goes_on(daemon, client)


async def forced_up(daemon: RunningDaemon, fleet: Fleet) -> None:
    """A dead node is published as long as an operator wants it, and leaves when he does not."""
    await fleet.kill("us-1")
    await wait_healths(daemon, {"us-1": "down"})
    await daemon.wait_until(lambda: "us-1" not in daemon.links(), 10, "it left the files")
    done = await healthd(daemon.config, "force-up", "us-1", "--reason", "probes lie")
    assert done.code == 0, done.err
    await daemon.wait_until(lambda: daemon.links() == IDS, 5, "it is in, in its place")
    told = await daemon.node("us-1")
    assert (told["health"], told["admin"], told["published"]) == ("down", "force-up", True)
    assert await daemon.metric("node_up", node="us-1") == 0.0
    assert await daemon.metric("node_admin", node="us-1", mode="force-up") == 1.0

    await tell(daemon.config, "resume", {"pattern": "us-1", "author": "test"})
    await daemon.wait_until(lambda: "us-1" not in daemon.links(), 10, "it left again")
    await fleet.restore("us-1")
    await daemon.wait_until(lambda: daemon.links() == IDS, FALL_LIMIT, "it rose by itself")


async def forced_down(daemon: RunningDaemon) -> None:
    """A good node is out; nobody said for how long, so it is four hours."""
    done = await healthd(daemon.config, "force-down", "de-2", "--reason", "abuse", "--json")
    assert done.code == 0, done.err
    await daemon.wait_until(lambda: "de-2" not in daemon.links(), 5, "it left the files")
    told = await daemon.node("de-2")
    assert (told["health"], told["admin"]) == ("up", "force-down")
    created, expires = done.json["override"]["created"], done.json["override"]["expires"]
    assert (int(expires[11:13]) - int(created[11:13])) % 24 == 4
    assert expires[13:] == created[13:]
    await tell(daemon.config, "resume", {"pattern": "de-2", "author": "test"})
    await daemon.wait_until(lambda: daemon.links() == IDS, 5, "it is back")


async def maintained(daemon: RunningDaemon, fleet: Fleet) -> None:
    """Whatever it does under maintenance: nobody is warned, and no slot counts."""
    done = await healthd(daemon.config, "maintain", "de-1", "--for", "1h", "--reason", "kernel")
    assert done.code == 0, done.err
    await daemon.wait_until(lambda: "de-1" not in daemon.links(), 5, "it left the files")
    counted = await slots(daemon, "good", "bad")
    await fleet.kill("de-1")
    await wait_healths(daemon, {"de-1": "down"})
    fall = await daemon.wait_event("node_down", node="de-1")
    assert (fall["level"], fall["mode"]) == ("info", "maintenance")
    await fleet.restore("de-1")
    await wait_healths(daemon, {"de-1": "up"})
    await wait_for(lambda: excluded(daemon, 4.0), 20, "slots are excluded")
    assert await slots(daemon, "good", "bad") == counted


async def slots(daemon: RunningDaemon, *verdicts: str) -> float:
    """Of the node that is maintained."""
    each = [
        await daemon.metric("node_slots_total", node="de-1", verdict=verdict)
        for verdict in verdicts
    ]
    return sum(each)


async def excluded(daemon: RunningDaemon, least: float) -> bool:
    return await slots(daemon, "excluded") >= least


async def maintenance_goes_on(daemon: RunningDaemon, client: Client) -> None:
    """A restart does not end it; a resume does, and then the node must rise by the rule."""
    assert (await daemon.node("de-1"))["admin"] == "maintenance"
    await wait_for(lambda: excluded(daemon, 2.0), 20, "slots are excluded after a restart too")
    assert await slots(daemon, "good", "bad") == 0.0
    assert all("de-1" not in seen.nodes for seen in client.seen)

    assert (await healthd(daemon.config, "resume", "de-1")).code == 0
    sent = await daemon.wait_event("node_recovering", node="de-1")
    assert (sent["before"], sent["evidence"]) == (
        "up",
        "maintenance is over: it must requalify",
    )
    risen = await daemon.wait_event("node_up", node="de-1")
    assert (risen["before"], risen["evidence"]) == ("recovering", "2 successes")
    await daemon.wait_until(lambda: "de-1" in daemon.links(), 5, "it is back")
    published = await daemon.wait_event("config_published")
    assert daemon.events.index(risen) < daemon.events.index(published)
    changes = (await healthd(daemon.config, "history", "de-1", "--json")).json["transitions"]
    assert [each["after"] for each in changes][-2:] == ["recovering", "up"]
    assert changes[-2]["evidence"] == "maintenance is over: it must requalify"


async def mistakes_are_told(daemon: RunningDaemon) -> None:
    """What cannot be done changes nothing, and the words say what would."""
    config = daemon.config
    unknown = await healthd(config, "drain", "hk1", "--reason", "x")
    assert (unknown.code, unknown.out) == (2, "")
    assert "did you mean hk-1" in unknown.err
    endless = await healthd(config, "force-up", "hk-1", "--for", "8d", "--reason", "x")
    assert endless.code == 2
    assert "at most 7 days" in endless.err
    silent = await healthd(config, "drain", "hk-1")
    assert silent.code == 2
    assert "--reason" in silent.err
    assert await daemon.metric("node_admin", mode="enabled") == 5.0


# --- the socket ---


async def only_one_daemon(xray: str, directory: Path) -> None:
    """The socket is for owner and group; who comes second is refused, and hurts nobody."""
    async with open_fleet(xray, ["a", "b"], checks=1) as fleet:
        config = swift_config(fleet, directory)
        socket = directory / "control.sock"
        lonely = await healthd(config, "drain", "a", "--reason", "x")
        assert (lonely.code, lonely.out) == (2, "")
        assert lonely.err.startswith("healthd: healthd is not running with this configuration")
        assert str(socket) in lonely.err

        async with start_daemon(config) as daemon:
            await daemon.wait_event("daemon_started")
            assert stat.S_IMODE(socket.stat().st_mode) == 0o660
            second = await healthd(config, "run")
            assert second.code == 2
            assert f"another healthd is running on {directory / 'state'}" in second.err
            other = directory / "other.toml"
            other.write_text(config.read_text().replace("/state", "/other-state"))
            third = await healthd(other, "run")
            assert third.code == 2
            assert f"control.socket: cannot listen on {socket}" in third.err
            assert "another process listens on it" in third.err
            assert "Traceback" not in lonely.err + second.err + third.err
            done = await healthd(config, "drain", "a", "--reason", "x", "--allow-below-floor")
            assert done.code == 0, done.err
            os.kill(daemon.pid, signal.SIGKILL)
            await daemon.process.wait()
        # What a killed daemon leaves in the way is no daemon.
        stale = await healthd(config, "resume", "a")
        assert stale.code == 2
        assert f"nobody listens on {socket}" in stale.err
        async with start_daemon(config) as daemon:
            await daemon.wait_event("daemon_started")
            assert (await healthd(config, "resume", "a")).code == 0
