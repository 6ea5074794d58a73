"""What is known of each node, and what is counted."""

import pytest

from healthd.config import VerdictConfig
from healthd.model import Health, Node, Outcome, Reason, Result, failure, inconclusive, success
from healthd.verdict.board import Board, SlotVerdict
from healthd.verdict.machine import State, Transition
from tests.builders import node, nodes, vless

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

    def test_skipped_slots(self):
        """Slots that passed under a running probe are overruns, and unknown."""
        board = board_of(node())

        board.skip("de-1", 2)
        board.skip("de-1", 1)

        assert (board["de-1"].overruns, board["de-1"].slots) == (3, {SlotVerdict.UNKNOWN: 3})

    def test_node_that_is_not_there(self):
        """Nobody is invented."""
        board = board_of(node())

        with pytest.raises(KeyError):
            observe(board, GOOD, node_id="nl-1")
        assert list(board.health()) == ["de-1"]


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
        moved = node(endpoint=vless(address="192.0.2.99"))

        board.replace([moved], now=100.0)

        record = board["de-1"]
        assert (moved, State(since=100.0), False) == (record.node, record.state, record.judged)
        assert record.probes == {Outcome.FAILURE: 1}

    def test_node_that_left(self):
        """It is gone with all that was known of it, and comes back as a stranger."""
        one, two = nodes(2)
        board = board_of(one, two)
        observe(board, GOOD, node_id="n1")

        board.replace([two], now=50.0)
        assert board.health() == {"n2": Health.UNKNOWN}
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


def test_health_of_all():
    """The gate's view: the health of each node by id, in failover order."""
    board = board_of(*nodes(3))
    observe(board, GOOD, node_id="n2")
    observe(board, REFUSED, node_id="n3")

    expected = [("n1", Health.UNKNOWN), ("n2", Health.UP), ("n3", Health.INVALID)]
    assert expected == list(board.health().items())


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
