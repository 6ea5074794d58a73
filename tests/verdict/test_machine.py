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
from healthd.verdict.damping import Penalty
from healthd.verdict.machine import TRANSITIONS, Event, State, Transition
from tests.builders import verdict_rules

UNKNOWN, UP, SUSPECT, HELD = Health.UNKNOWN, Health.UP, Health.SUSPECT, Health.HELD
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

    def test_switched_off(self):
        """With window_failures = 0 only failures in a row count, however many slots are bad."""
        rows = [
            (30.0 * n, SLOT, GOOD if n % 2 else BAD, UP if n % 2 else SUSPECT if n else UNKNOWN)
            for n in range(40)
        ]

        verify(
            *((*row, "every other slot is bad") for row in rows),
            rules=VerdictConfig(window_failures=0),
        )

    def test_every_slot_of_the_window(self):
        """With as many failures as slots in the window, each one of them has to be bad."""
        rules = VerdictConfig(fall=100, window=3, window_failures=3)
        verify(
            (0, SLOT, GOOD, UP, "works"),
            (30, SLOT, BAD, SUSPECT, "1 of 2"),
            (60, SLOT, BAD, SUSPECT, "2 of 3"),
            (90, SLOT, BAD, DOWN, "3 of 3: the good one has left"),
            rules=rules,
        )

    def test_held_node_falls_by_it_too(self):
        """What a held node loses counts from the moment it was held."""
        rules = HOLDING.model_copy(update={"fall": 100, "window": 4, "window_failures": 2})
        verify(
            (90, SLOT, BAD, HELD, "1 of 1: the slots before are forgotten"),
            (120, SLOT, GOOD, HELD, "1 of 2"),
            (150, SLOT, BAD, DOWN, "2 of 3"),
            rules=rules,
            state=verify(*HELD_ROWS, rules=HOLDING),
        )

    @pytest.mark.parametrize(
        "slots", [(), (True,) * 10, (False,) * 10, (True, False) * 5, (True,) * 11, (False,) * 3]
    )
    def test_good_slot_of_a_good_node(self, slots):
        """However the window looks, a good slot is the latest in it."""
        state = State(health=UP, since=0.0, slots=slots)
        state, transitions = step(state, 30, SLOT, GOOD, VerdictConfig(window_failures=0))

        assert (state.slots, transitions) == ((*slots, True)[-10:], [])

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


RISEN: tuple[Row, ...] = (
    *FALLING,
    (90, SLOT, GOOD, RECOVERING, "one"),
    (100, RECHECK, GOOD, RECOVERING, "two"),
    (110, RECHECK, GOOD, UP, "three, a minute after the fall"),
)


class TestProbation:
    def test_begins_with_the_rise(self):
        """Who comes back is on probation for ten minutes; they run from the end of the probe."""
        state = verify(*RISEN[:-1])
        state, _ = machine.observe(state, GOOD, slot=RECHECK, began=110, now=110.5, rules=RULES)

        assert (state.health, state.probation_until) == (UP, 710.5)

    def test_not_for_a_newcomer(self):
        """A node that never fell is trusted from its first success."""
        state = verify((0, SLOT, BAD, UNKNOWN, "slow to start"), (5, RECHECK, GOOD, UP, "works"))

        assert state.probation_until is None

    def test_suspicion_does_not_prolong_it(self):
        """Only a rise begins a probation: a suspect who comes back goes on with the old one."""
        state = verify(
            *RISEN, (120, SLOT, BAD, SUSPECT, "a blip"), (125, RECHECK, GOOD, UP, "over")
        )

        assert state.probation_until == 710

    def test_none_at_all(self):
        """With probation = 0 a node is back in its place at once."""
        state = verify(*RISEN, rules=VerdictConfig(probation="0s"))

        assert state.probation_until == 110


