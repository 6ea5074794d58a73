"""Verdict and gate on real parts: what is removed, what is not, and how fast at most."""

from pathlib import Path
from typing import Any

import pytest
import trio

from healthd.demo.fleet import Fleet, open_fleet
from healthd.demo.running import OPEN_GATE, RunningDaemon, start_daemon
from tests.e2e.bulk import cut_after_16_kb
from tests.e2e.client import Client, watching
from tests.e2e.own_faults import (
    engine_does_not_start,
    few_descriptors,
    loop_stood_still,
    quiet_line,
)
from tests.e2e.support import (
    FALL_LIMIT,
    INTERVAL,
    all_over,
    at_once,
    frozen,
    healthd,
    in_step,
    swift_config,
    transitions,
    wait_for,
    wait_healths,
    wait_mode,
    wait_probed,
)

REMOVAL_PERIOD = 6.0


async def test_who_is_removed_and_who_is_not(xray, tmp_path):
    """Whatever fails, users are left with what works, or with what worked last.

    The line, every node, many nodes, one node again and again; the path behind the first 16 KB;
    the monitor itself. All at once, as each takes its time.
    """
    scenarios = (
        outage_of_15_s,
        all_die_at_once,
        four_of_ten_fall,
        one_that_flaps_is_held,
        cut_after_16_kb,
        few_descriptors,
        loop_stood_still,
        engine_does_not_start,
        quiet_line,
    )
    with trio.fail_after(150):
        async with trio.open_nursery() as nursery:
            for scenario in scenarios:
                nursery.start_soon(scenario, xray, tmp_path / scenario.__name__)


@pytest.mark.slow
async def test_check_urls_down_for_a_minute(xray, tmp_path):
    """With every check URL down for 60 s, nothing changes: no verdict, no publication."""
    with trio.fail_after(150):
        await outage(xray, tmp_path / "minute", seconds=60.0)


@pytest.mark.slow
async def test_flapping_node_calms_down(xray, tmp_path):
    """A node that was held because it flapped is up again once it was at peace for long enough."""
    damping = {"damping_hold": 2200, "damping_release": 1300, "damping_half_life": "30s"}
    with trio.fail_after(150):
        await flaps(xray, tmp_path, damping)


# --- the check URLs are down ---


async def outage_of_15_s(xray: str, directory: Path) -> None:
    await outage(xray, directory, seconds=15.0)


async def outage(xray: str, directory: Path, seconds: float) -> None:
    """While no check URL answers, nobody is judged; coverage falls, availability does not."""
    ids = ["a", "b", "c"]
    async with open_fleet(xray, ids, checks=2) as fleet:
        config = swift_config(fleet, directory)
        async with start_daemon(config) as daemon, watching(daemon.public) as client:
            await daemon.wait_until(lambda: daemon.links() == ids, 30, "published")
            await wait_probed(daemon, ids, 3, result="success")
            assert await daemon.metric("node_slots_total", verdict="unknown") == 0.0
            await nothing_happens_for(seconds, daemon, fleet, ids)
            assert len(client.seen) == 1
        await coverage_fell_alone(config, ids, seconds)


