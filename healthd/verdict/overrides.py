"""What operators want of nodes: overrides by pattern, for a time. Pure.

The latest override whose pattern matches a node holds for it, until it expires. To resume a node is
to remove what holds for it alone, and to lay ENABLED over what holds for others as well.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from healthd.model import AdminMode

DEFAULT_FOR = 4 * 3600.0
LONGEST = 7 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One override. Times are wall-clock seconds, as they must hold over a restart."""

    pattern: str
    """Glob over node ids."""
    mode: AdminMode
    reason: str
    author: str
    created: float
    expires: float | None = None

    def matches(self, node_id: str) -> bool:
        """Whether it is about this node."""
        return fnmatchcase(node_id, self.pattern)

    def holds(self, wall: float) -> bool:
        """Whether it has not expired."""
        return self.expires is None or wall < self.expires


def expiry(mode: AdminMode, asked: float | None, now: float) -> float | None:
    """When an override that begins now ends.

    Only a drain may stay for good: whatever else is forgotten would lie to the operator for ever.

    Args:
        mode: What it does.
        asked: Seconds that were asked for, if any.
        now: Wall-clock seconds.

    Raises:
        ValueError: it was asked for more than a week, or for no time at all.
    """
    if asked is None:
        return None if mode is AdminMode.DRAIN else now + DEFAULT_FOR
    if not 0 < asked <= LONGEST:
        raise ValueError("an override lasts for at most 7 days")
    return now + asked


def holding(overrides: Sequence[Override], node_id: str, wall: float) -> Override | None:
    """The override that holds for a node: the latest that was made."""
    found = [each for each in overrides if each.holds(wall) and each.matches(node_id)]
    return found[-1] if found else None


def added(overrides: Sequence[Override], new: Override) -> tuple[Override, ...]:
    """The overrides with one more; one of the same pattern gives way to it.

    Not the trace of a resume, though: what it covers must not come through when the new one ends.
    """
    kept = (
        each for each in overrides if each.pattern != new.pattern or each.mode is AdminMode.ENABLED
    )
    return (*kept, new)


def resumed(
    overrides: Sequence[Override], lift: Override, ids: Collection[str]
) -> tuple[Override, ...]:
    """The overrides after the nodes that ``lift`` matches are let go.

    Args:
        overrides: What holds now, in the order in which it was made.
        lift: Says which nodes; its mode is ENABLED.
        ids: All nodes there are.
    """
    freed = {node_id for node_id in ids if lift.matches(node_id)}
    kept = tuple(
        each
        for each in overrides
        if each.pattern != lift.pattern and not _only_about(each, freed, ids)
    )
    above = [each for each in kept if any(each.matches(node_id) for node_id in freed)]
    if not any(each.mode is not AdminMode.ENABLED for each in above):
        return kept
    # Something for more nodes than these still lies there: it must not come through again.
    ends = [each.expires for each in above]
    last = None if None in ends else max(end for end in ends if end is not None)
    return (*kept, replace(lift, mode=AdminMode.ENABLED, expires=last))


def _only_about(override: Override, freed: Collection[str], ids: Collection[str]) -> bool:
    matched = {node_id for node_id in ids if override.matches(node_id)}
    return bool(matched) and matched <= set(freed)


def unexpired(overrides: Iterable[Override], wall: float) -> tuple[Override, ...]:
    """Those that still hold."""
    return tuple(each for each in overrides if each.holds(wall))
