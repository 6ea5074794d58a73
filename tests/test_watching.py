"""One task per node: the grid, the rechecks, and what a reload leaves alone."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
import trio

from healthd.config import ProbeConfig, VerdictConfig
from healthd.model import Health, Node, Reason, Result, failure, inconclusive, success
from healthd.verdict import schedule
from healthd.verdict.board import Board
from healthd.verdict.ledger import SlotVerdict
from healthd.verdict.trace import Recorded
from healthd.watching import Listeners, Watchers
from tests.fakes import endpoint, make_node

GOOD, BAD = success(0.01), failure(Reason.REFUSED)
WALL = 1_800_000_000.0
TIMING, RULES = ProbeConfig(), VerdictConfig()


class Stage:
    """Watchers with a scripted prober."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.board = Board()
        self.answer: Callable[[Node], Result] = lambda _: GOOD
        self.takes = 0.0
        self.calls: list[tuple[float, str, bool]] = []
        self.flying: set[str] = set()
        self.lags: list[float] = []
        self.recorded: list[Recorded] = []
        self.counted: list[tuple[str, float, SlotVerdict]] = []
        self.kinds: list[tuple[bool, bool]] = []
        self.wall_ahead = 0.0
        self.transitions: list[str] = []
        self.judged = 0
        listeners = Listeners(
            transition=lambda record, t: self.transitions.append(f"{record.node.id} {t.after}"),
            judged=self._judged,
            result=lambda _, recorded: self.recorded.append(recorded),
            slot=lambda record, wall, verdict, _: self.counted.append(
                (record.node.id, wall, verdict)
            ),
            lag=self.lags.append,
            overruns=lambda _: None,
        )
        self.watchers = Watchers(nursery, self.board, self.probe, listeners, wall=self.wall)

    def wall(self) -> float:
        return WALL + trio.current_time() + self.wall_ahead

    def _judged(self) -> None:
        self.judged += 1

    async def probe(self, node: Node, *, recheck: bool, confirm: bool, bulk: bool) -> Result:
        assert node.id not in self.flying, "two probes of one node at a time"
        self.flying.add(node.id)
        self.calls.append((trio.current_time(), node.id, recheck))
        self.kinds.append((confirm, bulk))
        try:
            await trio.sleep(self.takes)
            return self.answer(node)
        finally:
            self.flying.discard(node.id)

    def apply(self, *nodes: Node, timing: ProbeConfig = TIMING) -> None:
        self.watchers.apply(nodes, timing, RULES)

    def slots(self, node_id: str) -> list[float]:
        return [at for at, called, recheck in self.calls if called == node_id and not recheck]


@pytest.fixture
def stage(nursery, autojump_clock):
    """An empty stage on a simulated clock."""
    return Stage(nursery)


async def test_a_day_without_drift(stage, autojump_clock):
    """2,880 slots a day, each exactly on the grid, however long the probes take."""
    stage.takes = 0.4
    stage.apply(make_node("a"), make_node("b"))
    await trio.sleep(86400)
    for node_id in ("a", "b"):
        slots = stage.slots(node_id)
        assert len(slots) in {2879, 2880, 2881}
        assert all(
            at == pytest.approx(slots[0] + number * 30, abs=1e-3) for number, at in enumerate(slots)
        )
    assert stage.board["a"].slots[SlotVerdict.GOOD] >= 2879
    assert stage.board["a"].overruns == 0
    assert max(stage.lags) < 1e-3
    assert stage.judged == 2
    assert sorted(stage.transitions) == ["a up", "b up"]


async def test_overrun_slots_are_skipped_and_counted(stage, autojump_clock):
    """A probe that runs past the next slots: these are unknown, and the grid is kept."""
    stage.takes = 70.0
    stage.apply(make_node("a"))
    await trio.sleep(1000)
    slots = stage.slots("a")
    assert all(
        (at - slots[0]) % 30 == pytest.approx(0, abs=1e-3)
        or (at - slots[0]) % 30 == pytest.approx(30, abs=1e-3)
        for at in slots
    )
    assert stage.board["a"].overruns >= 2 * (len(slots) - 2)
    assert stage.board["a"].slots[SlotVerdict.UNKNOWN] == stage.board["a"].overruns