async def nothing_happens_for(
    seconds: float, daemon: RunningDaemon, fleet: Fleet, ids: list[str]
) -> None:
    """The check URLs are down for so long, and nothing at all changes, though all are probed."""
    for check in fleet.checks:
        check.stop()
    served, told = frozen(daemon.public), len(transitions(daemon))
    blamed = await daemon.metric("probes_total", result="failure")
    publications = await daemon.metric("publications_total", outcome="published")
    await daemon.wait_event("self_check_changed", ok=False)
    await wait_mode(daemon, "offline")
    doubts = await daemon.metric("probes_total", result="inconclusive")
    unknown = await daemon.metric("node_slots_total", verdict="unknown")

    began = trio.current_time()
    while (now := trio.current_time()) < began + seconds:
        await trio.sleep(min(1.0, began + seconds - now))
        assert await daemon.metric("self_check_ok") == 0.0
        assert await daemon.metric("self_check_fault", fault="line") == 1.0
        assert daemon.links() == ids
    # Each node was asked meanwhile as often as it can be when every probe takes its whole deadline
    # and the control request another: in every second slot. None was held against it.
    slots = len(ids) * seconds / INTERVAL
    assert await daemon.metric("probes_total", result="inconclusive") - doubts >= 0.3 * slots
    assert await daemon.metric("node_slots_total", verdict="unknown") - unknown >= 0.7 * slots
    assert await daemon.metric("probes_total", result="failure") == blamed == 0.0
    assert (await daemon.status())["publications"][0]["mode"] == "offline"
    assert list((await daemon.status())["self_check_faults"]) == ["line"]

    for check in fleet.checks:
        await check.start()
    await daemon.wait_event("self_check_changed", ok=True)
    await wait_mode(daemon, "normal")
    await wait_probed(daemon, ids, 2, result="success")
    assert await daemon.metric("self_check_ok") == 1.0
    assert len(transitions(daemon)) == told == len(ids)
    assert frozen(daemon.public) == served
    assert await daemon.metric("publications_total", outcome="published") == publications == 1.0


async def coverage_fell_alone(config: Path, ids: list[str], seconds: float) -> None:
    """What the command tells afterwards: of what was judged all was good, but much was not."""
    told = await healthd(config, "sla", "--json")
    assert told.code == 0, told.err
    rows = {(row["kind"], row["name"]): row for row in told.json["subjects"]}
    assert set(rows) == {("service", "users"), *(("node", node_id) for node_id in ids)}
    for row in rows.values():
        assert row["availability_percent"] == 100.0
        assert row["bad"] == 0
        assert row["unknown"] >= 0.6 * seconds / INTERVAL
        assert row["coverage_percent"] < 95.0
        assert row["verdict"] == "insufficient data"


# --- everything dies ---


async def all_die_at_once(xray: str, directory: Path) -> None:
    """With every node killed at once the files stay byte for byte; and all come back."""
    ids = all_over(5)
    async with open_fleet(xray, ids, checks=2) as fleet:
        config = swift_config(fleet, directory)
        async with start_daemon(config) as daemon, watching(daemon.public) as client:
            await daemon.wait_until(lambda: daemon.links() == ids, 30, "published")
            await wait_probed(daemon, ids, 1, result="success")
            served = frozen(daemon.public)
            await at_once(fleet.kill, ids)
            publication = await wait_mode(daemon, "last-good")
            assert publication["nodes"] == ids
            # Long after every fall was confirmed, everything is as it was.
            await wait_healths(daemon, dict.fromkeys(ids, "down"))
            await wait_probed(daemon, ids, 3, result="failure")
            assert frozen(daemon.public) == served
            assert len(client.seen) == 1
            assert await daemon.metric("node_up") == 0.0
            assert await daemon.metric("node_published") == 5.0
            assert await daemon.metric("self_check_ok") == 1.0

            await at_once(fleet.restore, ids)
            await wait_healths(daemon, dict.fromkeys(ids, "up"))
            await wait_mode(daemon, "normal")
            await daemon.wait_until(lambda: daemon.links() == ids, 10, "all back in their places")
            assert client.fewest() >= 2


# --- many fall at once ---


