"""What waits to be written, and its bounds while nothing can be. No I/O; one owner.

State, overrides and what is watched need no place here: the latest of each is at hand anyway.
Single results are the first to be given up, the ledger the last.
"""

from dataclasses import dataclass, field
from typing import TypeVar

from healthd.store.writing import Block, NotedPublication, NotedTransition
from healthd.verdict.ledger import Key, Tally
from healthd.verdict.trace import Recorded

BLOCK = 60
"""Results of a node that are written in one block: half an hour of slots."""
BLOCK_AGE = 1800.0
"""Seconds that a result waits for the rest of its block, at most."""
MOST_RESULTS = 200_000
"""Results that wait at once; some 40 MB."""
MOST_EVENTS = 10_000
"""Transitions that wait at once, and publications."""
MOST_TALLIES = 100_000
"""Hours of nodes that wait at once: six weeks of 100 nodes."""

_LEAST_BLOCK = 10

T = TypeVar("T")


@dataclass(slots=True)
class Lost:
    """What was given up since the store broke."""

    results: int = 0
    transitions: int = 0
    publications: int = 0
    slots: int = 0

    def __bool__(self) -> bool:
        return bool(self.results or self.transitions or self.publications or self.slots)

    def __add__(self, more: "Lost") -> "Lost":
        return Lost(
            self.results + more.results,
            self.transitions + more.transitions,
            self.publications + more.publications,
            self.slots + more.slots,
        )


class Results:
    """Single results, gathered into one block a node.

    Args:
        most: How many wait at once.
    """

    def __init__(self, most: int = MOST_RESULTS) -> None:
        self._most = most
        self._open: dict[str, list[Recorded]] = {}
        self._closed: list[Block] = []
        self._count = 0
        self.lost = 0

    def note(self, node_id: str, recorded: Recorded) -> None:
        """Take one more result of a node."""
        if self._count >= self._most:
            self.lost += 1
            return
        gathered = self._open.setdefault(node_id, [])
        if gathered and recorded.began < gathered[-1].began:  # the clock went back
            self._close(node_id)
            gathered = self._open.setdefault(node_id, [])
        gathered.append(recorded)
        self._count += 1

    def take(self, wall: float, *, everything: bool = False) -> list[Block]:
        """The blocks that are to be written now."""
        # A large fleet writes shorter ones, rather than hold half an hour of it in memory.
        length = min(BLOCK, max(_LEAST_BLOCK, self._most // 2 // max(1, len(self._open))))
        for node_id, gathered in list(self._open.items()):
            if everything or len(gathered) >= length or wall - gathered[0].began >= BLOCK_AGE:
                self._close(node_id)
        taken, self._closed = self._closed, []
        self._count -= sum(len(results) for _, results in taken)
        return taken

    def put_back(self, blocks: list[Block]) -> None:
        """Take back blocks that could not be written; of too many, the oldest are given up."""
        self._closed = blocks + self._closed
        self._count += sum(len(results) for _, results in blocks)
        drop = 0
        while self._count > self._most and drop < len(self._closed):
            gone = len(self._closed[drop][1])
            self._count, self.lost, drop = self._count - gone, self.lost + gone, drop + 1
        del self._closed[:drop]

    def _close(self, node_id: str) -> None:
        self._closed.append((node_id, tuple(self._open.pop(node_id))))


@dataclass(slots=True)
class Pending:
    """Everything that waits, and what of it was given up."""

    transitions: list[NotedTransition] = field(default_factory=list)
    publications: list[NotedPublication] = field(default_factory=list)
    results: Results = field(default_factory=Results)
    lost: Lost = field(default_factory=Lost)
    most_tallies: int = MOST_TALLIES

    def note_transition(self, noted: NotedTransition) -> None:
        """Take one more transition."""
        self.transitions.append(noted)
        self.lost.transitions += _cut(self.transitions)

    def note_publication(self, noted: NotedPublication) -> None:
        """Take one more publication."""
        self.publications.append(noted)
        self.lost.publications += _cut(self.publications)

    def take_events(self) -> tuple[list[NotedTransition], list[NotedPublication]]:
        """All transitions and publications."""
        taken = self.transitions, self.publications
        self.transitions, self.publications = [], []
        return taken

    def put_back_events(
        self, transitions: list[NotedTransition], publications: list[NotedPublication]
    ) -> None:
        """Take back what could not be written, in front of what came since."""
        self.transitions[:0] = transitions
        self.publications[:0] = publications
        self.lost.transitions += _cut(self.transitions)
        self.lost.publications += _cut(self.publications)

    def bounded(self, tallies: dict[Key, Tally]) -> dict[Key, Tally]:
        """The tallies without the oldest hours, when they are too many."""
        if len(tallies) <= self.most_tallies:
            return tallies
        latest_first = sorted(tallies, key=lambda key: key[2], reverse=True)
        self.lost.slots += sum(tallies[key].slots for key in latest_first[self.most_tallies :])
        return {key: tallies[key] for key in latest_first[: self.most_tallies]}

    def take_lost(self) -> Lost:
        """What was given up since the last call."""
        lost, self.lost = self.lost, Lost()
        lost.results, self.results.lost = self.results.lost, 0
        return lost


def _cut(events: list[T]) -> int:
    """Give the oldest up when there are too many; return how many."""
    gone = max(0, len(events) - MOST_EVENTS)
    del events[:gone]
    return gone
