"""Hysteresis, one line per observation: (seconds, what kind, what came, the health after, why)."""

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.config import VerdictConfig
from healthd.model import Health, Outcome, Reason, Result, failure, inconclusive, success
from healthd.verdict import machine
from healthd.verdict.machine import TRANSITIONS, Event, State, Transition

UNKNOWN, UP, SUSPECT = Health.UNKNOWN, Health.UP, Health.SUSPECT
DOWN, RECOVERING, INVALID = Health.DOWN, Health.RECOVERING, Health.INVALID

GOOD = success(0.03)
BAD = failure(Reason.REFUSED, "connection refused")
OURS = inconclusive(Reason.CONTROL_FAILED)
REFUSED = failure(Reason.ENGINE_REJECTED, "unknown cipher")

SLOT, RECHECK = True, False

RULES = VerdictConfig()

Row = tuple[float, bool, Result, Health, str]


def step(
    state: State, at: float, kind: bool, result: Result, rules: VerdictConfig = RULES
) -> tuple[State, list[Transition]]:
    return machine.observe(state, result, slot=kind, began=at, now=at, rules=rules)


def verify(*rows: Row, rules: VerdictConfig = RULES, state: State | None = None) -> State:
    """Observe each row in turn; the health after it must be the row's."""
    state = state or State(since=0.0)
    assert rows
    for at, kind, result, expected, why in rows:
        state, _ = step(state, at, kind, result, rules)
        assert (expected, why, at) == (state.health, why, at)
    return state


FALLING: tuple[Row, ...] = (
    (0, SLOT, GOOD, UP, "the first success is enough"),
    (30, SLOT, BAD, SUSPECT, "one failure makes a suspect"),
    (35, RECHECK, BAD, SUSPECT, "two in a row"),
    (40, RECHECK, BAD, SUSPECT, "three in a row"),
    (45, RECHECK, BAD, SUSPECT, "four in a row, but 15 s of evidence only"),
    (50, RECHECK, BAD, DOWN, "20 s since the first of them"),
)


class TestFallRule:
    def test_refused_node(self):
        """A node that refuses at once is down 20 s after its first failure."""
        verify(*FALLING)

    def test_silent_node(self):
        """With 10 s to each failure four in a row take longer than 20 s."""
        verify(
            (0, SLOT, GOOD, UP, "works"),
            (30, SLOT, BAD, SUSPECT, "one"),
            (40, RECHECK, BAD, SUSPECT, "two"),
            (50, RECHECK, BAD, SUSPECT, "three: 20 s of evidence, but not four"),
            (60, SLOT, BAD, DOWN, "four"),
        )

    def test_success_starts_anew(self):
        """Failures count in a row only: one success forgets them."""
        verify(
            (0, SLOT, GOOD, UP, "works"),
            (30, SLOT, BAD, SUSPECT, "one"),
            (35, RECHECK, BAD, SUSPECT, "two"),
            (40, RECHECK, BAD, SUSPECT, "three"),
            (45, RECHECK, GOOD, UP, "a success ends the suspicion"),
            (60, SLOT, BAD, SUSPECT, "one again"),
            (65, RECHECK, BAD, SUSPECT, "two again"),
            (70, RECHECK, BAD, SUSPECT, "three again"),
            (75, RECHECK, BAD, SUSPECT, "four, 15 s"),
            (80, RECHECK, BAD, DOWN, "20 s since the first after the success"),
        )

    def test_unknown_node(self):
        """A node never seen working falls by the same rule, without being a suspect."""
        verify(
            (0, SLOT, BAD, UNKNOWN, "nothing is known of it yet"),
            (5, RECHECK, BAD, UNKNOWN, "two"),
            (10, RECHECK, BAD, UNKNOWN, "three"),
            (15, RECHECK, BAD, UNKNOWN, "four, 15 s"),
            (20, RECHECK, BAD, DOWN, "20 s"),
        )

    def test_measures_between_beginnings(self):
        """A slow failure is no more evidence than a quick one: its duration does not count."""
        state = verify(*FALLING[:4])
        state, transitions = machine.observe(
            state, BAD, slot=RECHECK, began=49.9, now=59.9, rules=RULES
        )

        assert (state.health, transitions) == (SUSPECT, [])

    def test_fall_of_one(self):
        """With fall = 1 and no wait the first failure is the fall."""
        verify(
            (0, SLOT, GOOD, UP, "works"),
            (30, SLOT, BAD, DOWN, "one is enough"),
            rules=VerdictConfig(fall=1, fall_after="0s"),
        )


