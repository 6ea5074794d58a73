"""What users get, one line per case with its reason.

A fleet is written as a line of words, in failover order: ``b:down*/fell=990/slow`` is the node b,
down, published (the star) and so on. Times are seconds on a clock that shows 1000.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.config import GateConfig
from healthd.model import TAKEN_OUT, AdminMode, Health, Reason
from healthd.verdict import gate
from healthd.verdict.decision import PANIC, Candidate, Decision, Memory, Mode, after_publishing
from tests.builders import node, nodes

NOW = 1000.0
LONG_AGO = 10.0
FELL_AT = 1_795_490_000.0
"""2026-11-24T03:13:20Z"""

RULES = GateConfig()


def candidate(word: str) -> Candidate:
    """One word of a fleet's line."""
    about, *options = word.replace("*", "").split("/")
    node_id, _, health = about.partition(":")
    given = dict(option.partition("=")[::2] for option in options)
    modes = [AdminMode(option) for option in given if option in set(AdminMode)]
    never = "new" in given or health in {Health.UNKNOWN, Health.INVALID}
    fallen = health in {Health.DOWN, Health.RECOVERING}
    return Candidate(
        node=node(node_id),
        health=Health(health),
        admin=modes[0] if modes else AdminMode.ENABLED,
        admin_why="disk, by ann" if modes else "",
        slow="slow" in given,
        probation_until=float(given["probation"]) if "probation" in given else None,
        fell=float(given.get("fell", LONG_AGO)) if fallen else None,
        failing_since=float(given["failing"]) if "failing" in given else None,
        confirmed="fell" not in given or "confirmed" in given,
        last_good=None if never and "good" not in given else float(given.get("good", 100.0)),
    )


def look(
    line: str,
    *,
    removals: Sequence[float] = (),
    panic: bool = False,
    enough_since: float | None = None,
    now: float = NOW,
    limit: int = 0,
    interval: float = 0.0,
    first_round_over: bool = True,
    monitor_ok: bool = True,
    published: str | None = None,
    **rules: Any,
) -> Decision:
    """The gate's decision over such a line."""
    words = line.split()
    served = [word.partition(":")[0] for word in words if "*" in word]
    served = served if published is None else published.split()
    return gate.decide(
        [candidate(word) for word in words],
        Memory(tuple(served), tuple(removals), panic, enough_since),
        now=now,
        rules=GateConfig(**rules),
        limit=limit,
        interval=interval,
        first_round_over=first_round_over,
        monitor_ok=monitor_ok,
    )


def ids(decision: Decision) -> str:
    """Who is published, in order; "as before" when what is published stays."""
    if decision.nodes is None:
        return "as before"
    return " ".join(each.id for each in decision.nodes)


MEMBERSHIP = """
unknown     enabled      out/no  in/yes   a newcomer waits for its first success, others stay in
up          enabled      in/yes  in/yes   it works
suspect     enabled      in/yes  in/yes   it may not be called down yet
down        enabled      out/yes out/yes  it is down
recovering  enabled      out/yes out/yes  it must rise by the rule
held        enabled      out/yes out/yes  it fell too often
invalid     enabled      out/no  out/no   no document that holds it would be published
unknown     drain        out/no  out/no   the operator took it out
up          drain        out/no  out/no   the operator took it out, although it works
suspect     drain        out/no  out/no   the operator took it out
down        drain        out/no  out/no   the operator took it out
recovering  drain        out/no  out/no   the operator took it out
held        drain        out/no  out/no   the operator took it out
invalid     drain        out/no  out/no   the operator took it out
unknown     maintenance  out/no  out/no   somebody works on it
up          maintenance  out/no  out/no   somebody works on it
suspect     maintenance  out/no  out/no   somebody works on it
down        maintenance  out/no  out/no   somebody works on it
recovering  maintenance  out/no  out/no   somebody works on it
held        maintenance  out/no  out/no   somebody works on it
invalid     maintenance  out/no  out/no   somebody works on it
unknown     force-down   out/no  out/no   the operator wants it out
up          force-down   out/no  out/no   the operator wants it out, although it works
suspect     force-down   out/no  out/no   the operator wants it out
down        force-down   out/no  out/no   the operator wants it out
recovering  force-down   out/no  out/no   the operator wants it out
held        force-down   out/no  out/no   the operator wants it out
invalid     force-down   out/no  out/no   the operator wants it out
unknown     force-up     in/yes  in/yes   the operator knows better than to wait for us
up          force-up     in/yes  in/yes   it works, and the operator wants it in
suspect     force-up     in/yes  in/yes   the operator wants it in
down        force-up     in/yes  in/yes   the operator wants it in, although it is down
recovering  force-up     in/yes  in/yes   the operator wants it in
held        force-up     in/yes  in/yes   the operator wants it in
invalid     force-up     out/no  out/no   nobody can write what the engine refuses
"""
ROWS = [line.split(None, 4) for line in MEMBERSHIP.strip().splitlines()]


class TestMembership:
    @pytest.mark.parametrize("was_in", [False, True], ids=["new", "published"])
    @pytest.mark.parametrize(("health", "mode", "new", "old", "because"), ROWS)
    def test_each_case(self, health, mode, new, old, because, was_in):
        """Health, what an operator wants and what was published say who is in, and who counts."""
        where, counts = (old if was_in else new).split("/")
        star = "*" if was_in else ""
        decision = look(f"a:up* b:up* c:up* d:up* x:{health}{star}/{mode}")

        assert (Mode.NORMAL, because) == (decision.mode, because)
        assert ("in" if "x" in ids(decision).split() else "out") == where
        assert decision.why["x"].startswith(f"{where}: ")
        assert 4 + (counts == "yes") == decision.eligible

    def test_table_is_complete(self):
        """Every health under every mode is in the table."""
        assert len(ROWS) == len(Health) * len(AdminMode)
        assert {(row[0], row[1]) for row in ROWS} == {(h, m) for h in Health for m in AdminMode}

    def test_no_nodes(self):
        """A publication whose tags select nothing is left as it is."""
        decision = look("", published="x y")

        assert (decision.mode, ids(decision), decision.why) == (Mode.LAST_GOOD, "as before", {})

    def test_who_left_the_fleet_leaves(self):
        """A node that is not configured any more goes at once, brake or not: an operator did it."""
        decision = look("a:up* b:up*", published="a gone b lost", removals=[990.0, 995.0])

        assert (decision.mode, ids(decision), decision.removes) == (Mode.NORMAL, "a b", ())


