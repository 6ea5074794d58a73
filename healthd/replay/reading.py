"""Recorded results, from where they are kept: a file of JSON lines, or the daemon's store.

One line is one result of one node, times in seconds, ``began`` on the wall clock:

    {"node": "hk-1", "began": 1764000000.0, "took": 0.31, "outcome": "success",
     "reason": null, "latency": 0.24, "slot": true}

The lines of one node are in the order of their beginnings; nodes may be mixed in any way. What a
file holds is kept in memory as the store keeps it, in blocks of a few bytes a result, so that a
month of a hundred nodes fits. Nodes are merged by time while they are read.
"""

import heapq
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from healthd.errors import ReplayError
from healthd.model import Outcome, Reason, Result
from healthd.replay.judging import Outage
from healthd.store import database
from healthd.verdict import trace
from healthd.verdict.trace import Recorded

_BLOCK = 4096
"""Results in a block made here."""


Blocks = Callable[[str], Iterable[bytes]]
"""Gives the blocks of one node, in their order."""


class Recording(Protocol):
    """Results of some nodes. It can be handed to another process."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Whose results there are, in the order of their first ones."""

    @property
    def latest(self) -> float:
        """Wall-clock second of the latest result."""

    def opened(self, since: float) -> AbstractContextManager[Blocks]:
        """The blocks, with all results that began at ``since`` or later, while the block lasts."""


def merged(recording: Recording, since: float = -math.inf) -> Iterator[tuple[float, str, Recorded]]:
    """Every result in the order in which they came: when it came, whose it is, and itself.

    Args:
        recording: Where they are.
        since: Wall-clock second; results that began before it are left out.

    Raises:
        ReplayError: the recording is damaged.
        StoreError: it can no longer be read.
    """
    with recording.opened(since) as blocks:

        def stream(node_id: str) -> Iterator[tuple[float, str, Recorded]]:
            for block in blocks(node_id):
                for each in _decoded(block, recording.name, node_id):
                    if each.began >= since:
                        yield each.began + each.took, node_id, each

        # Two of one moment are told apart by their nodes: a result is never compared.
        yield from heapq.merge(*map(stream, recording.nodes))


def _decoded(block: bytes, name: str, node_id: str) -> Iterator[Recorded]:
    try:
        return trace.decode(block)
    except ValueError as why:
        raise ReplayError(f"{name}, results of {node_id}", str(why)) from None


# --- a file ---


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


@dataclass(frozen=True, slots=True)
class FileRecording:
    """What a file of JSON lines held."""

    name: str
    blocks: Mapping[str, Sequence[bytes]]
    latest: float

    @property
    def nodes(self) -> tuple[str, ...]:
        """Whose results there are, in the order of their first lines."""
        return tuple(self.blocks)

    def opened(self, since: float) -> AbstractContextManager[Blocks]:  # noqa: ARG002 - all are at hand
        """The blocks, with all results that began at ``since`` or later, while the block lasts."""
        return nullcontext(self.blocks.__getitem__)


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


# --- the store ---


@dataclass(frozen=True, slots=True)
class StoreRecording:
    """What the daemon recorded, read from its store while that may be in use."""

    path: Path
    nodes: tuple[str, ...]
    latest: float

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.path)

    @contextmanager
    def opened(self, since: float) -> Iterator[Blocks]:
        """The blocks, with all results that began at ``since`` or later, while the block lasts."""
        query = "SELECT block FROM results WHERE node = ? AND ended >= ? ORDER BY began, rowid"
        with database.reading(self.path) as store:

            def blocks(node_id: str) -> Iterator[bytes]:
                return (block for (block,) in store.execute(query, (node_id, since)))

            yield blocks


def read_store(path: Path) -> StoreRecording:
    """The recording in a store.

    Raises:
        StoreError: the store cannot be read.
        ReplayError: it holds no results.
    """
    query = "SELECT node, MAX(ended) FROM results GROUP BY node ORDER BY MIN(began), node"
    with database.reading(path) as store:
        found = store.execute(query).fetchall()
    if not found:
        raise ReplayError(str(path), "holds no results")
    return StoreRecording(path, tuple(node for node, _ in found), max(end for _, end in found))
