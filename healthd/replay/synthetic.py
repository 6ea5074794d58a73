"""One made-up node that loses probes at random, on the real grid, with the real machine. Pure.

Each probe fails with the same probability, whatever the others did. Half of the failures are silent
and take the whole deadline; the others are refused after 10 ms. A success takes 0.3 s. (How long a
refusal takes hardly matters below `fast_interval`: rechecks are spaced between beginnings.)

A good node that is found good stays exactly as it was, so such slots are passed with a throw of the
dice each and no more. That changes nothing but the time it takes: the same throws give the same
months.
"""

import math
from collections.abc import Iterator
from typing import Protocol

from healthd.config import ProbeConfig, VerdictConfig
from healthd.model import IN_SERVICE, Health, Reason, Result, failure, success
from healthd.verdict import machine, schedule
from healthd.verdict.machine import State, Transition
from healthd.verdict.schedule import Turn

MONTH = 30 * 86400.0
"""Seconds: 86,400 slots at 30 s."""

_TOOK = 0.3
_REFUSED_AFTER = 0.01
_SUCCESS = success(_TOOK)
_SILENT = failure(Reason.DEADLINE)
_REFUSED = failure(Reason.REFUSED)


class Dice(Protocol):
    """Chance, as :class:`random.Random` provides it."""

    def random(self) -> float:
        """Any number from 0 up to 1, all equally likely."""


def false_downs(
    dice: Dice, loss: float, months: float, *, probe: ProbeConfig, rules: VerdictConfig
) -> int:
    """How often a node that only loses probes at random is called down in so many months.

    It comes back by the rules and goes on; only falls of a node in service count.
    """
    node = _Node(dice, loss, probe, rules, until=months * MONTH)
    return sum(
        transition.after is Health.DOWN and transition.before in IN_SERVICE
        for transition in node.live()
    )


def minutes_to_down(dice: Dice, loss: float, *, probe: ProbeConfig, rules: VerdictConfig) -> float:
    """From the moment at which a healthy node begins to lose so many until it is called down."""
    node = _Node(dice, loss, probe, rules)
    began = probe.interval * dice.random()
    down = next(each for each in node.live() if each.after is Health.DOWN)
    return (down.at - began) / 60


class _Node:
    """Begins as a healthy node one interval before its first slot.

    Args:
        dice: Chance.
        loss: The share of probes that fail.
        probe: How it is asked.
        rules: How it is judged.
        until: Seconds that it lives.
    """

    def __init__(
        self,
        dice: Dice,
        loss: float,
        probe: ProbeConfig,
        rules: VerdictConfig,
        until: float = math.inf,
    ) -> None:
        self._throw, self._loss = dice.random, loss
        self._probe, self._rules, self._until = probe, rules, until
        self._full = (True,) * rules.window
        self._state = State(health=Health.UP, since=0.0, slots=self._full)
        self._turn = Turn(probe.interval, slot=True)

    def live(self) -> Iterator[Transition]:
        """Every change of its health."""
        slot = self._turn.at
        while True:
            fails = self._fails()
            turn = self._turn
            if turn.at >= self._until:
                return
            if turn.slot:
                slot = turn.at + self._probe.interval
            result, took = self._answer() if fails else (_SUCCESS, _TOOK)
            now = turn.at + took
            self._state, transitions = machine.observe(
                self._state, result, slot=turn.slot, began=turn.at, now=now, rules=self._rules
            )
            yield from transitions
            # No probe ends behind the next slot: the deadline is shorter than the interval.
            self._turn = schedule.next_turn(
                self._state,
                slot=slot,
                began=turn.at,
                now=now,
                probe=self._probe,
                rules=self._rules,
            )

    def _fails(self) -> bool:
        """Whether the next probe fails; passes slots that leave a good node as it is."""
        throw, loss = self._throw, self._loss
        if self._state.health is not Health.UP or self._state.slots != self._full:
            return throw() < loss
        at, interval, until = self._turn.at, self._probe.interval, self._until
        while at < until and throw() >= loss:
            at += interval
        self._turn = Turn(at, slot=True)
        return True

    def _answer(self) -> tuple[Result, float]:
        if self._throw() < 0.5:
            return _SILENT, self._probe.deadline
        return _REFUSED, _REFUSED_AFTER
