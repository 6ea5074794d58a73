"""What the gate is asked about, and what it answers. Pure."""

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from healthd.model import TAKEN_OUT, AdminMode, Health, Node, Reason


class Mode(StrEnum):
    """What a publication is made of; see :mod:`healthd.verdict.gate`."""

    WAITING = "waiting"
    NORMAL = "normal"
    TOP_UP = "top-up"
    FREEZE = "freeze"
    ALL = "all"
    STRICT = "strict"
    LAST_GOOD = "last-good"
    OFFLINE = "offline"


PANIC = frozenset({Mode.TOP_UP, Mode.FREEZE, Mode.ALL, Mode.STRICT})
"""Modes in which the floor is not met, or has not been for long enough."""


_SUCCEEDING = {Health.RECOVERING, Health.HELD}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """One node of a publication, as the board knows it."""

    node: Node
    health: Health
    since: float | None = None
    """Wall-clock seconds of its latest transition."""
    reason: Reason | None = None
    evidence: str = ""
    admin: AdminMode = AdminMode.ENABLED
    admin_why: str = ""
    slow: bool = False
    probation_until: float | None = None
    fell: float | None = None
    """Monotonic seconds at which a node that is DOWN or RECOVERING fell."""
    failing_since: float | None = None
    """Monotonic seconds at which the first of its failures in a row began."""
    confirmed: bool = False
    """Whether its fall is confirmed."""
    last_good: float | None = None
    """Wall-clock seconds of its latest success, ever."""

    @property
    def forced_up(self) -> bool:
        """Whether an operator wants it in, whatever it does, and it can be written at all."""
        return self.admin is AdminMode.FORCE_UP and self.health is not Health.INVALID

    @property
    def taken_out(self) -> bool:
        """Whether an operator wants it out, whatever it does."""
        return self.admin in TAKEN_OUT

    @property
    def about(self) -> str:
        """Such as "down since 2026-11-24T03:12:40Z refused, 4 failures in 23 s"."""
        words = f"{self.health}"
        if self.health not in {Health.UP, Health.UNKNOWN} and self.since is not None:
            words += f" since {utc(self.since)}"
            # A reason is of the latest failure: to one that succeeds again it no longer applies.
            failing = self.reason is not None and self.health not in _SUCCEEDING
            words += f" {self.reason}" if failing else ""
            words += f", {self.evidence}" if self.evidence else ""
        if self.admin is AdminMode.ENABLED:
            return words
        return f"{self.admin} ({self.admin_why}), really {words}"


@dataclass(frozen=True, slots=True)
class Memory:
    """What one decision must know of those before. Times are monotonic seconds."""

    published: tuple[str, ...] = ()
    removals: tuple[float, ...] = ()
    """When nodes were removed because they were bad, within the last `removal_period`."""
    panic: bool = False
    enough_since: float | None = None
    """In panic: since when more than the floor are in service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to publish. ``nodes`` is None when what is published must stay as it is."""

    mode: Mode
    nodes: tuple[Node, ...] | None = None
    why: dict[str, str] = field(default_factory=dict)
    """For each node of the publication: in or out, and the reason in words."""
    eligible: int = 0
    floor: int = 0
    in_service: int = 0
    held: tuple[str, ...] = ()
    """Nodes that the brake keeps in."""
    unconfirmed: tuple[str, ...] = ()
    """Those of them that wait for more probes, of themselves or of others."""
    removes: tuple[str, ...] = ()
    """Nodes removed because they are bad: each counts for the brake once it is published."""
    memory: Memory = Memory()
    look_again: float = math.inf
    """Monotonic seconds at which time alone may change the decision."""

    @property
    def summary(self) -> str:
        """The figures in words."""
        floor = "met" if self.in_service >= self.floor else "not met"
        return (
            f"{self.in_service} of {self.eligible} in service, floor {self.floor} of "
            f"{self.eligible} {floor}"
        )


def after_publishing(decision: Decision, now: float) -> Memory:
    """The memory once the decision's nodes are what is being served."""
    published = decision.memory.published
    if decision.nodes is not None:
        published = tuple(node.id for node in decision.nodes)
    return replace(
        decision.memory,
        published=published,
        removals=(*decision.memory.removals, *(now for _ in decision.removes)),
    )


def utc(wall: float) -> str:
    """Wall-clock seconds as "2026-11-24T03:12:40Z"."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