class TestFloor:
    @pytest.mark.parametrize(
        ("eligible", "floor", "min_nodes", "limit", "expected", "why"),
        [
            (0, 0.5, 2, 0, 0, "nobody to ask for"),
            (1, 0.5, 2, 0, 1, "capped: more than all cannot be asked for"),
            (2, 0.5, 2, 0, 2, "the least number of nodes is more than the share"),
            (3, 0.5, 2, 0, 2, "rounded up: half of three is two"),
            (4, 0.5, 2, 0, 2, "half of four"),
            (5, 0.5, 2, 0, 3, "rounded up"),
            (30, 0.1, 1, 0, 3, "0.1 * 30 is 3.0000000000000004 to a computer, and 3 to people"),
            (10, 0.7, 1, 0, 7, "0.7 * 10 is 7.000000000000001 to some"),
            (100, 0.07, 1, 0, 7, "0.07 * 100 is 7.000000000000001"),
            (1000, 0.5005, 1, 0, 501, "a share that really lies above 500 is rounded up"),
            (10, 0.0, 1, 0, 1, "no share: the least number holds"),
            (10, 1.0, 1, 0, 10, "all of them"),
            (10, 0.0, 99, 0, 10, "capped at N"),
            (10, 0.5, 2, 3, 3, "capped at the limit: no more can be published"),
            (10, 0.5, 2, 5, 5, "a limit as high as the floor changes nothing"),
            (3, 0.5, 2, 9, 2, "nor does a higher one"),
        ],
    )
    def test_arithmetic(self, eligible, floor, min_nodes, limit, expected, why):
        """The larger of the least number and the share, at most N, at most the limit."""
        rules = GateConfig(floor=floor, min_nodes=min_nodes)

        assert (expected, why) == (gate.floor_of(eligible, rules, limit), why)

    @given(st.integers(0, 2000), st.integers(0, 1000), st.integers(1, 50), st.integers(0, 50))
    def test_is_exact(self, eligible, thousandths, min_nodes, limit):
        """For a share as people write it, the floor is what exact arithmetic says."""
        rules = GateConfig(floor=thousandths / 1000, min_nodes=min_nodes)
        share = math.ceil(Fraction(thousandths, 1000) * eligible)
        expected = min(max(min_nodes, share), eligible, limit or eligible)

        assert expected == gate.floor_of(eligible, rules, limit)

    @given(st.integers(0, 2000), st.integers(1, 1000))
    def test_allowance_is_exact(self, eligible, thousandths):
        """So is the number of removals that a period has room for: rounded down, but one."""
        rules = GateConfig(max_removals=thousandths / 1000)
        expected = max(1, math.floor(Fraction(thousandths, 1000) * eligible))

        assert expected == gate.allowance(eligible, rules)

    def test_newcomers_do_not_raise_it(self):
        """Ten nodes just added cannot be published yet: they make no panic."""
        added = " ".join(f"n{number}:unknown" for number in range(10))
        decision = look(f"a:up* b:up* c:up* {added}")

        assert (decision.mode, decision.eligible, decision.floor) == (Mode.NORMAL, 3, 2)

    @pytest.mark.parametrize("mode", [*TAKEN_OUT], ids=str)
    def test_taken_out_lower_it(self, mode):
        """What an operator took out is not asked for."""
        decision = look(f"a:up* b:up* c:up*/{mode} d:up*/{mode} e:up*/{mode}")

        assert (decision.mode, ids(decision)) == (Mode.NORMAL, "a b")
        assert (decision.eligible, decision.floor, decision.in_service) == (2, 2, 2)

    def test_summary(self):
        """The figures in words."""
        met, unmet = look("a:up* b:up* c:down*"), look("a:up* b:down* c:down*")

        assert met.summary == "2 of 3 in service, floor 2 of 3 met"
        assert unmet.summary == "1 of 3 in service, floor 2 of 3 not met"


class TestModes:
    @pytest.mark.parametrize(
        ("line", "rules", "mode", "expected", "why"),
        [
            ("a:up* b:up* c:up d:down", {}, "normal", "a b c", "the floor is met"),
            ("a:suspect* b:suspect* c:down d:down", {}, "normal", "a b", "suspects are in service"),
            ("a:up* b:down/good=5 c:down/good=9", {}, "top-up", "a c", "the latest to work fills"),
            ("a:up* b:down/new c:down*/good=1", {}, "top-up", "a c", "not with one never seen"),
            ("a:up* b:down*/new c:down/good=1", {}, "top-up", "a c", "published, but worse"),
            ("a:up* b:down*/new c:down/new", {}, "top-up", "a b", "published: better than nobody"),
            ("a:up* b:down/new c:down/new", {}, "top-up", "a", "nobody to fill up with"),
            ("a:up* b:unknown/good=5 c:down d:down", {}, "top-up", "a c", "unknown stays out"),
            ("a:up* b:down c:held d:recovering", {}, "top-up", "a d", "recovering is least bad"),
            ("a:up* b:down c:held d:down", {}, "top-up", "a c", "then held: it works right now"),
            ("a:down b:held c:up* d:recovering e:down/good=5", {"floor": 1.0}, "top-up",
             "c d b a e", "the good one first, then the least bad ones"),
            ("a:up* b:down* c:down* d:down*", {"mode": "freeze"}, "freeze", "as before", "frozen"),
            ("a:up b:down c:down d:down", {"mode": "freeze"}, "freeze", "a",
             "nothing to keep yet: what works is better than nothing"),
            ("a:up* b:down c:down/new d:held", {"mode": "all"}, "all", "a d b",
             "everything that ever worked"),
            ("a:up* b:down/new c:down*/new d:up e:down f:down", {"mode": "all"}, "all", "a d e f c",
             "and what is published"),
            ("a:up* b:down c:recovering d:held", {"mode": "strict"}, "strict", "a", "only this"),
            ("a:up* b:down*", {"mode": "strict", "max_removals": 1.0}, "strict", "a", "only this"),
            ("a:up/force-up b:down c:down d:down", {"mode": "strict"}, "strict", "a", "forced"),
        ],
    )  # fmt: skip
    def test_which(self, line, rules, mode, expected, why):
        """With enough in service they are published; with too few, the mode says what then."""
        decision = look(line, **rules)

        assert (mode, expected, why) == (decision.mode, ids(decision), why)

    @pytest.mark.parametrize("mode", ["top-up", "freeze", "all", "strict"])
    def test_with_nobody_up(self, mode):
        """No mode empties a publication, or fills it with the dead: the last known good stays."""
        decision = look("a:down* b:held* c:recovering d:unknown e:unknown*", mode=mode)

        assert (decision.mode, ids(decision)) == (Mode.LAST_GOOD, "as before")
        assert (decision.removes, decision.held) == ((), ())
        assert decision.why["a"] == "in: down; no node is up"
        assert decision.why["c"] == "out: recovering; no node is up"

    def test_unknown_alone_is_nobody(self):
        """Nodes of which nothing is known keep their places, but prove nothing about the others."""
        decision = look("a:unknown* b:unknown* c:unknown* d:down*")

        assert (decision.mode, ids(decision)) == (Mode.LAST_GOOD, "as before")

    @pytest.mark.parametrize("health", [Health.UP, Health.SUSPECT], ids=str)
    def test_one_is_somebody(self, health):
        """A single node in service ends the wait."""
        decision = look(f"a:down* b:{health}* c:down* d:down*")

        assert (decision.mode, ids(decision).split()[0]) == (Mode.TOP_UP, "b")

    def test_waiting(self):
        """Until the first round is over nothing is touched, whatever anybody wants."""
        decision = look("a:up b:down* c:up*/drain d:up/force-up", first_round_over=False)

        assert (decision.mode, ids(decision)) == (Mode.WAITING, "as before")
        assert decision.why["a"] == "out: up; the first round of probes is not over"
        assert decision.why["c"].endswith("really up; the first round of probes is not over")
        assert math.inf == decision.look_again

    def test_offline(self):
        """When the monitor's own line fails nothing is believed, good news neither."""
        decision = look("a:up* b:down* c:up d:invalid*", monitor_ok=False)

        assert (decision.mode, ids(decision)) == (Mode.OFFLINE, "as before")
        assert decision.why["b"] == "in: down; the monitor's own check fails"

    def test_waiting_comes_first(self):
        """A monitor that is offline at its start waits like any other."""
        decision = look("a:up* b:up*/drain", first_round_over=False, monitor_ok=False)

        assert (decision.mode, ids(decision)) == (Mode.WAITING, "as before")

    def test_first_publication(self):
        """With nothing published before there is nothing to hold back for."""
        decision = look("a:up b:down c:up d:up")

        assert (decision.mode, ids(decision)) == (Mode.NORMAL, "a c d")

    def test_first_publication_with_nobody_up(self):
        """A file of dead nodes helps nobody: none is made."""
        assert ids(look("a:down b:down")) == "as before"


