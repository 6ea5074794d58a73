"""The verdict machine of one node: results in, health out. Pure.

Clients fetch what we publish about once an hour. A wrong removal therefore lasts an hour, while a
minute of detection time hardly matters: precision beats speed.

    UNKNOWN     no conclusive result yet; what was published last stays
    UP          the last probe succeeded
    SUSPECT     failing, but not long enough to be called down; probed again soon
    DOWN        the fall rule or the window rule was met
    RECOVERING  succeeding again, but not long enough to be called up
    INVALID     the engine refuses the node's settings

The fall rule: `fall` failures in a row, and `fall_after` seconds since the first of them. Four in
a row, five seconds apart, with at least 20 s of evidence gives 0.05 false downs per node-month at
2 % random loss, where three in a row at 30 s gives 0.7 (simulated).

The window rule: `window_failures` bad ones among the last `window` slots, for a node that loses
much but never four in a row. A node that loses 30 % is found in 10 minutes instead of 46.

The rise rule: `rise` successes at least `rise_interval` apart, and `min_down` since the fall.

A slot is a probe on the node's 30 s grid. Rechecks in between speed up the fall and rise rules but
never count as slots. An inconclusive result changes nothing here at all.

The transitions are one table. An observation is first turned into one event of :class:`Event` (the
rules are looked at there), and the table says where it leads; an event that the table does not hold
is a bug, raises, and changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from healthd.config import VerdictConfig
from healthd.model import Health, Outcome, Reason, Result


class Event(StrEnum):
    """What an observation amounts to, with the rules applied."""

    SUCCESS = "success"
    FAILURE = "failure"
    FALL = "fall"
    """A failure with which the fall rule or the window rule is met."""
    RISE = "rise"
    """A success with which the rise rule is met."""
    REFUSED = "refused"
    """The engine refuses the node."""
    ACCEPTED = "accepted"
    """The engine takes a node it had refused."""


_GOOD_NEWS = {Event.SUCCESS, Event.RISE, Event.ACCEPTED}

TRANSITIONS: Mapping[Health, Mapping[Event, Health]] = {
    Health.UNKNOWN: {
        Event.SUCCESS: Health.UP,
        Event.FAILURE: Health.UNKNOWN,
        Event.FALL: Health.DOWN,
        Event.REFUSED: Health.INVALID,
    },
    Health.UP: {
        Event.SUCCESS: Health.UP,
        Event.FAILURE: Health.SUSPECT,
        Event.FALL: Health.DOWN,
        Event.REFUSED: Health.INVALID,
    },
    Health.SUSPECT: {
        Event.SUCCESS: Health.UP,
        Event.FAILURE: Health.SUSPECT,
        Event.FALL: Health.DOWN,
        Event.REFUSED: Health.INVALID,
    },
    Health.DOWN: {
        Event.SUCCESS: Health.RECOVERING,
        Event.RISE: Health.UP,
        Event.FAILURE: Health.DOWN,
        Event.REFUSED: Health.INVALID,
    },
    Health.RECOVERING: {
        Event.SUCCESS: Health.RECOVERING,
        Event.RISE: Health.UP,
        Event.FAILURE: Health.DOWN,
        Event.REFUSED: Health.INVALID,
    },
    Health.INVALID: {
        Event.ACCEPTED: Health.UNKNOWN,
        Event.REFUSED: Health.INVALID,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All the machine remembers of one node. Times are the caller's monotonic seconds."""

    health: Health = Health.UNKNOWN
    since: float
    """When ``health`` last changed."""
    failures: int = 0
    """Failures in a row."""
    failing_since: float | None = None
    """When the first of them began."""
    successes: int = 0
    """Successes that count for the rise rule."""
    counted_at: float | None = None
    """When the last of them began."""
    slots: tuple[bool, ...] = ()
    """Verdicts of the latest slots, oldest first; True is good."""
    down_since: float | None = None
    """When a node that is DOWN or RECOVERING fell; a relapse does not start it anew."""
    reason: Reason | None = None
    """Of the latest conclusive result that was no success."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of health, with the evidence that made it."""

    before: Health
    after: Health
    at: float
    reason: Reason | None
    evidence: str


