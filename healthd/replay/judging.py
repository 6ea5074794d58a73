"""A replay beside the truth: what was called down wrongly, or late, or not at all. Pure."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from healthd.replay.running import Down, Replayed


@dataclass(frozen=True, slots=True)
class Outage:
    """A node was really dead. Wall-clock seconds."""

    node: str
    down_from: float
    down_to: float


@dataclass(frozen=True, slots=True)
class Spread:
    """How a number of minutes is spread."""

    count: int
    median: float
    p90: float
    """Nine of ten are no longer."""
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a replay is worth."""

    outages: int
    """How many lie within the recording, at least in part."""
    false_downs: tuple[Down, ...]
    """The node worked when it was called down."""
    missed: tuple[Outage, ...]
    """The node was never down while it was dead."""
    to_down: tuple[float, ...]
    """Minutes from a death to DOWN, one for each outage that was not missed."""
    to_removal: tuple[float, ...]
    """Minutes from a death until users were no longer given the node, where that came to be."""


def judge(replayed: Replayed, truth: Iterable[Outage]) -> Judgement:
    """Compare a replay with the truth."""
    outages = [
        each for each in truth if each.down_from < replayed.ended and each.down_to > replayed.began
    ]
    found = [(each, _minutes_to_down(replayed, each)) for each in outages]
    removals = [_minutes_to_removal(replayed, each) for each in outages]
    return Judgement(
        outages=len(outages),
        false_downs=tuple(down for down in replayed.downs if not _is_true(down, outages)),
        missed=tuple(outage for outage, minutes in found if minutes is None),
        to_down=tuple(minutes for _, minutes in found if minutes is not None),
        to_removal=tuple(minutes for minutes in removals if minutes is not None),
    )


def spread(minutes: Sequence[float]) -> Spread | None:
    """How these are spread; None if there are none."""
    if not minutes:
        return None
    ranked = sorted(minutes)
    ninth = ranked[math.ceil(0.9 * len(ranked)) - 1]
    return Spread(len(ranked), median(ranked), ninth, ranked[-1])


def _is_true(down: Down, outages: Iterable[Outage]) -> bool:
    """Whether the node was dead at some time of the probe that ended it."""
    return any(
        each.node == down.node and each.down_from <= down.at and each.down_to >= down.began
        for each in outages
    )


def _minutes_to_down(replayed: Replayed, outage: Outage) -> float | None:
    """To the first moment of the outage at which the node is down; 0 if it was so before."""
    for down in replayed.downs:
        if down.node != outage.node or down.began > outage.down_to:
            continue
        if down.until is None or down.until > outage.down_from:
            return max(0.0, down.at - outage.down_from) / 60
    return None


def _minutes_to_removal(replayed: Replayed, outage: Outage) -> float | None:
    """To the first moment of the outage at which the node is not published."""
    issues = replayed.issues
    served = bisect_right(issues, outage.down_from, key=lambda issue: issue.at)
    if served and outage.node not in issues[served - 1].nodes:
        return 0.0
    for issue in issues[served:]:
        if issue.at > outage.down_to:
            return None
        if outage.node not in issue.nodes:
            return (issue.at - outage.down_from) / 60
    return None