class TestWindowRule:
    def test_lossy_node(self):
        """Five bad ones of the last ten slots end a node that never fails four times in a row."""
        verify(
            (0, SLOT, BAD, UNKNOWN, "1 of 1"),
            (30, SLOT, GOOD, UP, "1 of 2"),
            (60, SLOT, BAD, SUSPECT, "2 of 3"),
            (90, SLOT, GOOD, UP, "2 of 4"),
            (120, SLOT, BAD, SUSPECT, "3 of 5"),
            (150, SLOT, GOOD, UP, "3 of 6"),
            (180, SLOT, BAD, SUSPECT, "4 of 7"),
            (210, SLOT, GOOD, UP, "4 of 8"),
            (240, SLOT, BAD, DOWN, "5 of 9: straight from UP"),
        )

    def test_suspect_falls_by_it_too(self):
        """The fifth bad slot counts whether the node is up or a suspect when it comes."""
        verify(
            *(
                (60.0 * n + second, SLOT, result, after, "4 of 8")
                for n in range(4)
                for second, result, after in ((0, GOOD, UP), (30, BAD, SUSPECT))
            ),
            (235, RECHECK, BAD, SUSPECT, "two in a row"),
            (240, SLOT, BAD, DOWN, "5 of 9, though three in a row only"),
        )

    def test_old_slots_leave(self):
        """Slots older than the window say nothing any more."""
        bad_every_third = [BAD if n % 3 == 0 else GOOD for n in range(30)]
        state = State(since=0.0)
        seen = set()
        for n, result in enumerate(bad_every_third):
            state, _ = step(state, 30.0 * n, SLOT, result)
            seen.add(state.health)
            assert len(state.slots) <= 10

        assert {UNKNOWN, UP, SUSPECT} == seen

    def test_rechecks_are_no_slots(self):
        """However many rechecks fail, only the probes of the grid fill the window."""
        rows: list[Row] = []
        for n in range(4):
            start = 30.0 * n
            rows += [
                (start, SLOT, GOOD, UP, "a good slot"),
                (start + 5, RECHECK, BAD, SUSPECT, "a bad recheck"),
                (start + 10, RECHECK, BAD, SUSPECT, "another"),
                (start + 15, RECHECK, BAD, SUSPECT, "three in a row"),
                (start + 20, RECHECK, GOOD, UP, "and a good one"),
            ]

        assert verify(*rows).slots == (True,) * 4

    def test_recovery_by_recheck_keeps_the_slots(self):
        """A suspect that comes back keeps its history of slots: loss adds up."""
        rows: list[Row] = []
        for n in range(4):
            rows += [
                (30.0 * n, SLOT, BAD, SUSPECT if n else UNKNOWN, "a bad slot"),
                (30.0 * n + 5, RECHECK, GOOD, UP, "a good recheck hides nothing"),
            ]

        verify(*rows, (120, SLOT, BAD, DOWN, "the fifth bad slot of five"))

    def test_narrower_window_after_reload(self):
        """New rules hold at once: slots beyond a narrower window are dropped."""
        state = replace(State(since=0.0), health=UP, slots=(False,) * 4 + (True,) * 6)
        narrow = VerdictConfig(window=3, window_failures=2)

        state, _ = step(state, 0, SLOT, BAD, narrow)

        assert (state.health, state.slots) == (SUSPECT, (True, True, False))


