"""A recording through machine and gate: what comes of it, and when."""

import heapq
import random
from dataclasses import replace

import pytest

from healthd.config import GateConfig, ProbeConfig, VerdictConfig
from healthd.errors import ReplayError
from healthd.model import Health, Reason, Role, failure, success
from healthd.replay import reading, recording, running
from healthd.replay.circulating import Circulation, Issue
from healthd.replay.running import Down, Rules, run
from healthd.verdict import schedule
from healthd.verdict.board import Board
from healthd.verdict.decision import Mode
from healthd.verdict.machine import Transition
from healthd.verdict.schedule import Turn
from healthd.verdict.trace import Recorded
from tests import builders
from tests.replay.stories import TOOK, Trace, fleet, story, told

GENTLE = GateConfig(min_nodes=1, floor=0.0)
"""No floor that would keep a node in."""


def published(replayed) -> list[tuple[float, str]]:
    """When what was published, the nodes joined by blanks."""
    return [(issue.at, " ".join(issue.nodes)) for issue in replayed.issues]


class TestOneNodeDies:
    """Of three nodes, b fails from its slot at 60 s on, and works again from 300 s on."""

    replayed = run(
        told(
            story("a", "." * 40),
            story("b", "..xxxxxxxx" + "." * 30, begin=1),
            story("c", "." * 40, begin=2),
        ),
        fleet("a", "b", "c"),
        Rules(gate=GENTLE),
    )

    def test_down(self):
        """It is down with its fourth failure in a row, and up again after three successes."""
        down = Down(
            node="b",
            began=151.0,
            at=151.0 + TOOK,
            until=361.0 + TOOK,
            reason=Reason.REFUSED,
            evidence="4 failures in 90 s",
        )

        assert self.replayed.downs == (down,)
        assert self.replayed.lasted(down) == 210.0

    def test_published(self):
        """Each change is published a debounce later; the one on probation comes last."""
        assert published(self.replayed) == [
            (2.0 + TOOK + 2.0, "a b c"),
            (151.0 + TOOK + 2.0, "a c"),
            (361.0 + TOOK + 2.0, "a c b"),
            (961.0 + TOOK + 2.0, "a b c"),
        ]
        assert [issue.removed for issue in self.replayed.issues] == [(), ("b",), (), ()]

    def test_frame(self):
        """When it began and ended, how many results it had, and what the gate did meanwhile."""
        assert (
            self.replayed.began,
            self.replayed.ended,
            self.replayed.results,
        ) == (0.0, 1172.0 + TOOK, 120)
        first = 2.0 + TOOK + 2.0
        assert self.replayed.modes == {Mode.WAITING: first, Mode.NORMAL: 1172.5 - first}

    def test_transitions(self):
        """All changes of health are told, not only falls."""
        assert [change.after for node, change in self.replayed.transitions if node == "b"] == [
            Health.UP,
            Health.SUSPECT,
            Health.DOWN,
            Health.RECOVERING,
            Health.UP,
        ]


def test_relapse_is_one_down():
    """A node that fails again before it is called up was down all the while."""
    replayed = run(told(story("a", ".xxxx.x.xx...")), fleet("a"), Rules())

    (down,) = replayed.downs
    assert (down.at, down.until) == (120.0 + TOOK, 360.0 + TOOK)


def test_end_while_down():
    """A node that is down at the end has no end of it, and was down until then."""
    replayed = run(told(story("a", "xxxxx")), fleet("a"), Rules())

    (down,) = replayed.downs
    assert (down.at, down.until, replayed.lasted(down)) == (90.0 + TOOK, None, 30.0)


def test_held_node_that_falls():
    """A held node is not down; when it falls, it is down once more."""
    rules = VerdictConfig(damping_hold=1000, damping_release=500, min_down="0s")
    replayed = run(told(story("a", ".xxxx...xxxx")), fleet("a"), Rules(verdict=rules))

    assert [(d.at, d.until) for d in replayed.downs] == [(120.5, 210.5), (330.5, None)]


