"""Everything at once, and kill -9 in the middle of it: the daemon goes on where it was."""

import random
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from healthd.demo.fleet import Fleet, open_fleet
from healthd.demo.running import QUICK, RunningDaemon, start_daemon
from healthd.model import Health
from healthd.store import queries
from healthd.store.database import reading
from healthd.store.queries import Change
from healthd.store.reading import load
from healthd.store.service import FILE
from healthd.verdict.machine import State
from tests.e2e.client import Client, watching
from tests.e2e.support import (
    at_once,
    healthd,
    now,
    swift_config,
    tell,
    transitions,
    wait_healths,
    wait_mode,
)
from tests.e2e.test_signals import marked

IDS = [f"n{number}" for number in range(6)]
DRAINED = "n0"
FLOOR = 3
"""Half of five or six."""
REMOVAL_PERIOD = 3.0
CHANGE: dict[str, dict[str, Any]] = {
    "verdict": {"damping_hold": 2500, "damping_half_life": "12s"},
    "gate": {"removal_period": f"{REMOVAL_PERIOD:g}s"},
}


async def test_killed_at_random_moments(xray, tmp_path):
    """For 12 s nodes, check URLs and the daemon itself die; what is kept and served stays true."""
    with trio.fail_after(120):
        await chaos(xray, tmp_path, seconds=12.0, seed=12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_killed_at_random_moments_for_long(xray, tmp_path, seed):
    """The same for almost two minutes."""
    with trio.fail_after(300):
        await chaos(xray, tmp_path, seconds=105.0, seed=seed)


@dataclass
class Told:
    """What became of it all. Times are wall-clock seconds."""

    runs: int = 0
    hurt: int = 0
    drained: trio.Event = field(default_factory=trio.Event)
    drained_at: float = 0.0
    resumed_at: float = 0.0


async def chaos(xray: str, directory: Path, *, seconds: float, seed: int) -> None:
    """Hurt everything for so long, then heal it; every claim is looked at on the way or after."""
    began, told = now(), Told()
    async with open_fleet(xray, IDS, checks=2) as fleet, watching(directory / "public") as client:
        config = swift_config(fleet, directory, CHANGE)
        async with start_daemon(config) as daemon:
            await daemon.wait_until(lambda: daemon.links() == IDS, 30, "published")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain_one, config, told)
            async with trio.open_nursery() as hurting:
                hurting.start_soon(hurt_on, fleet, random.Random(seed), told)
                await kill_on(config, seconds, random.Random(seed), told)
                hurting.cancel_scope.cancel()
            await at_once(fleet.restore, IDS)
            before = saved(directory / "state")
            async with start_daemon(config) as daemon:
                await all_well(daemon, told)
                await goes_on_as_it_was(daemon, before)
    assert marked(str(directory / "state")) == []
    assert told.runs >= seconds / 6
    assert told.hurt >= seconds / 4
    histories = {node_id: history(directory, node_id, began) for node_id in IDS}
    for node_id, changes in histories.items():
        one_life(node_id, changes)
    users_were_served(client, told, sum(map(len, histories.values())))


# --- what happens ---


async def hurt_on(fleet: Fleet, chance: random.Random, told: Told) -> None:
    """Hurt something, or heal it, every second or so, until cancelled."""
    hurt: set[str] = set()
    while True:
        await trio.sleep(chance.uniform(0.3, 1.5))
        told.hurt += 1
        node_id = chance.choice(IDS)
        if chance.random() < 0.1:
            await line_fails(fleet, chance)
        elif node_id in hurt:
            await fleet.restore(node_id)
            hurt.remove(node_id)
        else:
            await hurt_one(fleet, node_id, chance)
            hurt.add(node_id)


async def hurt_one(fleet: Fleet, node_id: str, chance: random.Random) -> None:
    match chance.randrange(4):
        case 0:
            await fleet.kill(node_id)
        case 1:
            fleet.freeze(node_id)
        case 2:
            await fleet.mute(node_id)
        case _:
            await fleet.cut_off(node_id, *(check.port for check in fleet.checks))


async def line_fails(fleet: Fleet, chance: random.Random) -> None:
    """No check URL answers for a while; they come back also when time is up."""
    for check in fleet.checks:
        check.stop()
    try:
        await trio.sleep(chance.uniform(0.5, 3.0))
    finally:
        with trio.CancelScope(shield=True):
            for check in fleet.checks:
                await check.start()


async def drain_one(config: Path, told: Told) -> None:
    """Drain a node; asked again until a daemon lives long enough to answer that it is kept."""
    about = {"mode": "drain", "reason": "chaos", "author": "test", "allow_below_floor": True}
    while not told.drained.is_set():
        try:
            if (await tell(config, "overrides", {"pattern": DRAINED, **about}))["kept"]:
                told.drained_at = now()
                told.drained.set()
        except httpx.HTTPError:
            pass  # it is dead, or died under the question
        await trio.sleep(0.1)