async def four_of_ten_fall(xray: str, directory: Path) -> None:
    """The brake: falls of many are confirmed first, then two of ten go at a time; then the floor.

    The four do not die: two check URLs refuse to talk to them. While the third one does, they are
    down by the rule, but nobody takes them out.
    """
    doomed, well = in_step(4, "doomed"), [f"well{number}" for number in range(6)]
    async with open_fleet(xray, [*doomed, *well], checks=4) as fleet:
        *asked, own = fleet.checks
        change: dict[str, dict[str, Any]] = {
            "probe": {"urls": [check.url for check in asked]},
            "self_check": {"urls": [own.url]},
            "gate": {"debounce": "500ms", "removal_period": f"{REMOVAL_PERIOD:g}s"},
            "log": {"level": "debug"},
        }
        config = swift_config(fleet, directory, change)
        async with start_daemon(config) as daemon, watching(daemon.public) as client:
            await daemon.wait_until(lambda: len(daemon.links()) == 10, 30, "published")
            await falls_are_doubted(daemon, fleet, client, doomed, well)
            await confirmed_ones_go_slowly(daemon, fleet, client, doomed, well)
            await the_floor_holds(daemon, fleet, client, well)
            assert client.fewest() >= 5  # floor 0.5 of 10
            assert client.most_removed_within(REMOVAL_PERIOD - 0.5) == 2  # a quarter of 10
            assert client.idle_writes() == []


async def falls_are_doubted(
    daemon: RunningDaemon, fleet: Fleet, client: Client, doomed: list[str], well: list[str]
) -> None:
    """Four fall, but the URL that is asked first to confirm it says otherwise: nothing changes."""
    first, second, third, _ = fleet.checks
    assert third.requests == 0  # the usual probes ask the first two

    async def refuse(node_id: str) -> None:
        await fleet.cut_off(node_id, first.port, second.port)

    await at_once(refuse, doomed)
    for node_id in doomed:
        await daemon.wait_event("node_down", node=node_id)
    await daemon.wait_until(lambda: bool(_doubted(daemon, doomed)), 10, "removals held")
    # The confirming rounds go on, each through a fallen node to the third URL, and all say no.
    await daemon.wait_until(lambda: third.requests >= 8, FALL_LIMIT, "confirming rounds")
    recovering = {e["node"] for e in transitions(daemon) if e["before"] == "down"}
    assert recovering == set(doomed)
    assert len(client.seen) == 1
    assert daemon.links() == [*doomed, *well]


def _doubted(daemon: RunningDaemon, doomed: list[str]) -> list[object]:
    """Log events that tell that all of these are held because nobody has confirmed their falls."""
    return [
        event for event in daemon.named("removals_held") if set(event["unconfirmed"]) == set(doomed)
    ]


async def confirmed_ones_go_slowly(
    daemon: RunningDaemon, fleet: Fleet, client: Client, doomed: list[str], well: list[str]
) -> None:
    """Now they are dead to all URLs: the round confirms it, and two of ten go in each period."""
    said = len(daemon.events)
    await at_once(fleet.kill, doomed)
    await daemon.wait_until(lambda: len(daemon.links()) == 8, FALL_LIMIT, "two have gone")
    publication = (await daemon.status())["publications"][0]
    assert publication["mode"] == "normal"
    assert len(publication["held"]) == 2
    assert await daemon.metric("publication_held") == 2.0
    assert set(daemon.links()[6:]) == set(publication["held"])
    assert daemon.links()[:6] == well
    await daemon.wait_until(lambda: len(client.seen[-1].nodes) == 6, 20, "the others have gone")
    removals = client.removals()
    assert removals[-1][0] - removals[0][0] >= REMOVAL_PERIOD - 0.5
    assert frozenset().union(*(nodes for _, nodes in removals)) == set(doomed)
    for node_id in doomed:
        _was_confirmed(daemon, said, node_id)


def _was_confirmed(daemon: RunningDaemon, said: int, node_id: str) -> None:
    """After its death, and before its removal, it failed a probe as one that was down already."""
    is_down = confirmed = False
    for number, event in enumerate(daemon.events):
        if node_id in event.get("removed", ()):
            break
        if event.get("node") == node_id and "before" in event:
            is_down = event["event"] == "node_down"
        elif event.get("node") == node_id and event.get("outcome") == "failure":
            confirmed |= is_down and number > said
    assert confirmed, node_id


