"""What is known of each node, and what is counted."""

from dataclasses import replace

import pytest

from healthd.config import VerdictConfig
from healthd.model import (
    AdminMode,
    Health,
    Node,
    Outcome,
    Reason,
    Result,
    failure,
    inconclusive,
    success,
)
from healthd.verdict import quality
from healthd.verdict.board import Board, Record
from healthd.verdict.decision import Candidate
from healthd.verdict.ledger import SlotVerdict
from healthd.verdict.machine import State, Transition
from healthd.verdict.overrides import Override
from tests.builders import node, nodes, vless

DRAIN, MAINTENANCE = AdminMode.DRAIN, AdminMode.MAINTENANCE

RULES = VerdictConfig()
WALL = 1_800_000_000.0

GOOD = success(0.03)
BAD = failure(Reason.TIMEOUT)
OURS = inconclusive(Reason.SPAWN)
REFUSED = failure(Reason.ENGINE_REJECTED, "unknown cipher")


def board_of(*fleet: Node) -> Board:
    board = Board()
    board.replace(fleet, now=0.0)
    return board


def lay(
    board: Board, *laid: tuple[str, AdminMode], at: float = 1.0
) -> list[tuple[Record, Transition]]:
    """Lay overrides, in the order in which they were made."""
    made = [
        Override(pattern=pattern, mode=mode, reason="disk", author="ann", created=WALL)
        for pattern, mode in laid
    ]
    return board.lay(made, now=at, wall=WALL + at, rules=RULES)


def observe(board: Board, result: Result, *, at=1.0, slot=True, node_id="de-1") -> list[Transition]:
    return board.observe(
        node_id, result, slot=slot, began=at, now=at + 0.5, wall=WALL + at, rules=RULES
    )


