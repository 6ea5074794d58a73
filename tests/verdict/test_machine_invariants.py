"""One node on its grid through anything that may happen: what must always hold.

A daemon that goes on and one that is restarted again and again see the same results. A third party
keeps the books: it works out from the bare trace what the specification makes of it.
"""

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from healthd.config import ProbeConfig, VerdictConfig
from healthd.model import (
    IN_SERVICE,
    Health,
    Outcome,
    Reason,
    Result,
    failure,
    inconclusive,
    success,
)
from healthd.verdict import damping, machine, schedule
from healthd.verdict.machine import TRANSITIONS, State, Transition
from healthd.verdict.schedule import Turn
from tests.builders import verdict_rules

UNKNOWN, UP, SUSPECT, HELD = Health.UNKNOWN, Health.UP, Health.SUSPECT, Health.HELD
DOWN, RECOVERING, INVALID = Health.DOWN, Health.RECOVERING, Health.INVALID

GOOD, BAD = success(0.03), failure(Reason.REFUSED)
SILENT = failure(Reason.DEADLINE)
OURS = inconclusive(Reason.CONTROL_FAILED)
REFUSED = failure(Reason.ENGINE_REJECTED, "unknown cipher")

PROBE = ProbeConfig()
PHASE = 7.25

# Sums of quarters of a second are exact, on any of the clocks below.
moments = st.integers(0, 4).map(lambda quarters: quarters / 4)
lateness = moments | st.integers(0, 7200).map(float)
durations = st.integers(0, 40).map(lambda quarters: quarters / 4)
clocks = st.integers(-(2**31), 2**31).map(float)


class Seen(NamedTuple):
    """One conclusive result."""

    began: float
    slot: bool
    good: bool
    counts: bool
    """Whether it is far enough from the success that counted before it."""


@dataclass
class Account:
    """What the specification makes of the trace; it looks at whole rows, and has no counters."""

    health: Health = UNKNOWN
    trace: list[Seen | None] = field(default_factory=list)
    """Since the node last started clean. None: the operator sent it to requalify."""
    fell: float | None = None
    confirmed: bool = False
    probation_until: float | None = None
    points: float = 0.0
    points_at: float = 0.0
    held: bool = False

    def see(
        self, result: Result, slot: bool, began: float, ended: float, rules: VerdictConfig
    ) -> None:
        good = result.outcome is Outcome.SUCCESS
        if result.outcome is Outcome.INCONCLUSIVE or (self.health is UP and good and not slot):
            return  # nothing, or nothing new
        if result.reason is Reason.ENGINE_REJECTED:
            self.start_clean(INVALID)
            return
        if self.health is INVALID:
            self.start_clean(UNKNOWN)
        counted = [seen.began for seen in self.row(good=True) if seen.counts]
        far = not counted or began - counted[-1] >= rules.rise_interval
        fallen = self.health in {DOWN, RECOVERING}
        self.trace.append(Seen(began, slot, good, counts=good and fallen and far))
        self.forget(rules.window)
        match good, fallen:
            case True, True:
                self.succeed(ended, rules)
            case True, False if self.health is not HELD:
                self.health = UP
            case True, False if not self.is_held(ended, rules):
                self.rise(ended, rules)
            case False, True:
                self.confirmed |= self.health is DOWN
                self.fall(ended)
            case False, False:
                self.fail(ended, rules)

    def row(self, *, good: bool) -> list[Seen]:
        """The latest results in a row that are good, or bad."""
        found: list[Seen] = []
        for seen in reversed(self.trace):
            if seen is None or seen.good is not good:
                break
            found.insert(0, seen)
        return found

    def slots(self) -> list[Seen]:
        return [seen for seen in self.trace if seen is not None and seen.slot]

    def forget(self, window: int) -> None:
        """Slots that left the window do not come back when a reload widens it."""
        for old in self.slots()[:-window]:
            self.trace[self.trace.index(old)] = old._replace(slot=False)

    def start_clean(self, health: Health) -> None:
        self.health, self.trace, self.fell, self.confirmed = health, [], None, False
        self.probation_until = None

    def succeed(self, ended: float, rules: VerdictConfig) -> None:
        enough = sum(seen.counts for seen in self.row(good=True)) >= rules.rise
        if enough and (self.fell is None or ended - self.fell >= rules.min_down):
            self.rise(ended, rules)
        else:
            self.health = RECOVERING

    def rise(self, ended: float, rules: VerdictConfig) -> None:
        self.trace, self.fell = [], None
        self.health = HELD if self.is_held(ended, rules) else UP
        if self.health is UP:
            self.probation_until = ended + rules.probation

    def fail(self, ended: float, rules: VerdictConfig) -> None:
        row = self.row(good=False)
        slots = [seen.good for seen in self.slots()]
        in_a_row = len(row) >= rules.fall and row[-1].began - row[0].began >= rules.fall_after
        in_window = 0 < rules.window_failures <= slots.count(False)
        if in_a_row or in_window:
            if self.health is not UNKNOWN:
                self.charge(ended, rules)
            self.fall(ended)
        elif self.health is UP:
            self.health = SUSPECT

    def fall(self, ended: float) -> None:
        self.health = DOWN
        if self.fell is None:
            self.fell, self.confirmed = ended, False

    def left(self, now: float, rules: VerdictConfig) -> float:
        return float(self.points * 0.5 ** ((now - self.points_at) / rules.damping_half_life))

    def is_held(self, now: float, rules: VerdictConfig) -> bool:
        enough = self.left(now, rules) >= rules.damping_release
        return self.held and enough and rules.damping_hold > 0

    def charge(self, now: float, rules: VerdictConfig) -> None:
        was_held = self.is_held(now, rules)
        self.points = min(self.left(now, rules) + 1000, rules.damping_cap)
        self.points_at = now
        self.held = was_held or 0 < rules.damping_hold <= self.points

    def requalify(self) -> None:
        if self.health in {UP, SUSPECT, HELD}:
            self.health = RECOVERING
            self.trace.append(None)