class TestRiseRule:
    def test_requalifies(self):
        """Three successes ten seconds apart, and a minute since the fall."""
        verify(
            *FALLING,
            (65, RECHECK, GOOD, RECOVERING, "the first success"),
            (75, RECHECK, GOOD, RECOVERING, "two"),
            (85, RECHECK, GOOD, RECOVERING, "three, but 35 s since the fall"),
            (95, RECHECK, GOOD, RECOVERING, "four, 45 s"),
            (105, RECHECK, GOOD, RECOVERING, "five, 55 s"),
            (115, RECHECK, GOOD, UP, "65 s since the fall"),
        )

    def test_burst_is_one_success(self):
        """Successes closer together than rise_interval prove no more than the first."""
        verify(
            *FALLING,
            (120, SLOT, GOOD, RECOVERING, "one; min_down is over"),
            (121, RECHECK, GOOD, RECOVERING, "1 s later: the same one"),
            (129.9, RECHECK, GOOD, RECOVERING, "9.9 s later: still the same"),
            (130, RECHECK, GOOD, RECOVERING, "10 s later: two"),
            (139, RECHECK, GOOD, RECOVERING, "9 s after the second"),
            (140, RECHECK, GOOD, UP, "three"),
        )

    def test_relapse(self):
        """One failure ends a recovery, and the count begins anew; the time of the fall stays."""
        state = verify(
            *FALLING,
            (65, RECHECK, GOOD, RECOVERING, "one"),
            (75, RECHECK, GOOD, RECOVERING, "two"),
            (85, RECHECK, BAD, DOWN, "a relapse, at its first failure"),
            (100, RECHECK, GOOD, RECOVERING, "one again"),
            (110, RECHECK, GOOD, RECOVERING, "two again; 60 s since the fall"),
        )

        assert state.down_since == 50
        verify((120, SLOT, GOOD, UP, "three, 70 s since the fall"), state=state)

    def test_failure_while_down(self):
        """More failures change nothing about a node that is down."""
        verify(*FALLING, (60, SLOT, BAD, DOWN, "still"), (75, RECHECK, BAD, DOWN, "still"))

    def test_rise_of_one(self):
        """With rise = 1 and no wait the first success brings a node back."""
        rules = VerdictConfig(rise=1, min_down="0s")
        verify(*FALLING, (60, SLOT, GOOD, UP, "one is enough"), rules=rules)

    def test_measures_min_down_to_the_end_of_the_probe(self):
        """Time down runs until the success is there."""
        state = replace(verify(*FALLING), successes=2, counted_at=90.0, health=RECOVERING)

        early, _ = machine.observe(state, GOOD, slot=RECHECK, began=101, now=109.9, rules=RULES)
        late, _ = machine.observe(state, GOOD, slot=RECHECK, began=101, now=110, rules=RULES)

        assert (early.health, late.health) == (RECOVERING, UP)

    def test_requalified_node_starts_clean(self):
        """Its old slots are gone: a single failure afterwards only makes a suspect."""
        state = verify(
            *(
                (30.0 * n, SLOT, result, health, "lossy")
                for n, (result, health) in enumerate(
                    [
                        *((BAD, UNKNOWN), (GOOD, UP), (BAD, SUSPECT), (GOOD, UP)),
                        *((BAD, SUSPECT), (GOOD, UP), (BAD, SUSPECT), (GOOD, UP), (BAD, DOWN)),
                    ]
                )
            ),
            (300, SLOT, GOOD, RECOVERING, "one"),
            (310, RECHECK, GOOD, RECOVERING, "two"),
            (320, RECHECK, GOOD, UP, "three, 80 s since the fall"),
        )

        assert (state.slots, state.down_since) == ((), None)
        verify(
            (330, SLOT, BAD, SUSPECT, "five bad ones lie before the fall"),
            (335, RECHECK, GOOD, UP, "a blip"),
            state=state,
        )