class TestObserve:
    def test_success(self):
        """A first success: the state, the times, the latency and the counts."""
        board = board_of(node())

        transitions = observe(board, GOOD)

        record = board["de-1"]
        assert [Transition(Health.UNKNOWN, Health.UP, 1.5, None, "a success")] == transitions
        assert (record.state.health, record.judged) == (Health.UP, True)
        assert (record.last_probe, record.last_good, record.latency) == (WALL + 1, WALL + 1, 0.03)
        assert (record.changed, record.evidence, record.result) == (WALL + 1, "a success", GOOD)
        assert record.probes == {Outcome.SUCCESS: 1}
        assert record.slots == {SlotVerdict.GOOD: 1}
        assert record.transitions == {Health.UP: 1}
        assert record.failures == {}
        assert (record.usable, record.proven, record.speed.average) == (True, record.node, 0.03)

    def test_failure_keeps_what_was_good(self):
        """The latest success and its latency stay when the next probe fails."""
        board = board_of(node())
        observe(board, GOOD)

        observe(board, BAD, at=31.0)

        record = board["de-1"]
        assert Health.SUSPECT is record.state.health
        assert (record.last_probe, record.last_good, record.latency) == (WALL + 31, WALL + 1, 0.03)
        assert record.failures == {Reason.TIMEOUT: 1}
        assert record.transitions == {Health.UP: 1, Health.SUSPECT: 1}
        assert record.slots == {SlotVerdict.GOOD: 1, SlotVerdict.BAD: 1}
        assert (record.usable, record.proven, record.speed.average) == (False, record.node, 0.03)

    def test_inconclusive(self):
        """It is counted as seen, with its reason, and judges nobody."""
        board = board_of(node())

        assert observe(board, OURS) == []

        record = board["de-1"]
        assert (State(since=0.0), False) == (record.state, record.judged)
        assert (record.last_probe, record.last_good, record.changed) == (WALL + 1, None, None)
        assert record.probes == {Outcome.INCONCLUSIVE: 1}
        assert record.failures == {Reason.SPAWN: 1}
        assert record.slots == {SlotVerdict.UNKNOWN: 1}
        assert (record.usable, record.proven, record.speed) == (None, None, quality.NEW)

    def test_inconclusive_changes_nothing_known(self):
        """The state is the very same object, whatever it was; only that we cannot say is new."""
        board = board_of(node())
        for at in (0.0, 30.0, 35.0):
            observe(board, GOOD if at == 0.0 else BAD, at=at)
        record, state, speed = board["de-1"], board["de-1"].state, board["de-1"].speed

        assert observe(board, OURS, at=40.0) == []

        assert (record.state is state, record.speed is speed) == (True, True)
        assert (record.usable, record.judged, record.last_good) == (None, True, WALL)

    def test_usable_follows_every_probe(self):
        """Rechecks too: users are served by what works now."""
        board = board_of(node())
        seen = []
        for at, result, slot in (
            (0, GOOD, True),
            (5, BAD, False),
            (9, OURS, False),
            (10, GOOD, True),
        ):
            observe(board, result, at=at, slot=slot)
            seen.append(board["de-1"].usable)

        assert seen == [True, False, None, True]

    def test_slowness_is_of_slots(self):
        """Rechecks run in other clients: their latencies are not the node's usual ones."""
        board = board_of(node())
        observe(board, success(0.5))
        speed = board["de-1"].speed
        observe(board, success(9.0), at=5.0, slot=False)

        assert speed is board["de-1"].speed
        assert board["de-1"].latency == 9.0

        observe(board, success(1.0), at=30.0)

        assert board["de-1"].speed.average == pytest.approx(0.6)

    def test_slow(self):
        """After five slow slots the gate is told so."""
        board = board_of(node())
        told = []
        for slot in range(6):
            observe(board, success(9.0 if slot else 0.1), at=30.0 * slot)
            told.append(board["de-1"].candidate.slow)

        assert told == [False, False, False, False, False, True]

    def test_no_transition_leaves_the_latest_one(self):
        """Time and evidence are those of the latest change, not of the latest probe."""
        board = board_of(node())
        observe(board, GOOD)

        assert observe(board, GOOD, at=31.0) == []
        assert (board["de-1"].changed, board["de-1"].evidence) == (WALL + 1, "a success")

    def test_two_transitions_at_once(self):
        """An accepted node passes through UNKNOWN, and both steps are counted."""
        board = board_of(node())
        observe(board, REFUSED)

        told = observe(board, GOOD, at=31.0)

        assert [transition.after for transition in told] == [Health.UNKNOWN, Health.UP]
        assert board["de-1"].transitions == {Health.INVALID: 1, Health.UNKNOWN: 1, Health.UP: 1}

    @pytest.mark.parametrize(
        ("result", "expected"),
        [
            (GOOD, SlotVerdict.GOOD),
            (BAD, SlotVerdict.BAD),
            (OURS, SlotVerdict.UNKNOWN),
            (REFUSED, SlotVerdict.EXCLUDED),
        ],
        ids=["success", "failure", "inconclusive", "refused by the engine"],
    )
    def test_slots(self, result, expected):
        """A slot is exactly one of good, bad, excluded and unknown; a recheck is none."""
        board = board_of(node())

        observe(board, result)
        observe(board, result, at=6.0, slot=False)

        assert {expected: 1} == board["de-1"].slots
        assert {result.outcome: 2} == board["de-1"].probes

    @pytest.mark.parametrize("result", [GOOD, BAD, OURS, REFUSED], ids=str)
    def test_slots_under_maintenance(self, result):
        """While somebody works on the node its slots say nothing, whatever came."""
        board = board_of(node())
        lay(board, ("*", MAINTENANCE))

        observe(board, result)

        assert board["de-1"].slots == {SlotVerdict.EXCLUDED: 1}
        assert board["de-1"].probes == {result.outcome: 1}

    @pytest.mark.parametrize(
        "mode", [mode for mode in AdminMode if mode is not MAINTENANCE], ids=str
    )
    def test_slots_under_other_overrides(self, mode):
        """A node that is drained, or forced, is as available as it is."""
        board = board_of(node())
        lay(board, ("*", mode))

        observe(board, GOOD)
        observe(board, BAD, at=31.0)

        assert board["de-1"].slots == {SlotVerdict.GOOD: 1, SlotVerdict.BAD: 1}

    def test_skipped_slots(self):
        """Slots that passed under a running probe are overruns, and unknown."""
        board = board_of(node())

        assert board.skip("de-1", 2) is SlotVerdict.UNKNOWN
        assert board.skip("de-1", 1) is SlotVerdict.UNKNOWN

        assert (board["de-1"].overruns, board["de-1"].slots) == (3, {SlotVerdict.UNKNOWN: 3})

    @pytest.mark.parametrize("verdict", SlotVerdict, ids=str)
    def test_slots_without_a_probe(self, verdict):
        """Slots in which a node is not asked count as told, and are no overruns."""
        board = board_of(node())

        assert board.pass_over("de-1", 3, verdict) is verdict

        assert (board["de-1"].overruns, board["de-1"].slots) == (0, {verdict: 3})

    def test_slots_without_a_probe_under_maintenance(self):
        """They are excluded, too, overruns or not."""
        board = board_of(node())
        lay(board, ("*", MAINTENANCE))

        assert board.pass_over("de-1", 2, SlotVerdict.BAD) is SlotVerdict.EXCLUDED
        assert board.skip("de-1", 1) is SlotVerdict.EXCLUDED

        assert (board["de-1"].overruns, board["de-1"].slots) == (1, {SlotVerdict.EXCLUDED: 3})

    def test_node_that_is_not_there(self):
        """Nobody is invented."""
        board = board_of(node())

        with pytest.raises(KeyError):
            observe(board, GOOD, node_id="nl-1")
        assert [record.node.id for record in board] == ["de-1"]


