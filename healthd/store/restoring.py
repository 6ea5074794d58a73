"""What becomes of a node's record over a restart. Pure.

A state that is younger than ten minutes is taken up as it was: DOWN stays DOWN, with its counters.
An older one is UNKNOWN: much may have happened since. What was learned of a node's habits (how it
flaps, how fast it is) outlives both; only another endpoint ends it. Whatever the state, users are
given the endpoint that last carried a request until the node has proved itself again.
"""

from collections.abc import Iterable
from dataclasses import replace

from healthd import endpoints
from healthd.endpoints import Endpoint
from healthd.model import AdminMode, Node
from healthd.store.reading import Loaded
from healthd.store.states import Saved
from healthd.verdict import quality
from healthd.verdict.board import Record
from healthd.verdict.machine import State
from healthd.verdict.overrides import Override

RESTORE_LIMIT = 600.0
"""Seconds: an older state is not taken up."""


def restore(loaded: Loaded, nodes: Iterable[Node], *, now: float, wall: float) -> dict[str, Record]:
    """The records of those nodes of which something is known.

    Args:
        loaded: What the last run knew.
        nodes: The fleet as it is configured now.
        now: Monotonic seconds.
        wall: The same moment on the wall clock.
    """
    records = {}
    for node in nodes:
        found, endpoint = loaded.states.get(node.id), loaded.proven.get(node.id)
        if found is None and endpoint is None:
            continue
        record = Record(node, State(since=now), ticked=now)
        if found is not None:
            _take_up(record, *found, now=now, wall=wall)
        if endpoint is not None:
            record.proven = _proven(node, endpoint)
        records[node.id] = record
    return records


def _take_up(record: Record, saved_at: float, kept: Saved, *, now: float, wall: float) -> None:
    record.last_good = kept.last_good
    if kept.admin is AdminMode.MAINTENANCE:
        record.override = _maintenance(record.node.id)
    if kept.fingerprint != record.node.fingerprint:
        record.speed = quality.NEW
        return
    # When the clock went back meanwhile, the state is taken for one of just now, lest its times
    # lie ahead of us.
    here = kept.moved(now - max(wall, saved_at))
    record.speed = here.speed
    if abs(wall - saved_at) < RESTORE_LIMIT:
        record.state, record.changed, record.evidence = here.state, kept.changed, kept.evidence
    else:
        record.state = replace(record.state, penalty=here.state.penalty)


def _maintenance(node_id: str) -> Override:
    """Stands for the override of the last run: the board must see that it is over, if it is."""
    return Override(
        pattern=node_id,
        mode=AdminMode.MAINTENANCE,
        reason="maintenance",
        author="an earlier run",
        created=0.0,
        expires=0.0,
    )


def _proven(node: Node, endpoint: Endpoint) -> Node:
    return replace(node, endpoint=endpoint, fingerprint=endpoints.fingerprint(endpoint))