class TestInconclusive:
    @pytest.mark.parametrize("kind", [SLOT, RECHECK], ids=["slot", "recheck"])
    @pytest.mark.parametrize("rows", range(len(FALLING) + 1))
    def test_changes_nothing_at_all(self, rows, kind):
        """The fault may be ours: not one field of the state differs after it."""
        before = verify(*FALLING[:rows]) if rows else State(since=0.0)

        assert (before, []) == step(before, 1000, kind, OURS)

    def test_does_not_break_a_row(self):
        """Failures on both sides of it are still in a row, and no nearer to the fall."""
        verify(
            *FALLING[:4],
            (45, RECHECK, OURS, SUSPECT, "says nothing"),
            (46, RECHECK, OURS, SUSPECT, "says nothing"),
            (55, RECHECK, BAD, DOWN, "the fourth failure in a row"),
        )

    def test_invalid_node(self):
        """Nor does it tell that the engine accepts a node it had refused."""
        verify((0, SLOT, REFUSED, INVALID, "refused"), (30, SLOT, OURS, INVALID, "who knows"))


class TestInvalid:
    @pytest.mark.parametrize("rows", range(len(FALLING) + 1))
    def test_enters_from_everywhere(self, rows):
        """The engine's refusal is at once the health of the node, and all counts are gone."""
        before = verify(*FALLING[:rows]) if rows else State(since=0.0)
        after, (transition,) = step(before, 55, RECHECK, REFUSED)

        assert (after.health, after.reason) == (INVALID, Reason.ENGINE_REJECTED)
        assert (before.health, INVALID) == (transition.before, transition.after)
        assert "unknown cipher" == transition.evidence == after.detail
        assert (
            State(
                health=INVALID,
                since=55,
                reason=after.reason,
                detail=after.detail,
            )
            == after
        )

    def test_words_when_the_engine_has_none(self):
        """Somebody always says why."""
        _, (transition,) = step(State(since=0.0), 0, SLOT, failure(Reason.ENGINE_REJECTED))

        assert transition.evidence == "the engine refuses its settings"

    def test_leaves_as_unknown(self):
        """Once accepted, a node starts from nothing; what the probe found then counts."""
        verify(
            (0, SLOT, REFUSED, INVALID, "refused"),
            (30, SLOT, REFUSED, INVALID, "refused again"),
            (60, SLOT, BAD, UNKNOWN, "accepted, and its first failure"),
            (65, RECHECK, BAD, UNKNOWN, "two"),
            (70, RECHECK, BAD, UNKNOWN, "three"),
            (80, RECHECK, BAD, DOWN, "four, 20 s since the first"),
            (90, SLOT, REFUSED, INVALID, "refused while down"),
            (120, SLOT, GOOD, UP, "accepted: as a new node, no min_down"),
        )

    def test_leaves_in_two_transitions(self):
        """The way out leads through UNKNOWN, and both steps are told."""
        state = verify((0, SLOT, REFUSED, INVALID, "refused"))
        _, transitions = step(state, 30, SLOT, GOOD)

        assert [
            Transition(INVALID, UNKNOWN, 30, None, "the engine accepts it now"),
            Transition(UNKNOWN, UP, 30, None, "a success"),
        ] == transitions