class TestReplace:
    def test_new_fleet(self):
        """Records come in the order of the fleet, unknown since now."""
        fleet = nodes(3)
        board = Board()

        board.replace(fleet, now=7.0)

        assert fleet == [record.node for record in board]
        assert (len(board), "n1" in board, "n9" in board) == (3, True, False)
        assert [State(since=7.0)] * 3 == [record.state for record in board]
        assert [record.ticked for record in board] == [7.0] * 3

    def test_unchanged_node_keeps_all(self):
        """A reload that does not touch a node's endpoint forgets nothing, new order or name."""
        one, two = nodes(2)
        board = board_of(one, two)
        observe(board, GOOD, node_id="n1")
        record, state = board["n1"], board["n1"].state
        renamed = node("n1", name="new name", endpoint=one.endpoint)

        board.replace([two, renamed], now=100.0)

        assert [two, renamed] == [known.node for known in board]
        assert record is board["n1"]
        assert (state, True) == (record.state, record.judged)
        assert record.probes == {Outcome.SUCCESS: 1}

    def test_changed_endpoint_starts_anew(self):
        """The verdict was on another server: unknown again; its counters only ever rise."""
        board = board_of(node())
        observe(board, BAD)
        lay(board, ("*", DRAIN))
        moved = node(endpoint=vless(address="192.0.2.99"))

        board.replace([moved], now=100.0)

        record = board["de-1"]
        assert (moved, State(since=100.0), False) == (record.node, record.state, record.judged)
        assert (record.speed, record.usable) == (quality.NEW, None)
        assert record.probes == {Outcome.FAILURE: 1}
        assert DRAIN is record.admin

    def test_node_that_left(self):
        """It is gone with all that was known of it, and comes back as a stranger."""
        one, two = nodes(2)
        board = board_of(one, two)
        observe(board, GOOD, node_id="n1")

        board.replace([two], now=50.0)
        assert [record.node.id for record in board] == ["n2"]
        board.replace([one, two], now=60.0)

        assert (State(since=60.0), {}) == (board["n1"].state, board["n1"].probes)