def observe(
    state: State, result: Result, *, slot: bool, began: float, now: float, rules: VerdictConfig
) -> tuple[State, list[Transition]]:
    """Return the state after one probe result, and the transitions it made (mostly none).

    Args:
        state: The node's state before.
        result: What the probe found.
        slot: Whether the probe was the one of its slot, rather than a recheck.
        began: When the probe began; the rules measure between beginnings.
        now: When it ended; a transition carries this time.
        rules: The parameters.
    """
    if result.outcome is Outcome.INCONCLUSIVE:
        return state, []
    transitions: list[Transition] = []
    if state.health is Health.INVALID and result.reason is not Reason.ENGINE_REJECTED:
        state = _move(state, Event.ACCEPTED, now, transitions, "the engine accepts it now")
    state = _remember(state, result, slot=slot, began=began, rules=rules)
    event = _event(state, result, began=began, now=now, rules=rules)
    state = _move(state, event, now, transitions, _evidence(state, result, event, began, rules))
    return state, transitions


def _remember(
    state: State, result: Result, *, slot: bool, began: float, rules: VerdictConfig
) -> State:
    """The counters after the result; ``health`` is left alone."""
    if result.reason is Reason.ENGINE_REJECTED:
        return replace(state, reason=result.reason, detail=result.detail)
    good = result.outcome is Outcome.SUCCESS
    slots = (*state.slots, good)[-rules.window :] if slot else state.slots[-rules.window :]
    if not good:
        return replace(
            state,
            failures=state.failures + 1,
            failing_since=began if state.failing_since is None else state.failing_since,
            successes=0,
            counted_at=None,
            slots=slots,
            reason=result.reason,
            detail=result.detail,
        )
    # Successes closer together than rise_interval are one success: a burst proves nothing.
    counts = state.counted_at is None or began - state.counted_at >= rules.rise_interval
    return replace(
        state,
        failures=0,
        failing_since=None,
        successes=state.successes + 1 if counts else state.successes,
        counted_at=began if counts else state.counted_at,
        slots=slots,
    )


def _event(
    state: State, result: Result, *, began: float, now: float, rules: VerdictConfig
) -> Event:
    if result.reason is Reason.ENGINE_REJECTED:
        return Event.REFUSED
    if result.outcome is Outcome.SUCCESS:
        recovering = state.health in {Health.DOWN, Health.RECOVERING}
        risen = recovering and _risen(state, now, rules)
        return Event.RISE if risen else Event.SUCCESS
    if state.health in {Health.DOWN, Health.RECOVERING}:
        return Event.FAILURE
    return Event.FALL if _fallen(state, began, rules) else Event.FAILURE


def _failed_in_a_row(state: State, began: float, rules: VerdictConfig) -> bool:
    return (
        state.failures >= rules.fall
        and state.failing_since is not None
        and began - state.failing_since >= rules.fall_after
    )


def _fallen(state: State, began: float, rules: VerdictConfig) -> bool:
    return (
        _failed_in_a_row(state, began, rules) or state.slots.count(False) >= rules.window_failures
    )


def _risen(state: State, now: float, rules: VerdictConfig) -> bool:
    down_for = now - (state.since if state.down_since is None else state.down_since)
    return state.successes >= rules.rise and down_for >= rules.min_down


def _move(
    state: State, event: Event, now: float, transitions: list[Transition], evidence: str
) -> State:
    try:
        after = TRANSITIONS[state.health][event]
    except KeyError:
        raise ValueError(f"{event} cannot happen to a node that is {state.health}") from None
    if after is state.health:
        return state
    reason = None if event in _GOOD_NEWS else state.reason
    transitions.append(Transition(state.health, after, now, reason, evidence))
    return _enter(replace(state, health=after, since=now), state.health, now)


def _enter(state: State, before: Health, now: float) -> State:
    """What a state forgets or notes on being entered."""
    match state.health:
        case Health.DOWN if before is not Health.RECOVERING:
            return replace(state, down_since=now)
        case Health.UP if before is Health.RECOVERING or before is Health.DOWN:
            # With its old slots, the first failure of a requalified node would end it again.
            return replace(state, down_since=None, slots=())
        case Health.INVALID | Health.UNKNOWN:
            return State(
                health=state.health,
                since=now,
                reason=state.reason,
                detail=state.detail,
            )
    return state


def _evidence(
    state: State, result: Result, event: Event, began: float, rules: VerdictConfig
) -> str:
    """Why, in the words an operator reads at 3 a.m."""
    match event:
        case Event.REFUSED:
            return result.detail or "the engine refuses its settings"
        case Event.RISE:
            return f"{state.successes} successes"
        case Event.SUCCESS | Event.ACCEPTED:
            return "a success"
        case _:
            seconds = began - (began if state.failing_since is None else state.failing_since)
            in_a_row = f"{state.failures} failures in {seconds:.0f} s"
            bad = state.slots.count(False)
            if bad >= rules.window_failures and not _failed_in_a_row(state, began, rules):
                return f"{bad} of the last {len(state.slots)} slots bad"
            return in_a_row if state.failures > 1 else "a failure"
