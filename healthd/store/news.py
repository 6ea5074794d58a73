"""What the file does not hold yet: gathered on the event loop, handed over as one batch. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from healthd.model import Node
from healthd.store import states
from healthd.store.pending import Pending
from healthd.store.states import Saved
from healthd.store.writing import Batch, Watched
from healthd.verdict.board import Record
from healthd.verdict.ledger import Ledger
from healthd.verdict.overrides import Override

CLOCK_JUMP = 1.0
"""Seconds: states are written anew when the two clocks have drifted apart by more."""


@dataclass(slots=True)
class _Held:
    """What the file is known to hold. None: not known."""

    shift: float = 0.0
    states: dict[str, Saved] = field(default_factory=dict)
    proven: dict[str, Node] = field(default_factory=dict)
    overrides: tuple[Override, ...] | None = None
    watched: Watched | None = None


class News:
    """Compares what is with what the file holds."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.pending = Pending()
        self.overrides: tuple[Override, ...] | None = None
        self.watched: Watched | None = None
        self._held = _Held()

    def forget(self) -> None:
        """The file was opened, and may hold anything: all is news again."""
        self._held = _Held()

    def collect(
        self, records: Iterable[Record], *, now: float, wall: float, interval: float, last: bool
    ) -> Batch:
        """Everything that is to be written now.

        Args:
            records: The fleet as it is.
            now: Monotonic seconds.
            wall: The same moment on the wall clock.
            interval: Seconds of a slot.
            last: Whether nothing will follow.
        """
        batch = Batch(wall, wall - now, interval)
        if abs(batch.shift - self._held.shift) > CLOCK_JUMP:
            # The file's times are those of another clock.
            self._held.states, self._held.shift = {}, batch.shift
        self._compare(records, batch)
        if self.overrides is not self._held.overrides:
            batch.overrides = self.overrides
        if self.watched is not self._held.watched:
            batch.watched = self.watched
        batch.transitions, batch.publications = self.pending.take_events()
        batch.tallies = self.ledger.take()
        batch.blocks = self.pending.results.take(wall, everything=last)
        return batch

    def wrote(self, batch: Batch) -> None:
        """The batch is in the file."""
        held = self._held
        held.states.update(batch.states)
        held.proven.update(batch.proven)
        if batch.overrides is not None:
            held.overrides = batch.overrides
        if batch.watched is not None:
            held.watched = batch.watched
            held.states = {n: s for n, s in held.states.items() if n in batch.watched.nodes}
            held.proven = {n: s for n, s in held.proven.items() if n in batch.watched.nodes}

    def put_back(self, batch: Batch) -> None:
        """The batch could not be written: keep what is nowhere else."""
        self.pending.put_back_events(batch.transitions, batch.publications)
        self.ledger.put_back(batch.tallies)
        self.pending.results.put_back(batch.blocks)

    def bound(self) -> None:
        """Give up the oldest hours when too many wait; all else is bounded as it comes."""
        self.ledger.put_back(self.pending.bounded(self.ledger.take()))

    def _compare(self, records: Iterable[Record], batch: Batch) -> None:
        held, proven = self._held.states, self._held.proven
        for record in records:
            node_id = record.node.id
            known = held.get(node_id)
            if known is None or not known.is_still(record):
                batch.states[node_id] = states.saved(record)
            if record.proven is not None and not _is_same(proven.get(node_id), record.proven):
                batch.proven[node_id] = record.proven


def _is_same(held: Node | None, proven: Node) -> bool:
    return held is proven or (
        held is not None and held.endpoint == proven.endpoint and held.name == proven.name
    )