async def test_suspects_are_probed_again_soon(stage, autojump_clock):
    """Refused: rechecks every five seconds, DOWN 20 s after the first failure, then every 15 s."""
    stage.apply(make_node("a"))
    await trio.sleep(40)
    stage.answer, stage.takes = (lambda _: BAD), 2.0
    stage.calls.clear()
    await trio.sleep(31)
    while stage.board["a"].state.health is not Health.DOWN:
        await trio.sleep(1)
    began = [at - stage.calls[0][0] for at, _, _ in stage.calls]
    assert began[:5] == pytest.approx([0, 5, 10, 15, 20], abs=1e-3)
    assert [recheck for *_, recheck in stage.calls[:5]] == [False, True, True, True, True]
    await trio.sleep(300)
    pauses = {
        round(b - a) for (a, *_), (b, *_) in zip(stage.calls[5:], stage.calls[6:], strict=False)
    }
    assert pauses == {15}


async def test_reload_leaves_unchanged_nodes_alone(stage, autojump_clock):
    """A node that stays keeps its state, its phase and its probe in flight; others come and go."""
    stage.apply(make_node("a"), make_node("b"))
    await trio.sleep(100)
    before, state = stage.slots("a"), stage.board["a"].state
    stage.apply(make_node("c"), make_node("a", None))
    assert stage.board["a"].state is state
    assert [record.node.id for record in stage.board] == ["c", "a"]
    await trio.sleep(100)
    after = stage.slots("a")[len(before) :]
    assert (after[0] - before[0]) % 30 == pytest.approx(0, abs=1e-3)
    assert not [at for at in stage.slots("b") if at > before[-1] + 31]
    assert stage.board["c"].state.health is Health.UP


async def test_changed_endpoint_starts_anew(stage, autojump_clock):
    """Another endpoint under the same id is UNKNOWN until it is judged."""
    stage.apply(make_node("a"))
    await trio.sleep(100)
    seen = [stage.board["a"].state.health]
    stage.apply(make_node("a", endpoint(port=2)))
    seen.append(stage.board["a"].state.health)
    assert not stage.board["a"].judged
    await trio.sleep(40)
    seen.append(stage.board["a"].state.health)
    assert seen == [Health.UP, Health.UNKNOWN, Health.UP]


async def test_other_timing_moves_the_grid_but_not_the_state(stage, autojump_clock):
    """A new interval holds at once; what is known of the nodes stays."""
    stage.apply(make_node("a"))
    await trio.sleep(100)
    stage.calls.clear()
    stage.apply(make_node("a"), timing=ProbeConfig(interval="5s", deadline="4s"))
    assert stage.board["a"].state.health is Health.UP
    await trio.sleep(50)
    assert len(stage.slots("a")) in {9, 10, 11}


async def test_shift_mates(stage, autojump_clock):
    """The nodes of one shift, and every node in exactly one."""
    nodes = [make_node(f"n{number}") for number in range(60)]
    stage.apply(*nodes)
    shifts = {frozenset(mate.id for mate in stage.watchers.shift_mates(node)) for node in nodes}
    assert len(shifts) == 6  # 30 s in shifts of 5 s
    assert sum(len(shift) for shift in shifts) == 60
    assert all(node.id in {m.id for m in stage.watchers.shift_mates(node)} for node in nodes)


async def test_stalled(stage, autojump_clock):
    """A task without a sign of life for three intervals is told; a living one is not."""
    stage.apply(make_node("a"))
    await trio.sleep(100)
    assert stage.watchers.stalled() == []
    stage.takes = 1e6
    await trio.sleep(200)
    assert stage.watchers.stalled() == ["a"]


async def test_slots_have_names_in_time(stage, autojump_clock):
    """Each slot is named by the wall clock, an interval apart, and told once with its verdict."""
    stage.takes = 0.4
    stage.apply(make_node("a"))
    await trio.sleep(3600)

    names = [wall for _, wall, _ in stage.counted]
    assert len(names) == len(stage.slots("a"))
    assert {round(b - a, 3) for a, b in pairwise(names)} == {30.0}
    assert {verdict for *_, verdict in stage.counted} == {SlotVerdict.GOOD}
    assert stage.recorded[0].began == pytest.approx(names[0], abs=0.01)
    assert stage.recorded[0].took == pytest.approx(0.4)