class TestOverridesWin:
    """Where what is published stays, it still follows the operator."""

    STAYS = (
        pytest.param({"monitor_ok": False}, id="offline"),
        pytest.param({"mode": "freeze", "floor": 1.0}, id="freeze"),
    )

    @pytest.mark.parametrize("mode", [*TAKEN_OUT], ids=str)
    @pytest.mark.parametrize("stays", STAYS)
    def test_taken_out(self, stays, mode):
        """What he took out leaves; the others stay as they are, order and all."""
        line = f"a:up* b:up*/{mode} c:down* d:down* e:up"
        decision = look(line, published="d c b a", **stays)

        assert ids(decision) == "d c a"
        assert decision.removes == ()
        assert decision.why["b"].startswith(f"out: {mode} (disk, by ann), really up; ")
        assert decision.why["e"].startswith("out: up; ")

    @pytest.mark.parametrize("stays", STAYS)
    def test_forced_up(self, stays):
        """What he forces up joins, last: the others keep their places."""
        decision = look("a:up* b:down/force-up c:down* d:up", published="c a", **stays)

        assert ids(decision) == "c a b"
        assert decision.why["b"].startswith("in: force-up (disk, by ann), really down; ")

    @pytest.mark.parametrize("stays", STAYS)
    def test_forced_up_when_published(self, stays):
        """What he wants in and is in changes nothing: byte for byte."""
        assert ids(look("a:up* b:down*/force-up c:down*", **stays)) == "as before"

    @pytest.mark.parametrize(
        ("limit", "expected"), [(2, "as before"), (3, "a b d"), (4, "a b d e")]
    )
    def test_forced_up_within_the_limit(self, limit, expected):
        """The limit is hard: where nothing is believed, nobody leaves for whom he forces up."""
        line = "a:up* b:up* c:up d:up/force-up e:up/force-up"

        assert expected == ids(look(line, limit=limit, monitor_ok=False))

    def test_forced_up_in_place_of_one_refused(self):
        """Who cannot be written any more leaves room for him."""
        decision = look("a:up* b:invalid* c:down/force-up", limit=2, monitor_ok=False)

        assert ids(decision) == "a c"

    def test_last_good(self):
        """With no node up, too: who is drained, and who is refused with him, leaves."""
        decision = look("a:down* b:down*/drain c:held* d:invalid*")

        assert (decision.mode, ids(decision)) == (Mode.LAST_GOOD, "a c")

    @pytest.mark.parametrize(
        ("line", "expected", "why"),
        [
            ("a:up*/force-down b:down c:down/good=200 d:recovering e:down",
             "d c", "the least bad, up to the floor"),
            ("a:up*/force-down b:down/new c:down", "c", "not one that never worked"),
            ("a:up*/drain b:down/new c:unknown", "as before", "nobody else: better it than nobody"),
            ("a:up*/drain b:invalid*/good=5 c:down", "c", "one that the engine refuses is nobody"),
        ],
    )  # fmt: skip
    def test_all_taken_out(self, line, expected, why):
        """When all that is published must go, the least bad of the others come in its place."""
        decision = look(line)

        assert (Mode.LAST_GOOD, expected, why) == (decision.mode, ids(decision), why)
        if expected == "as before":
            end = "no node is up; kept: there is nothing else to publish"
            assert decision.why["a"] == f"in: drain (disk, by ann), really up; {end}"

    def test_all_taken_out_while_offline(self):
        """Then those that were in service come first."""
        decision = look("a:up*/drain b:down c:up d:up", monitor_ok=False, limit=2)

        assert (decision.mode, ids(decision)) == (Mode.OFFLINE, "c d")

    def test_gone_is_not_taken_out(self):
        """A publication of other nodes than before waits for one of them to be up."""
        assert ids(look("a:down b:down", published="x y")) == "as before"
        assert ids(look("a:down/drain b:down", published="x y")) == "as before"
        assert ids(look("a:invalid* b:down", published="a x")) == "as before"

    def test_forced_up_alone(self):
        """A node that is forced up is somebody: the others, all down, give way to it."""
        decision = look("a:down* b:down/force-up c:down*", floor=0.3, min_nodes=1)

        assert (decision.mode, ids(decision), decision.removes) == (Mode.NORMAL, "b a", ("c",))


