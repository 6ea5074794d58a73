"""Slow or not: one line per slot."""

from dataclasses import replace
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.config import VerdictConfig
from healthd.model import Reason, failure, success
from healthd.verdict import machine, quality
from healthd.verdict.machine import State
from healthd.verdict.quality import NEW, Speed
from tests.builders import verdict_rules

RULES = VerdictConfig()
SLOT = 30.0
QUICK, SLOW = 0.1, 9.0


def observed(
    *latencies: float, speed: Speed = NEW, at: float = 0.0, rules: VerdictConfig = RULES
) -> list[Speed]:
    """What is remembered after each of these slots."""
    found = []
    for number, latency in enumerate(latencies):
        speed = quality.observe(speed, latency, at + SLOT * number, rules)
        found.append(speed)
    return found


def usual(latency: float, rules: VerdictConfig = RULES) -> Speed:
    """A node that has been like that for an hour."""
    return observed(*[latency] * 120, rules=rules)[-1]


class TestAverage:
    def test_begins_with_the_first(self):
        """The first latency is the average of one."""
        (speed,) = observed(0.4)

        assert speed.average == 0.4

    def test_a_fifth_of_each_new_one(self):
        """Smoothed: each latency moves it by a fifth of the distance."""
        averages = [speed.average for speed in observed(1.0, 2.0, 2.0, 0.0)]

        assert averages == pytest.approx([1.0, 1.2, 1.36, 1.088])

    @given(st.lists(st.floats(0.001, 30.0), min_size=1, max_size=30))
    def test_of_every_slot(self, latencies):
        """Whatever else a slot changes, its latency goes into the average."""
        expected = latencies[0]
        hasty = VerdictConfig(slow_slots=1, slow_clear_slots=1)
        for latency, speed in zip(latencies, observed(*latencies, rules=hasty), strict=True):
            expected += (latency - expected) / 5
            assert speed.average == pytest.approx(expected)

    def test_nothing_is_known_at_first(self):
        """A new node is quick until it proves otherwise."""
        assert Speed(None, slow=False, run=0, samples=(), sampled_at=None, usual=0.0) == NEW


class TestMark:
    @pytest.mark.parametrize(
        ("median_of_the_day", "mark", "why"),
        [
            (0.0, 1.5, "nothing is known: the absolute mark"),
            (0.1, 1.5, "three times the median is less than that"),
            (0.5, 1.5, "just as much"),
            (0.6, 1.8, "a node that is far away may take its time"),
            (2.0, 6.0, "further still"),
        ],
    )
    def test_is_the_higher_of_two(self, median_of_the_day, mark, why):
        """1500 ms, or three times what is usual for the node."""
        found = quality.mark(Speed(usual=median_of_the_day), RULES)

        assert (mark, why) == (pytest.approx(found), why)

    def test_parameters(self):
        """Both can be set."""
        rules = VerdictConfig(slow_above="200ms", slow_factor=1.5)

        assert quality.mark(Speed(usual=0.1), rules) == 0.2
        assert quality.mark(Speed(usual=1.0), rules) == 1.5


class TestSlow:
    def test_after_five_slots_above_the_mark(self):
        """One latency of 9 s lifts the average of a quick node; five slots above make it slow."""
        before = replace(usual(QUICK), average=1.5)
        speeds = observed(1.6, 1.6, 1.6, 1.6, 1.6, 1.6, speed=before)

        assert [(speed.run, speed.slow) for speed in speeds] == [
            (1, False),
            (2, False),
            (3, False),
            (4, False),
            (0, True),
            (0, True),
        ]

    def test_a_slot_at_the_mark_begins_anew(self):
        """Four above, one that is not, four above: the count is of slots in a row."""
        above = observed(*[1.6] * 4, speed=replace(usual(QUICK), average=1.5))[-1]
        not_above = quality.observe(above, 0.0, 1000.0, RULES)
        assert not_above.average is not None
        assert not_above.average < 1.5
        again = observed(*[1.6] * 4, speed=replace(not_above, average=1.5))

        assert [above.run, not_above.run, *(speed.run for speed in again)] == [4, 0, 1, 2, 3, 4]
        assert not any(speed.slow for speed in (above, not_above, *again))

    def test_exactly_at_the_mark_is_not_above(self):
        """The mark itself is still quick enough."""
        steady = observed(*[1.5] * 20, speed=replace(usual(QUICK), average=1.5))

        assert {(speed.average, speed.run, speed.slow) for speed in steady} == {(1.5, 0, False)}

    def test_single_outlier(self):
        """One probe of 3 s does not even begin a count: the average stays below the mark."""
        (speed,) = observed(3.0, speed=usual(QUICK))

        assert (speed.slow, speed.run) == (False, 0)

    def test_far_away_is_not_slow(self):
        """A node that always takes 2 s is as it always was."""
        assert not any(speed.slow for speed in observed(*[2.0] * 500))

    def test_three_times_as_slow_as_usual(self):
        """For such a node the mark is 6 s."""
        before = usual(2.0)

        assert not observed(*[5.9] * 20, speed=before)[-1].slow
        assert observed(*[9.0] * 10, speed=before)[-1].slow


