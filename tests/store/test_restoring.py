"""A restart: what is taken up, what is not, and what users get meanwhile."""

from dataclasses import replace

import pytest

from healthd.config import VerdictConfig
from healthd.model import AdminMode, Health, Reason, success
from healthd.store.reading import Loaded
from healthd.store.restoring import RESTORE_LIMIT, restore
from healthd.store.states import Saved
from healthd.verdict import quality
from healthd.verdict.board import Board, Record
from healthd.verdict.damping import Penalty
from healthd.verdict.machine import State
from healthd.verdict.overrides import Override
from healthd.verdict.quality import Speed
from tests.builders import node, vless
from tests.store.support import WALL

NODE = node("a")
OTHER = vless(address="192.0.2.99")
NOW = 50.0
"""The new run's monotonic clock at WALL."""

DOWN = State(
    health=Health.DOWN,
    since=WALL - 300,
    failures=7,
    failing_since=WALL - 330,
    down_since=WALL - 300,
    penalty=Penalty(2000.0, WALL - 300, True),
    slots=(True, False, False),
    reason=Reason.TIMEOUT,
)
FAST = Speed(0.25, samples=(0.2, 0.3), sampled_at=WALL - 100, usual=0.25)
KEPT = Saved(NODE.fingerprint, DOWN, FAST, WALL - 400, WALL - 300, "4 failures in 20 s")


def restored(saved_at: float, kept: Saved = KEPT, wall: float = WALL) -> Record:
    """The record of the one node, saved at this second."""
    loaded = Loaded(states={"a": (saved_at, kept)})
    return restore(loaded, [NODE], now=NOW, wall=wall)["a"]


def test_young_state_is_taken_up_as_it_was():
    """DOWN stays DOWN with its counters, on the new run's clock; yet nothing is judged so far."""
    record = restored(WALL - 30)

    assert record.state == State(
        health=Health.DOWN,
        since=NOW - 300,
        failures=7,
        failing_since=NOW - 330,
        down_since=NOW - 300,
        penalty=Penalty(2000.0, NOW - 300, True),
        slots=(True, False, False),
        reason=Reason.TIMEOUT,
    )
    assert record.speed == replace(FAST, sampled_at=NOW - 100)
    assert (record.last_good, record.changed) == (WALL - 400, WALL - 300)
    assert record.evidence == "4 failures in 20 s"
    assert not record.judged
    assert record.ticked == NOW


@pytest.mark.parametrize(
    ("age", "health"),
    [
        (0.0, Health.DOWN),
        (RESTORE_LIMIT - 1, Health.DOWN),
        (RESTORE_LIMIT, Health.UNKNOWN),
        (86400.0, Health.UNKNOWN),
        (-1.0, Health.DOWN),
        (-RESTORE_LIMIT + 1, Health.DOWN),
        (-RESTORE_LIMIT, Health.UNKNOWN),
    ],
)
def test_age(age, health):
    """Younger than ten minutes; a state from the future is one of just now, or none at all."""
    assert restored(WALL - age).state.health is health


def test_old_state_is_unknown_but_habits_stay():
    """After ten minutes: UNKNOWN since now; penalty, speed and the last success are still true."""
    record = restored(WALL - 3600)

    assert record.state == State(since=NOW, penalty=Penalty(2000.0, NOW - 300, True))
    assert record.speed == replace(FAST, sampled_at=NOW - 100)
    assert record.last_good == WALL - 400
    assert (record.changed, record.evidence) == (None, "")


@pytest.mark.parametrize("back", [120.0, 7200.0])
def test_clock_that_went_back(back):
    """No time of the state lies in the future: min_down would never end, nor a penalty decay."""
    record = restored(WALL, wall=WALL - back)

    assert record.state.penalty == Penalty(2000.0, NOW - 300, True)
    assert record.state.since <= NOW
    assert record.speed.sampled_at == NOW - 100


def test_other_endpoint():
    """What was learned of another endpoint says nothing of this one."""
    record = restored(WALL - 30, replace(KEPT, fingerprint="another"))

    assert record.state == State(since=NOW)
    assert record.speed == quality.NEW
    assert record.last_good == WALL - 400