class TestGate:
    """Floor, brake and the modes of panic act as they do in the daemon."""

    def test_brake(self):
        """Two nodes fall at once, one removal is allowed each period: the other one follows.

        Nothing but time brings that about: no result of theirs comes after their fall.
        """
        stories = [story(f"n{n}", "." * 30) for n in range(6)]
        dying = [story(f"n{n}", ".xxxx", begin=0.1) for n in (6, 7)]
        gate = GateConfig(min_nodes=1, floor=0.0, max_removals=0.1, removal_period="5m")
        names = [f"n{n}" for n in range(8)]

        replayed = run(told(*stories, *dying), fleet(*names), Rules(gate=gate))

        fell = 120.1 + TOOK
        first, second = replayed.issues[1:]
        assert first.at == pytest.approx(fell + 2)
        assert len(first.removed) == 1
        assert second.at == pytest.approx(first.at + 300 + 2)
        assert {*first.removed, *second.removed} == {"n6", "n7"}

    def test_floor(self):
        """Below the floor the least bad fill up, and that is told as a mode; it ends by time."""
        gate = GateConfig(min_nodes=2, floor=0.0, panic_hold="60s", mass_failure=1.0)
        signs = ".xxxx" + "." * 30
        trace = told(story("a", "." * 35), story("b", signs), story("c", signs, begin=1))

        replayed = run(trace, fleet("a", "b", "c"), Rules(gate=gate))

        # From the decision after the second fall, until one that nothing but time brought about.
        up_again = 211.5
        assert replayed.modes[Mode.TOP_UP] == (up_again + 1.0 + 60.0 + 2.0) - (121.5 + 1.0)
        assert {2, 3} == {len(issue.nodes) for issue in replayed.issues}

    def test_last_good(self):
        """When nobody is up, what is published stays as it is."""
        trace = told(story("a", ".." + "x" * 20), story("b", ".." + "x" * 20))

        replayed = run(trace, fleet("a", "b"), Rules(gate=GENTLE))

        assert {"a", "b"} == {down.node for down in replayed.downs}
        assert [issue.nodes for issue in replayed.issues][-1] != ()
        assert replayed.modes[Mode.LAST_GOOD] > 0

    def test_engine_refuses(self):
        """A node that the engine refuses leaves, and that is a removal."""
        trace = told(story("a", "....."), story("b", "..eee"))

        replayed = run(trace, fleet("a", "b"), Rules(gate=GENTLE))

        assert [issue.nodes for issue in replayed.issues] == [("a", "b"), ("a",)]
        assert replayed.issues[1].removed == ("b",)

    def test_slow_node(self):
        """A slow node is published after the others."""
        trace = told(story("a", "....." + "s" * 10), story("b", "." * 15))

        replayed = run(trace, fleet("a", "b"), Rules(gate=GENTLE))

        assert [issue.nodes for issue in replayed.issues] == [("a", "b"), ("b", "a")]

    def test_limit_and_tags(self):
        """A publication has its own choice of nodes, and its limit; who is cut is not removed."""
        nodes = [
            replace(builders.node(name), tags=frozenset(tags))
            for name, tags in (("a", ""), ("b", "x"), ("c", "xy"), ("d", "y"))
        ]
        trace = told(*(story(node.id, ".....") for node in nodes))

        (two,) = run(trace, nodes, Rules(select=("x", "y"), limit=2)).issues

        assert two == Issue(two.at, Mode.NORMAL, ("b", "c"), ())


