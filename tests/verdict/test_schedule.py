"""The grid of slots, and the rechecks between them."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from healthd.config import ProbeConfig, VerdictConfig
from healthd.model import Health
from healthd.verdict import schedule
from healthd.verdict.machine import State
from healthd.verdict.schedule import Turn
from tests.builders import verdict_rules

PROBE = ProbeConfig()
RULES = VerdictConfig()


class TestPhase:
    @pytest.mark.parametrize(
        ("node_id", "expected"),
        [("de-1", 23.955907), ("de-2", 25.755332), ("hk-1", 13.454622), ("ß", 24.050214)],
    )
    def test_is_stable(self, node_id, expected):
        """The phase of an id is the same on every run, machine and version."""
        assert expected == pytest.approx(schedule.phase(node_id, 30.0), abs=1e-6)

    def test_scales_with_the_interval(self):
        """A node keeps its relative place when the interval changes."""
        assert schedule.phase("de-1", 60.0) == pytest.approx(2 * schedule.phase("de-1", 30.0))

    def test_spreads_evenly(self):
        """A thousand nodes load each tenth of the interval about equally."""
        buckets = Counter(int(schedule.phase(f"node-{n}", 30.0) // 3) for n in range(1000))

        assert set(range(10)) == set(buckets)
        # 100 each, with a standard deviation of 9.5.
        assert 70 < min(buckets.values()) <= max(buckets.values()) < 130

    @given(st.text(max_size=64), st.floats(0.1, 86400.0))
    def test_lies_within_the_interval(self, node_id, interval):
        """The phase never reaches into the next interval."""
        assert 0.0 <= schedule.phase(node_id, interval) < interval


class TestNextSlot:
    @pytest.mark.parametrize(
        ("after", "expected"),
        [(-31.0, -23.0), (0.0, 7.0), (6.999, 7.0), (7.0, 37.0), (7.001, 37.0), (100.0, 127.0)],
    )
    def test_on_the_grid(self, after, expected):
        """The grid has no beginning, and a slot's own time belongs to the slot before."""
        assert expected == schedule.next_slot(0.0, 7.0, 30.0, after)

    @given(
        st.floats(-2e9, 2e9),
        st.floats(0.0, 1.0, exclude_max=True),
        st.floats(0.1, 3600.0),
        st.floats(-1e6, 1e7),
    )
    @example(base=-1.7e9, offset=0.1, interval=0.1, after=5.0)
    @example(base=0.0, offset=0.27, interval=0.7, after=19471.388999999996)  # rounds onto itself
    def test_is_the_next_one(self, base, offset, interval, after):
        """It is strictly later, no more than one interval, and on the grid."""
        slot = schedule.next_slot(base, offset * interval, interval, after)

        rounding = 1e-5
        steps = (slot - base - offset * interval) / interval
        assert after < slot <= after + interval + rounding
        assert abs(steps - round(steps)) * interval < rounding

    @given(st.integers(-1000, 1000), st.integers(0, 29), st.integers(1, 200))
    def test_walks_the_grid(self, base, offset, count):
        """From slot to slot no time is lost and none is skipped."""
        slots = [float(base + offset)]
        for _ in range(count):
            slots.append(schedule.next_slot(base, offset, 30.0, slots[-1]))

        assert [base + offset + 30.0 * k for k in range(count + 1)] == slots


@pytest.mark.parametrize(
    ("interval", "expected"), [(30.0, 1.0), (60.0, 1.0), (3600.0, 1.0), (15.0, 0.5), (3.0, 0.1)]
)
def test_tolerance(interval, expected):
    """A slot may be a second late at 30 s, and less on a finer grid."""
    assert expected == pytest.approx(schedule.tolerance(interval))


def turn(
    health, *, failures=0, fell=0.0, slot=30.0, began=0.0, now=0.1, probe=PROBE, rules=RULES
) -> Turn:
    fallen = fell if health in {Health.DOWN, Health.RECOVERING} else None
    state = State(health=health, since=fell, failures=failures, down_since=fallen)
    return schedule.next_turn(state, slot=slot, began=began, now=now, probe=probe, rules=rules)