async def the_floor_holds(
    daemon: RunningDaemon, fleet: Fleet, client: Client, well: list[str]
) -> None:
    """With three of ten left, two dead ones fill up to the floor; panic ends when six are back."""
    await at_once(fleet.kill, well[:3])
    publication = await wait_mode(daemon, "top-up")
    await wait_healths(daemon, dict.fromkeys(well[:3], "down"))
    await daemon.wait_until(
        # Those of the dead ones that worked last, in the last places.
        lambda: daemon.links()[:3] == well[3:] and set(daemon.links()[3:]) < set(well[:3]),
        20,
        "down to the floor",
    )
    assert len(daemon.links()) == 5
    assert "floor 5 of 10 not met" in publication["summary"]
    assert await daemon.metric("publication_floor") == 5.0
    assert await daemon.metric("publication_in_service") == 3.0

    await at_once(fleet.restore, fleet.servers)
    await wait_mode(daemon, "normal")
    await daemon.wait_until(lambda: len(daemon.links()) == 10, 20, "all ten are back")


# --- one that flaps ---


async def one_that_flaps_is_held(xray: str, directory: Path) -> None:
    """A node that falls again and again is held: not published, unless the floor needs it."""
    await flaps(xray, directory, {"damping_hold": 2500})


async def flaps(xray: str, directory: Path, damping: dict[str, Any]) -> None:
    """Let one node of four fall until it is held, and two others die then; it serves meanwhile."""
    ids = ["flaps", "a", "b", "c"]
    change = {"verdict": damping, "gate": {**OPEN_GATE, "floor": 0.5, "min_nodes": 2}}
    async with open_fleet(xray, ids, checks=2) as fleet:
        config = swift_config(fleet, directory, change)
        async with start_daemon(config) as daemon, watching(daemon.public) as client:
            await daemon.wait_until(lambda: daemon.links() == ids, 30, "published")
            falls = 1
            while await fall_and_rise(daemon, fleet, "flaps") != "held":
                falls += 1
            assert falls >= 3
            await daemon.wait_event("node_held", before="recovering")
            assert daemon.links() == ["a", "b", "c"]
            await at_once(fleet.kill, ["b", "c"])
            await wait_probed(daemon, ["flaps"], 1, result="success")
            assert (await daemon.node("flaps"))["health"] == "held"
            assert await daemon.metric("node_up", node="flaps") == 0.0

            await wait_mode(daemon, "top-up")
            await daemon.wait_until(lambda: daemon.links() == ["a", "flaps"], 20, "the floor")
            told = await daemon.node("flaps")
            assert (told["health"], told["published"]) == ("held", True)
            if "damping_release" in damping:
                calmed = await daemon.wait_event("node_up", node="flaps", before="held")
                assert calmed["evidence"] == "it has calmed down"
            await at_once(fleet.restore, ["b", "c"])
            await wait_mode(daemon, "normal")
            rest = {"a", "b", "c"} | ({"flaps"} if "damping_release" in damping else set())
            await daemon.wait_until(lambda: set(daemon.links()) == rest, 10, "normal again")
            assert client.fewest() == 2


async def fall_and_rise(daemon: RunningDaemon, fleet: Fleet, node_id: str) -> str:
    """Let a node fall and leave the files, and work again; return how it has risen: up, or held."""
    check_ports = [check.port for check in fleet.checks]
    await fleet.cut_off(node_id, *check_ports)
    await wait_healths(daemon, {node_id: "down"})
    await daemon.wait_until(lambda: node_id not in daemon.links(), 10, "it left the files")
    await fleet.restore(node_id)
    health = ""

    async def has_risen() -> bool:
        nonlocal health
        health = (await daemon.node(node_id))["health"]
        return health in {"up", "held"}

    await wait_for(has_risen, FALL_LIMIT, "it has risen")
    return health