class TestTransitions:
    @pytest.mark.parametrize(
        ("rows", "expected"),
        [
            (FALLING[:1], Transition(UNKNOWN, UP, 0, None, "a success")),
            (FALLING[:2], Transition(UP, SUSPECT, 30, Reason.REFUSED, "a failure")),
            (FALLING[:3], None),
            (FALLING, Transition(SUSPECT, DOWN, 50, Reason.REFUSED, "5 failures in 20 s")),
            (
                (*FALLING, (60, SLOT, GOOD, RECOVERING, "")),
                Transition(DOWN, RECOVERING, 60, None, "a success"),
            ),
            (
                (*FALLING, (60, SLOT, GOOD, RECOVERING, ""), (65, SLOT, BAD, DOWN, "")),
                Transition(RECOVERING, DOWN, 65, Reason.REFUSED, "a failure"),
            ),
            (
                (
                    *FALLING,
                    (60, SLOT, GOOD, RECOVERING, ""),
                    (90, SLOT, GOOD, RECOVERING, ""),
                    (120, SLOT, GOOD, UP, ""),
                ),
                Transition(RECOVERING, UP, 120, None, "3 successes"),
            ),
        ],
    )
    def test_reason_and_evidence(self, rows, expected):
        """A transition says when, from where to where, why, and on what evidence."""
        *before, (at, kind, result, _, _) = rows
        state = verify(*before) if before else State(since=-1.0)

        after, transitions = step(state, at, kind, result)

        assert ([] if expected is None else [expected]) == transitions
        assert (state.since if expected is None else at) == after.since

    def test_evidence_of_the_window(self):
        """A fall by the window rule is told as such."""
        state = replace(State(since=0.0), health=UP, slots=(False, True) * 4)
        _, (transition,) = step(state, 240, SLOT, BAD)

        assert Transition(UP, DOWN, 240, Reason.REFUSED, "5 of the last 9 slots bad") == transition

    def test_evidence_names_the_rule_that_was_met(self):
        """Enough failures in too short a time are not what ended a node; its slots are."""
        rules = VerdictConfig(fall=2, fall_after="20s")
        state = replace(State(since=0.0), health=UP, slots=(False, True, False, True, False, True))
        state, _ = step(state, 60, SLOT, BAD, rules)
        state, (transition,) = step(state, 70, SLOT, BAD, rules)

        assert transition.evidence == "5 of the last 8 slots bad"

    def test_times_are_those_of_the_end(self):
        """A transition happens when its probe has ended."""
        after, (transition,) = machine.observe(
            State(since=0.0), GOOD, slot=SLOT, began=10, now=10.5, rules=RULES
        )

        assert (transition.at, after.since) == (10.5, 10.5)


UP_ROWS = FALLING[:1]
SUSPECT_ROWS = FALLING[:5]
RECOVERING_ROWS = (
    *FALLING,
    (60.0, SLOT, GOOD, RECOVERING, "one"),
    (90.0, SLOT, GOOD, RECOVERING, "two"),
)
INVALID_ROWS = ((0.0, SLOT, REFUSED, INVALID, "refused"),)
FAILING_ROWS = tuple((5.0 * n, n == 0, BAD, UNKNOWN, "failing from the start") for n in range(4))
LOSSY_ROWS = tuple(
    (30.0 * n, SLOT, GOOD if n % 2 else BAD, (UP if n % 2 else SUSPECT) if n else UNKNOWN, "lossy")
    for n in range(8)
)
QUICK = VerdictConfig(rise=1, min_down="0s")

TABLE: dict[tuple[Health, Event], tuple[tuple[Row, ...], float, Result, VerdictConfig, Health]] = {
    (UNKNOWN, Event.SUCCESS): ((), 0, GOOD, RULES, UP),
    (UNKNOWN, Event.FAILURE): ((), 0, BAD, RULES, UNKNOWN),
    (UNKNOWN, Event.FALL): (FAILING_ROWS, 20, BAD, RULES, DOWN),
    (UNKNOWN, Event.REFUSED): ((), 0, REFUSED, RULES, INVALID),
    (UP, Event.SUCCESS): (UP_ROWS, 30, GOOD, RULES, UP),
    (UP, Event.FAILURE): (UP_ROWS, 30, BAD, RULES, SUSPECT),
    (UP, Event.FALL): (LOSSY_ROWS, 240, BAD, RULES, DOWN),
    (UP, Event.REFUSED): (UP_ROWS, 30, REFUSED, RULES, INVALID),
    (SUSPECT, Event.SUCCESS): (SUSPECT_ROWS, 50, GOOD, RULES, UP),
    (SUSPECT, Event.FAILURE): (SUSPECT_ROWS, 49, BAD, RULES, SUSPECT),
    (SUSPECT, Event.FALL): (SUSPECT_ROWS, 50, BAD, RULES, DOWN),
    (SUSPECT, Event.REFUSED): (SUSPECT_ROWS, 50, REFUSED, RULES, INVALID),
    (DOWN, Event.SUCCESS): (FALLING, 60, GOOD, RULES, RECOVERING),
    (DOWN, Event.RISE): (FALLING, 60, GOOD, QUICK, UP),
    (DOWN, Event.FAILURE): (FALLING, 60, BAD, RULES, DOWN),
    (DOWN, Event.REFUSED): (FALLING, 60, REFUSED, RULES, INVALID),
    (RECOVERING, Event.SUCCESS): (RECOVERING_ROWS, 95, GOOD, RULES, RECOVERING),
    (RECOVERING, Event.RISE): (RECOVERING_ROWS, 120, GOOD, RULES, UP),
    (RECOVERING, Event.FAILURE): (RECOVERING_ROWS, 120, BAD, RULES, DOWN),
    (RECOVERING, Event.REFUSED): (RECOVERING_ROWS, 120, REFUSED, RULES, INVALID),
    (INVALID, Event.ACCEPTED): (INVALID_ROWS, 30, BAD, RULES, UNKNOWN),
    (INVALID, Event.REFUSED): (INVALID_ROWS, 30, REFUSED, RULES, INVALID),
}