class NodeLife(RuleBasedStateMachine):
    """A node, its task, and those who meddle."""

    @initialize(rules=verdict_rules, base=clocks)
    def start(self, rules: VerdictConfig, base: float) -> None:
        self.config = rules
        self.now = 0.0  # the wall clock, and that of the daemon that goes on
        self.base = base  # what the clock of the other one shows more
        self.state = State(since=0.0)
        self.other = machine.shifted(self.state, base)
        self.account = Account()
        self.longest_probation = rules.probation
        self.slot = PHASE
        self.turn = Turn(PHASE, slot=True)

    @rule(
        result=st.sampled_from([*[GOOD, BAD] * 4, SILENT, SILENT, OURS, OURS, REFUSED]),
        times=st.integers(1, 8),
        late=lateness,
        took=durations,
    )
    def probe(self, result: Result, times: int, late: float, took: float) -> None:
        """A few turns of its task, which all find the same."""
        for _ in range(times):
            turn = self.turn
            began = max(turn.at, self.now) + late
            if turn.slot:
                self.slot = turn.at + PROBE.interval
            self.now = began + (PROBE.deadline if result is SILENT else took)
            self.observe(result, turn.slot, began)
            self.skip_slots()
            self.plan(began)
            late = 0.0

    @rule(times=st.integers(1, 4), failures=st.integers(3, 7), successes=st.integers(3, 9))
    def flap(self, times: int, failures: int, successes: int) -> None:
        """It drops, and comes back, and drops."""
        for _ in range(times):
            self.probe(BAD, failures, late=0.0, took=0.5)
            self.probe(GOOD, successes, late=0.0, took=0.5)

    @rule(rules=verdict_rules)
    def reload(self, rules: VerdictConfig) -> None:
        """Other rules from now on; the node keeps its state and its turn."""
        self.config = rules
        self.longest_probation = max(self.longest_probation, rules.probation)

    @rule(away=st.integers(0, 600).map(float), base=clocks)
    def restart(self, away: float, base: float) -> None:
        """One daemon stops, and starts with another clock; its state was kept in wall time."""
        kept = machine.shifted(self.other, -self.base)
        assert kept == self.state
        self.now += away
        self.base, self.other = base, machine.shifted(kept, base)
        self.slot = schedule.next_slot(0.0, PHASE, PROBE.interval, self.now)
        at = schedule.next_slot(base, PHASE, PROBE.interval, self.now + base)
        assert at == self.slot + base, "it finds the node's old place in the interval"
        self.turn = Turn(self.slot, slot=True)

    @rule()
    def requalify(self) -> None:
        """An operator is done with it."""
        before = self.state
        self.state, told = machine.requalify(before, self.now, self.config, "done")
        self.other, told_too = machine.requalify(
            self.other, self.now + self.base, self.config, "done"
        )
        self.account.requalify()
        self.check_transitions(before, told, told_too)

    def observe(self, result: Result, slot: bool, began: float) -> None:
        before, rules = self.state, self.config
        self.state, told = machine.observe(
            before, result, slot=slot, began=began, now=self.now, rules=rules
        )
        self.other, told_too = machine.observe(
            self.other,
            result,
            slot=slot,
            began=began + self.base,
            now=self.now + self.base,
            rules=rules,
        )
        self.account.see(result, slot, began, self.now, rules)
        self.check_transitions(before, told, told_too)
        self.check_penalty(before, told)
        if result.outcome is Outcome.INCONCLUSIVE:
            assert self.state is before, "an inconclusive result never changes anything"
        if self.state.health in IN_SERVICE and before.health not in IN_SERVICE:
            assert result.outcome is Outcome.SUCCESS, "nobody is in service without a success"

    def check_transitions(
        self, before: State, told: list[Transition], told_too: list[Transition]
    ) -> None:
        health = before.health
        for transition in told:
            assert transition.before is health
            assert transition.after in TRANSITIONS[health].values()
            assert (transition.at, bool(transition.evidence)) == (self.now, True)
            health = transition.after
        assert health is self.state.health
        assert told_too == [replace(each, at=each.at + self.base) for each in told]

    def check_penalty(self, before: State, told: list[Transition]) -> None:
        """It grows by a fall alone; and only who fell is held."""
        had = damping.points(before.penalty, self.now, self.config)
        has = damping.points(self.state.penalty, self.now, self.config)
        falls = sum(each.after is DOWN and each.before in {UP, SUSPECT, HELD} for each in told)
        assert has == (min(had + 1000, self.config.damping_cap) if falls else had)
        if any(each.after is HELD for each in told):
            assert has >= self.config.damping_release
            assert self.config.damping_hold > 0

    def skip_slots(self) -> None:
        late = self.now - self.slot - schedule.tolerance(PROBE.interval)
        self.slot += max(0, math.ceil(late / PROBE.interval)) * PROBE.interval

    def plan(self, began: float) -> None:
        slot, now, base = self.slot, self.now, self.base
        self.turn = schedule.next_turn(
            self.state, slot=slot, began=began, now=now, probe=PROBE, rules=self.config
        )
        same = schedule.next_turn(
            self.other,
            slot=slot + base,
            began=began + base,
            now=now + base,
            probe=PROBE,
            rules=self.config,
        )
        assert same == self.turn._replace(at=self.turn.at + base)

    @invariant()
    def going_on_equals_a_restart(self) -> None:
        """Not one field differs but for the clock."""
        assert machine.shifted(self.state, self.base) == self.other

    @invariant()
    def books_agree(self) -> None:
        """No fall without the fall rule or the window rule, no rise without its own, and so on."""
        account, state = self.account, self.state
        assert state.health is account.health
        assert (state.down_since, state.probation_until) == (account.fell, account.probation_until)
        assert state.confirmed is account.confirmed or state.health not in {DOWN, RECOVERING}
        assert state.slots == tuple(seen.good for seen in account.slots())
        held = damping.is_held(state.penalty, self.now, self.config)
        assert held is account.is_held(self.now, self.config)

    @invariant()
    def timers_are_sane(self) -> None:
        """Only the end of a probation lies ahead; each is there exactly when it means something."""
        state = self.state
        past = (state.since, state.failing_since, state.counted_at, state.down_since)
        assert all(at is None or at <= self.now for at in (*past, state.penalty.at))
        assert (state.failing_since is None) == (state.failures == 0)
        assert (state.counted_at is None) == (state.successes == 0)
        if state.probation_until is not None:
            assert state.probation_until <= self.now + self.longest_probation

    @invariant()
    def fields_fit_the_health(self) -> None:
        """What a state means can be read off its fields."""
        state = self.state
        assert (state.down_since is not None) >= (state.health is DOWN)
        assert (state.down_since is not None) <= (state.health in {DOWN, RECOVERING})
        assert (state.failures > 0) >= (state.health in {SUSPECT, DOWN})
        assert (state.failures == 0) >= (state.health in {UP, RECOVERING, INVALID})
        assert len(state.slots) <= 10
        assert 0.0 <= state.penalty.points <= 4000.0

    @invariant()
    def turn_is_sane(self) -> None:
        """It lies ahead, on the grid if it is a slot's, and leaves the next slot its time."""
        turn, state = self.turn, self.state
        grace = schedule.tolerance(PROBE.interval)
        assert (self.slot - PHASE) % PROBE.interval == 0.0
        if turn.slot:
            assert turn.at == self.slot + turn.left_out * PROBE.interval
            assert turn.at >= self.now - grace
            assert turn.left_out == 0 or state.health is DOWN
        else:
            assert turn.left_out == 0
            assert self.now <= turn.at
            assert turn.at + PROBE.deadline <= self.slot + grace


TestNodeLife = NodeLife.TestCase
TestNodeLife.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
