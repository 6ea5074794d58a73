"""The ledger: slots by verdict, rolled up by the hour, and what they say of availability. Pure.

Each scheduled slot of a node is exactly one of good, bad, excluded and unknown; a slot in which the
daemon did not run is unknown as well, which shows only when the hours are summed up. Availability
is what was good of what was judged; coverage is how much was judged of what counts. With less than
95 % coverage there is no availability to speak of.

A publication has slots too: one is good when at least one node that users were given then worked.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

HOUR = 3600.0
TARGET = 0.999
"""Of 30 days that leaves 43.2 minutes, or 86 slots of 30 s."""
LEAST_COVERAGE = 0.95


class SlotVerdict(StrEnum):
    """What one scheduled slot says for the availability figures."""

    GOOD = "good"
    BAD = "bad"
    EXCLUDED = "excluded"
    UNKNOWN = "unknown"


class Kind(StrEnum):
    """Whose slots they are."""

    NODE = "node"
    PUBLICATION = "publication"


@dataclass(slots=True)
class Tally:
    """Slots of one subject in one hour. Latencies are seconds."""

    good: int = 0
    bad: int = 0
    excluded: int = 0
    unknown: int = 0
    latency_sum: float = 0.0
    latency_count: int = 0
    latency_max: float = 0.0

    def note(self, verdict: SlotVerdict, latency: float | None = None) -> None:
        """Count one slot."""
        setattr(self, verdict, getattr(self, verdict) + 1)
        if latency is not None:
            self.latency_sum += latency
            self.latency_count += 1
            self.latency_max = max(self.latency_max, latency)

    def add(self, other: "Tally") -> None:
        """Count all that another one has counted."""
        self.good += other.good
        self.bad += other.bad
        self.excluded += other.excluded
        self.unknown += other.unknown
        self.latency_sum += other.latency_sum
        self.latency_count += other.latency_count
        self.latency_max = max(self.latency_max, other.latency_max)

    @property
    def slots(self) -> int:
        """How many slots were counted."""
        return self.good + self.bad + self.excluded + self.unknown


Key = tuple[Kind, str, int]
"""Whose slots, and the hour: wall-clock seconds divided by 3600, rounded down."""


def hour_of(wall: float) -> int:
    """The hour that a slot at this wall-clock second belongs to."""
    return int(wall // HOUR)


class Ledger:
    """Slots counted since they were last taken away to be kept."""

    def __init__(self) -> None:
        self._tallies: dict[Key, Tally] = {}

    def note(
        self, kind: Kind, name: str, wall: float, verdict: SlotVerdict, latency: float | None = None
    ) -> None:
        """Count the slot that was scheduled at this wall-clock second."""
        key = (kind, name, hour_of(wall))
        self._tallies.setdefault(key, Tally()).note(verdict, latency)

    def take(self) -> dict[Key, Tally]:
        """What was counted since the last call."""
        taken, self._tallies = self._tallies, {}
        return taken

    def put_back(self, taken: dict[Key, Tally]) -> None:
        """Count again what could not be kept; it is the ledger's from now on."""
        fresh, self._tallies = self._tallies, taken  # the few are added to the many
        for key, tally in fresh.items():
            taken.setdefault(key, Tally()).add(tally)


@dataclass(frozen=True, slots=True)
class Availability:
    """What the slots of one subject in a span of time say."""

    good: int
    bad: int
    excluded: int
    unknown: int
    latency_mean: float | None
    latency_max: float | None

    @property
    def availability(self) -> float | None:
        """Good of good and bad; None when nothing was judged."""
        judged = self.good + self.bad
        return self.good / judged if judged else None

    @property
    def coverage(self) -> float | None:
        """Judged of all that were not excluded; None when all were."""
        counting = self.good + self.bad + self.unknown
        return (self.good + self.bad) / counting if counting else None

    @property
    def is_sufficient(self) -> bool:
        """Whether so much was judged that the availability means something."""
        return self.coverage is not None and self.coverage >= LEAST_COVERAGE

    def budget(self, target: float = TARGET) -> float:
        """Bad slots that the target allows among those that count."""
        return (1.0 - target) * (self.good + self.bad + self.unknown)


@dataclass(frozen=True, slots=True)
class HourOf:
    """One hour as it was kept: its tally, and how long a slot was then, in seconds."""

    hour: int
    interval: float
    tally: Tally


def summed(hours: Iterable[HourOf], *, begin: float, end: float, interval: float) -> Availability:
    """Sum up hours; what is missing between ``begin`` and ``end`` is unknown.

    Args:
        hours: What was kept.
        begin: Wall-clock second from which the subject was to be watched.
        end: And until when.
        interval: Seconds of a slot in hours of which nothing was kept.
    """
    total = Tally()
    seen: set[int] = set()
    missing = 0
    for kept in hours:
        total.add(kept.tally)
        span = _overlap(kept.hour, begin, end)
        # The first and the last hour are cut anywhere within a slot: half of one is no slot.
        missing += max(0, int(span / kept.interval + 0.5) - kept.tally.slots)
        seen.add(kept.hour)
    for hour in range(hour_of(begin), hour_of(end) + 1):
        if hour not in seen:
            missing += int(_overlap(hour, begin, end) / interval + 0.5)
    count = total.latency_count
    return Availability(
        total.good,
        total.bad,
        total.excluded,
        total.unknown + missing,
        total.latency_sum / count if count else None,
        total.latency_max if count else None,
    )


def _overlap(hour: int, begin: float, end: float) -> float:
    """Seconds of the hour that lie between begin and end."""
    return max(0.0, min(end, (hour + 1) * HOUR) - max(begin, hour * HOUR))
