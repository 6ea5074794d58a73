"""Quality: is a node that works slow? It changes the order of what is published, never more. Pure.

The latency of the scheduled probes is smoothed (EWMA, a fifth of each new one). A node is slow when
that lies above `slow_above`, and above `slow_factor` times its own median of the last day, for
`slow_slots` slots; it is quick again below `slow_clear` of that mark for `slow_clear_slots` slots.
The two marks, and the two counts, keep it from going to and fro.

The day's median is that of one latency each quarter of an hour: 96 numbers a node instead of 2,880.
"""

from dataclasses import dataclass, replace
from statistics import median

from healthd.config import VerdictConfig

WEIGHT = 0.2
SAMPLE_EVERY = 900.0
"""Seconds between two latencies that are kept for the median."""
SAMPLES = 96
"""A day of them."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What is remembered of a node's latency. Seconds, and the caller's monotonic clock."""

    average: float | None = None
    slow: bool = False
    run: int = 0
    """Slots in a row that speak for a change of ``slow``."""
    samples: tuple[float, ...] = ()
    sampled_at: float | None = None
    usual: float = 0.0
    """The median of ``samples``."""


NEW = Speed()


def mark(speed: Speed, rules: VerdictConfig) -> float:
    """Seconds above which the node counts as slow."""
    return max(rules.slow_above, rules.slow_factor * speed.usual)


def observe(speed: Speed, latency: float, at: float, rules: VerdictConfig) -> Speed:
    """What is remembered after one more scheduled success.

    Args:
        speed: What was remembered before.
        latency: Of this success, in seconds.
        at: When it was, in monotonic seconds.
        rules: The parameters.
    """
    if speed.average is None:
        average = latency
    else:
        average = speed.average + WEIGHT * (latency - speed.average)
    speed = _sample(speed, latency, at)
    slow, run = _turned(speed, average, rules)
    # Written out: `replace` takes three times as long, and this runs in every slot of every node.
    return Speed(average, slow, run, speed.samples, speed.sampled_at, speed.usual)


def _turned(speed: Speed, average: float, rules: VerdictConfig) -> tuple[bool, int]:
    """Whether the node is slow with this average, and how many slots speak for a change."""
    if not rules.slow_slots:
        return False, 0
    high = mark(speed, rules)
    turning = average < rules.slow_clear * high if speed.slow else average > high
    run = speed.run + 1 if turning else 0
    if run >= (rules.slow_clear_slots if speed.slow else rules.slow_slots):
        return not speed.slow, 0
    return speed.slow, run


def _sample(speed: Speed, latency: float, at: float) -> Speed:
    if speed.sampled_at is not None and at - speed.sampled_at < SAMPLE_EVERY:
        return speed
    samples = (*speed.samples, round(latency, 4))[-SAMPLES:]
    return replace(speed, samples=samples, sampled_at=at, usual=median(samples))
