"""Ten nodes are published when a subscription brings hundreds more: users lose nothing by it."""

import pytest

from healthd.config import GateConfig, VerdictConfig
from healthd.model import Health, Reason, Result, failure, success
from healthd.verdict import gate
from healthd.verdict.board import Board
from healthd.verdict.decision import Decision, Memory, Mode, after_publishing
from tests.builders import node, vless

ALL = [
    node(f"n{number}", endpoint=vless(address=f"192.0.2.{number % 250}", port=1 + number // 250))
    for number in range(900)
]
OLD = ALL[400:410]
"""Somewhere in the middle: a panel may put its own anywhere."""
NEW = [each for each in ALL if each not in OLD]
BAD = failure(Reason.REFUSED)


class Stage:
    """A board and the gate of one publication, ten minutes after the first ten were published."""

    def __init__(self) -> None:
        self.board = Board()
        self.now = 1000.0
        self.board.replace(OLD, self.now)
        self.memory = Memory()
        self.ask(OLD, success(0.05), 3)
        assert self.publish() == [each.id for each in OLD]
        self.now += 600

    def ask(self, asked, result: Result, times: int) -> None:
        """Probe these nodes so many times, half a minute apart."""
        for _ in range(times):
            self.now += 30
            for each in asked:
                self.board.observe(
                    each.id,
                    result,
                    slot=True,
                    began=self.now,
                    now=self.now,
                    wall=self.now,
                    rules=VerdictConfig(),
                )

    def decide(self) -> Decision:
        """What the gate decides now."""
        return gate.decide(
            [record.candidate for record in self.board],
            self.memory,
            now=self.now,
            rules=GateConfig(),
            interval=30.0,
        )

    def publish(self) -> list[str]:
        """Publish what the gate decides; return the ids."""
        decision = self.decide()
        self.memory = after_publishing(decision, self.now)
        return list(self.memory.published)


@pytest.fixture
def stage() -> Stage:
    """The ten are published, and the others have just come."""
    made = Stage()
    made.board.replace(ALL, made.now)
    return made


def ids(found) -> list[str]:
    return [each.id for each in found]


def test_unknown(stage):
    """Newcomers of which nothing is known count for nothing: neither floor nor mode changes."""
    decision = stage.decide()

    assert (decision.mode, decision.eligible, decision.floor) == (Mode.NORMAL, 10, 5)
    assert stage.publish() == ids(OLD)


def test_they_join_as_they_prove_themselves(stage):
    """Each that works joins at its place; nobody has to leave for it."""
    stage.ask(NEW[:300], success(0.05), 1)

    assert stage.publish() == ids(NEW[:300] + OLD)
    stage.ask(NEW[300:], success(0.05), 1)
    assert stage.publish() == ids(ALL)


def test_all_dead(stage):
    """A subscription of dead nodes raises the floor beyond reach, and still takes nothing away."""
    stage.ask(OLD, success(0.05), 6)
    stage.ask(NEW, BAD, 6)

    assert {stage.board[each.id].state.health for each in NEW} == {Health.DOWN}
    assert stage.publish() == ids(OLD)


def test_all_dead_and_the_old_ones_fail(stage):
    """When the old ones fail beside so many dead newcomers, what is published stays filled."""
    stage.ask(NEW, BAD, 6)
    stage.ask(OLD[1:], BAD, 6)
    stage.ask(OLD[:1], success(0.05), 1)

    assert {stage.board[each.id].state.health for each in OLD[1:]} == {Health.DOWN}
    assert sorted(stage.publish()) == sorted(ids(OLD))


def test_they_leave_again(stage):
    """When the source takes them back, the ten are as they were."""
    stage.ask(NEW, success(0.05), 1)
    stage.publish()
    stage.board.replace(OLD, stage.now)

    assert stage.publish() == ids(OLD)