class TestPanic:
    """It ends at one more than the floor, for `panic_hold`."""

    FOUR = ("a:up* b:down c:down d:down", "a:up* b:up* c:down d:down", "a:up* b:up c:up d:down")

    def test_begins_at_once(self):
        """Below the floor there is panic, from then on."""
        decision = look(self.FOUR[0])

        assert decision.mode in PANIC
        assert (decision.memory.panic, decision.memory.enough_since) == (True, None)

    def test_the_floor_does_not_end_it(self):
        """As many as the floor are enough to begin with, but not to end a panic."""
        calm, panic = look(self.FOUR[1]), look(self.FOUR[1], panic=True)

        assert (calm.mode, panic.mode) == (Mode.NORMAL, Mode.TOP_UP)
        assert (None, math.inf) == (panic.memory.enough_since, panic.look_again)

    @pytest.mark.parametrize(
        ("now", "mode", "panic", "enough_since", "look_again"),
        [
            (1000.0, Mode.TOP_UP, True, 1000.0, 1120.0),
            (1119.9, Mode.TOP_UP, True, 1000.0, 1120.0),
            (1120.0, Mode.NORMAL, False, None, math.inf),
        ],
    )
    def test_one_more_ends_it_in_time(self, now, mode, panic, enough_since, look_again):
        """One more than the floor, for two minutes: it asks to be asked again just then."""
        memory = look(self.FOUR[2], panic=True).memory
        decision = look(self.FOUR[2], panic=True, enough_since=memory.enough_since, now=now)

        assert (mode, look_again) == (decision.mode, decision.look_again)
        assert (panic, enough_since) == (decision.memory.panic, decision.memory.enough_since)

    @pytest.mark.parametrize(("line", "floor"), [("a:up b:up c:up", 1.0), ("a:up b:up", 0.5)])
    def test_all_end_it_when_the_floor_is_all(self, line, floor):
        """Where the floor is N there is no one more: N is enough."""
        held = look(line, panic=True, enough_since=900.0, floor=floor)
        over = look(line, panic=True, enough_since=880.0, floor=floor)

        assert (held.mode, over.mode) == (Mode.TOP_UP, Mode.NORMAL)

    def test_nothing_is_filled_up_without_need(self):
        """While panic lasts though the floor is met, nobody bad comes in, or stays in, for it."""
        decision = look("a:up* b:up* c:up d:down e:down*", panic=True)

        assert (decision.mode, ids(decision)) == (Mode.TOP_UP, "a b c")

    def test_no_hold(self):
        """With a hold of nothing, one more than the floor ends it at once."""
        assert look(self.FOUR[2], panic=True, panic_hold="0s").mode is Mode.NORMAL

    def test_a_relapse_starts_the_time_anew(self):
        """Once fewer are in service, the time that went before does not count."""
        decision = look(self.FOUR[1], panic=True, enough_since=990.0)

        assert (decision.memory.panic, decision.memory.enough_since) == (True, None)

    @pytest.mark.parametrize(
        ("line", "monitor_ok"), [("a:down* b:down* c:down* d:down*", True), (FOUR[2], False)]
    )
    def test_an_outage_starts_it_anew(self, line, monitor_ok):
        """So it is when nobody was in service in between, or nobody knows."""
        memory = look(line, panic=True, enough_since=990.0, monitor_ok=monitor_ok).memory

        assert (memory.panic, memory.enough_since) == (True, None)

    def test_frozen_until_it_ends(self):
        """Frozen means frozen: while it lasts, good news is held back, too."""
        frozen = look(self.FOUR[2], panic=True, enough_since=990.0, mode="freeze")
        over = look(self.FOUR[2], panic=True, enough_since=880.0, mode="freeze")

        assert (frozen.mode, ids(frozen), frozen.look_again) == (Mode.FREEZE, "as before", 1110.0)
        assert (over.mode, ids(over)) == (Mode.NORMAL, "a b c")
        assert frozen.why["c"] == "out: up; too few nodes are up, or not for long enough"


class TestBrake:
    GOOD = "a:up* b:up* c:up* d:up* e:up*"

    @pytest.mark.parametrize(
        ("bad", "removals", "expected", "removes", "why"),
        [
            ("x:down*", [], "", "x", "one may always leave"),
            ("x:down*/good=9 y:down*/good=8", [], "x", "y", "one of seven, the worst first"),
            ("x:down* y:recovering* z:held*", [], "y z", "x", "down is worst: two of eight, no..."),
            ("x:down*", [990.0], "x", "", "one left ten seconds ago"),
            ("x:down*", [700.1], "x", "", "one left not quite five minutes ago"),
            ("x:down*", [700.0], "", "x", "one left five minutes ago: that is over"),
            ("x:down*", [1.0, 700.0], "", "x", "and so are all before it"),
            ("x:down", [990.0], "", "", "who is not in does not leave"),
            ("x:down*/drain", [990.0], "", "", "the operator's removals are his own business"),
            ("x:invalid*", [990.0], "", "", "nor can the engine's be braked"),
        ],
    )
    def test_removals_per_period(self, bad, removals, expected, removes, why):
        """No more than a quarter of N, but at least one, within five minutes."""
        decision = look(f"{self.GOOD} {bad}", removals=removals, max_removals=0.2)

        assert (f"a b c d e {expected}".strip(), why) == (ids(decision), why)
        assert tuple(removes.split()) == decision.removes
        assert tuple(reversed(expected.split())) == decision.held
        assert decision.unconfirmed == ()

    def test_room_for_more(self):
        """A quarter of twelve is three."""
        good = " ".join(f"n{number}:up*" for number in range(8))
        decision = look(f"{good} w:down*/good=4 x:down*/good=3 y:down*/good=2 z:down*/good=1")

        assert (decision.removes, decision.held) == (("z", "y", "x"), ("w",))

    def test_asks_to_be_asked_again(self):
        """When the oldest removal is out of the period there is room for the next."""
        held = look(f"{self.GOOD} x:down*", removals=[850.0, 990.0], max_removals=0.4)
        freed = look(f"{self.GOOD} x:down*", removals=[850.0, 990.0], max_removals=0.4, now=1150.0)

        assert (held.look_again, held.held) == (1150.0, ("x",))
        assert (freed.look_again, freed.removes) == (1290.0, ("x",))
        assert freed.memory.removals == (990.0,)

    def test_is_there_in_panic(self):
        """Panic, or its end, is no way around it: what is bad leaves one at a time."""
        line = "a:up* b:down*/good=4 c:down*/good=3 d:down*/good=2 e:down*/good=1"
        decision = look(line, mode="strict", max_removals=0.4)

        assert (decision.mode, ids(decision)) == (Mode.STRICT, "a b c")
        assert (decision.removes, decision.held) == (("e", "d"), ("c", "b"))

    def test_top_up_removes_no_more(self):
        """One that fills up better than what is in may replace as many as the brake allows."""
        line = "a:up* b:down*/good=1 c:down*/good=2 d:recovering e:recovering f:held"
        decision = look(line, removals=[999.0], max_removals=0.4)

        assert ids(decision) == "a d c"
        assert (decision.removes, decision.held) == (("b",), ("c",))

    def test_additions_are_never_braked(self):
        """However many left, and fell, those that rise come in."""
        line = "a:up* b:up c:up d:up e:down*/fell=990 f:down*/fell=991"
        decision = look(line, removals=[999.0] * 9)

        assert ids(decision) == "a b c d e f"

    def test_what_was_published_counts(self):
        """A removal counts once it is published, and from then on."""
        decision = look(f"{self.GOOD} x:down*", removals=[900.0], max_removals=0.5)
        memory = after_publishing(decision, 1003.0)

        assert Memory(("a", "b", "c", "d", "e"), (900.0, 1003.0)) == memory

    def test_what_stays_counts_nothing(self):
        """A decision that leaves what is published as it is forgets none of it."""
        decision = look(f"{self.GOOD} x:down*", monitor_ok=False, removals=[900.0])

        assert decision.memory == after_publishing(decision, 1003.0)
        assert len(decision.memory.published) == 6


