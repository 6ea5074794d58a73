"""The board: what the daemon knows of every node, kept by synchronous calls.

One writer, no awaits, no clock: safe to touch from any task between two checkpoints. Counters live
beside the state they count, so that a node's series come and go with the node.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from healthd.config import VerdictConfig
from healthd.model import Health, Node, Outcome, Reason, Result
from healthd.verdict import machine
from healthd.verdict.machine import State, Transition


class SlotVerdict(StrEnum):
    """What one scheduled slot says for the availability figures."""

    GOOD = "good"
    BAD = "bad"
    EXCLUDED = "excluded"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Record:
    """One node, its state, and what has been counted of it."""

    node: Node
    state: State
    proven: Node | None = None
    """The node as it was when it last carried a request in this run."""
    judged: bool = False
    """Whether a conclusive result has been seen in this run."""
    last_probe: float | None = None
    """Wall-clock seconds of the latest result, whatever it was."""
    last_good: float | None = None
    """Wall-clock seconds of the latest success."""
    changed: float | None = None
    """Wall-clock seconds of the latest transition."""
    evidence: str = ""
    """What made it, in words."""
    latency: float | None = None
    result: Result | None = None
    slots: Counter[SlotVerdict] = field(default_factory=Counter)
    probes: Counter[Outcome] = field(default_factory=Counter)
    failures: Counter[Reason] = field(default_factory=Counter)
    transitions: Counter[Health] = field(default_factory=Counter)
    overruns: int = 0
    ticked: float = 0.0
    """Monotonic seconds of the latest sign of life of the node's task."""

    @property
    def publishable(self) -> Node:
        """What users may be given: a changed endpoint only once it has proved itself."""
        if self.proven is None or self.state.health is not Health.UNKNOWN:
            return self.node
        return replace(
            self.node, endpoint=self.proven.endpoint, fingerprint=self.proven.fingerprint
        )


class Board:
    """The records of the fleet, in failover order."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, node_id: str) -> Record:
        return self._records[node_id]

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._records

    def replace(self, nodes: Iterable[Node], now: float) -> None:
        """Take up a new fleet. A node whose endpoint is the same keeps all that is known of it."""
        before = self._records
        after: dict[str, Record] = {}
        for node in nodes:
            known = before.get(node.id)
            if known is None:
                known = Record(node, State(since=now), ticked=now)
            elif known.node.fingerprint != node.fingerprint:
                known.state = State(since=now)
                known.judged = False
            known.node = node
            after[node.id] = known
        self._records = after  # at once: a scrape in another thread sees one fleet or the other

    def observe(
        self,
        node_id: str,
        result: Result,
        *,
        slot: bool,
        began: float,
        now: float,
        wall: float,
        rules: VerdictConfig,
    ) -> list[Transition]:
        """Note one result; return the transitions it made."""
        record = self._records[node_id]
        record.state, transitions = machine.observe(
            record.state, result, slot=slot, began=began, now=now, rules=rules
        )
        record.result, record.last_probe = result, wall
        record.probes[result.outcome] += 1
        if result.reason is not None:
            record.failures[result.reason] += 1
        if slot:
            record.slots[_slot_verdict(result)] += 1
        if result.outcome is Outcome.SUCCESS:
            record.last_good, record.latency = wall, result.latency
            record.proven = record.node
        record.judged |= result.outcome is not Outcome.INCONCLUSIVE
        for transition in transitions:
            record.transitions[transition.after] += 1
            record.changed, record.evidence = wall, transition.evidence
        return transitions

    def skip(self, node_id: str, missed: int) -> None:
        """Note slots that passed while a probe was still running."""
        record = self._records[node_id]
        record.overruns += missed
        record.slots[SlotVerdict.UNKNOWN] += missed

    def health(self) -> dict[str, Health]:
        """The health of every node, by id."""
        return {node_id: record.state.health for node_id, record in self._records.items()}

    def all_judged(self) -> bool:
        """Whether every node has had a conclusive result in this run."""
        return all(record.judged for record in self)


def _slot_verdict(result: Result) -> SlotVerdict:
    match result.outcome:
        case Outcome.SUCCESS:
            return SlotVerdict.GOOD
        case Outcome.FAILURE:
            # Settings that no engine takes say nothing about the node's availability.
            rejected = result.reason is Reason.ENGINE_REJECTED
            return SlotVerdict.EXCLUDED if rejected else SlotVerdict.BAD
        case _:
            return SlotVerdict.UNKNOWN