class TestFirstRound:
    @pytest.mark.parametrize("result", [GOOD, BAD, REFUSED], ids=str)
    def test_is_over_when_each_is_judged(self, result):
        """Any conclusive result judges a node; the round is over with the last of them."""
        board = board_of(*nodes(2))

        observe(board, result, node_id="n1")
        assert not board.all_judged()
        observe(board, OURS, node_id="n2")
        assert not board.all_judged()
        observe(board, result, node_id="n2")

        assert board.all_judged()

    def test_judged_stays_judged(self):
        """An inconclusive result later takes nothing back."""
        board = board_of(node())
        observe(board, GOOD)
        observe(board, OURS, at=31.0)

        assert board.all_judged()

    @pytest.mark.parametrize("mode", [m for m in AdminMode if m is not AdminMode.ENABLED], ids=str)
    def test_does_not_wait_for_what_an_operator_decided(self, mode):
        """Of a node that is in or out by an operator's will nothing needs to be known."""
        board = board_of(*nodes(2))
        observe(board, GOOD, node_id="n1")
        lay(board, ("n2", mode))

        assert board.all_judged()

        lay(board)
        assert not board.all_judged()

    def test_a_resumed_node_is_waited_for(self):
        """Enabled again is enabled."""
        board = board_of(node())
        lay(board, ("*", DRAIN), ("de-1", AdminMode.ENABLED))

        assert not board.all_judged()


class TestPublishable:
    """What users may be given of a node."""

    def test_changed_endpoint_waits_for_its_proof(self):
        """A mistyped link in a reload must not reach users before a probe went through it."""
        old, new = node(), node(endpoint=vless(port=444))
        board = board_of(old)
        observe(board, GOOD)
        board.replace([new], 10.0)
        waiting = board["de-1"].publishable.endpoint
        observe(board, GOOD)

        assert (waiting, board["de-1"].publishable.endpoint) == (old.endpoint, new.endpoint)

    def test_names_and_roles_change_at_once(self):
        """What is no part of the endpoint needs no proof."""
        board = board_of(node())
        observe(board, GOOD)
        board.replace([node(endpoint=vless(port=444), name="new")], 10.0)

        assert board["de-1"].publishable.name == "new"

    @pytest.mark.parametrize("result", [OURS, BAD, REFUSED], ids=str)
    def test_what_never_worked_is_not_published(self, result):
        """Down, or refused by the engine: the new endpoint has proved nothing."""
        old, new = node(), node(endpoint=vless(port=444))
        board = board_of(old)
        observe(board, GOOD)
        board.replace([new], 10.0)
        for at in (10.0, 20.0, 30.0, 40.0):
            observe(board, result, at=at)

        assert old.endpoint == board["de-1"].publishable.endpoint
        assert old.fingerprint == board["de-1"].publishable.fingerprint
        assert new is board["de-1"].node

    def test_proof_is_kept(self):
        """Once it worked, the new endpoint is the node's, also when it falls."""
        old, new = node(), node(endpoint=vless(port=444))
        board = board_of(old)
        observe(board, GOOD)
        board.replace([new], 10.0)
        for at, result in ((10.0, GOOD), (40.0, BAD), (50.0, BAD), (60.0, BAD), (70.0, BAD)):
            observe(board, result, at=at)

        assert board["de-1"].state.health is Health.DOWN
        assert new is board["de-1"].publishable

    def test_back_again(self):
        """A slip that is mended before it mattered: the old endpoint is the proven one."""
        old = node()
        board = board_of(old)
        observe(board, GOOD)
        board.replace([node(endpoint=vless(port=444))], 10.0)
        board.replace([old], 20.0)

        assert board["de-1"].state.health is Health.UNKNOWN
        assert old is board["de-1"].publishable

    def test_forced_up(self):
        """Where we cannot prove it an operator can vouch for it, for as long as he does."""
        old, new = node(), node(endpoint=vless(port=444))
        board = board_of(old)
        observe(board, GOOD)
        board.replace([new], 10.0)
        lay(board, ("*", AdminMode.FORCE_UP))
        forced = board["de-1"].publishable
        lay(board)

        assert (forced, board["de-1"].publishable) == (new, old)

    def test_never_proven(self):
        """Of a node that never worked there is only what is configured."""
        board = board_of(node())
        board.replace([node(endpoint=vless(port=444))], 10.0)

        assert board["de-1"].publishable is board["de-1"].node