TURNS = [
    (Health.UNKNOWN, 0, Turn(30.0, slot=True), "nothing failed yet: its slots do"),
    (Health.UNKNOWN, 1, Turn(5.0, slot=False), "failing: a verdict is wanted soon"),
    (Health.UP, 0, Turn(30.0, slot=True), "its slots are enough"),
    (Health.SUSPECT, 1, Turn(5.0, slot=False), "fast_interval"),
    (Health.DOWN, 9, Turn(15.0, slot=False), "down_interval"),
    (Health.RECOVERING, 0, Turn(10.0, slot=False), "rise_interval"),
    (Health.HELD, 0, Turn(30.0, slot=True), "it works: its slots do"),
    (Health.HELD, 1, Turn(5.0, slot=False), "failing: it may fall like any other"),
    (Health.INVALID, 0, Turn(30.0, slot=True), "settings do not mend themselves"),
]


class TestNextTurn:
    @pytest.mark.parametrize(("health", "failures", "expected", "why"), TURNS)
    def test_of_each_health(self, health, failures, expected, why):
        """Only who is suspected, failing, down or recovering is probed between slots."""
        assert (expected, why) == (turn(health, failures=failures), why)

    def test_table_is_complete(self):
        """Every health has its row."""
        assert set(Health) == {health for health, *_ in TURNS}

    def test_spaced_between_beginnings(self):
        """The pause counts from the beginning of the probe before, however long that took."""
        assert Turn(5.0, slot=False) == turn(Health.SUSPECT, now=4.0)

    def test_at_once_when_the_pause_is_over(self):
        """After a probe longer than the pause the recheck follows immediately."""
        assert Turn(10.0, slot=False) == turn(Health.SUSPECT, now=10.0)

    @pytest.mark.parametrize(
        ("began", "expected", "why"),
        [
            (14.9, Turn(19.9, slot=False), "ends at 29.9, before the slot"),
            (15.0, Turn(20.0, slot=False), "ends with the slot's beginning"),
            (16.0, Turn(21.0, slot=False), "ends a second behind: that is tolerated"),
            (16.1, Turn(30.0, slot=True), "could be later than tolerated: gives way"),
            (25.0, Turn(30.0, slot=True), "would hold up the slot"),
        ],
    )
    def test_recheck_gives_way_to_the_slot(self, began, expected, why):
        """A recheck that could not end before the next slot, give or take, does not begin."""
        assert (expected, why) == (turn(Health.SUSPECT, began=began, now=began), why)

    def test_silent_node_keeps_its_slots(self):
        """10 s to each failure: rechecks at 10 and 20 s, then the slot at 30, give or take."""
        first = turn(Health.SUSPECT, began=0.0, now=10.01)
        second = turn(Health.SUSPECT, began=first.at, now=first.at + 10.01)
        third = turn(Health.SUSPECT, began=second.at, now=second.at + 10.01)

        assert [(round(at, 2), slot) for at, slot, _ in (first, second, third)] == [
            (10.01, False),
            (20.02, False),
            (30.0, True),
        ]

    def test_recheck_interval_longer_than_the_slots(self):
        """Whatever would come later than the next slot gives way to it."""
        rules = VerdictConfig(down_interval="10m")

        assert Turn(30.0, slot=True) == turn(Health.DOWN, rules=rules)


