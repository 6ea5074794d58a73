"""Made-up recordings: what happened to nodes, one sign for each probe."""

from collections.abc import Sequence

from healthd.model import Node, Reason, Result, failure, inconclusive, success
from healthd.verdict.trace import Recorded
from tests import builders

SIGNS: dict[str, Result] = {
    ".": success(0.1),
    "x": failure(Reason.REFUSED),
    "?": inconclusive(Reason.LOOP_LAG),
    "c": inconclusive(Reason.CONTROL_FAILED),
    "s": success(9.0),
    "e": failure(Reason.ENGINE_REJECTED),
}
"""A success, a failure, two that are ours, a slow success, and a refusal of the engine."""

TOOK = 0.5
"""Seconds of every probe."""

Trace = list[tuple[float, str, Recorded]]


def story(node_id: str, signs: str, *, begin: float = 0.0, every: float = 30.0) -> Trace:
    """What happened to one node, a sign a slot; a blank is a slot without a result."""
    return [
        (
            begin + every * number + TOOK,
            node_id,
            Recorded(begin + every * number, TOOK, found, True),
        )
        for number, sign in enumerate(signs)
        if (found := SIGNS.get(sign)) is not None
    ]


def told(*stories: Trace) -> Trace:
    """All stories in the order of time."""
    return sorted((each for one in stories for each in one), key=lambda each: each[0])


def fleet(*ids: str) -> Sequence[Node]:
    """Nodes of these names, in this order."""
    return [builders.node(each) for each in ids]
