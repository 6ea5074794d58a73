"""The gate of one publication: which nodes users get, and why. Pure.

A node is in while it is UP or SUSPECT; an UNKNOWN one stays as it was published last, so that a
restart or a new endpoint takes nothing away (the caller gives the endpoint that was proven). With
no node in, the last known good stays, byte for byte: an empty list would only add our silence to
the censor's.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from healthd.model import IN_SERVICE, Health, Node


class Mode(StrEnum):
    """What a publication is made of."""

    WAITING = "waiting"
    """The first round of probes is not over; what the last run published stays."""
    NORMAL = "normal"
    LAST_GOOD = "last-good"
    """No node is up; what was published last stays, byte for byte."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to publish. ``nodes`` is None when what is published must stay as it is."""

    mode: Mode
    nodes: tuple[Node, ...] | None = None
    why: Mapping[str, str] = field(default_factory=dict)
    """For each node of the publication: in or out, and the reason in words."""


def decide(
    nodes: Sequence[Node],
    health: Mapping[str, Health],
    *,
    published: Collection[str],
    first_round_over: bool,
) -> Decision:
    """Decide what one publication holds.

    Args:
        nodes: The publication's nodes, in failover order.
        health: The health of each, by id.
        published: The ids that were published last.
        first_round_over: Whether every node had its chance of a verdict.
    """
    why = {node.id: _why(health[node.id], was_in=node.id in published) for node in nodes}
    if not first_round_over:
        return Decision(Mode.WAITING, why=why)
    chosen = tuple(node for node in nodes if _is_in(health[node.id], node.id in published))
    if not any(health[node.id] in IN_SERVICE for node in chosen):
        return Decision(Mode.LAST_GOOD, why={**why, **_kept(nodes, health, published)})
    return Decision(Mode.NORMAL, chosen, why)


def _kept(
    nodes: Sequence[Node], health: Mapping[str, Health], published: Collection[str]
) -> dict[str, str]:
    """Why nodes are in although they are not up: nothing better is there."""
    return {
        node.id: f"in: {health[node.id]}, but no node is up"
        for node in nodes
        if node.id in published
    }


def _is_in(health: Health, was_in: bool) -> bool:
    return health in IN_SERVICE or (health is Health.UNKNOWN and was_in)


def _why(health: Health, *, was_in: bool) -> str:
    if health is Health.UNKNOWN:
        return "in: unknown yet, published before" if was_in else "out: unknown yet"
    return f"{'in' if _is_in(health, was_in) else 'out'}: {health}"