class TestLay:
    """Overrides over the board."""

    def test_what_holds(self):
        """Each node knows the override that holds for it, and its mode; most know none."""
        board = board_of(*nodes(3))

        assert lay(board, ("n*", DRAIN), ("n2", AdminMode.FORCE_UP), ("n3", MAINTENANCE)) == []

        modes = [record.admin for record in board]
        assert modes == [DRAIN, AdminMode.FORCE_UP, MAINTENANCE]
        assert board["n2"].override is not None
        assert board["n2"].override.pattern == "n2"

    def test_lifted(self):
        """What is not laid any more does not hold any more."""
        board = board_of(node())
        lay(board, ("*", DRAIN))

        assert lay(board) == []
        assert (board["de-1"].override, board["de-1"].admin) == (None, AdminMode.ENABLED)

    def test_expired(self):
        """Nor does what has expired by the wall clock."""
        board = board_of(node())
        ends = Override(
            pattern="*", mode=DRAIN, reason="", author="", created=WALL, expires=WALL + 60
        )
        modes = []
        for wall in (WALL, WALL + 59, WALL + 60):
            board.lay([ends], now=1.0, wall=wall, rules=RULES)
            modes.append(board["de-1"].admin)

        assert modes == [DRAIN, DRAIN, AdminMode.ENABLED]

    @pytest.mark.parametrize("then", [m for m in AdminMode if m is not MAINTENANCE], ids=str)
    def test_leaving_maintenance(self, then):
        """Whatever comes after it, a node that works must rise by the rule, and all are told."""
        board = board_of(*nodes(2))
        for node_id in ("n1", "n2"):
            observe(board, GOOD, node_id=node_id)
        lay(board, ("n1", MAINTENANCE))

        told = lay(board, ("n1", then), at=50.0)

        why = "maintenance is over: it must requalify"
        expected = Transition(Health.UP, Health.RECOVERING, 50.0, None, why)
        assert told == [(board["n1"], expected)]
        record = board["n1"]
        assert (record.state.health, record.changed) == (Health.RECOVERING, WALL + 50)
        assert (record.evidence, record.transitions[Health.RECOVERING]) == (why, 1)
        assert board["n2"].state.health is Health.UP
        assert lay(board, ("n1", then), at=51.0) == []

    def test_under_maintenance_health_is_true(self):
        """It is probed all the while, and nothing is hidden."""
        board = board_of(node())
        observe(board, GOOD)
        lay(board, ("*", MAINTENANCE))
        for at in (30.0, 40.0, 50.0, 60.0):
            observe(board, BAD, at=at)

        assert board["de-1"].state.health is Health.DOWN
        assert lay(board, at=61.0) == []

    def test_a_requalified_node_rises_by_the_rule(self):
        """Three successes ten seconds apart; it need not wait for having been down."""
        board = board_of(node())
        observe(board, GOOD)
        lay(board, ("*", MAINTENANCE))
        lay(board, at=50.0)
        after = []
        for at in (50.0, 60.0, 70.0):
            observe(board, GOOD, at=at, slot=False)
            after.append(board["de-1"].state.health)

        assert after == [Health.RECOVERING, Health.RECOVERING, Health.UP]

    @pytest.mark.parametrize("mode", [DRAIN, AdminMode.FORCE_DOWN, AdminMode.FORCE_UP], ids=str)
    def test_others_end_without_a_trace(self, mode):
        """A node that was drained and works is in again at once."""
        board = board_of(node())
        observe(board, GOOD)
        lay(board, ("*", mode))

        assert lay(board) == []
        assert board["de-1"].state.health is Health.UP