class TestWhenItIsPublished:
    def test_debounce_gathers(self):
        """Changes within the debounce become one publication."""
        trace = told(story("a", "."), story("b", ".", begin=1.9), story("c", ".", begin=1.9))

        assert published(run(trace, fleet("a", "b", "c"), Rules())) == [(2.5, "a b c")]

    def test_spacing(self):
        """What changes soon after a publication waits for the spacing, and is debounced again."""
        board = Board()
        board.replace(fleet("a"), 0.0)
        circulation = _circulation(board, GateConfig(debounce="2s", spacing="5s"))
        _succeed(board, "a", 0.0)
        circulation.touch(0.0)
        circulation.advance(2.0)
        board.replace(fleet("a", "b"), 2.0)
        _succeed(board, "b", 3.0)
        circulation.touch(3.0)
        circulation.advance(8.9)
        assert [issue.at for issue in circulation.issues] == [2.0]
        circulation.advance(9.0)

        assert [issue.at for issue in circulation.issues] == [2.0, 9.0]

    def test_never_per_result(self):
        """The gate is asked when something changed, not for each result."""

        class Watched(Board):
            asked = 0

            def __iter__(self):
                self.asked += 1
                return super().__iter__()

        board = Watched()
        board.replace(fleet("a"), 0.0)
        circulation = _circulation(board, GateConfig())
        _succeed(board, "a", 0.0)
        circulation.touch(0.0)
        circulation.advance(10.0)
        before = board.asked
        for second in range(1000):
            circulation.advance(10.0 + second)

        assert board.asked == before
        assert len(circulation.issues) == 1

    def test_first_round(self):
        """A node without a conclusive result holds the first publication for three intervals."""
        trace = told(story("a", "." * 10), story("b", "?" * 10))

        replayed = run(trace, fleet("a", "b"), Rules())

        assert published(replayed) == [(92.0, "a")]
        assert replayed.modes[Mode.WAITING] == 92.0

    def test_the_first_publication_may_have_to_wait(self):
        """When nobody is up by the end of the first round, the first who rises is published."""
        trace = told(story("a", "xxxxxx.........."))

        (down,) = run(trace, fleet("a"), Rules()).downs
        assert published(run(trace, fleet("a"), Rules())) == [(242.5, "a")]
        assert down.until == 240.5

    def test_change_at_the_very_end(self):
        """What changed last is published, although no result follows it."""
        trace = told(story("a", "...."), story("b", ".xxxx", begin=1))

        assert published(run(trace, fleet("a", "b"), Rules(gate=GENTLE)))[-1] == (123.5, "a")


class TestMonitor:
    """While the monitor's own line is bad, nothing is believed."""

    def test_offline(self):
        """It ends with the first conclusive result; what is our own fault does not end it."""
        trace = told(story("a", "..cc...."), story("b", "..cc?...", begin=1))

        replayed = run(trace, fleet("a", "b"), Rules())

        # Each a debounce later: from the first bad control request to the next success.
        assert replayed.modes[Mode.OFFLINE] == 120.5 - 60.5
        assert len(replayed.issues) == 1

    def test_a_failure_shows_that_the_line_is_good(self):
        """A conclusive failure means that the control request went well."""
        trace = told(story("a", "..c?...."), story("b", "..cx....", begin=1))

        assert run(trace, fleet("a", "b"), Rules()).modes[Mode.OFFLINE] == 91.5 - 60.5

    def test_nothing_is_removed(self):
        """A node that fell just before is not removed while nothing can be believed."""
        trace = told(story("a", ".....c......"), story("b", ".xxxxxxxxxxx", begin=29.9))

        replayed = run(trace, fleet("a", "b"), Rules(gate=GENTLE))

        (down,) = replayed.downs
        assert down.at == pytest.approx(149.9 + TOOK)
        assert replayed.issues[-1].at == pytest.approx(179.9 + TOOK + 2)
        assert replayed.issues[-1].removed == ("b",)


class TestRestart:
    """A long gap of the whole recording: the daemon was not running."""

    def test_old_states_are_not_believed(self):
        """Three failures before the gap and one after it are no four in a row."""
        trace = told(story("a", ".xxx"), story("a", "x...", begin=2000.0))

        assert run(trace, fleet("a"), Rules()).downs == ()

    def test_who_was_down_is_unknown(self):
        """A node that was down is so no longer."""
        trace = told(story("a", ".xxxx"), story("a", "....", begin=2000.0))

        (down,) = run(trace, fleet("a"), Rules()).downs
        assert down.until == 2000.5

    def test_short_gap(self):
        """A short stop changes nothing: counters go on."""
        trace = told(story("a", ".xxx"), story("a", "x", begin=500.0))

        assert [down.at for down in run(trace, fleet("a"), Rules()).downs] == [500.5]

    def test_node_that_is_asked_seldom(self):
        """A gap that the rules themselves make, in a recording of one node, is no stop."""
        rules = VerdictConfig(down_slow_interval="10m")
        trace = told(story("a", ".xxxx"), story("a", "xx", begin=1000.0, every=1100.0))

        (down,) = run(trace, fleet("a"), Rules(verdict=rules)).downs
        assert down.until is None