async def kill_on(config: Path, seconds: float, chance: random.Random, told: Told) -> None:
    """Start the daemon and kill it, again and again; each run begins where the last one ended."""
    end = trio.current_time() + seconds
    while trio.current_time() < end:
        before = saved(config.parent / "state")
        async with start_daemon(config) as daemon:
            await trio.sleep(chance.uniform(0.2, 6.0))
            daemon.process.send_signal(signal.SIGKILL)
            await daemon.process.wait()
        told.runs += 1
        assert not daemon.other_output, daemon.other_output
        await goes_on_as_it_was(daemon, before)


async def all_well(daemon: RunningDaemon, told: Told) -> None:
    """Everything was healed: all rise, and the drained node is back when it is resumed."""
    await told.drained.wait()
    await wait_healths(daemon, dict.fromkeys(IDS, "up"), limit=60.0)
    await wait_mode(daemon, "normal")
    rest = [each for each in IDS if each != DRAINED]
    await daemon.wait_until(lambda: daemon.links() == rest, 10, "all but the drained one")
    assert (await daemon.node(DRAINED))["admin"] == "drain"
    told.resumed_at = now()
    assert (await healthd(daemon.config, "resume", DRAINED)).code == 0
    await daemon.wait_until(lambda: daemon.links() == IDS, 10, "all")
    assert (await daemon.status())["store_problem"] is None


# --- what must hold ---


def saved(state: Path) -> Mapping[str, State]:
    """What the file says of each node."""
    with reading(state / FILE) as connection:
        return {node_id: kept.state for node_id, (_, kept) in load(connection).states.items()}


async def goes_on_as_it_was(daemon: RunningDaemon, before: Mapping[str, State]) -> None:
    """Each node's first change begins at the health it had; counters go on, too."""
    for restored in daemon.named("state_restored"):
        assert restored["nodes"] == len(IDS)
    assert set(before) == set(IDS)
    first: dict[str, dict[str, str]] = {}
    for event in transitions(daemon):
        first.setdefault(event["node"], event)
    for node_id, event in first.items():
        state = before[node_id]
        assert event["before"] == state.health, (event, state)
        if event["event"] == "node_down" and event["evidence"].split()[1] == "failures":
            assert int(event["evidence"].split()[0]) > state.failures, (event, state)


def history(directory: Path, node_id: str, since: float) -> tuple[Change, ...]:
    """All that the store knows to have happened to a node."""
    file = directory / "state" / FILE
    return queries.history(file, node_id, since=since, now=now()).changes


def one_life(node_id: str, changes: tuple[Change, ...]) -> None:
    """Over all the runs a node had one life: every change begins where the one before ended."""
    assert changes, node_id
    assert changes[0].before is Health.UNKNOWN
    for earlier, later in pairwise(changes):
        assert later.before is earlier.after, (node_id, earlier, later)
        assert later.at >= earlier.at
    for fall, rise in _falls_and_rises(changes):
        successes, _, unit = rise.evidence.partition(" ")
        assert unit.startswith("successes"), (node_id, rise)
        assert int(successes) >= QUICK["verdict"]["rise"], (node_id, rise)
        assert rise.at - fall.at >= 0.95, (node_id, fall, rise)  # min_down is 1 s


def _falls_and_rises(changes: tuple[Change, ...]) -> Iterator[tuple[Change, Change]]:
    """Each fall, and the rise that ended it."""
    fall = None
    for change in changes:
        if change.after is Health.DOWN and change.before is not Health.RECOVERING:
            fall = change
        elif change.before is Health.RECOVERING and change.after in {Health.UP, Health.HELD}:
            assert fall is not None
            yield fall, change


def users_were_served(client: Client, told: Told, changes: int) -> None:
    """What clients got: never too few, never a drained one, few removals, and no idle writes."""
    assert client.fewest() >= FLOOR - 1  # the drain was allowed to go below
    assert client.idle_writes() == []
    # A change of health may move a node at the fall, at the rise, and when probation ends.
    assert len(client.seen) <= 2 * changes
    # One that was being written when the drain came may hold it still.
    since = told.drained_at + 0.5
    drained = [seen.nodes for seen in client.seen if since < seen.at < told.resumed_at]
    assert not any(DRAINED in nodes for nodes in drained)
    fallen = [(at, nodes - {DRAINED}) for at, nodes in client.removals() if nodes - {DRAINED}]
    assert all(len(nodes) == 1 for _, nodes in fallen)  # a quarter of five or six
    for (earlier, _), (later_at, _) in pairwise(fallen):
        assert later_at - earlier >= REMOVAL_PERIOD - 0.5
