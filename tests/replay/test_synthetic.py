"""A made-up node on the real grid."""

import random

import pytest

from healthd.config import ProbeConfig, VerdictConfig
from healthd.model import IN_SERVICE, Health, Reason, failure, success
from healthd.replay.synthetic import MONTH, false_downs, minutes_to_down
from healthd.verdict import machine, schedule
from healthd.verdict.machine import State
from healthd.verdict.schedule import Turn

OURS = (ProbeConfig(), VerdictConfig())
THREE = (
    ProbeConfig(fast_interval="30s"),
    VerdictConfig(fall=3, fall_after="0s", window=1, window_failures=0),
)


def slowly(seed: int, loss: float, months: float, probe: ProbeConfig, rules: VerdictConfig) -> int:
    """The same month, probe after probe."""
    dice, falls = random.Random(seed), 0
    state = State(health=Health.UP, since=0.0, slots=(True,) * rules.window)
    turn, slot = Turn(probe.interval, slot=True), probe.interval
    while turn.at < months * MONTH:
        if turn.slot:
            slot = turn.at + probe.interval
        result, took = success(0.3), 0.3
        if dice.random() < loss:
            silent = dice.random() < 0.5
            result, took = failure(Reason.TIMEOUT), probe.deadline if silent else 0.01
        now = turn.at + took
        state, changes = machine.observe(
            state, result, slot=turn.slot, began=turn.at, now=now, rules=rules
        )
        falls += sum(c.after is Health.DOWN and c.before in IN_SERVICE for c in changes)
        turn = schedule.next_turn(
            state, slot=slot, began=turn.at, now=now, probe=probe, rules=rules
        )
    return falls


@pytest.mark.parametrize(("probe", "rules"), [OURS, THREE], ids=["ours", "three in a row"])
def test_passing_quiet_slots_changes_nothing(probe, rules):
    """The same throws of the dice give the same falls as they do probe after probe."""
    for seed, loss in ((1, 0.02), (2, 0.15), (3, 0.3)):
        found = false_downs(random.Random(seed), loss, 0.03, probe=probe, rules=rules)

        assert found == slowly(seed, loss, 0.03, probe, rules)


def test_without_losses():
    """A node that loses nothing is never called down."""
    probe, rules = OURS
    assert false_downs(random.Random(1), 0.0, 12, probe=probe, rules=rules) == 0


def test_three_in_a_row():
    """Without rechecks the falls can be counted by hand: q p^3 / (1 - p^3) of all slots."""
    probe, rules = THREE
    expected = 86_400 * 0.9 * 0.1**3 / (1 - 0.1**3)  # 77.8 in a month

    found = false_downs(random.Random(1), 0.1, 1, probe=probe, rules=rules)

    # Five standard deviations to either side; the seed does not change anyway.
    assert expected - 5 * expected**0.5 < found < expected + 5 * expected**0.5


def test_our_rule_is_gentler():
    """With our rule, and 5 % loss, a node falls far less often than with three in a row."""
    counts = [
        false_downs(random.Random(4), 0.05, 0.6, probe=probe, rules=rules)
        for probe, rules in (OURS, THREE)
    ]

    assert 2 * counts[0] < counts[1]


def test_dead_node():
    """One that loses everything is down after 20 s of evidence, and within 72 s at the worst."""
    probe, rules = OURS
    minutes = [
        minutes_to_down(random.Random(seed), 1.0, probe=probe, rules=rules) for seed in range(200)
    ]

    assert 20 / 60 < min(minutes) < max(minutes) < 72 / 60
    assert 30 / 60 < sorted(minutes)[100] < 60 / 60
