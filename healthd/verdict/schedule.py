"""When a node is probed: a fixed grid, and rechecks between its slots. Pure.

Every node has a slot each `interval`, at a phase hashed from its id, so that a thousand nodes
spread evenly and a reload moves none. The grid is fixed: after an overrun the next slot keeps its
time, missed ones are skipped and counted (`sleep(interval)` in a loop drifts by 0.5 ms a round).

Rechecks run between slots while a node is suspected or down. One that could not end before the
node's next slot (give or take the tolerance) gives way to that slot: a node never has two probes in
flight.

A node that stays down is asked less and less: every `down_interval` for `down_fast_for`, then in
its slots only, and after `down_slow_after` in every second one or so (`down_slow_interval`). It
never stops. Slots that are left out that way count as bad, like the last one asked.
"""

import hashlib
import math
from typing import NamedTuple

from healthd.config import ProbeConfig, VerdictConfig
from healthd.model import Health
from healthd.verdict.machine import State


class Turn(NamedTuple):
    """The next probe of a node: when, and whether it is the one of its slot."""

    at: float
    slot: bool
    left_out: int = 0
    """Slots before it in which the node is not asked."""


def phase(node_id: str, interval: float) -> float:
    """Seconds into the interval at which this node's slot lies; the same on every run."""
    digest = hashlib.sha256(node_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * interval


def next_slot(base: float, offset: float, interval: float, after: float) -> float:
    """The first slot strictly later than ``after`` on the grid ``base + offset + k * interval``."""
    start = base + offset
    slot = start + math.floor((after - start) / interval + 1) * interval
    return slot if slot > after else slot + interval  # rounding may land on `after` itself


def tolerance(interval: float) -> float:
    """How late a slot may begin before it counts as missed: a second at 30 s.

    A recheck of a silent node ends just behind its deadline; without this grace it would cost the
    node every other slot.
    """
    return min(1.0, interval / 30)


def next_turn(
    state: State, *, slot: float, began: float, now: float, probe: ProbeConfig, rules: VerdictConfig
) -> Turn:
    """The probe after one that began at ``began`` and ended at ``now``.

    Args:
        state: The node's state after that probe.
        slot: The node's next slot.
        began: When the last probe began. Rechecks are spaced between beginnings.
        now: The time now.
        probe: How nodes are asked.
        rules: When results become a verdict.
    """
    if (left_out := _left_out(state, now, probe, rules)) > 0:
        return Turn(slot + left_out * probe.interval, slot=True, left_out=left_out)
    pause = _pause(state, now, probe, rules)
    if pause is None:
        return Turn(slot, slot=True)
    recheck = max(now, began + pause)
    if recheck + probe.deadline > slot + tolerance(probe.interval):
        return Turn(slot, slot=True)
    return Turn(recheck, slot=False)


def _down_for(state: State, now: float) -> float:
    return now - (state.since if state.down_since is None else state.down_since)


def _left_out(state: State, now: float, probe: ProbeConfig, rules: VerdictConfig) -> int:
    """How many slots a node that has been down for long is not asked in."""
    if state.health is not Health.DOWN or _down_for(state, now) < rules.down_slow_after:
        return 0
    return max(0, round(rules.down_slow_interval / probe.interval) - 1)


def _pause(state: State, now: float, probe: ProbeConfig, rules: VerdictConfig) -> float | None:
    """Seconds between rechecks in this state; None: its slots are enough."""
    match state.health:
        case Health.SUSPECT:
            return probe.fast_interval
        case Health.UNKNOWN | Health.HELD if state.failures:
            return probe.fast_interval
        case Health.RECOVERING:
            return rules.rise_interval
        case Health.DOWN if _down_for(state, now) < rules.down_fast_for:
            return rules.down_interval
    return None