class TestCandidate:
    """What the gate is told of a node."""

    def test_newcomer(self):
        """Nothing is known, nothing is claimed."""
        board = board_of(node())
        told = board["de-1"].candidate

        assert told.node == node()
        assert (told.health, told.admin, told.admin_why) == (Health.UNKNOWN, AdminMode.ENABLED, "")
        assert (told.since, told.reason, told.evidence, told.fell) == (None, None, "", None)
        assert (told.slow, told.probation_until, told.confirmed) == (False, None, False)
        assert told.last_good is None

    def test_fallen(self):
        """When it fell on the one clock and on the other, why, and when it last worked."""
        board = board_of(node())
        observe(board, GOOD, at=0.0)
        for at in (30.0, 40.0, 50.0, 60.0):
            observe(board, BAD, at=at)
        told = board["de-1"].candidate

        assert (told.health, told.reason) == (Health.DOWN, Reason.TIMEOUT)
        assert told.evidence == "4 failures in 30 s"
        assert (told.since, told.fell, told.last_good) == (WALL + 60, 60.5, WALL)
        assert not told.confirmed

        observe(board, BAD, at=75.0)

        assert board["de-1"].candidate.confirmed

    def test_rising(self):
        """On the way up it is still one that fell; once up it is on probation instead."""
        board = board_of(node())
        for at, result in ((0, GOOD), (30, BAD), (40, BAD), (50, BAD), (60, BAD), (130, GOOD)):
            observe(board, result, at=at)
        rising = board["de-1"].candidate
        for at in (140, 150):
            observe(board, GOOD, at=at)
        risen = board["de-1"].candidate

        assert (rising.health, rising.fell, rising.probation_until) == ("recovering", 60.5, None)
        assert (risen.health, risen.fell, risen.probation_until) == ("up", None, 150.5 + 600)

    def test_overridden(self):
        """What an operator wants of it, why, and who it was; its health stays true."""
        board = board_of(node())
        observe(board, GOOD)
        lay(board, ("de-*", DRAIN))
        told = board["de-1"].candidate

        assert (told.admin, told.admin_why, told.health) == (DRAIN, "disk, by ann", Health.UP)

    def test_with_a_changed_endpoint(self):
        """It is the node users may be given."""
        old = node()
        board = board_of(old)
        observe(board, GOOD)
        board.replace([node(endpoint=vless(port=444), name="new")], 10.0)

        assert board["de-1"].candidate.node == replace(old, name="new")

    def test_is_of_one_moment(self):
        """A candidate does not change when the board does."""
        board = board_of(node())
        told = board["de-1"].candidate
        observe(board, GOOD)

        assert isinstance(told, Candidate)
        assert (told.health, board["de-1"].candidate.health) == (Health.UNKNOWN, Health.UP)


class TestRestore:
    """A restart takes up what the run before knew."""

    def known(self, one: Node, **changes) -> Record:
        state = State(health=Health.DOWN, since=-90.0, down_since=-90.0, failures=7)
        return Record(one, state, last_good=WALL - 99, proven=one, **changes)

    def test_as_it_was(self):
        """DOWN stays DOWN, counters too; only this run has not judged anybody yet."""
        board, known = Board(), self.known(node())
        board.restore({"de-1": known})

        board.replace([node()], now=0.0)

        assert board["de-1"] is known
        assert (board["de-1"].state.failures, board.all_judged()) == (7, False)

    def test_into_another_fleet(self):
        """Who is not in the fleet any more is gone; who is new is new; order is the fleet's."""
        one, two, three = nodes(3)
        board = Board()
        board.restore({"n3": self.known(three), "n1": self.known(one)})

        board.replace([one, two], now=5.0)

        assert [record.node.id for record in board] == ["n1", "n2"]
        assert [record.state.health for record in board] == [Health.DOWN, Health.UNKNOWN]

    def test_changed_endpoint(self):
        """It starts anew, and what worked is what users keep meanwhile."""
        board = Board()
        board.restore({"de-1": self.known(node())})

        board.replace([node(endpoint=vless(port=444))], now=5.0)

        record = board["de-1"]
        assert record.state == State(since=5.0)
        assert (record.publishable.endpoint, record.last_good) == (vless(), WALL - 99)

    def test_maintenance_that_ended_meanwhile(self):
        """It ended all the same: the node must requalify."""
        over = Override(
            pattern="*", mode=MAINTENANCE, reason="", author="", created=WALL, expires=WALL + 1
        )
        known = self.known(node(), override=over)
        known.state = State(health=Health.UP, since=-9.0)
        board = Board()
        board.restore({"de-1": known})
        board.replace([node()], now=0.0)

        told = board.lay([], now=2.0, wall=WALL + 2, rules=RULES)

        assert [transition.after for _, transition in told] == [Health.RECOVERING]