class TestBackOff:
    """A node that stays down is asked less and less, but always again."""

    @pytest.mark.parametrize(
        ("down_for", "expected", "why"),
        [
            (0.0, Turn(15.0, slot=False), "just fallen"),
            (299.9, Turn(15.0, slot=False), "down for nearly five minutes"),
            (300.0, Turn(30.0, slot=True), "five minutes: its slots do"),
            (3599.9, Turn(30.0, slot=True), "nearly an hour"),
            (3600.0, Turn(60.0, slot=True, left_out=1), "an hour: every other slot"),
            (30 * 86400.0, Turn(60.0, slot=True, left_out=1), "after a month still the same"),
        ],
    )
    def test_boundaries(self, down_for, expected, why):
        """15 s for five minutes, then 30 s, after an hour 60 s."""
        assert (expected, why) == (turn(Health.DOWN, fell=0.1 - down_for), why)

    @pytest.mark.parametrize(
        ("slow", "left_out"),
        [
            *(("10s", 0), ("30s", 0), ("44s", 0), ("46s", 1), ("60s", 1), ("89s", 2), ("5m", 9)),
            ("1h", 119),
        ],
    )
    def test_slow_interval_keeps_to_the_grid(self, slow, left_out):
        """It is rounded to whole slots; one shorter than the slots leaves none out."""
        rules = VerdictConfig(down_slow_interval=slow)
        expected = Turn(30.0 + 30.0 * left_out, slot=True, left_out=left_out)

        assert expected == turn(Health.DOWN, fell=-3600.0, rules=rules)

    def test_switched_off(self):
        """Without a fast and a slow time the slots are all there is, from the fall on."""
        rules = VerdictConfig(down_fast_for="0s", down_slow_after="400d")

        assert Turn(30.0, slot=True) == turn(Health.DOWN, rules=rules)

    @pytest.mark.parametrize("health", [h for h in Health if h is not Health.DOWN])
    def test_is_for_the_down_only(self, health):
        """All others are asked in each of their slots, however long they have been like that."""
        found = turn(health, failures=1, fell=-86400.0)

        assert (found.left_out, found.at <= 30.0) == (0, True)

    def test_relapse_goes_on_where_it_was(self):
        """The time counts from the fall: a relapse after an hour is no reason to hurry again."""
        state = State(health=Health.DOWN, since=0.0, down_since=-3600.0, failures=1)
        found = schedule.next_turn(state, slot=30.0, began=0.0, now=0.1, probe=PROBE, rules=RULES)

        assert Turn(60.0, slot=True, left_out=1) == found

    def test_recovers_at_full_speed(self):
        """Once it works again, however late, it is asked every rise_interval."""
        assert Turn(10.0, slot=False) == turn(Health.RECOVERING, fell=-86400.0)

    def test_first_hours(self):
        """A dead node that refuses at once: each probe of its first two hours and a bit."""
        state = State(health=Health.DOWN, since=0.0, down_since=0.0, failures=5)
        turns = [each for each, _ in walk(state, until=7300.0)]
        gaps = [later.at - earlier.at for earlier, later in pairwise(turns)]

        assert [round(gap, 6) for gap in gaps] == [*[15.0] * 20, *[30.0] * 110, *[60.0] * 61]
        assert turns[-1].at > 7200.0


def walk(
    state: State, *, until: float, took: float = 0.1, rules: VerdictConfig = RULES
) -> Iterator[tuple[Turn, float]]:
    """The probes of a node whose state stays the same, and when each of them begins."""
    slot, found, now = 30.0, Turn(0.0, slot=True), 0.0
    while found.at < until:
        began = max(found.at, now)
        yield found, began
        now = began + took
        found = schedule.next_turn(state, slot=slot, began=began, now=now, probe=PROBE, rules=rules)
        if found.slot:
            slot = found.at + PROBE.interval


@given(st.sampled_from(Health), st.integers(0, 1), st.floats(0.0, 10.0), verdict_rules)
@example(Health.DOWN, 1, 9.75, VerdictConfig(down_interval="21s"))  # ends behind the slot
def test_grid_is_kept(health, failures, took, rules):
    """Every slot lies on the grid, and begins a second late at most; none is forgotten."""
    state = State(health=health, since=0.0, failures=failures, down_since=0.0)
    walked = list(walk(state, until=4000.0, took=took, rules=rules))
    slots = [each for each, _ in walked if each.slot]

    assert slots[-1].at >= 4000.0 - max(30.0, rules.down_slow_interval + 15.0)
    assert [each.at for each in slots] == [30.0 * round(each.at / 30) for each in slots]
    assert sum(1 + each.left_out for each in slots[1:]) * 30.0 == slots[-1].at
    assert all(0.0 <= began - each.at <= 1.0 for each, began in walked)
    assert all(began + took <= later for (_, began), (_, later) in pairwise(walked))


@given(
    st.sampled_from(Health),
    st.integers(0, 3),
    st.floats(0.0, 30.0),
    st.floats(0.0, 10.0),
    st.floats(0.1, 29.9),
    st.floats(0.0, 1e6),
    verdict_rules,
)
def test_two_probes_never_overlap(health, failures, began, took, deadline, down_for, rules):
    """Whatever the state and the rules, the next turn lies ahead and leaves the slot its time."""
    now = min(began + took, 30.0)
    probe = ProbeConfig(deadline=f"{deadline:.3f}s", max_clients=1000)

    at, slot, left_out = turn(
        health,
        failures=failures,
        fell=now - down_for,
        began=began,
        now=now,
        probe=probe,
        rules=rules,
    )

    assert now <= at
    assert (at == 30.0 + 30.0 * left_out) if slot else (at + probe.deadline <= 31.0)
    assert not left_out or (slot and health is Health.DOWN)
    assert 30.0 * left_out <= rules.down_slow_interval
