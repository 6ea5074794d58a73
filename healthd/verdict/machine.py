"""The verdict machine of one node: results in, health out. Pure.

Clients fetch what we publish about once an hour. A wrong removal therefore lasts an hour, while a
minute of detection time hardly matters: precision beats speed.

    UNKNOWN     no conclusive result yet; what was published last stays
    UP          the last probe succeeded
    SUSPECT     failing, but not long enough to be called down; probed again soon
    DOWN        the fall rule or the window rule was met
    RECOVERING  succeeding again, but not long enough to be called up
    HELD        would be up, but fell too often of late (see :mod:`healthd.verdict.damping`)
    INVALID     the engine refuses the node's settings

The fall rule: `fall` failures in a row, and `fall_after` seconds since the first of them. Four in
a row, five seconds apart, with at least 20 s of evidence gives 0.05 false downs per node-month at
2 % random loss, where three in a row at 30 s gives 0.7 (simulated).

The window rule: `window_failures` bad ones among the last `window` slots, for a node that loses
much but never four in a row. A node that loses 30 % is found in 10 minutes instead of 46.

The rise rule: `rise` successes at least `rise_interval` apart, and `min_down` since the fall. Who
rises by it is on probation for a while, which only changes his place in the order.

Every fall out of UP, SUSPECT or HELD costs points. With too many of them the rise rule leads to
HELD instead of UP, until enough have decayed; a held node falls by the same rules as others.

A fall is confirmed by the first failure after it: that probe asks another check URL first, and the
gate waits for it when many nodes fall at once.

A slot is a probe on the node's 30 s grid. Rechecks in between speed up the fall and rise rules but
never count as slots. An inconclusive result changes nothing here at all.

The transitions are one table. An observation is first turned into one event of :class:`Event` (the
rules are looked at there), and the table says where it leads; an event that the table does not hold
is a bug, raises, and changes nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from healthd.config import VerdictConfig
from healthd.model import Health, Outcome, Reason, Result
from healthd.verdict import damping
from healthd.verdict.damping import Penalty


class Event(StrEnum):
    """What an observation amounts to, with the rules applied."""

    SUCCESS = "success"
    FAILURE = "failure"
    FALL = "fall"
    """A failure with which the fall rule or the window rule is met."""
    RISE = "rise"
    """A success with which the rise rule is met, or a held node has calmed down."""
    HOLD = "hold"
    """A success with which the rise rule is met, by a node that fell too often."""
    REQUALIFY = "requalify"
    """An operator is done with the node: it must rise by the rule."""
    REFUSED = "refused"
    """The engine refuses the node."""
    ACCEPTED = "accepted"
    """The engine takes a node it had refused."""


_NO_REASON = {Event.SUCCESS, Event.RISE, Event.HOLD, Event.ACCEPTED, Event.REQUALIFY}

_FALLEN = {Health.DOWN, Health.RECOVERING}

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
        Event.REQUALIFY: Health.RECOVERING,
        Event.REFUSED: Health.INVALID,
    },
    Health.SUSPECT: {
        Event.SUCCESS: Health.UP,
        Event.FAILURE: Health.SUSPECT,
        Event.FALL: Health.DOWN,
        Event.REQUALIFY: Health.RECOVERING,
        Event.REFUSED: Health.INVALID,
    },
    Health.DOWN: {
        Event.SUCCESS: Health.RECOVERING,
        Event.RISE: Health.UP,
        Event.HOLD: Health.HELD,
        Event.FAILURE: Health.DOWN,
        Event.REFUSED: Health.INVALID,
    },
    Health.RECOVERING: {
        Event.SUCCESS: Health.RECOVERING,
        Event.RISE: Health.UP,
        Event.HOLD: Health.HELD,
        Event.FAILURE: Health.DOWN,
        Event.REFUSED: Health.INVALID,
    },
    Health.HELD: {
        Event.SUCCESS: Health.HELD,
        Event.RISE: Health.UP,
        Event.FAILURE: Health.HELD,
        Event.FALL: Health.DOWN,
        Event.REQUALIFY: Health.RECOVERING,
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
    """When a node that is DOWN or RECOVERING fell; a relapse does not start it anew. None for all
    others, and for one that did not fall, but was sent to requalify."""
    confirmed: bool = False
    """Whether it failed once more since it fell."""
    probation_until: float | None = None
    penalty: Penalty = damping.NONE
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
    if result.outcome is Outcome.INCONCLUSIVE or _is_quiet(state, result, slot, rules):
        return state, []
    transitions: list[Transition] = []
    if state.health is Health.INVALID and result.reason is not Reason.ENGINE_REJECTED:
        state = _move(
            state, Event.ACCEPTED, now, transitions, lambda: "the engine accepts it now", rules
        )
    remembered = _remember(state, result, slot=slot, began=began, rules=rules)
    event = _event(remembered, result, began=began, now=now, rules=rules)

    def tell() -> str:
        return _evidence(remembered, result, event, began, rules)

    return _move(remembered, event, now, transitions, tell, rules), transitions


def requalify(
    state: State, now: float, rules: VerdictConfig, why: str
) -> tuple[State, list[Transition]]:
    """What becomes of a node when an operator is done with it: it must rise by the rule.

    One that is not in service has to do so anyway, and one that is UNKNOWN has yet to work once:
    they stay as they are.
    """
    if Event.REQUALIFY not in TRANSITIONS[state.health]:
        return state, []
    transitions: list[Transition] = []
    fresh = replace(state, successes=0, counted_at=None, failures=0, failing_since=None)
    return _move(fresh, Event.REQUALIFY, now, transitions, lambda: why, rules), transitions


def shifted(state: State, by: float) -> State:
    """The same state on a clock that shows ``by`` seconds more: for keeping it over a restart."""

    def moved(at: float | None) -> float | None:
        return None if at is None else at + by

    return replace(
        state,
        since=state.since + by,
        failing_since=moved(state.failing_since),
        counted_at=moved(state.counted_at),
        down_since=moved(state.down_since),
        probation_until=moved(state.probation_until),
        penalty=replace(state.penalty, at=state.penalty.at + by),
    )


def _is_quiet(state: State, result: Result, slot: bool, rules: VerdictConfig) -> bool:
    """Whether a good node was found good once more: by far the most frequent case, and no news."""
    if state.health is not Health.UP or result.outcome is not Outcome.SUCCESS:
        return False
    return not slot or (len(state.slots) == rules.window and False not in state.slots)


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
            confirmed=state.confirmed or state.health is Health.DOWN,
            reason=result.reason,
            detail=result.detail,
        )
    if state.health not in _FALLEN:
        return replace(state, failures=0, failing_since=None, slots=slots)
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
        return _good_event(state, now, rules)
    if state.health in _FALLEN:
        return Event.FAILURE
    return Event.FALL if _fallen(state, began, rules) else Event.FAILURE


def _good_event(state: State, now: float, rules: VerdictConfig) -> Event:
    held = damping.is_held(state.penalty, now, rules)
    if state.health is Health.HELD:
        return Event.SUCCESS if held else Event.RISE
    if state.health not in _FALLEN or not _risen(state, now, rules):
        return Event.SUCCESS
    return Event.HOLD if held else Event.RISE


def _failed_in_a_row(state: State, began: float, rules: VerdictConfig) -> bool:
    return (
        state.failures >= rules.fall
        and state.failing_since is not None
        and began - state.failing_since >= rules.fall_after
    )


def _fallen(state: State, began: float, rules: VerdictConfig) -> bool:
    return _failed_in_a_row(state, began, rules) or _lost_too_many(state, rules)


def _lost_too_many(state: State, rules: VerdictConfig) -> bool:
    return 0 < rules.window_failures <= state.slots.count(False)


def _risen(state: State, now: float, rules: VerdictConfig) -> bool:
    # Who was sent to requalify was not down: only its successes count.
    waited = state.down_since is None or now - state.down_since >= rules.min_down
    return state.successes >= rules.rise and waited


def _move(
    state: State,
    event: Event,
    now: float,
    transitions: list[Transition],
    tell: Callable[[], str],
    rules: VerdictConfig,
) -> State:
    try:
        after = TRANSITIONS[state.health][event]
    except KeyError:
        raise ValueError(f"{event} cannot happen to a node that is {state.health}") from None
    if after is state.health:
        return state
    reason = None if event in _NO_REASON else state.reason
    transitions.append(Transition(state.health, after, now, reason, tell()))
    return _enter(replace(state, health=after, since=now), state.health, now, rules)


def _enter(state: State, before: Health, now: float, rules: VerdictConfig) -> State:
    """What a state forgets or notes on being entered."""
    match state.health:
        case Health.DOWN if state.down_since is None:  # no relapse
            penalty = state.penalty
            # It is no flapping to fail before having worked, or while an operator is at it.
            if before not in {Health.UNKNOWN, Health.RECOVERING}:
                penalty = damping.after_fall(penalty, now, rules)
            return replace(state, down_since=now, confirmed=False, penalty=penalty)
        case Health.UP if before not in {Health.UNKNOWN, Health.SUSPECT}:
            # With its old slots, the first failure of a requalified node would end it again.
            until = now + rules.probation
            return replace(state, down_since=None, slots=(), probation_until=until)
        case Health.HELD:
            return replace(state, down_since=None, slots=())
        case Health.INVALID | Health.UNKNOWN:
            return State(
                health=state.health,
                since=now,
                reason=state.reason,
                detail=state.detail,
                penalty=state.penalty,
            )
    return state


def _evidence(
    state: State, result: Result, event: Event, began: float, rules: VerdictConfig
) -> str:
    """Why, in the words an operator reads at 3 a.m."""
    match event:
        case Event.REFUSED:
            return result.detail or "the engine refuses its settings"
        case Event.RISE if state.health is Health.HELD:
            return "it has calmed down"
        case Event.RISE:
            return f"{state.successes} successes"
        case Event.HOLD:
            return f"{state.successes} successes, but it fell too often of late"
        case Event.SUCCESS:
            return "a success"
        case _:
            return _failure_evidence(state, began, rules)


def _failure_evidence(state: State, began: float, rules: VerdictConfig) -> str:
    if _lost_too_many(state, rules) and not _failed_in_a_row(state, began, rules):
        return f"{state.slots.count(False)} of the last {len(state.slots)} slots bad"
    seconds = began - (began if state.failing_since is None else state.failing_since)
    return f"{state.failures} failures in {seconds:.0f} s" if state.failures > 1 else "a failure"
