"""What reading a subscription gives: each counted entry ends in exactly one outcome. Pure.

Every form of subscription becomes a stream of candidates; :func:`gather` asks each one in turn.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from healthd.endpoints import Endpoint, EndpointFault, fingerprint
from healthd.errors import HealthdError, LinkError, Unsupported
from healthd.fleet.naming import clean_name

MOST_ENTRIES = 10
"""Times ``max_nodes``: so many entries are read. An honest source repeats itself, or speaks of
what we cannot use, but not that much; without a limit, a bad one would cost memory and time."""


class Unreadable(HealthdError):
    """An answer that is no subscription at all. Says what came instead; quotes nothing of it."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class Outcome(StrEnum):
    """What became of one entry of a subscription."""

    TAKEN = "taken"
    DUPLICATE = "duplicate"
    """The same endpoint as an earlier entry's."""
    UNSUPPORTED = "unsupported"
    """It may be sound, but asks for what nothing here can honour."""
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Entry:
    """A node of the subscription."""

    endpoint: Endpoint
    name: str
    """As the source calls it, cleaned; perhaps empty."""
    where: str
    """Where in the body it stands: "line 12", "proxies[3]", "outbounds[2]"."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An entry that did not become a node."""

    where: str
    outcome: Outcome
    why: str
    """In words that quote no secret."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A subscription as it was understood."""

    entries: tuple[Entry, ...] = ()
    """The nodes, in the order of the body."""
    left_out: tuple[LeftOut, ...] = ()
    """What else was counted, in the order of the body."""

    @property
    def counts(self) -> Mapping[Outcome, int]:
        """How many entries ended in each outcome."""
        found = dict.fromkeys(Outcome, 0)
        found[Outcome.TAKEN] = len(self.entries)
        for each in self.left_out:
            found[each.outcome] += 1
        return found


Candidate = tuple[str, Callable[[], tuple[Endpoint, str]]]
"""Where an entry stands, and what gives its endpoint and name, or raises :class:`LinkError`."""


def gather(candidates: Iterable[Candidate], max_nodes: int) -> Reading:
    """Ask every candidate once.

    Raises:
        Unreadable: there are more nodes than ``max_nodes``, or far too many entries.
    """
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    seen: dict[str, str] = {}
    for where, ask in candidates:
        if len(entries) + len(left_out) >= MOST_ENTRIES * max_nodes:
            raise Unreadable(
                f"the answer has more than {MOST_ENTRIES * max_nodes} entries, while "
                f"max_nodes = {max_nodes}; raise it if that is right"
            )
        found = _ask(where, ask)
        if isinstance(found, LeftOut):
            left_out.append(found)
            continue
        known = seen.setdefault(fingerprint(found.endpoint), where)
        if known != where:
            left_out.append(LeftOut(where, Outcome.DUPLICATE, f"is the same node as {known}"))
            continue
        if len(entries) == max_nodes:
            raise Unreadable(
                f"the answer has more nodes than max_nodes = {max_nodes}; raise it if that is right"
            )
        entries.append(found)
    return Reading(tuple(entries), tuple(left_out))


def _ask(where: str, ask: Callable[[], tuple[Endpoint, str]]) -> Entry | LeftOut:
    try:
        endpoint, name = ask()
    except Unsupported as why:
        return LeftOut(where, Outcome.UNSUPPORTED, str(why))
    except LinkError as why:
        return LeftOut(where, Outcome.MALFORMED, str(why))
    except EndpointFault as why:
        outcome = Outcome.UNSUPPORTED if why.unsupported else Outcome.MALFORMED
        return LeftOut(where, outcome, str(why))
    return Entry(endpoint, clean_name(name), where)