class TestQuickAgain:
    def test_after_ten_slots_below_four_fifths(self):
        """Below 1.2 s for ten slots; what lies between the two marks does not count."""
        slow = replace(usual(QUICK), average=1.3, slow=True)
        between = observed(*[1.3] * 20, speed=slow)  # what follows: 1.24, 1.19 …
        speeds = observed(*[1.0] * 13, speed=between[-1])

        assert {(speed.run, speed.slow) for speed in between} == {(0, True)}
        assert [speed.run for speed in speeds] == [0, *range(1, 10), 0, 0, 0]
        assert [speed.slow for speed in speeds] == [True] * 10 + [False] * 3

    def test_exactly_at_the_mark_is_not_below(self):
        """The lower mark itself is still too slow."""
        half = VerdictConfig(slow_clear=0.5)
        slow = replace(usual(QUICK), average=0.75, slow=True)

        assert {speed.run for speed in observed(*[0.75] * 12, speed=slow, rules=half)} == {0}

    def test_one_slot_begins_anew(self):
        """The count is of slots in a row here, too."""
        slow = replace(usual(QUICK), average=1.0, slow=True)
        *_, nearly = observed(*[1.0] * 9, speed=slow)
        spoilt = quality.observe(nearly, 5.0, 1000.0, RULES)

        assert (nearly.run, spoilt.run, spoilt.slow) == (9, 0, True)

    def test_goes_both_ways(self):
        """From quick to slow and back, each time by its own count."""
        speeds = observed(*[QUICK] * 120, *[SLOW] * 20, *[QUICK] * 40)
        changes = [
            (number, speed.slow)
            for number, (before, speed) in enumerate(zip([NEW, *speeds[:-1]], speeds, strict=True))
            if before.slow is not speed.slow
        ]

        # One slot lifts the average to 1.88 s; 0.1 + 8.9 * 0.8**n is below 1.2 s from n = 10 on.
        assert changes == [(124, True), (158, False)]


class TestSwitchedOff:
    def test_nobody_is_slow(self):
        """With slow_slots = 0 no latency makes a node slow, and who was slow is no more."""
        off = VerdictConfig(slow_slots=0)

        assert not any(speed.slow or speed.run for speed in observed(*[SLOW] * 50, rules=off))
        (let_go,) = observed(SLOW, speed=Speed(9.0, slow=True, run=3), rules=off)
        assert (let_go.slow, let_go.run) == (False, 0)

    def test_average_goes_on(self):
        """It is still measured, for when slowness is switched on again."""
        off = VerdictConfig(slow_slots=0)

        assert observed(1.0, 2.0, rules=off)[-1].average == pytest.approx(1.2)


class TestUsual:
    def test_one_latency_each_quarter_of_an_hour(self):
        """Of thirty slots one is kept, from the first on."""
        speeds = observed(*(number / 100 for number in range(1, 92)))

        assert speeds[-1].samples == (0.01, 0.31, 0.61, 0.91)
        assert speeds[-1].usual == pytest.approx(0.46)
        assert speeds[-1].sampled_at == 2700.0

    def test_to_a_tenth_of_a_millisecond(self):
        """More would only fill the store."""
        (speed,) = observed(0.12345678)

        assert (speed.samples, speed.usual) == ((0.1235,), 0.1235)

    def test_of_one_day(self):
        """96 of them are kept: the oldest ones leave."""
        speed = NEW
        for number in range(200):
            speed = quality.observe(speed, float(number), 900.0 * number, RULES)

        assert speed.samples == tuple(float(number) for number in range(104, 200))

    def test_slow_for_a_day_is_usual(self):
        """Who is slow for more than half a day has become a slow node, and is compared to that."""
        speed = Speed(QUICK, samples=(QUICK,) * 96, sampled_at=0.0, usual=QUICK)
        found = []
        for number in range(1, 97):
            speed = quality.observe(speed, 2.0, 900.0 * number, RULES)
            found.append(speed.slow)

        # The average passes 1.5 s with the sixth; the median lies half way with the 48th.
        assert found == [False] * 9 + [True] * 47 + [False] * 40
        assert speed.usual == 2.0

    @given(st.lists(st.tuples(st.floats(0.001, 20.0), st.integers(30, 4000)), max_size=120))
    def test_is_the_median_of_the_samples(self, trace):
        """Worked out anew whenever one is added, and never more than a day of them."""
        speed, at = NEW, 0.0
        for latency, gap in trace:
            at += gap
            speed = quality.observe(speed, latency, at, RULES)

            assert len(speed.samples) <= 96
            assert speed.usual == median(speed.samples)


@given(
    st.lists(st.floats(0.001, 20.0), max_size=100),
    st.integers(1, 6),
    st.integers(1, 12),
)
def test_changes_only_after_a_whole_run(latencies, to_slow, to_quick):
    """Between two changes lie at least as many slots as the rules want."""
    rules = VerdictConfig(slow_slots=to_slow, slow_clear_slots=to_quick)
    slow, since = False, 0
    for speed in observed(*latencies, rules=rules):
        since += 1
        if speed.slow is not slow:
            assert since >= (to_slow if speed.slow else to_quick)
            slow, since = speed.slow, 0
        assert 0 <= speed.run < (to_quick if slow else to_slow)


@given(st.lists(st.floats(0.001, 20.0) | st.none(), min_size=1, max_size=60), verdict_rules)
def test_never_touches_health(latencies, rules):
    """The machine does not look at latencies: slow or quick, the same results mean the same."""
    state = plain = State(since=0.0)
    for number, latency in enumerate(latencies):
        at, bad = SLOT * number, failure(Reason.REFUSED)
        slow_one = bad if latency is None else success(latency)
        quick_one = bad if latency is None else success(QUICK)
        state, told = machine.observe(state, slow_one, slot=True, began=at, now=at, rules=rules)
        plain, same = machine.observe(plain, quick_one, slot=True, began=at, now=at, rules=rules)

        assert (state, told) == (plain, same)
