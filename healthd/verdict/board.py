"""The board: what the daemon knows of every node, kept by synchronous calls.

One writer, no awaits, no clock: safe to touch from any task between two checkpoints. Counters live
beside the state they count, so that a node's series come and go with the node.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from healthd.config import VerdictConfig
from healthd.model import IN_SERVICE, AdminMode, Health, Node, Outcome, Reason, Result
from healthd.verdict import machine, overrides, quality
from healthd.verdict.decision import Candidate
from healthd.verdict.ledger import SlotVerdict
from healthd.verdict.machine import State, Transition
from healthd.verdict.overrides import Override
from healthd.verdict.quality import Speed


@dataclass(slots=True)
class Record:
    """One node, its state, and what has been counted of it."""

    node: Node
    state: State
    speed: Speed = quality.NEW
    override: Override | None = None
    """What an operator wants of it now."""
    proven: Node | None = None
    """The node as it was when it last carried a request."""
    judged: bool = False
    """Whether a conclusive result has been seen in this run."""
    last_probe: float | None = None
    """Wall-clock seconds of the latest result, whatever it was."""
    last_good: float | None = None
    """Wall-clock seconds of the latest success, ever."""
    usable: bool | None = None
    """Whether the latest probe went well; None when it was inconclusive, or there was none."""
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
    def admin(self) -> AdminMode:
        """What an operator wants of it now."""
        return self.override.mode if self.override else AdminMode.ENABLED

    @property
    def candidate(self) -> Candidate:
        """What the gate must know of it."""
        state = self.state
        return Candidate(
            node=self.publishable,
            health=state.health,
            since=self.changed,
            reason=state.reason,
            evidence=self.evidence,
            admin=self.admin,
            admin_why=f"{self.override.reason}, by {self.override.author}" if self.override else "",
            slow=self.speed.slow,
            probation_until=state.probation_until,
            fell=state.down_since if state.health not in IN_SERVICE else None,
            failing_since=state.failing_since,
            confirmed=state.confirmed,
            last_good=self.last_good,
        )

    @property
    def publishable(self) -> Node:
        """What users may be given: a changed endpoint once it, or an operator, vouches for it."""
        forced = self.admin is AdminMode.FORCE_UP
        if self.proven is None or self.proven.fingerprint == self.node.fingerprint or forced:
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
                known.state, known.speed = State(since=now), quality.NEW
                known.judged, known.usable = False, None
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
        record.usable = _USABLE[result.outcome]
        record.probes[result.outcome] += 1
        if result.reason is not None:
            record.failures[result.reason] += 1
        if slot:
            record.slots[slot_verdict(record, result)] += 1
            if result.latency is not None:
                record.speed = quality.observe(record.speed, result.latency, began, rules)
        if result.outcome is Outcome.SUCCESS:
            record.last_good, record.latency = wall, result.latency
            record.proven = record.node
        record.judged |= result.outcome is not Outcome.INCONCLUSIVE
        _note(record, transitions, wall)
        return transitions

    def skip(self, node_id: str, missed: int) -> SlotVerdict:
        """Note slots that passed while a probe was still running."""
        record = self._records[node_id]
        record.overruns += missed
        return self.pass_over(node_id, missed, SlotVerdict.UNKNOWN)

    def pass_over(self, node_id: str, slots: int, verdict: SlotVerdict) -> SlotVerdict:
        """Note slots in which the node was not asked; return what they count as."""
        record = self._records[node_id]
        if record.admin is AdminMode.MAINTENANCE:
            verdict = SlotVerdict.EXCLUDED
        record.slots[verdict] += slots
        return verdict

    def restore(self, known: Mapping[str, Record]) -> None:
        """Take up what an earlier run knew of nodes, before anything is observed."""
        self._records.update(known)

    def lay(
        self, laid: Sequence[Override], *, now: float, wall: float, rules: VerdictConfig
    ) -> list[tuple[Record, Transition]]:
        """Lay overrides over the nodes; return the transitions of those that must requalify."""
        told = []
        for record in self:
            was = record.admin
            record.override = overrides.holding(laid, record.node.id, wall)
            if was is AdminMode.MAINTENANCE and record.admin is not AdminMode.MAINTENANCE:
                why = "maintenance is over: it must requalify"
                record.state, transitions = machine.requalify(record.state, now, rules, why)
                _note(record, transitions, wall)
                told += [(record, transition) for transition in transitions]
        return told

    def all_judged(self) -> bool:
        """Whether every node that an operator did not touch had a conclusive result in this run."""
        return all(record.judged or record.admin is not AdminMode.ENABLED for record in self)


_USABLE = {Outcome.SUCCESS: True, Outcome.FAILURE: False, Outcome.INCONCLUSIVE: None}


def _note(record: Record, transitions: Iterable[Transition], wall: float) -> None:
    for transition in transitions:
        record.transitions[transition.after] += 1
        record.changed, record.evidence = wall, transition.evidence


def slot_verdict(record: Record, result: Result) -> SlotVerdict:
    """What the probe of a slot says for the availability figures."""
    if record.admin is AdminMode.MAINTENANCE:
        return SlotVerdict.EXCLUDED
    match result.outcome:
        case Outcome.SUCCESS:
            return SlotVerdict.GOOD
        case Outcome.FAILURE:
            # Settings that no engine takes say nothing about the node's availability.
            rejected = result.reason is Reason.ENGINE_REJECTED
            return SlotVerdict.EXCLUDED if rejected else SlotVerdict.BAD
        case _:
            return SlotVerdict.UNKNOWN
