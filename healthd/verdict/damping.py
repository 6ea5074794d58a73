"""Damping: a node that falls again and again is held back until it has calmed down. Pure.

As routers damp a flapping route (RFC 2439): every fall adds 1000 points, points decay with a
half-life (15 min), and are capped. A node whose points reach `damping_hold` at a fall is held from
then on, until they have decayed below `damping_release`. With the defaults three falls within eight
minutes hold a node for about twenty; so do falls that go on every eleven minutes or sooner. One
that falls every quarter of an hour or more seldom is never held.
"""

from dataclasses import dataclass

from healthd.config import VerdictConfig

PER_FALL = 1000.0
"""Points that one fall adds."""


@dataclass(frozen=True, slots=True)
class Penalty:
    """What a node has on its account. ``at`` is when ``points`` were true, in monotonic seconds."""

    points: float = 0.0
    at: float = 0.0
    held: bool = False
    """Whether the last fall reached the mark; see :func:`is_held`."""


NONE = Penalty()


def points(penalty: Penalty, now: float, rules: VerdictConfig) -> float:
    """The points that are left at ``now``."""
    age = max(0.0, now - penalty.at)
    return float(penalty.points * 0.5 ** (age / rules.damping_half_life))


def after_fall(penalty: Penalty, now: float, rules: VerdictConfig) -> Penalty:
    """The account after one more fall."""
    total = min(points(penalty, now, rules) + PER_FALL, float(rules.damping_cap))
    held = bool(rules.damping_hold) and total >= rules.damping_hold
    return Penalty(total, now, held or is_held(penalty, now, rules))


def is_held(penalty: Penalty, now: float, rules: VerdictConfig) -> bool:
    """Whether the node must not come back yet."""
    return (
        penalty.held
        and bool(rules.damping_hold)
        and points(penalty, now, rules) >= rules.damping_release
    )