class TestTable:
    def test_is_all_there_is(self):
        """Each row of the machine's table is in this file's, with the same way out."""
        theirs = {
            (h, event): after for h, row in TRANSITIONS.items() for event, after in row.items()
        }

        assert {key: after for key, (*_, after) in TABLE.items()} == theirs
        assert set(Health) == set(TRANSITIONS)

    @pytest.mark.parametrize(("health", "event"), TABLE, ids=str)
    def test_row(self, health, event):
        """Observations that amount to the event lead where the table says."""
        rows, at, result, rules, after = TABLE[health, event]
        state = verify(*rows) if rows else State(since=0.0)

        found, transitions = step(state, at, SLOT, result, rules)

        assert (health, after) == (state.health, found.health)
        assert ([] if health is after else [(health, after)]) == [
            (transition.before, transition.after) for transition in transitions
        ]

    @pytest.mark.parametrize(
        ("health", "event"),
        [(h, event) for h in Health for event in Event if event not in TRANSITIONS[h]],
        ids=str,
    )
    def test_event_that_is_not_in_it(self, health, event):
        """It is a bug: it raises by name, and nothing was changed."""
        state = State(health=health, since=1.0, failures=2)
        transitions: list[Transition] = []

        with pytest.raises(ValueError, match=f"{event} cannot happen to a node that is {health}"):
            machine._move(state, event, 5.0, transitions, "")

        assert transitions == []
        assert State(health=health, since=1.0, failures=2) == state


class Seen(NamedTuple):
    """One observation of a trace."""

    at: float
    slot: bool
    result: Result


def traces(*results: Result) -> st.SearchStrategy[list[Seen]]:
    """Observations in their order of time; bad news is likelier, so that nodes do fall."""
    steps = st.tuples(
        st.integers(1, 60).map(lambda half: half / 2), st.booleans(), st.sampled_from(results)
    )

    def placed(found: list[tuple[float, bool, Result]]) -> list[Seen]:
        at, trace = 0.0, []
        for gap, slot, result in found:
            at += gap
            trace.append(Seen(at, slot, result))
        return trace

    return st.lists(steps, max_size=50).map(placed)


rules_of_any_kind = st.just(RULES) | st.builds(
    lambda fall, after, window, bad, rise, apart, down: VerdictConfig(
        fall=fall,
        fall_after=f"{after}s",
        window=window,
        window_failures=min(bad, window),
        rise=rise,
        rise_interval=f"{apart}s",
        min_down=f"{down}s",
    ),
    *(st.integers(1, 5), st.integers(0, 30), st.integers(1, 8), st.integers(1, 8)),
    *(st.integers(1, 4), st.integers(1, 20), st.integers(0, 90)),
)


def healths(trace: list[Seen], rules: VerdictConfig) -> list[Health]:
    """The health after each observation."""
    state, found = State(since=0.0), []
    for seen in trace:
        state, _ = step(state, seen.at, seen.slot, seen.result, rules)
        found.append(state.health)
    return found


