"""The machine against its neighbours: with its extras switched off it counts as they do.

The models here are written from what HAProxy and gdnsd document and do; they share nothing with the
machine. Only UP and DOWN are compared: "up" is every health in which a node is in service.

What neither of the two has, and is therefore switched off here: evidence over time (`fall_after`,
`min_down`), damping, probation. Their results always count, so the ones here lie further apart than
`rise_interval`. Neither knows inconclusive results or refused settings: the traces hold none.
"""

from dataclasses import dataclass

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from healthd.config import VerdictConfig
from healthd.model import IN_SERVICE, Health, Reason, failure, success
from healthd.verdict import machine
from healthd.verdict.machine import State

GOOD, BAD = success(0.03), failure(Reason.REFUSED)
GAP = 1.0
"""Seconds between two results; `rise_interval` is a tenth of that."""

traces = st.lists(st.booleans(), max_size=60) | st.lists(
    st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=2, max_size=8
).map(lambda found: [good for up, down in found for good in [True] * up + [False] * down])
"""True is a success. Half of them in rows, as up to ten of a kind are wanted."""
thresholds = st.integers(1, 10)
many = settings(max_examples=300, deadline=None)


def bare(fall: int, rise: int, *, window_failures: int = 0) -> VerdictConfig:
    """Rules without any of healthd's extras."""
    return VerdictConfig(
        fall=fall,
        fall_after="0s",
        window=1000,
        window_failures=window_failures,
        rise=rise,
        rise_interval="100ms",
        min_down="0s",
        probation="0s",
        damping_hold=0,
    )


def begun(up: bool) -> State:
    """A node that is known to be up, or down."""
    if up:
        return State(health=Health.UP, since=0.0)
    return State(health=Health.DOWN, since=0.0, down_since=0.0)


class Ours:
    """The machine, fed with successes and failures."""

    def __init__(self, state: State, rules: VerdictConfig) -> None:
        self.state, self.rules, self.now = state, rules, 0.0

    @property
    def up(self) -> bool:
        return self.state.health in IN_SERVICE

    def see(self, good: bool) -> bool:
        self.now += GAP
        result = GOOD if good else BAD
        self.state, _ = machine.observe(
            self.state, result, slot=True, began=self.now, now=self.now, rules=self.rules
        )
        return self.up


class HAProxy:
    """One counter from 0 to `rise + fall - 1`: from `rise` on the server is up.

    A success counts up, and straight to the top once `rise` is reached; a failure counts down, and
    straight to the bottom once that is lost. The counter is `check->health`, kept by
    `set_server_check_status()` in src/check.c of HAProxy 3.x; `check_notify_failure()` stops the
    server when it is 0, `check_notify_success()` starts it from `rise` on. The manual says the same
    of the server keywords "rise" and "fall": so many consecutive checks. Where the counter begins
    is "init-state": fully-up at the top, down at `rise - 1`, fully-down at 0.
    """

    def __init__(self, rise: int, fall: int, begin: int) -> None:
        self.rise, self.top, self.counter = rise, rise + fall - 1, begin

    @property
    def up(self) -> bool:
        return self.counter >= self.rise

    def see(self, good: bool) -> bool:
        moved = self.counter + (1 if good else -1)
        if moved >= self.rise:
            self.counter = self.top if good else moved
        else:
            self.counter = moved if good else 0
        return self.up


@many
@given(thresholds, thresholds, st.booleans(), traces)
@example(rise=1, fall=1, up=True, trace=[False, True, False, True])
@example(rise=10, fall=10, up=False, trace=[*[True] * 9, False, *[True] * 10, *[False] * 10])
def test_haproxy(rise, fall, up, trace):
    """From fully-up and from fully-down, all the way: the same verdict after each check.

    More than that, the two counters are one: HAProxy's is our failures counted down from its top
    while a node is up, and our successes while it is down.
    """
    ours = Ours(begun(up), bare(fall, rise))
    theirs = HAProxy(rise, fall, rise + fall - 1 if up else 0)
    assert ours.up is theirs.up

    for good in trace:
        assert ours.see(good) is theirs.see(good)
        state = ours.state
        expected = rise + fall - 1 - state.failures if ours.up else state.successes
        assert expected == theirs.counter