class TestConfirmed:
    def test_by_the_first_failure_after_the_fall(self):
        """The failures that make the fall do not confirm it; the one after it does."""
        fallen = verify(*FALLING)
        confirmed = verify((65, RECHECK, BAD, DOWN, "by another check URL"), state=fallen)

        assert (fallen.confirmed, confirmed.confirmed) == (False, True)

    @pytest.mark.parametrize("result", [GOOD, OURS], ids=["success", "inconclusive"])
    def test_by_nothing_else(self, result):
        """Neither a success nor a probe that says nothing confirms a fall."""
        state, _ = step(verify(*FALLING), 65, RECHECK, result)

        assert not state.confirmed

    def test_not_by_a_relapse(self):
        """The probe of a recovering node asks the usual check URL: it confirms nothing."""
        state = verify(
            *FALLING,
            (65, RECHECK, GOOD, RECOVERING, "one"),
            (75, RECHECK, BAD, DOWN, "a relapse"),
        )

        assert not state.confirmed
        assert verify((90, SLOT, BAD, DOWN, "again"), state=state).confirmed

    def test_stays_through_a_relapse(self):
        """A fall that was confirmed once is not asked about again."""
        state = verify(
            *FALLING,
            (65, RECHECK, BAD, DOWN, "confirmed"),
            (80, RECHECK, GOOD, RECOVERING, "one"),
            (90, RECHECK, BAD, DOWN, "a relapse"),
        )

        assert state.confirmed

    def test_each_fall_anew(self):
        """The next fall has to be confirmed again."""
        state = replace(verify(*RISEN), confirmed=True)
        state = verify(
            *(
                (at, SLOT, BAD, health, "falls again")
                for at, health in ((120, SUSPECT), (125, SUSPECT), (130, SUSPECT), (140, DOWN))
            ),
            state=state,
        )

        assert not state.confirmed


class TestRequalify:
    """An operator is done with the node."""

    @staticmethod
    def requalify(state: State, at: float, rules: VerdictConfig = RULES) -> State:
        found, (transition,) = machine.requalify(state, at, rules, "maintenance is over")
        told = Transition(state.health, RECOVERING, at, None, "maintenance is over")
        assert (told, RECOVERING, at) == (transition, found.health, found.since)
        return found

    @pytest.mark.parametrize("rows", [FALLING[:1], FALLING[:3]], ids=["up", "suspect"])
    def test_rises_by_its_successes_alone(self, rows):
        """It was not down, so it does not wait for min_down: three successes, 10 s apart."""
        state = self.requalify(verify(*rows), 40)

        state = verify(
            (50, SLOT, GOOD, RECOVERING, "one"),
            (59, RECHECK, GOOD, RECOVERING, "9 s later: the same one"),
            (60, RECHECK, GOOD, RECOVERING, "two"),
            (70, RECHECK, GOOD, UP, "three, 30 s after the maintenance"),
            state=state,
        )
        assert (state.probation_until, state.slots) == (670, ())

    def test_what_came_before_does_not_count(self):
        """The failures and successes that were seen while the operator worked are forgotten."""
        state = self.requalify(verify(*FALLING[:4]), 40)

        assert (
            state.failures,
            state.failing_since,
            state.successes,
            state.counted_at,
        ) == (0, None, 0, None)

    def test_a_node_that_fails_falls_now(self):
        """It goes down at its first failure, and from then on like any other: min_down holds."""
        state = self.requalify(verify(*FALLING[:1]), 40)
        state = verify((50, SLOT, BAD, DOWN, "not done after all"), state=state)

        assert (state.down_since, state.confirmed) == (50, False)
        verify(
            (65, RECHECK, GOOD, RECOVERING, "one"),
            (80, SLOT, GOOD, RECOVERING, "two"),
            (90, RECHECK, GOOD, RECOVERING, "three, 40 s since it fell"),
            (110, SLOT, GOOD, UP, "four, a minute since it fell"),
            state=state,
        )

    def test_failing_it_costs_no_points(self):
        """Who fails under an operator's hands is not flapping."""
        state = self.requalify(verify(*FALLING[:1]), 40)

        assert Penalty() == verify((50, SLOT, BAD, DOWN, "fails"), state=state).penalty

    def test_is_no_fall(self):
        """The gate counts falls to notice a mass failure: a node that requalifies did not fall."""
        assert self.requalify(verify(*FALLING[:1]), 40).down_since is None

    def test_new_rules_meanwhile(self):
        """A longer min_down after a reload does not concern a node that never fell."""
        state = self.requalify(verify(*FALLING[:1]), 40)
        rules = VerdictConfig(min_down="10m", rise=1)

        verify((50, SLOT, GOOD, UP, "one is enough now"), state=state, rules=rules)

    def test_confirmation_of_an_earlier_fall_is_forgotten(self):
        """When it fails, that is a new fall, which has to be confirmed."""
        state = self.requalify(replace(verify(*RISEN), confirmed=True), 120)

        assert not verify((130, SLOT, BAD, DOWN, "fails"), state=state).confirmed

    @pytest.mark.parametrize(
        "rows",
        [
            (),
            FALLING,
            (*FALLING, (65, RECHECK, GOOD, RECOVERING, "one")),
            ((0, SLOT, REFUSED, INVALID, "refused"),),
        ],
        ids=["unknown", "down", "recovering", "invalid"],
    )
    def test_others_stay_as_they_are(self, rows):
        """A node that is not in service has to prove itself anyway: not one field changes."""
        state = verify(*rows) if rows else State(since=0.0)

        assert (state, []) == machine.requalify(state, 70, RULES, "maintenance is over")


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
                penalty=before.penalty,
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


