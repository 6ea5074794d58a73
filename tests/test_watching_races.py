"""Races of a reload with results, and signs of life after it."""

from collections import Counter
from random import Random

import pytest
import trio
import trio.testing

from healthd.config import ProbeConfig, VerdictConfig
from healthd.model import Health, Node, Reason, Result, failure, inconclusive, success
from healthd.verdict import schedule
from healthd.verdict.board import Board
from healthd.verdict.ledger import SlotVerdict
from healthd.watching import Listeners, Watchers
from tests.fakes import endpoint, make_node

GOOD = success(0.01)
BAD = failure(Reason.REFUSED, "refused")
WALL = 1_700_000_000.0
TIMING, RULES = ProbeConfig(), VerdictConfig()
A, B, C = make_node("a"), make_node("b"), make_node("c")


class HeldProbe:
    """Ends when the test says so."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.release = trio.Event()

    async def __call__(self, node: Node, *, recheck: bool, confirm: bool, bulk: bool) -> Result:
        """Probe until released."""
        self.began.append(node.id)
        await self.release.wait()
        return GOOD


class RandomProbe:
    """Takes any time, answers anything, and notes probes that overlap."""

    def __init__(self, seconds: list[float], answers: list[Result], seed: int) -> None:
        self.random = Random(seed)
        self.seconds, self.answers = seconds, answers
        self.began: list[tuple[str, float, bool]] = []
        self.flying: Counter[str] = Counter()
        self.most = 0

    async def __call__(self, node: Node, *, recheck: bool, confirm: bool, bulk: bool) -> Result:
        """Probe a node."""
        self.began.append((node.id, trio.current_time(), recheck))
        self.flying[node.id] += 1
        self.most = max(self.most, self.flying[node.id])
        try:
            await trio.sleep(self.random.choice(self.seconds))
        finally:
            self.flying[node.id] -= 1
        return self.random.choice(self.answers)


def watchers(nursery: trio.Nursery, board: Board, probe) -> Watchers:
    """Watchers that tell nobody."""
    start = trio.current_time()
    listeners = Listeners(
        transition=lambda *_: None,
        judged=lambda: None,
        result=lambda *_: None,
        slot=lambda *_: None,
        lag=lambda _: None,
        overruns=lambda _: None,
    )
    return Watchers(
        nursery, board, probe, listeners, wall=lambda: WALL + trio.current_time() - start
    )


async def test_node_removed_as_its_result_arrives(nursery, autojump_clock) -> None:
    """A result that arrives in the very moment of a reload belongs to nobody: no crash.

    The probe has ended, so that cancelling it comes too late; its task only has not run yet.
    """
    board, probe = Board(), HeldProbe()
    watch = watchers(nursery, board, probe)
    watch.apply([A], TIMING, RULES)
    await trio.sleep(31)
    assert probe.began == ["a"]
    probe.release.set()
    watch.apply([B], TIMING, RULES)
    await trio.sleep(1)

    assert "a" not in board


async def test_result_of_the_old_endpoint_says_nothing_about_the_new(
    nursery, autojump_clock
) -> None:
    """A result that arrives in the very moment of a reload is not the new endpoint's."""
    board, probe = Board(), HeldProbe()
    watch = watchers(nursery, board, probe)
    watch.apply([A], TIMING, RULES)
    await trio.sleep(31)
    probe.release.set()
    watch.apply([make_node("a", endpoint(port=2))], TIMING, RULES)
    await trio.testing.wait_all_tasks_blocked()

    assert board["a"].state.health is Health.UNKNOWN
    assert not board["a"].judged


async def test_shorter_interval_stalls_nobody(nursery, autojump_clock) -> None:
    """A reload from ten minutes to thirty seconds must not look like a stuck daemon.

    systemd would kill it for that, and /healthz would page somebody.
    """
    board = Board()
    watch = watchers(nursery, board, RandomProbe([0.05], [GOOD], 0))
    watch.apply([A], ProbeConfig(interval="10m"), RULES)
    await trio.sleep(1190)
    while trio.current_time() - board["a"].ticked < 300:
        await trio.sleep(10)
    assert watch.stalled() == []
    watch.apply([A], TIMING, RULES)

    assert watch.stalled() == []
    await trio.sleep(300)
    assert watch.stalled() == []


async def test_never_two_probes_of_one_node(nursery, autojump_clock) -> None:
    """Slots, rechecks, overruns and reloads in any mixture: one probe at a time per node."""
    random = Random(3)
    probe = RandomProbe([0.0, 0.05, 3.0, 9.99, 10.0, 31.0, 95.0], [GOOD, BAD, BAD], 3)
    watch = watchers(nursery, Board(), probe)
    fleets = [(A, B, C), (A, C), (A, make_node("b", endpoint(port=2))), (A, B, C)]
    timings = [TIMING, TIMING, ProbeConfig(max_clients=9)]
    for _ in range(300):
        watch.apply(random.choice(fleets), random.choice(timings), RULES)
        await trio.sleep(random.uniform(0, 120))

    assert len(probe.began) > 300
    assert probe.most == 1


async def test_every_slot_of_a_day_is_accounted_for(nursery, autojump_clock) -> None:
    """Good, bad, unknown and skipped slots add up to the slots of the day; each on the grid."""
    board = Board()
    answers = [GOOD, BAD, inconclusive(Reason.CONTROL_FAILED)]
    probe = RandomProbe([0.05, 0.05, 10.0, 45.0, 130.0], answers, 2)
    start = trio.current_time()
    watchers(nursery, board, probe).apply([A], TIMING, RULES)
    await trio.sleep(86400)

    slots = board["a"].slots
    assert abs(slots.total() - 2880) <= 5  # the last probe may still be on its way
    assert slots[SlotVerdict.UNKNOWN] > board["a"].overruns > 0
    phase = start - WALL + schedule.phase("a", 30.0)
    lates = [(at - phase) % 30 for _, at, recheck in probe.began if not recheck]
    assert max(min(late, 30 - late) for late in lates) <= schedule.tolerance(30.0) + 1e-3


async def test_slot_within_the_tolerance_is_late_but_not_missed(nursery, autojump_clock) -> None:
    """A probe that ends half a second into the next slot delays it, and costs nothing."""
    board = Board()
    probe = RandomProbe([30.5], [GOOD], 0)
    watchers(nursery, board, probe).apply([A], TIMING, RULES)
    await trio.sleep(80)

    assert board["a"].overruns == 0
    assert probe.began[1][1] - probe.began[0][1] == pytest.approx(30.5)