def test_nothing():
    """A recording without results cannot be replayed."""
    with pytest.raises(ReplayError, match="recording: holds no results of this time"):
        run([], [], Rules())


def test_fleet():
    """Recorded nodes in the configuration's order, then those that it does not know."""
    known = [builders.node("b", role=Role.PRIMARY), builders.node("a"), builders.node("idle")]

    found = running.fleet_of(known, ["x", "a", "b"])

    assert [node.id for node in found] == ["b", "a", "x"]
    assert found[0] is known[0]
    assert found[2].role is Role.FAILOVER


# --- agreement ---


def simulated(seed: int, hours: float) -> tuple[Trace, list[tuple[str, Transition]]]:
    """A board that is fed as the daemon feeds it; what was recorded, and the transitions."""
    dice, rules, probe = random.Random(seed), VerdictConfig(), ProbeConfig()
    ids, board, trace, seen = ["a", "b", "c"], Board(), Trace(), []
    board.replace(fleet(*ids), 0.0)
    slots = {each: schedule.next_slot(0.0, schedule.phase(each, 30.0), 30.0, 0.0) for each in ids}
    turns = [(Turn(at, slot=True), each) for each, at in slots.items()]
    heapq.heapify(turns)
    while turns[0][0].at < hours * 3600:
        turn, each = heapq.heappop(turns)
        if turn.slot:
            slots[each] = turn.at + 30.0
        hard_time = int(turn.at // 400) % 4 == ids.index(each)
        bad = dice.random() < (0.9 if hard_time else 0.1)
        took = round(dice.choice([0.02, 10.0]) if bad else dice.uniform(0.1, 0.4), 3)
        result = failure(Reason.DEADLINE) if bad else success(took)
        now = turn.at + took
        found = board.observe(
            each, result, slot=turn.slot, began=turn.at, now=now, wall=now, rules=rules
        )
        seen += [(each, transition) for transition in found]
        trace.append((now, each, Recorded(turn.at, took, result, turn.slot)))
        following = schedule.next_turn(
            board[each].state, slot=slots[each], began=turn.at, now=now, probe=probe, rules=rules
        )
        heapq.heappush(turns, (following, each))
    return sorted(trace, key=lambda row: row[0]), seen


def _told(transitions) -> list[tuple[float, str, Health, Health, str]]:
    rows = [(round(t.at, 2), node, t.before, t.after, t.evidence) for node, t in transitions]
    return sorted(rows)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_daemon(seed):
    """Replayed with the parameters of its own time, a recording has the same transitions."""
    trace, seen = simulated(seed, hours=3)

    replayed = run(trace, fleet("a", "b", "c"), Rules())

    assert {Health.DOWN, Health.RECOVERING} < {transition.after for _, transition in seen}
    assert _told(seen) == _told(replayed.transitions)


def test_agrees_through_a_file():
    """So it has when it was written to a file and read again."""
    trace, seen = simulated(7, hours=3)
    lines = [reading.as_line(node, each).encode() for _, node, each in trace]

    again = recording.merged(reading.read_results("file", lines))

    replayed = run(again, fleet("a", "b", "c"), Rules())
    assert [(a, b, d) for _, a, b, _, d in _told(seen)] == [
        (a, b, d) for _, a, b, _, d in _told(replayed.transitions)
    ]


def _circulation(board: Board, gate: GateConfig) -> Circulation:
    return Circulation(
        board, gate, limit=0, select=(), interval=0.0, now=0.0, first_round_ends=90.0
    )


def _succeed(board: Board, node_id: str, at: float) -> None:
    board.observe(
        node_id, success(0.1), slot=True, began=at, now=at, wall=at, rules=VerdictConfig()
    )