FAILING_ROWS = tuple((5.0 * n, n == 0, BAD, UNKNOWN, "failing from the start") for n in range(4))


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
            (
                FAILING_ROWS,
                None,
            ),
            (
                (*FAILING_ROWS, (20, RECHECK, BAD, DOWN, "")),
                Transition(UNKNOWN, DOWN, 20, Reason.REFUSED, "5 failures in 20 s"),
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

    def test_evidence_of_two(self):
        """Two failures are counted already."""
        state = verify(*HOLDING_ROWS[:2], rules=HOLDING)
        _, (transition,) = step(state, 35, RECHECK, BAD, HOLDING)

        assert transition.evidence == "2 failures in 5 s"

    def test_reason_and_detail_of_the_latest_failure_stay(self):
        """They can be read until another failure replaces them; a success leaves them."""
        state = verify(*FALLING[:2])
        other, _ = step(state, 35, RECHECK, failure(Reason.TIMEOUT, "i/o timeout"))
        after, _ = step(other, 40, RECHECK, GOOD)

        assert (state.reason, state.detail) == (Reason.REFUSED, "connection refused")
        assert (after.health, after.reason, after.detail) == (UP, Reason.TIMEOUT, "i/o timeout")

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

    def test_evidence_around_a_hold(self):
        """Being held and being let go are told in words as well, and blamed on no reason."""
        state = verify(*HOLDING_ROWS, rules=HOLDING)
        held, (hold,) = step(state, 70, RECHECK, GOOD, HOLDING)
        _, (release,) = step(held, 936, SLOT, GOOD, HOLDING)

        why = "2 successes, but it fell too often of late"
        assert Transition(RECOVERING, HELD, 70, None, why) == hold
        assert Transition(HELD, UP, 936, None, "it has calmed down") == release


UP_ROWS = FALLING[:1]
SUSPECT_ROWS = FALLING[:5]
RECOVERING_ROWS = (
    *FALLING,
    (60.0, SLOT, GOOD, RECOVERING, "one"),
    (90.0, SLOT, GOOD, RECOVERING, "two"),
)
INVALID_ROWS = ((0.0, SLOT, REFUSED, INVALID, "refused"),)
LOSSY_ROWS = tuple(
    (30.0 * n, SLOT, GOOD if n % 2 else BAD, (UP if n % 2 else SUSPECT) if n else UNKNOWN, "lossy")
    for n in range(8)
)
QUICK = VerdictConfig(rise=1, min_down="0s")
HOLDING = VerdictConfig(
    fall=2, fall_after="0s", rise=2, min_down="0s", damping_hold=1000, damping_release=500
)
"""A single fall holds a node, for a quarter of an hour."""
HOLDING_ROWS: tuple[Row, ...] = (
    (0, SLOT, GOOD, UP, "works"),
    (30, SLOT, BAD, SUSPECT, "one"),
    (35, RECHECK, BAD, DOWN, "two: 1000 points until 500 are left, at 935"),
    (60, SLOT, GOOD, RECOVERING, "one"),
)
HELD_ROWS: tuple[Row, ...] = (*HOLDING_ROWS, (70, RECHECK, GOOD, HELD, "two, but it fell"))


class Done(NamedTuple):
    """In the place of a result: an operator is done with the node."""


class Case(NamedTuple):
    """Rows that lead to a health, and what then comes and leads on."""

    rows: tuple[Row, ...]
    at: float
    came: Result | Done
    after: Health
    rules: VerdictConfig = RULES
    before: VerdictConfig = RULES
    """The rules of ``rows``."""


def held(rows: tuple[Row, ...], at: float, came: Result | Done, after: Health) -> Case:
    return Case(rows, at, came, after, HOLDING, HOLDING)


TABLE: dict[tuple[Health, Event], Case] = {
    (UNKNOWN, Event.SUCCESS): Case((), 0, GOOD, UP),
    (UNKNOWN, Event.FAILURE): Case((), 0, BAD, UNKNOWN),
    (UNKNOWN, Event.FALL): Case(FAILING_ROWS, 20, BAD, DOWN),
    (UNKNOWN, Event.REFUSED): Case((), 0, REFUSED, INVALID),
    (UP, Event.SUCCESS): Case(UP_ROWS, 30, GOOD, UP),
    (UP, Event.FAILURE): Case(UP_ROWS, 30, BAD, SUSPECT),
    (UP, Event.FALL): Case(LOSSY_ROWS, 240, BAD, DOWN),
    (UP, Event.REQUALIFY): Case(UP_ROWS, 30, Done(), RECOVERING),
    (UP, Event.REFUSED): Case(UP_ROWS, 30, REFUSED, INVALID),
    (SUSPECT, Event.SUCCESS): Case(SUSPECT_ROWS, 50, GOOD, UP),
    (SUSPECT, Event.FAILURE): Case(SUSPECT_ROWS, 49, BAD, SUSPECT),
    (SUSPECT, Event.FALL): Case(SUSPECT_ROWS, 50, BAD, DOWN),
    (SUSPECT, Event.REQUALIFY): Case(SUSPECT_ROWS, 50, Done(), RECOVERING),
    (SUSPECT, Event.REFUSED): Case(SUSPECT_ROWS, 50, REFUSED, INVALID),
    (DOWN, Event.SUCCESS): Case(FALLING, 60, GOOD, RECOVERING),
    (DOWN, Event.RISE): Case(FALLING, 60, GOOD, UP, QUICK),
    (DOWN, Event.HOLD): Case(
        HOLDING_ROWS[:3],
        60,
        GOOD,
        HELD,
        HOLDING.model_copy(update={"rise": 1}),
        HOLDING,
    ),
    (DOWN, Event.FAILURE): Case(FALLING, 60, BAD, DOWN),
    (DOWN, Event.REFUSED): Case(FALLING, 60, REFUSED, INVALID),
    (RECOVERING, Event.SUCCESS): Case(RECOVERING_ROWS, 95, GOOD, RECOVERING),
    (RECOVERING, Event.RISE): Case(RECOVERING_ROWS, 120, GOOD, UP),
    (RECOVERING, Event.HOLD): held(HOLDING_ROWS, 70, GOOD, HELD),
    (RECOVERING, Event.FAILURE): Case(RECOVERING_ROWS, 120, BAD, DOWN),
    (RECOVERING, Event.REFUSED): Case(RECOVERING_ROWS, 120, REFUSED, INVALID),
    (HELD, Event.SUCCESS): held(HELD_ROWS, 935, GOOD, HELD),
    (HELD, Event.RISE): held(HELD_ROWS, 936, GOOD, UP),
    (HELD, Event.FAILURE): held(HELD_ROWS, 90, BAD, HELD),
    (HELD, Event.FALL): held((*HELD_ROWS, (90, SLOT, BAD, HELD, "one")), 95, BAD, DOWN),
    (HELD, Event.REQUALIFY): held(HELD_ROWS, 90, Done(), RECOVERING),
    (HELD, Event.REFUSED): held(HELD_ROWS, 90, REFUSED, INVALID),
    (INVALID, Event.ACCEPTED): Case(INVALID_ROWS, 30, BAD, UNKNOWN),
    (INVALID, Event.REFUSED): Case(INVALID_ROWS, 30, REFUSED, INVALID),
}


class TestTable:
    def test_is_all_there_is(self):
        """Each row of the machine's table is in this file's, with the same way out."""
        theirs = {
            (h, event): after for h, row in TRANSITIONS.items() for event, after in row.items()
        }

        assert {key: case.after for key, case in TABLE.items()} == theirs
        assert set(Health) == set(TRANSITIONS)
        assert set(Event) == {event for _, event in TABLE}

    @pytest.mark.parametrize(("health", "event"), TABLE, ids=str)
    def test_row(self, health, event):
        """What amounts to the event leads where the table says."""
        case = TABLE[health, event]
        state = verify(*case.rows, rules=case.before) if case.rows else State(since=0.0)

        if isinstance(case.came, Done):
            found, transitions = machine.requalify(state, case.at, case.rules, "done")
        else:
            found, transitions = step(state, case.at, SLOT, case.came, case.rules)

        assert (health, case.after) == (state.health, found.health)
        assert ([] if health is case.after else [(health, case.after)]) == [
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
            machine._move(state, event, 5.0, transitions, lambda: "", RULES)

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
    return fall or 0 < rules.window_failures <= slots.count(False)


@given(traces(GOOD, BAD, BAD, REFUSED, OURS), verdict_rules)
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
        else:
            assert (now is DOWN) == (not is_good(seen) and rules_met(mine, rules))
        if was in {DOWN, RECOVERING, HELD} and now in {UP, HELD} and now is not was:
            mine = []


@given(traces(GOOD, GOOD, GOOD, BAD), verdict_rules)
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
            assert ({UP, HELD} if risen else {RECOVERING}) >= {now}


@given(
    traces(GOOD, BAD, BAD, REFUSED),
    st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=10),
    verdict_rules,
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


@given(traces(GOOD, BAD, BAD, REFUSED, OURS), verdict_rules)
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


@given(
    traces(GOOD, GOOD, BAD, BAD, REFUSED, OURS),
    verdict_rules,
    st.integers(-(2**31), 2**31),
    st.lists(st.integers(0, 49)),
)
def test_commutes_with_the_clock(trace, rules, by, requalified):
    """On a clock that shows any other time, all goes the same way: only differences count."""
    state = State(since=0.0)
    other = machine.shifted(state, by)
    for number, seen in enumerate(trace):
        state, told = step(state, seen.at, seen.slot, seen.result, rules)
        other, told_other = step(other, seen.at + by, seen.slot, seen.result, rules)
        if number in requalified:
            state, more = machine.requalify(state, seen.at, rules, "done")
            other, more_other = machine.requalify(other, seen.at + by, rules, "done")
            told, told_other = [*told, *more], [*told_other, *more_other]

        assert machine.shifted(state, by) == other
        assert [replace(each, at=each.at + by) for each in told] == told_other


def test_shifting_moves_every_time_and_nothing_else():
    """No field that holds a time is forgotten: a restart would tear it."""
    state = State(
        health=RECOVERING,
        since=1.0,
        failures=7,
        failing_since=2.0,
        successes=3,
        counted_at=3.0,
        slots=(True, False),
        down_since=4.0,
        confirmed=True,
        probation_until=5.0,
        penalty=Penalty(6.0, 7.0, held=True),
        reason=Reason.REFUSED,
        detail="words",
    )
    moved = replace(
        state,
        since=101.0,
        failing_since=102.0,
        counted_at=103.0,
        down_since=104.0,
        probation_until=105.0,
        penalty=Penalty(6.0, 107.0, held=True),
    )

    assert moved == machine.shifted(state, 100.0)
    assert None not in {getattr(state, name) for name in State.__dataclass_fields__}


def test_shifting_leaves_what_is_not_there():
    """A time that there is not stays away."""
    assert State(since=5.0, penalty=Penalty(at=5.0)) == machine.shifted(State(since=0.0), 5.0)