def is_good(seen: Seen) -> bool:
    return seen.result.outcome is Outcome.SUCCESS


def rules_met(trace: list[Seen], rules: VerdictConfig) -> bool:
    """Whether the last observation completes the fall rule or the window rule: from the trace."""
    run: list[Seen] = []
    for seen in reversed(trace):
        if is_good(seen):
            break
        run.insert(0, seen)
    fall = len(run) >= rules.fall and run[-1].at - run[0].at >= rules.fall_after
    slots = [is_good(seen) for seen in trace if seen.slot][-rules.window :]
    return fall or slots.count(False) >= rules.window_failures


@given(traces(GOOD, BAD, BAD, REFUSED, OURS), rules_of_any_kind)
def test_down_exactly_by_a_rule(trace, rules):
    """A node in service falls when, and only when, the trace itself meets a rule."""
    after = healths(trace, rules)
    before = [UNKNOWN, *after]
    mine: list[Seen] = []  # what counts for the rules: all since the node last started clean
    for seen, was, now in zip(trace, before, after, strict=False):
        if seen.result.outcome is Outcome.INCONCLUSIVE:
            continue
        if now is INVALID:
            mine = []
            continue
        mine.append(seen)
        if was in {DOWN, RECOVERING}:
            assert (now is DOWN) == (not is_good(seen))
            mine = [] if now is UP else mine
        else:
            assert (now is DOWN) == (not is_good(seen) and rules_met(mine, rules))


@given(traces(GOOD, GOOD, GOOD, BAD), rules_of_any_kind)
def test_up_again_exactly_by_the_rise_rule(trace, rules):
    """A fallen node is back when, and only when, successes, their spacing and the time suffice."""
    fell, counted = 0.0, list[float]()
    after = healths(trace, rules)
    for seen, was, now in zip(trace, [UNKNOWN, *after], after, strict=False):
        if now is DOWN and was not in {DOWN, RECOVERING}:
            fell = seen.at
        if not is_good(seen):
            counted = []
        elif not counted or seen.at - counted[-1] >= rules.rise_interval:
            counted.append(seen.at)
        if was in {DOWN, RECOVERING} and is_good(seen):
            risen = len(counted) >= rules.rise and seen.at - fell >= rules.min_down
            assert (UP if risen else RECOVERING) is now


@given(
    traces(GOOD, BAD, BAD, REFUSED),
    st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=10),
    rules_of_any_kind,
)
def test_inconclusive_results_never_matter(trace, places, rules):
    """Put in anywhere, they change neither the sequence of healths nor any part of the state."""
    mixed = list(trace)
    for place, slot in places:
        index = min(place, len(mixed))
        mixed.insert(index, Seen(mixed[index - 1].at if index else 0.0, slot, OURS))
    state, plain = State(since=0.0), State(since=0.0)
    told: list[Transition] = []
    told_plain: list[Transition] = []
    for seen in mixed:
        state, transitions = step(state, seen.at, seen.slot, seen.result, rules)
        told += transitions
    for seen in trace:
        plain, transitions = step(plain, seen.at, seen.slot, seen.result, rules)
        told_plain += transitions

    assert (plain, told_plain) == (state, told)


@given(traces(GOOD, BAD, BAD, REFUSED, OURS), rules_of_any_kind)
def test_transitions_tell_the_whole_story(trace, rules):
    """Each transition begins where the last one ended, along a way the table knows, in time."""
    state = State(since=0.0)
    told: list[Transition] = []
    for seen in trace:
        state, transitions = step(state, seen.at, seen.slot, seen.result, rules)
        told += transitions
        assert all(transition.at == seen.at and transition.evidence for transition in transitions)

    assert [UNKNOWN, *(t.after for t in told)] == [*(t.before for t in told), state.health]
    assert all(t.after in TRANSITIONS[t.before].values() for t in told)
    assert all(one.at <= other.at for one, other in pairwise(told))
