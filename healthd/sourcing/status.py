"""How a source is, for metrics, API and people. Plain values: safe to read from another thread."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Fetch(StrEnum):
    """What became of one attempt to fetch; a metric label."""

    CHANGED = "changed"
    """A good answer that is not the one before."""
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    """There was an answer, but the last good one stays in force."""
    FAILED = "failed"
    """There was no answer."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One entry that did not become a node."""

    where: str
    """Such as "line 12"."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How one source is."""

    name: str
    where: str
    """Its file, or the host of its URL."""
    why: str = ""
    """What is wrong with it, in words; empty when its latest answer is in force."""
    last_success: float | None = None
    """Wall-clock seconds of the latest good answer, of an earlier run if need be."""
    nodes: int = 0
    """How many nodes the fleet has of it."""
    entries: Mapping[str, int] = field(default_factory=dict)
    """Outcome -> how many entries of the answer in force had it."""
    left_out: tuple[LeftOut, ...] = ()
    """The first few of those that did not become nodes."""
    fetches: Mapping[Fetch, int] = field(default_factory=dict)
    """Attempts in this run, by what became of them."""
    acceptable: bool = False
    """Whether an answer waits that `healthd source accept` could take."""

    @property
    def ok(self) -> bool:
        """Whether its latest answer is in force."""
        return not self.why
