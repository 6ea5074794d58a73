"""Recorded results as lines of JSON, and the truth about them.

One line is one result of one node, times in seconds, ``began`` on the wall clock:

    {"node": "hk-1", "began": 1764000000.0, "took": 0.31, "outcome": "success",
     "reason": null, "latency": 0.24, "slot": true}

The lines of one node are in the order of their beginnings; nodes may be mixed in any way.
"""

import json
import math
from collections.abc import Iterable, Iterator
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from healthd.errors import ReplayError
from healthd.model import Outcome, Reason, Result
from healthd.replay.judging import Outage
from healthd.replay.recording import FileRecording
from healthd.verdict import trace
from healthd.verdict.trace import Recorded

_BLOCK = 4096
"""Results in a block made here."""


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    node: str = Field(min_length=1, max_length=64)


class _ResultLine(_Line):
    began: float = Field(ge=0)
    took: float = Field(ge=0)
    outcome: Outcome
    reason: Reason | None = None
    latency: float | None = Field(None, ge=0)
    slot: bool = True


class _OutageLine(_Line):
    down_from: float = Field(ge=0)
    down_to: float

    @model_validator(mode="after")
    def _goes_forward(self) -> "_OutageLine":
        if self.down_to <= self.down_from:
            raise ValueError("down_to must be later than down_from")
        return self


_Any = TypeVar("_Any", bound=_Line)


def read_results(name: str, lines: Iterable[bytes]) -> FileRecording:
    """Take up recorded results.

    Args:
        name: What messages call the file.
        lines: Its lines; blank ones mean nothing.

    Raises:
        ReplayError: a line is wrong, or there is none.
    """
    blocks: dict[str, list[bytes]] = {}
    fresh: dict[str, list[Recorded]] = {}
    latest = -math.inf
    for number, line in _parsed(name, lines, _ResultLine):
        waiting = fresh.setdefault(line.node, [])
        if waiting and line.began < waiting[-1].began:
            why = "began: is before that of the node's result above it; sort them by time"
            raise ReplayError(f"{name}:{number}", why)
        if len(waiting) == _BLOCK:
            blocks.setdefault(line.node, []).append(trace.encode(waiting))
            waiting.clear()
        result = Result(line.outcome, line.reason, line.latency)
        waiting.append(Recorded(line.began, line.took, result, line.slot))
        latest = max(latest, line.began)
    if not fresh:
        raise ReplayError(name, "holds no results")
    for node_id, waiting in fresh.items():
        blocks.setdefault(node_id, []).append(trace.encode(waiting))
    return FileRecording(name, {node_id: blocks[node_id] for node_id in fresh}, latest)


def read_truth(name: str, lines: Iterable[bytes], nodes: Iterable[str]) -> tuple[Outage, ...]:
    """When nodes were really dead, from lines such as this one, in wall-clock seconds.

        {"node": "hk-1", "down_from": 1764000000.0, "down_to": 1764000600.0}

    Args:
        name: What messages call the file.
        lines: Its lines.
        nodes: The nodes that were recorded.

    Raises:
        ReplayError: a line is wrong, or about a node that was not recorded.
    """
    known, found = frozenset(nodes), []
    for number, line in _parsed(name, lines, _OutageLine):
        if line.node not in known:
            raise ReplayError(f"{name}:{number}", f"node: {line.node!r} has no recorded results")
        found.append(Outage(line.node, line.down_from, line.down_to))
    return tuple(found)


def as_line(node_id: str, each: Recorded) -> str:
    """One recorded result as a line of JSON, without the line's end."""
    result = each.result
    return json.dumps(
        {
            "node": node_id,
            "began": each.began,
            "took": each.took,
            "outcome": result.outcome,
            "reason": result.reason,
            "latency": result.latency,
            "slot": each.slot,
        }
    )


def _parsed(name: str, lines: Iterable[bytes], kind: type[_Any]) -> Iterator[tuple[int, _Any]]:
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        try:
            yield number, kind.model_validate_json(line)
        except ValidationError as invalid:
            raise ReplayError(f"{name}:{number}", _why(invalid)) from None


def _why(invalid: ValidationError) -> str:
    """The first fault of a line in words; never its value."""
    error = invalid.errors()[0]
    key = ".".join(map(str, error["loc"]))
    words = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        words = "is unknown here"
    words = words[:1].lower() + words[1:]
    return f"{key}: {words}" if key else words