async def test_long_dead_node_is_asked_less_and_less(stage, autojump_clock):
    """Every 15 s for five minutes, every 30 s for an hour, then every minute; and never stops.

    The slots that are left out count as bad: it was down when it was asked last.
    """
    stage.answer = lambda _: BAD
    stage.apply(make_node("a"))
    await trio.sleep(3 * 3600)
    down = stage.board["a"].state.down_since
    since = [at - down for at, *_ in stage.calls]
    pauses = {
        hour: {round(b - a) for a, b in pairwise(since) if low < a and b < high}
        for hour, (low, high) in {
            "fast": (0, 285),
            "slots": (330, 3570),
            "slow": (3630, 1e9),
        }.items()
    }
    assert pauses == {"fast": {15}, "slots": {30}, "slow": {60}}
    names = [wall for _, wall, _ in stage.counted]
    assert {round(b - a, 3) for a, b in pairwise(names)} == {30.0}
    assert {verdict for *_, verdict in stage.counted} == {SlotVerdict.BAD}
    assert stage.board["a"].slots[SlotVerdict.BAD] == len(names)


async def test_left_out_slots_are_unknown_while_the_monitor_is_offline(stage, autojump_clock):
    """When the last probe said nothing of the node, neither does the slot after it."""
    stage.answer = lambda _: BAD
    stage.apply(make_node("a"))
    await trio.sleep(2 * 3600)
    stage.answer = lambda _: inconclusive(Reason.CONTROL_FAILED)
    await trio.sleep(120)
    stage.counted.clear()

    await trio.sleep(600)

    assert len(stage.counted) == 20
    assert {verdict for *_, verdict in stage.counted} == {SlotVerdict.UNKNOWN}


async def test_first_probe_after_the_fall_confirms_it(stage, autojump_clock):
    """It asks another check URL first, and the gate is told when the fall is confirmed."""
    stage.apply(make_node("a"))
    await trio.sleep(40)
    stage.answer = lambda _: BAD
    stage.kinds.clear()
    judged = stage.judged
    while stage.board["a"].state.health is not Health.DOWN:
        await trio.sleep(1)
    assert {confirm for confirm, _ in stage.kinds} == {False}
    assert stage.judged == judged

    stage.kinds.clear()
    await trio.sleep(60)

    assert [confirm for confirm, _ in stage.kinds[:3]] == [True, False, False]
    assert stage.judged == judged + 1


async def test_bulk_every_tenth_slot(stage, autojump_clock):
    """Each node fetches more in every tenth of its slots, not all nodes in the same one."""
    nodes = [make_node(f"n{number}") for number in range(40)]
    stage.apply(*nodes, timing=ProbeConfig(bulk_url="http://bulk.test/"))
    await trio.sleep(3000)
    bulky = [
        (node_id, round(at))
        for (at, node_id, _), (_, bulk) in zip(stage.calls, stage.kinds, strict=True)
        if bulk
    ]
    counts = Counter(node_id for node_id, _ in bulky)
    assert set(counts) == {node.id for node in nodes}
    assert set(counts.values()) <= {9, 10, 11}
    rounds = Counter(at // 30 for _, at in bulky)
    assert max(rounds.values()) < 20


async def test_truncating_node_is_asked_for_more_each_time(stage, autojump_clock):
    """While the larger answer is what fails, every probe asks for it: the small proves nothing."""
    stage.answer = lambda _: failure(Reason.TRUNCATED)
    stage.apply(make_node("a"), timing=ProbeConfig(bulk_url="http://bulk.test/", bulk_every=1))
    await trio.sleep(200)

    assert stage.board["a"].state.health is Health.DOWN
    assert {bulk for _, bulk in stage.kinds} == {True}
    assert any(recheck for *_, recheck in stage.calls)


async def test_no_bulk_without_a_url(stage, autojump_clock):
    """By default nothing more is fetched."""
    stage.apply(make_node("a"))
    await trio.sleep(900)

    assert {bulk for _, bulk in stage.kinds} == {False}


async def test_clock_that_jumps(stage, autojump_clock):
    """A jump of the wall clock is told and lays the grid anew; a small one does neither."""
    stage.apply(make_node("a"))
    await trio.sleep(100)
    stage.wall_ahead = 4.0
    assert not stage.watchers.check_clock()
    stage.wall_ahead = 3612.0

    assert stage.watchers.check_clock()
    assert not stage.watchers.check_clock()
    await trio.sleep(100)

    offset = schedule.phase("a", 30.0)
    late = [(wall - offset) % 30 for _, wall, _ in stage.counted[-2:]]
    assert [min(each, 30 - each) for each in late] == pytest.approx([0.0, 0.0], abs=0.01)
    slots = stage.slots("a")
    assert slots[-1] - slots[-2] == pytest.approx(30.0)