@pytest.mark.parametrize("age", [30.0, 3600.0])
@pytest.mark.parametrize("fingerprint", [NODE.fingerprint, "another"])
def test_proven_endpoint_is_published_until_requalified(age, fingerprint):
    """In every case: users keep the endpoint that worked, under the name it has today."""
    loaded = Loaded(
        states={"a": (WALL - age, replace(KEPT, fingerprint=fingerprint))}, proven={"a": OTHER}
    )
    renamed = replace(NODE, name="Germany 1", tags=frozenset({"eu"}))
    record = restore(loaded, [renamed], now=NOW, wall=WALL)["a"]

    assert record.proven is not None
    assert record.proven.endpoint == OTHER
    assert (record.proven.name, record.proven.tags) == ("Germany 1", frozenset({"eu"}))
    assert record.publishable.endpoint == OTHER


def test_proven_without_a_state():
    """A state that could not be read: UNKNOWN, but published as before."""
    record = restore(Loaded(proven={"a": OTHER}), [NODE], now=NOW, wall=WALL)["a"]

    assert record.state == State(since=NOW)
    assert record.publishable.endpoint == OTHER


def test_only_what_is_known_and_configured():
    """A new node has no record yet, and a node that was removed none any more."""
    loaded = Loaded(states={"a": (WALL, KEPT), "gone": (WALL, KEPT)}, proven={"gone": OTHER})

    assert restore(loaded, [NODE, node("new")], now=NOW, wall=WALL).keys() == {"a"}


def laid(mode: AdminMode) -> Override:
    return Override(pattern="a", mode=mode, reason="r", author="me", created=WALL)


class TestMaintenance:
    """Whoever leaves it must requalify, though the daemon was down when it ended."""

    UP = State(health=Health.UP, since=WALL - 1000)

    def board(self, mode: AdminMode) -> Board:
        kept = Saved(NODE.fingerprint, self.UP, quality.NEW, admin=mode)
        loaded = Loaded(states={"a": (WALL - 30, kept)})
        board = Board()
        board.replace([NODE], NOW)
        board.restore(restore(loaded, [NODE], now=NOW, wall=WALL))
        return board

    def test_over_meanwhile(self):
        """The override has expired: RECOVERING."""
        board = self.board(AdminMode.MAINTENANCE)
        told = board.lay([], now=NOW, wall=WALL, rules=VerdictConfig())

        assert [(t.before, t.after) for _, t in told] == [(Health.UP, Health.RECOVERING)]
        assert board["a"].admin is AdminMode.ENABLED

    def test_still_going_on(self):
        """It still holds: nothing happens."""
        board = self.board(AdminMode.MAINTENANCE)
        told = board.lay([laid(AdminMode.MAINTENANCE)], now=NOW, wall=WALL, rules=VerdictConfig())

        assert told == []
        assert board["a"].admin is AdminMode.MAINTENANCE

    @pytest.mark.parametrize("mode", set(AdminMode) - {AdminMode.MAINTENANCE})
    def test_other_modes(self, mode):
        """From any other mode a node comes back as it is."""
        board = self.board(mode)

        assert board.lay([], now=NOW, wall=WALL, rules=VerdictConfig()) == []
        assert board["a"].state.health is Health.UP


def test_going_on_equals_a_restart():
    """The verdict on what comes next is the same with and without a restart in between."""
    rules = VerdictConfig()

    def after(record: Record, shift: float) -> list[tuple[Health, float]]:
        board = Board()
        board.restore({"a": record})
        moments = [WALL + at + shift for at in (10.0, 21.0, 32.0)]
        made = []
        for at in moments:
            made += board.observe(
                "a", success(0.1), slot=True, began=at, now=at, wall=at - shift, rules=rules
            )
        return [(each.after, each.at - shift) for each in made]

    on = after(Record(NODE, DOWN, speed=FAST), 0.0)
    assert [health for health, _ in on] == [Health.RECOVERING, Health.HELD]
    assert after(restored(WALL), NOW - WALL) == on