class TestMassFailure:
    """Many that fall at once are likelier a fault of ours: each fall must be confirmed."""

    @pytest.mark.parametrize(
        ("line", "unconfirmed", "why"),
        [
            ("a:up* b:up* c:up* d:down*/fell=990", "", "one is never many"),
            ("a:up* b:down*/fell=990", "", "not even of two"),
            ("a:up* b:up* c:down*/fell=990 d:down*/fell=880.5", "c d", "two of four"),
            ("a:up* b:up* c:down*/fell=990 d:down*/fell=870", "", "not within two minutes"),
            ("a:up* b:up* c:down*/fell=700 d:down*/fell=581", "c d", "nor is time any proof"),
            ("a:up* b:up* c:recovering*/fell=990 d:down*/fell=980", "c d", "it fell as well"),
            ("a:up* b:up* c:down*/fell=990 d:down/fell=980", "c", "who is out cannot leave"),
            ("a:up* b:up* c:down*/fell=990/confirmed d:down*/fell=980", "d", "c is confirmed"),
            ("a:up* b:up* c:down*/fell=990/confirmed d:down*/fell=980/confirmed", "", "both are"),
            ("a:up* b:up* c:down*/fell=990/drain d:down*/fell=980", "", "a drained one is no news"),
            ("a:up* b:up* c:down*/fell=990/force-up d:down*/fell=980", "d", "but stays in"),
            ("a:up* b:up* c:up* d:up* e:up* f:up* g:down*/fell=990 h:down*/fell=990", "",
             "two of eight are a quarter, and no more"),
            ("a:up* b:up* c:up* d:up* e:up* f:down*/fell=990 g:down*/fell=990 h:down*/fell=990",
             "f g h", "three of eight are more"),
            ("a:up* b:up* c:up* d:up* e:up* f:down*/fell=900 g:down*/fell=800 h:down*/fell=700",
             "", "three of eight, but one at a time"),
            ("a:up* b:up* c:down*/fell=300 d:down*/fell=200 e:down*/fell=100",
             "c d e", "any two minutes in which two of five fell"),
        ],
    )  # fmt: skip
    def test_when(self, line, unconfirmed, why):
        """More than a quarter of N, and at least two, within two minutes."""
        decision = look(line, max_removals=1.0)

        assert (tuple(unconfirmed.split()), why) == (tuple(sorted(decision.unconfirmed)), why)
        assert set(decision.unconfirmed) <= set(decision.held) <= set(ids(decision).split())
        assert all(
            decision.why[each].endswith("kept: many fell at once, not confirmed by another check "
                                        "URL yet")
            for each in decision.unconfirmed
        )  # fmt: skip

    def test_share_is_exact(self):
        """A quarter as people compute it: 0.29 of 100 is 29, though not to a computer."""
        good = [f"n{number}:up*" for number in range(71)]
        bad = [f"x{number}:down*/fell=990" for number in range(29)]
        decision = look(" ".join(good + bad), mass_failure=0.29)

        assert decision.unconfirmed == ()
        assert look(" ".join(good[1:] + bad), mass_failure=0.29).unconfirmed != ()

    def test_then_the_brake(self):
        """What is confirmed still leaves no faster than the brake allows."""
        line = "a:up* b:up* c:down*/fell=990/confirmed d:down*/fell=990/confirmed/good=9"
        decision = look(line)

        assert (decision.removes, decision.held, decision.unconfirmed) == (("d",), ("c",), ())

    def test_waits_for_the_proof_however_long(self):
        """A monitor that could not ask since has no better reason to believe it an hour later."""
        line = "a:up* b:up* c:down*/fell=990 d:down*/fell=990"

        assert ids(look(line, now=5000.0)) == "a b c d"


class TestRound:
    """The first of many that fail looks like a single one, until the others have been asked."""

    @pytest.mark.parametrize(
        ("failing", "expected", "again"),
        [(980, "a b c d", 1010.0), (970.5, "a b c d", 1000.5), (970, "a b c", math.inf)],
    )
    def test_a_whole_interval(self, failing, expected, again):
        """Nothing is removed before every other node was asked since its first failure."""
        line = f"a:up* b:up* c:up* d:down*/fell=850/confirmed/failing={failing}"
        decision = look(line, interval=30.0)

        assert (ids(decision), decision.look_again) == (expected, again)
        assert decision.held == decision.unconfirmed == (() if expected == "a b c" else ("d",))
        if decision.held:
            assert decision.why["d"].endswith("; kept: the others are asked first")

    def test_who_came_back_needs_no_round(self):
        """It fails no more: what it did before says nothing of the others."""
        assert ids(look("a:up* b:up* c:up* d:recovering*/fell=990", interval=30.0)) == "a b c"

    @pytest.mark.parametrize(
        ("line", "held", "why"),
        [
            ("a:up* b:up* c:suspect* d:down*/fell=990/confirmed", "d", "two of four are failing"),
            ("a:up* b:up* c:suspect* d:down*/fell=881/confirmed", "d", "still within two minutes"),
            ("a:up* b:up* c:suspect* d:down*/fell=880/confirmed", "", "it waited long enough"),
            ("a:up* b:up* c:up* d:up* e:up* f:up* g:suspect* h:down*/fell=990/confirmed", "",
             "two of eight are a quarter, and no more"),
            ("a:suspect* b:suspect* c:suspect* d:down*/fell=990", "d", "all but one"),
            ("a:up* b:up* c:suspect*/drain d:down*/fell=990", "", "a drained one is no news"),
            ("a:up* b:up* c:up* d:suspect* e:down*/fell=880/confirmed f:down*/fell=870/confirmed",
             "", "two that fell at once, both long enough ago"),
            ("a:up* b:up* c:up* d:suspect* e:down*/fell=881/confirmed f:down*/fell=870/confirmed",
             "e", "one of them not quite"),
        ],
    )  # fmt: skip
    def test_suspects_are_judged_first(self, line, held, why):
        """While many fail, nobody leaves before it is known how many fall; for two minutes."""
        decision = look(line, max_removals=1.0)

        assert (tuple(held.split()), why) == (decision.held, why)

    @pytest.mark.parametrize(
        ("word", "words"),
        [
            ("d:down*/fell=990/confirmed", "the others are asked first"),
            ("d:down*/fell=990/failing=990", "the others are asked first"),
            (
                "d:down*/fell=990/failing=960",
                "many fell at once, not confirmed by another check URL yet",
            ),
        ],
    )
    def test_words(self, word, words):
        """What it waits for: its own confirmation, or what becomes of the others."""
        decision = look(f"a:up* b:up* c:suspect* {word}", interval=30.0)

        assert decision.why["d"] == f"in: down; kept: {words}"

    def test_looks_again_when_they_had_their_time(self):
        """Nothing else need happen."""
        line = "a:up* b:up* c:suspect* d:down*/fell=990/confirmed"
        decision = look(line)

        assert decision.look_again == 1110.0
        assert ids(look(line, now=1110.0)) == "a b c"

    def test_looks_again_when_they_are_many_no_more(self):
        """A fall that is too long ago counts no more, even that of a node that is forced up."""
        good = " ".join(f"n{number}:up*" for number in range(6))
        line = f"{good} a:suspect* b:down*/force-up/fell=900 c:down*/fell=910/confirmed"
        decision = look(line)

        assert (decision.held, decision.look_again) == (("c",), 1020.0)
        assert look(line, now=1020.0).removes == ("c",)

    def test_all_at_once(self):
        """All nodes die at once and are judged one after the other: nothing is ever removed."""
        states = ["suspect", "down/fell=990", "down/fell=991/confirmed"]
        seen = set()
        for a, b, c, d in itertools.product(states, repeat=4):
            line = f"a:{a} b:{b} c:{c} d:{d}".replace(":suspect", ":suspect*")
            line = line.replace(":down", ":down*").replace("/fell", "/failing=980/fell")
            decision = look(line, interval=30.0)
            seen.add(decision.mode)
            assert decision.removes == ()
            assert ids(decision) in {"as before", *map(" ".join, itertools.permutations("abcd"))}

        assert seen == {Mode.NORMAL, Mode.TOP_UP, Mode.LAST_GOOD}


