"""Damping: who falls again and again is held back until he has calmed down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.config import VerdictConfig
from healthd.model import Health, Reason, Result, failure, success
from healthd.verdict import damping, machine
from healthd.verdict.damping import NONE, Penalty
from healthd.verdict.machine import State
from tests.builders import verdict_rules

RULES = VerdictConfig()
OFF = VerdictConfig(damping_hold=0)
HALF_LIFE = 900.0

GOOD, BAD = success(0.03), failure(Reason.REFUSED)
UP, SUSPECT, DOWN, HELD = Health.UP, Health.SUSPECT, Health.DOWN, Health.HELD
RECOVERING, UNKNOWN = Health.RECOVERING, Health.UNKNOWN


def after_falls(*at: float, rules: VerdictConfig = RULES, penalty: Penalty = NONE) -> Penalty:
    for moment in at:
        penalty = damping.after_fall(penalty, moment, rules)
    return penalty


class TestPoints:
    def test_a_fall_costs_a_thousand(self):
        """The account is empty at first; each fall adds 1000 points to what is left of it."""
        assert Penalty(0.0, 0.0, held=False) == NONE
        assert damping.points(NONE, 1e9, RULES) == 0.0
        assert Penalty(1000.0, 50.0) == after_falls(50.0)
        assert Penalty(1500.0, 950.0) == after_falls(50.0, 950.0)

    @pytest.mark.parametrize(
        ("age", "left"), [(0, 1000), (900, 500), (1800, 250), (9000, 1000 / 1024), (1e9, 0)]
    )
    def test_half_of_them_every_quarter_of_an_hour(self, age, left):
        """They decay with the half-life, down to nothing."""
        assert left == pytest.approx(damping.points(after_falls(50), 50 + age, RULES))

    def test_half_life_is_a_parameter(self):
        """A shorter half-life forgets sooner."""
        quick = VerdictConfig(damping_half_life="60s")

        assert damping.points(after_falls(0.0), 120.0, quick) == 250.0

    def test_never_more_than_the_cap(self):
        """Ten falls at once cost no more than four: nobody is held for ever."""
        assert after_falls(*[0.0] * 10).points == 4000.0
        assert after_falls(*[0.0] * 10, rules=VerdictConfig(damping_cap=2600)).points == 2600.0

    def test_time_that_runs_backwards_adds_none(self):
        """A clock that was set back by a restart makes no points."""
        assert damping.points(after_falls(1000.0), 0.0, RULES) == 1000.0


class TestHeld:
    def test_marks(self):
        """It is held from 2500 points at a fall until fewer than 1000 are left, and not before."""
        below, at_it = Penalty(1499.0, 0.0), Penalty(1500.0, 0.0)

        assert not damping.is_held(after_falls(0.0, penalty=below), 0.0, RULES)
        held = after_falls(0.0, penalty=at_it)
        assert held == Penalty(2500.0, 0.0, held=True)
        assert damping.is_held(Penalty(2000.0, 0.0, held=True), HALF_LIFE, RULES)
        assert not damping.is_held(Penalty(2000.0, 0.0, held=True), HALF_LIFE + 0.01, RULES)

    def test_needs_the_mark_at_a_fall(self):
        """Between the two marks only he is held who reached the upper one."""
        assert not damping.is_held(Penalty(2400.0, 0.0), 0.0, RULES)
        assert damping.is_held(Penalty(2400.0, 0.0, held=True), 0.0, RULES)

    def test_one_more_fall_does_not_let_go(self):
        """Who is held, and falls with less than the mark in total, stays held."""
        again = after_falls(0.0, penalty=Penalty(1200.0, 0.0, held=True))

        assert again == Penalty(2200.0, 0.0, held=True)

    def test_calmed_down_is_forgotten(self):
        """Who was held once, and was let go, needs the whole mark to be held again."""
        again = after_falls(0.0, penalty=Penalty(900.0, 0.0, held=True))

        assert again == Penalty(1900.0, 0.0, held=False)

    @pytest.mark.parametrize(("minutes", "held"), [(1, True), (4, True), (4.5, False), (30, False)])
    def test_three_falls(self, minutes, held):
        """Three falls hold a node when they lie within eight minutes."""
        falls = [60 * minutes * n for n in range(3)]

        assert held is damping.is_held(after_falls(*falls), falls[-1], RULES)

    @pytest.mark.parametrize(
        ("minutes", "held"), [(5, True), (11, True), (12, False), (15, False), (240, False)]
    )
    def test_falls_that_go_on(self, minutes, held):
        """A node that drops every eleven minutes is held in the end; every quarter hour, never."""
        falls = [60.0 * minutes * n for n in range(100)]

        assert held is damping.is_held(after_falls(*falls), falls[-1], RULES)

    def test_for_about_twenty_minutes(self):
        """At the mark it takes 19.8 minutes to calm down; at the cap, half an hour."""
        at_the_mark = Penalty(2500.0, 0.0, held=True)
        at_the_cap = after_falls(*[0.0] * 4)

        assert damping.is_held(at_the_mark, 19.8 * 60, RULES)
        assert not damping.is_held(at_the_mark, 19.9 * 60, RULES)
        assert damping.is_held(at_the_cap, 1800.0, RULES)
        assert not damping.is_held(at_the_cap, 1800.1, RULES)

    def test_switched_off(self):
        """With damping_hold = 0 nobody is held: no new one, and not who was held until now."""
        assert not damping.is_held(after_falls(*[0.0] * 9, rules=OFF), 0.0, OFF)
        assert not damping.is_held(Penalty(4000.0, 0.0, held=True), 0.0, OFF)

    def test_switched_on_again(self):
        """Falls from before do not hold anybody by themselves; with the next one they count."""
        before = after_falls(*[0.0] * 3, rules=OFF)

        assert not damping.is_held(before, 0.0, RULES)
        assert damping.is_held(after_falls(0.0, penalty=before), 0.0, RULES)

    @given(st.lists(st.integers(0, 7200), min_size=1), st.integers(0, 100_000), verdict_rules)
    def test_account(self, gaps, later, rules):
        """Whatever happens: 0 <= points <= cap, and without a fall they only become fewer."""
        penalty, now = NONE, 0.0
        for gap in gaps:
            now += gap
            before = damping.points(penalty, now, rules)
            penalty = damping.after_fall(penalty, now, rules)
            assert penalty.points == min(before + 1000.0, rules.damping_cap)
            reached = 0 < rules.damping_hold <= penalty.points
            assert reached <= penalty.held <= (rules.damping_hold > 0)

        left = damping.points(penalty, now + later, rules)
        assert 0.0 <= left <= penalty.points
        held = damping.is_held(penalty, now + later, rules)
        assert held is (penalty.held and left >= rules.damping_release)


def fall(state: State, at: float, rules: VerdictConfig = RULES) -> State:
    """Four failures, five and more seconds apart: down at ``at``."""
    for before in (21.0, 15.0, 5.0, 0.0):
        state = step(state, at - before, BAD, rules)
    assert state.health is DOWN
    return state


def rise(state: State, at: float, rules: VerdictConfig = RULES) -> State:
    """Three successes ten seconds apart, the last of them at ``at``."""
    for before in (20.0, 10.0, 0.0):
        state = step(state, at - before, GOOD, rules)
    return state


def step(state: State, at: float, result: Result, rules: VerdictConfig = RULES) -> State:
    return machine.observe(state, result, slot=True, began=at, now=at, rules=rules)[0]


def flapping(rules: VerdictConfig = RULES) -> State:
    """Down every four minutes, and up again in between: down for the third time at 580."""
    state = step(State(since=0.0), 0.0, GOOD, rules)
    for at in (100.0, 340.0):
        state = rise(fall(state, at, rules), at + 90.0, rules)
        assert state.health is UP
    return fall(state, 580.0, rules)


class TestNode:
    def test_that_drops_every_few_minutes(self):
        """After the third time it is held instead of up, until it has calmed down for a while."""
        state = rise(flapping(), 670.0)
        assert (state.health, state.since) == (HELD, 670.0)

        at = 700.0
        while state.health is HELD:
            at += 30.0
            state = step(state, at, GOOD)
        # 2522 points at 580; 1000 of them are left after log2(2.522) = 1.335 half-lives, at 1781.
        assert (state.health, at) == (UP, 1810.0)
        assert (state.probation_until, state.slots) == (at + 600.0, ())

    def test_that_drops_every_few_hours(self):
        """It is never held, however often that goes on."""
        state = step(State(since=0.0), 0.0, GOOD)
        for hours in range(2, 100, 2):
            state = rise(fall(state, 3600.0 * hours), 3600.0 * hours + 90)
            assert state.health is UP

    def test_without_damping(self):
        """With damping_hold = 0 it comes back each time."""
        assert rise(flapping(OFF), 670.0, OFF).health is UP

    def test_held_and_let_go_by_a_reload(self):
        """When damping is switched off, a held node is back with its next success."""
        assert step(rise(flapping(), 670.0), 700.0, GOOD, OFF).health is UP

    def test_held_and_failing(self):
        """A held node falls by the fall rule, not sooner; that costs points as well."""
        state = rise(flapping(), 670.0)
        before = damping.points(state.penalty, 721.0, RULES)
        for at in (700.0, 705.0, 710.0):
            state = step(state, at, BAD)
            assert (state.health, state.down_since) == (HELD, None)
        state = step(state, 721.0, BAD)

        assert (state.health, state.down_since) == (DOWN, 721.0)
        assert state.penalty == Penalty(before + 1000.0, 721.0, held=True)

    def test_held_and_hiccuping(self):
        """A failure or two change nothing: it stays held, and is let go at its time."""
        state = rise(flapping(), 670.0)
        for at, result in ((700.0, BAD), (705.0, BAD), (730.0, GOOD), (1780.0, GOOD)):
            state = step(state, at, result)
            assert state.health is HELD

        assert step(state, 1782.0, GOOD).health is UP

    def test_only_a_success_lets_go(self):
        """Calm enough, but failing at the moment: it is held until a probe goes well."""
        state = step(rise(flapping(), 670.0), 3000.0, BAD)
        assert state.health is HELD

        assert step(state, 3005.0, GOOD).health is UP

    def test_calm_before_it_rises(self):
        """Who was down long enough for his points to decay is up at once when he rises."""
        assert rise(flapping(), 2000.0).health is UP

    def test_held_and_sent_to_requalify(self):
        """An operator's work on a held node takes no points away: it rises to being held."""
        state, _ = machine.requalify(rise(flapping(), 670.0), 700.0, RULES, "done")
        assert state.health is RECOVERING

        assert rise(state, 730.0).health is HELD

    def test_that_never_worked(self):
        """UNKNOWN to DOWN is no flapping, and costs nothing."""
        state = State(since=0.0)
        for at in (0.0, 10.0, 20.0, 30.0):
            assert state.health is UNKNOWN
            state = step(state, at, BAD)

        assert (state.health, state.penalty) == (DOWN, NONE)

    def test_that_relapses(self):
        """Failing while it recovers belongs to the fall before, and costs nothing more."""
        fallen = fall(step(State(since=0.0), 0.0, GOOD), 100.0)
        state = step(step(fallen, 120.0, GOOD), 130.0, BAD)

        assert (state.health, state.penalty) == (DOWN, fallen.penalty)

    def test_that_the_engine_refuses_meanwhile(self):
        """Its account outlives that: the next fall adds to it."""
        state = step(flapping(), 600.0, failure(Reason.ENGINE_REJECTED))
        state = step(state, 630.0, GOOD)
        assert state.health is UP

        assert rise(fall(state, 700.0), 790.0).health is HELD