@many
@given(thresholds, thresholds, traces)
def test_haproxy_with_a_newcomer(rise, fall, trace):
    """An unknown node that works at once is as one that HAProxy begins with init-state down.

    One that fails at first has no counterpart: HAProxy wants the whole rise from then on; we call
    it unknown until the whole fall rule is met, and want but one success before.
    """
    ours, theirs = Ours(State(since=0.0), bare(fall, rise)), HAProxy(rise, fall, rise - 1)
    assert (ours.up, theirs.up) == (False, False)

    for good in [True, *trace]:
        assert ours.see(good) is theirs.see(good)


@dataclass
class Gdnsd:
    """Successes and failures, counted apart; a few good ones in a row forgive the failures.

    While a resource is up each failure counts, in a row or not, and `down_thresh` of them end it;
    `ok_thresh` successes in a row set the failures back to none. While it is down `up_thresh`
    successes in a row bring it back. Written from gdnsd.config(5), "SERVICE_TYPES", and
    `gdnsd_mon_state_updater()` in src/plugins/mon.c of gdnsd 3.x. (In 1.x one that is up with
    failures on its account was called DANGER; it was still answered with, for a shorter time.)
    """

    up: bool
    up_thresh: int
    ok_thresh: int
    down_thresh: int
    failures: int = 0
    in_a_row: int = 0

    def see(self, good: bool) -> bool:
        self.in_a_row = self.in_a_row + 1 if good else 0
        if not self.up:
            if self.in_a_row == self.up_thresh:
                self.up, self.failures, self.in_a_row = True, 0, 0
        elif good:
            if self.in_a_row >= self.ok_thresh:
                self.failures = 0
        else:
            self.failures += 1
            self.up = self.failures < self.down_thresh
        return self.up


@many
@given(thresholds, thresholds, st.booleans(), traces)
@example(rise=1, fall=1, up=True, trace=[False, True, False, True])
def test_gdnsd_that_forgives_at_once(rise, fall, up, trace):
    """With ok_thresh = 1 any success forgives: that is our fall rule, on any trace whatever."""
    ours = Ours(begun(up), bare(fall, rise))
    theirs = Gdnsd(up, up_thresh=rise, ok_thresh=1, down_thresh=fall)

    for good in trace:
        assert ours.see(good) is theirs.see(good)


def forgives(up: bool, rise: int, ok: int, down: int, trace: list[bool]) -> bool:
    """Whether failures of a resource that is up are ever forgiven."""
    theirs = Gdnsd(up, up_thresh=rise, ok_thresh=ok, down_thresh=down)
    for good in trace:
        before, was_up = theirs.failures, theirs.up
        theirs.see(good)
        if was_up and theirs.up and before > theirs.failures:
            return True
    return False


@many
@given(thresholds, thresholds, st.integers(2, 10), st.booleans(), traces)
def test_gdnsd_that_remembers(rise, down, ok, up, trace):
    """With ok_thresh > 1 scattered failures add up: that is our window rule.

    The two forget in different ways, gdnsd by successes in a row, our window by age. So only traces
    are compared on which neither forgets anything: no failure of a resource that is up is ever
    forgiven (longer rows of successes before the first failure are), and our window is longer than
    the trace. Both begin anew with each rise.
    """
    assume(not forgives(up, rise, ok, down, trace))
    ours = Ours(begun(up), bare(100, rise, window_failures=down))
    theirs = Gdnsd(up, up_thresh=rise, ok_thresh=ok, down_thresh=down)

    for good in trace:
        assert ours.see(good) is theirs.see(good)


def fall_of(model: Ours | Gdnsd, trace: list[bool]) -> int:
    """How many results it takes until it is down; one more than there are, if it never is."""
    return next((n for n, good in enumerate(trace, 1) if not model.see(good)), len(trace) + 1)


@many
@given(thresholds, st.integers(2, 10), traces)
def test_gdnsd_lies_between_our_two_rules(down, ok, trace):
    """Where they forget differently, its first fall lies between those of our two rules.

    On any trace: no sooner than by as many bad ones in a window that never forgets, and no later
    than by as many in a row.
    """
    in_a_row = fall_of(Ours(begun(up=True), bare(down, 1)), trace)
    in_window = fall_of(Ours(begun(up=True), bare(100, 1, window_failures=down)), trace)
    theirs = fall_of(Gdnsd(up=True, up_thresh=1, ok_thresh=ok, down_thresh=down), trace)

    assert in_window <= theirs <= in_a_row