class TestOrder:
    @pytest.mark.parametrize(
        ("line", "expected", "why"),
        [
            ("a:up b:up* c:up*", "a b c", "failover order, whoever was in before"),
            ("a:up/slow b:up c:up", "b c a", "a slow one after the others"),
            ("a:up/probation=1001 b:up/slow c:up", "c b a", "on probation last of the good"),
            ("a:up/probation=1000 b:up c:up", "a b c", "probation is over"),
            ("a:up/slow/probation=1001 b:up/slow c:up/probation=1500", "b a c", "once, and last"),
            ("a:up/slow/force-up b:up c:up", "a b c", "forced up: in its own place"),
            ("a:down/force-up/probation=1001 b:up c:up", "a b c", "on no probation, either"),
            ("a:unknown* b:up* c:up/slow", "a b c", "an unknown one stays where it was"),
            (
                "a:down*/fell=990 b:up c:recovering*/fell=980 d:up",
                "a b c d",
                "who waits keeps his place",
            ),
        ],
    )
    def test_good_ones_first(self, line, expected, why):
        """Primaries come first as the fleet is sorted so; what is kept although bad is last."""
        assert (expected, why) == (ids(look(line)), why)

    def test_equals_keep_their_order(self):
        """Nothing depends on chance: what is equally bad is kept in failover order, every time."""
        line = "z:up* " + " ".join(f"n{number}:down*/fell=990" for number in range(9))

        assert {ids(look(line)) for _ in range(5)} == {"z n0 n1 n2 n3 n4 n5 n6 n7 n8"}

    def test_asks_again_at_the_end_of_a_probation(self):
        """Then the order changes by time alone."""
        decision = look("a:up/probation=1200 b:up/probation=1100 c:down/probation=1050 d:up")

        assert decision.look_again == 1100.0


class TestLimit:
    @pytest.mark.parametrize(
        ("line", "limit", "expected", "why"),
        [
            ("a:up b:up c:up", 2, "a b", "the first of them"),
            ("a:up b:up c:up", 3, "a b c", "as many as there are"),
            ("a:up/slow b:up* c:up", 2, "b c", "by their order"),
            ("a:up b:up c:down/force-up", 2, "a c", "forced up is in, and in its place"),
            ("a:up/force-up b:up/force-up c:up/force-up", 2, "a b", "but the limit is hard"),
            ("a:up b:down*/fell=990 c:down*/fell=990", 2, "a b", "one good node at least"),
            ("a:up b:up* c:up d:down*/fell=990 e:down/fell=990", 2, "a d",
             "a bad one that is kept keeps its place: no good one takes it"),
            ("a:up* b:up* c:up* d:down*/fell=990 e:down*/fell=990", 3, "a b c",
             "a smaller limit takes the bad ones first"),
            ("a:down/force-up b:up* c:down*/fell=990 d:down/fell=990", 2, "a b",
             "forced up: not even one that is kept stands in its way"),
            ("a:up b:down* c:down d:down", 1, "a", "a floor of one"),
        ],
    )  # fmt: skip
    def test_who(self, line, limit, expected, why):
        """The limit is hard; the brake's places come before better ones, but not before all."""
        decision = look(line, limit=limit, published=None)

        assert (expected, why) == (ids(decision), why)

    def test_all_that_works_before_what_does_not(self):
        """In mode all, what only fills up leaves its place to what works."""
        line = "a:up b:up c:up d:down e:down f:down*/fell=990 g:down/fell=990 h:down i:down"
        decision = look(line, mode="all", limit=5, removals=[990.0] * 9)

        assert (decision.mode, ids(decision)) == (Mode.ALL, "a b c d f")

    def test_words(self):
        """Who is out because of the limit is told so, whatever else there is to say."""
        decision = look("a:up b:up* c:down*/fell=990 d:down*/fell=980", limit=2)

        assert ids(decision) == "a c"
        assert decision.why["b"] == "out: up; beyond the limit of 2"
        assert decision.why["d"] == "out: down; beyond the limit of 2"
        assert (decision.removes, decision.held) == (("d",), ("c",))


