"""Where recorded results are kept, and reading them: every node's, merged by time.

The daemon's store keeps them in blocks of a few bytes a result. What came from a file is kept in
memory in the same way, so that a month of a hundred nodes fits.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from healthd.errors import ReplayError
from healthd.store import database
from healthd.verdict import trace
from healthd.verdict.trace import Recorded

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

    def opened(self, since: float) -> AbstractContextManager[Blocks]:
        """The blocks, with all results that began at ``since`` or later, while the block lasts."""
        return nullcontext(self.blocks.__getitem__)


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
