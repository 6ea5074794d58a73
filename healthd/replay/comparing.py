"""Two replays of one recording, side by side, as figures. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from healthd.replay.judging import Outage, judge, spread
from healthd.replay.running import Down, Replayed
from healthd.verdict.decision import Mode

_ORDINARY = {Mode.NORMAL, Mode.WAITING}

IN_MODE = "minutes in mode"
"""How figures are named that tell for how long the gate was in a mode that is not ordinary."""

Figures = dict[str, float | None]
"""By name; None where there is nothing to say. Units are in the names."""


@dataclass(frozen=True, slots=True)
class Differing:
    """A node to which something else happened."""

    node: str
    configured: tuple[Down, ...]
    """When it was down with the configured parameters."""
    changed: tuple[Down, ...]
    """And with the others."""


def figures(replayed: Replayed, truth: Iterable[Outage] | None) -> Figures:
    """What a replay comes to.

    Args:
        replayed: The replay.
        truth: When nodes were really dead, if that is known.
    """
    found: Figures = {
        "downs": len(replayed.downs),
        "minutes down": sum(map(replayed.lasted, replayed.downs)) / 60,
        "publications": len(replayed.issues),
        "removals": sum(len(issue.removed) for issue in replayed.issues),
    }
    for mode in Mode:
        if mode not in _ORDINARY:
            found[f"{IN_MODE} {mode}"] = replayed.modes.get(mode, 0.0) / 60
    return found | ({} if truth is None else _judged(replayed, truth))


def difference(configured: Figures, changed: Figures) -> Figures:
    """By how much the second is more."""
    return {
        name: None if before is None or (after := changed[name]) is None else after - before
        for name, before in configured.items()
    }


def differing(configured: Replayed, changed: Replayed) -> list[Differing]:
    """The nodes that were down at other times, or for other reasons; by name."""
    found = []
    for node in sorted({down.node for down in (*configured.downs, *changed.downs)}):
        pair = [
            tuple(down for down in side.downs if down.node == node)
            for side in (configured, changed)
        ]
        if pair[0] != pair[1]:
            found.append(Differing(node, *pair))
    return found


def _judged(replayed: Replayed, truth: Iterable[Outage]) -> Figures:
    judged = judge(replayed, truth)
    found: Figures = {
        "outages": judged.outages,
        "false downs": len(judged.false_downs),
        "missed outages": len(judged.missed),
    }
    for what, minutes in (("DOWN", judged.to_down), ("removal", judged.to_removal)):
        seen = spread(minutes)
        found[f"minutes to {what}, median"] = None if seen is None else seen.median
        found[f"minutes to {what}, p90"] = None if seen is None else seen.p90
        found[f"minutes to {what}, max"] = None if seen is None else seen.most
    return found