class TestWords:
    """What an operator reads at 3 a.m."""

    @pytest.mark.parametrize(
        ("health", "words"),
        [
            (Health.UP, "in: up"),
            (Health.SUSPECT, "in: suspect since 2026-11-24T03:13:20Z refused, seen"),
            (Health.DOWN, "out: down since 2026-11-24T03:13:20Z refused, seen; floor 2 of 4"),
            (Health.RECOVERING, "out: recovering since 2026-11-24T03:13:20Z, seen; floor 2 of 4"),
            (Health.HELD, "out: held since 2026-11-24T03:13:20Z, seen; floor 2 of 4"),
            (Health.INVALID, "out: invalid since 2026-11-24T03:13:20Z refused, seen; floor 2 of 3"),
            (Health.UNKNOWN, "out: unknown; floor 2 of 3"),
        ],
    )
    def test_of_each_health(self, health, words):
        """Since when, why, what was seen; a reason only of what does not work now."""
        last = replace(
            candidate("hk-1:down"),
            health=health,
            since=FELL_AT,
            reason=Reason.REFUSED,
            evidence="seen",
        )
        others = [candidate(word) for word in ("a:up", "b:up", "c:up")]
        decision = gate.decide([*others, last], Memory(), now=NOW, rules=RULES)

        assert words == decision.why["hk-1"].removesuffix(" met")

    def test_a_fall(self):
        """The whole sentence, as for the first node that ever fell."""
        fallen = replace(
            candidate("hk-1:down*"),
            since=FELL_AT - 40.5,
            reason=Reason.REFUSED,
            evidence="4 failures in 23 s",
        )
        others = [candidate(word) for word in ("a:up", "b:up", "c:up")]
        memory = Memory(("a", "b", "c", "hk-1"))
        decision = gate.decide([*others, fallen], memory, now=NOW, rules=RULES)

        down = "down since 2026-11-24T03:12:39Z refused, 4 failures in 23 s"
        assert decision.why["hk-1"] == f"out: {down}; floor 2 of 4 met"

    @pytest.mark.parametrize(
        ("line", "end"),
        [
            ("a:up b:up c:down d:down", "floor 2 of 4 met"),
            ("a:up b:down/good=9 c:down d:down/new", "floor 2 of 4 not met"),
        ],
    )
    def test_of_the_floor(self, line, end):
        """As many as the floor meet it; one fewer do not."""
        assert look(line).why["d"] == f"out: down; {end}"

    def test_without_a_past(self):
        """What is not known is left out."""
        fallen = replace(candidate("x:down"), since=FELL_AT)
        decision = gate.decide([candidate("a:up"), fallen], Memory(), now=NOW, rules=RULES)

        kept = "kept: floor 2 of 2 not met"
        assert decision.why["x"] == f"in: down since 2026-11-24T03:13:20Z; {kept}"

    @pytest.mark.parametrize(
        ("word", "words"),
        [
            ("x:up/slow", "in: up; slow: listed later"),
            ("x:up/probation=1001", "in: up; on probation: listed last"),
            ("x:down*", "in: down; kept: at most 1 of 5 may be removed in 300 s"),
            ("x:up*/drain", "out: drain (disk, by ann), really up; floor 2 of 4 met"),
            ("x:down", "out: down; floor 3 of 5 met"),
            ("x:down/force-up", "in: force-up (disk, by ann), really down"),
            (
                "x:invalid/force-up",
                "out: force-up (disk, by ann), really invalid; floor 2 of 4 met",
            ),
            ("x:unknown*", "in: unknown"),
        ],
    )
    def test_of_each_case(self, word, words):
        """In or out, how it really is, and what decided it."""
        decision = look(f"a:up* b:up* c:up* d:up* {word}", removals=[990.0])

        assert words == decision.why["x"]


# --- properties ---

IDS = [f"n{number}" for number in range(1, 9)]
FLEET = nodes(8)

shares = st.integers(0, 20).map(lambda twentieth: twentieth / 20)

gate_rules = st.builds(
    GateConfig,
    floor=shares,
    min_nodes=st.integers(1, 4),
    mode=st.sampled_from(["top-up", "freeze", "all", "strict"]),
    panic_hold=st.sampled_from(["0s", "30s", "120s"]),
    max_removals=shares.filter(bool),
    removal_period=st.sampled_from(["60s", "300s"]),
    mass_failure=shares.filter(bool),
    mass_failure_within=st.sampled_from(["30s", "120s"]),
)


SHAPES: list[dict[str, Any]] = [
    {
        "health": health,
        "fell": fell,
        "failing_since": failing,
        "confirmed": confirmed,
        "last_good": good,
        "slow": slow,
        "probation_until": until,
    }
    for health in Health
    for fell in ((10.0, 960.0, 980.0) if health in {"down", "recovering"} else (None,))
    for failing in ((None, 972.5, 995.0) if health in {"suspect", "down"} else (None,))
    for confirmed in (False, True)
    for good in (None, 500.0, 700.0)
    for slow, until in ((False, None), (True, None), (False, 1010.5), (True, 990.25))
]
MODES = [*AdminMode, *[AdminMode.ENABLED] * 5]


def shaped(shapes: list[tuple[dict[str, Any], AdminMode]]) -> list[Candidate]:
    return [
        Candidate(node=each, admin=mode, **shape)
        for each, (shape, mode) in zip(FLEET, shapes, strict=False)
    ]


# One draw each for all of a node's state: what costs time is drawing.
candidates = st.lists(
    st.tuples(st.sampled_from(SHAPES), st.sampled_from(MODES)), max_size=len(FLEET)
).map(shaped)
"""A fleet in any state, however unlikely."""

memories = st.builds(
    Memory,
    published=st.lists(st.sampled_from([*IDS, "gone"]), unique=True).map(tuple),
    removals=st.lists(st.sampled_from([690.5, 700.0, 850.25, 999.0]), max_size=4).map(tuple),
    panic=st.booleans(),
    enough_since=st.none() | st.sampled_from([880.0, 890.25, 999.75]),
)


@st.composite
def questions(draw: st.DrawFn) -> tuple[list[Candidate], Memory, dict[str, Any]]:
    """Everything that one decision is made of."""
    fleet, memory = draw(candidates), draw(memories)
    return fleet, memory, {
        "now": NOW,
        "rules": draw(gate_rules),
        "limit": draw(st.just(0) | st.integers(1, 6)),
        "interval": draw(st.sampled_from([0.0, 30.0])),
        "first_round_over": draw(st.sampled_from([True, True, True, False])),
        "monitor_ok": draw(st.sampled_from([True, True, True, False])),
    }  # fmt: skip


def served(decision: Decision, memory: Memory) -> tuple[str, ...]:
    """The ids that are published once the decision is."""
    return after_publishing(replace(decision, memory=memory), NOW).published


def is_good(each: Candidate, was_in: set[str]) -> bool:
    """Independent of the gate: whether it is in by its own merit, or an operator's will."""
    if each.admin is AdminMode.FORCE_UP:
        return each.health is not Health.INVALID
    kept = each.health is Health.UNKNOWN and each.node.id in was_in
    return each.admin is AdminMode.ENABLED and (each.health in {"up", "suspect"} or kept)


class TestProperties:
    @given(questions())
    def test_never_empty(self, question):
        """No decision empties a publication, names a node twice or invents one, and all is told."""
        fleet, memory, given = question
        decision = gate.decide(fleet, memory, **given)

        assert decision.nodes is None or len(decision.nodes) == len(set(ids(decision).split())) > 0
        assert set(served(decision, memory)) <= {each.node.id for each in fleet} | set(
            memory.published
        )
        assert [each.node.id for each in fleet] == list(decision.why)
        inside = set(served(decision, memory))
        assert {
            node_id for node_id, why in decision.why.items() if why.startswith("in: ")
        } == inside & set(decision.why)

    @given(questions())
    def test_settled(self, question):
        """Once a decision is published, the same fleet at the same moment decides the same."""
        fleet, memory, given = question
        first = gate.decide(fleet, memory, **given)
        again = gate.decide(fleet, after_publishing(first, NOW), **given)

        assert served(first, memory) == served(again, after_publishing(first, NOW))
        assert (first.mode, ()) == (again.mode, again.removes)

    @given(questions(), st.floats(0, 1), st.booleans())
    def test_look_again_is_not_too_late(self, question, share, last):
        """Until then time alone changes nothing: neither the nodes nor a single word."""
        fleet, memory, given = question
        first = gate.decide(fleet, memory, **given)
        end = min(first.look_again, NOW + 10_000)
        later = math.nextafter(end, 0) if last else NOW + share * (end - NOW)
        later = min(max(later, NOW), math.nextafter(end, 0))

        again = gate.decide(fleet, replace(first.memory), **(given | {"now": later}))

        assert first == again
        assert first.look_again > NOW

    @given(st.floats(0, 1e9), st.floats(0, 1e9))
    def test_moments_are_met_exactly(self, left, enough):
        """Asked at the very moment it named it does not find itself a rounding error too early."""
        rules = GateConfig(removal_period="300s", panic_hold="120s")
        fleet = [candidate(word) for word in TestPanic.FOUR[2].split()]
        memory = Memory(("a",), (left,), panic=True, enough_since=enough)
        moments = (left + rules.removal_period, enough + rules.panic_hold)
        first, second = [gate.decide(fleet, memory, now=at, rules=rules) for at in moments]

        assert first.memory.removals == ()
        assert second.mode is Mode.NORMAL

    @given(questions())
    def test_look_again_comes_to_an_end(self, question):
        """Asked just then it has something later to wait for, or nothing."""
        fleet, memory, given = question
        decision, asked = gate.decide(fleet, memory, **given), 0
        while decision.look_again < math.inf:
            now = decision.look_again
            decision = gate.decide(fleet, decision.memory, **(given | {"now": now}))
            assert decision.look_again > now
            asked += 1

        assert asked <= 3 * len(fleet) + len(memory.removals) + 1

    @given(questions(), st.integers(-4000, 4000).map(lambda quarter: quarter / 4))
    def test_only_gaps_count(self, question, by):
        """A clock that shows something else, as after a restart, makes no difference."""
        fleet, memory, given = question

        def moved(at: float | None) -> float | None:
            return None if at is None else at + by

        there = [
            replace(
                each,
                fell=moved(each.fell),
                failing_since=moved(each.failing_since),
                probation_until=moved(each.probation_until),
            )
            for each in fleet
        ]
        past = tuple(at + by for at in memory.removals)
        then = replace(memory, removals=past, enough_since=moved(memory.enough_since))
        here = gate.decide(fleet, memory, **given)
        elsewhere = gate.decide(there, then, **(given | {"now": NOW + by}))

        assert (here.mode, here.nodes, here.why) == (elsewhere.mode, elsewhere.nodes, elsewhere.why)
        assert here.look_again + by == elsewhere.look_again

    @given(questions())
    def test_overrides_win(self, question):
        """Who is taken out is out and who is forced up is in, whatever else is decided."""
        fleet, memory, given = question
        decision = gate.decide(fleet, memory, **given)
        inside = set(served(decision, memory))
        out = {each.node.id for each in fleet if each.admin in TAKEN_OUT}
        forced = [each for each in fleet if each.admin is AdminMode.FORCE_UP]
        wanted = {each.node.id for each in forced if each.health is not Health.INVALID}
        if decision.mode is Mode.WAITING:
            return

        if inside & out:  # nothing else could be published at all
            others = set(memory.published) - out
            assert decision.nodes is None
            assert wanted == set()
            assert not others & {c.node.id for c in fleet if c.health is not Health.INVALID}
        full = given["limit"] and len(inside) >= given["limit"]
        assert wanted <= inside or full
        if full and decision.mode not in {Mode.OFFLINE, Mode.FREEZE}:
            assert len(wanted & inside) == min(len(wanted), given["limit"])

    @given(questions())
    def test_brake(self, question):
        """Bad nodes leave no faster than allowed, unless the limit has no place for them."""
        fleet, memory, given = question
        decision = gate.decide(fleet, memory, **given)
        rules, limit = given["rules"], given["limit"]
        left = set(memory.published) - set(served(decision, memory))
        bad = {
            each.node.id
            for each in fleet
            if each.health in {"down", "recovering", "held"} and each.admin is AdminMode.ENABLED
        }
        recent = [at for at in memory.removals if at > NOW - rules.removal_period]
        share = Fraction(str(rules.max_removals))
        room = max(0, max(1, math.floor(share * decision.eligible)) - len(recent))

        if decision.mode not in {Mode.LAST_GOOD, Mode.OFFLINE, Mode.WAITING}:
            assert left & bad == set(decision.removes)
        assert len(decision.removes) <= room or len(decision.nodes or ()) == limit

    @given(questions())
    def test_floor(self, question):
        """Where verdicts decide, the floor is met, as far as there is anything to meet it with."""
        fleet, memory, given = question
        decision = gate.decide(fleet, memory, **given)
        if decision.mode not in {Mode.NORMAL, Mode.TOP_UP, Mode.ALL}:
            return
        was_in = set(memory.published)
        rules = given["rules"]
        eligible = [
            each
            for each in fleet
            if is_good(each, was_in)
            or (each.admin is AdminMode.ENABLED and each.health in {"down", "recovering", "held"})
        ]
        there = [
            each
            for each in eligible
            if is_good(each, was_in) or each.last_good is not None or each.node.id in was_in
        ]
        share = math.ceil(Fraction(str(rules.floor)) * len(eligible))
        floor = min(max(rules.min_nodes, share), len(eligible), given["limit"] or len(eligible))

        assert decision.nodes is not None
        assert len(eligible) == decision.eligible
        assert len(decision.nodes) >= min(floor, len(there))

    @given(questions())
    def test_what_works_is_published(self, question):
        """Additions are never braked, and what is good never leaves but for the limit."""
        fleet, memory, given = question
        decision = gate.decide(fleet, memory, **given)
        was_in, limit = set(memory.published), given["limit"]
        if decision.nodes is None or decision.mode in {Mode.LAST_GOOD, Mode.OFFLINE, Mode.FREEZE}:
            return
        good = {each.node.id for each in fleet if is_good(each, was_in)}
        inside = ids(decision).split()

        assert good & set(inside)
        assert good <= set(inside) or len(inside) == limit
        assert len(good & set(inside)) >= min(len(good & was_in), limit or len(good))
        assert not limit or len(inside) <= limit
        waits = set(decision.unconfirmed) | {
            each.node.id
            for each in fleet
            if not each.confirmed or each.failing_since or "suspect" in {f.health for f in fleet}
        }
        last = max(place for place, each in enumerate(inside) if each in good)
        assert set(inside[:last]) <= good | waits
