"""Overrides at work: laid over the board, kept, refused when they go too far, and ended in time."""

import difflib
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
import trio

from healthd.config import GateConfig, VerdictConfig
from healthd.errors import OverrideError
from healthd.model import IN_SERVICE, TAKEN_OUT, AdminMode, Health
from healthd.publishing.publisher import Publication
from healthd.verdict import gate, overrides
from healthd.verdict.board import Board, Record
from healthd.verdict.machine import Transition
from healthd.verdict.overrides import Override

log = structlog.get_logger()

REPORT_AFTER = 600.0
"""Seconds that a node may be DOWN and forced up before that is told."""

_LOOK = 30.0
"""Seconds between two looks for nodes that are forced up although they are down."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What an operator's command did."""

    nodes: tuple[str, ...]
    """The nodes it is about now."""
    override: Override
    kept: bool
    """Whether it is in the store, so that it survives a restart."""


class Overriding:
    """The overrides in force.

    Args:
        board: What they are laid over.
        publications: Gives what is published, to see what an override would leave.
        rules: Gives the gate's and the machine's parameters.
        keep: Keeps the overrides in the store; returns whether that worked.
        changed: Called when the board was changed.
        transition: Told what an override did to a node's health.
        wall: The wall clock; overrides end by it, as they outlive the process.
    """

    def __init__(
        self,
        board: Board,
        *,
        publications: Callable[[], Sequence[Publication]],
        rules: Callable[[], tuple[GateConfig, VerdictConfig]],
        keep: Callable[[tuple[Override, ...]], Awaitable[bool]],
        changed: Callable[[], None],
        transition: Callable[[Record, Transition], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.laid: tuple[Override, ...] = ()
        self._board = board
        self._publications = publications
        self._rules = rules
        self._keep = keep
        self._changed = changed
        self._transition = transition
        self._wall = wall
        self._news = trio.Event()
        self._told: set[str] = set()

    def take_up(self, laid: Sequence[Override]) -> None:
        """Begin with what an earlier run kept."""
        self.laid = tuple(laid)
        self.apply()

    def apply(self) -> None:
        """Lay the overrides over the board as it is now."""
        now, wall = trio.current_time(), self._wall()
        self.laid = overrides.unexpired(self.laid, wall)
        for record, transition in self._board.lay(
            self.laid, now=now, wall=wall, rules=self._rules()[1]
        ):
            self._transition(record, transition)
        self._changed()
        self._news.set()

    async def lay(self, new: Override, *, allow_below_floor: bool) -> Applied:
        """Lay one more override.

        Raises:
            OverrideError: no node matches, or too few would be left.
        """
        nodes = self._matching(new.pattern)
        if new.mode in TAKEN_OUT and not allow_below_floor:
            for publication in self._publications():
                self._refuse_below_floor(publication, frozenset(nodes))
        self.laid = overrides.added(self.laid, new)
        return await self._settle(nodes, new, "override_laid")

    async def resume(self, lift: Override) -> Applied:
        """Let nodes go that overrides hold.

        Raises:
            OverrideError: no node matches, and no override has this pattern.
        """
        known = any(each.pattern == lift.pattern for each in self.laid)
        nodes = self._matching(lift.pattern, needed=not known)
        ids = [record.node.id for record in self._board]
        self.laid = overrides.resumed(self.laid, lift, ids)
        return await self._settle(nodes, lift, "override_lifted")

    async def run(self) -> None:
        """End overrides when their time is over, and tell of nodes forced up in vain."""
        while True:
            ends = [each.expires for each in self.laid if each.expires is not None]
            wait = max(0.0, min(ends, default=math.inf) - self._wall())
            with trio.move_on_after(min(wait, _LOOK)):
                await self._news.wait()
            self._news = trio.Event()
            await self._end_expired()
            self._tell_forced()

    async def _end_expired(self) -> None:
        wall = self._wall()
        over = [each for each in self.laid if not each.holds(wall)]
        if over:
            for each in over:
                log.info("override_expired", pattern=each.pattern, mode=each.mode.value)
            self.apply()
            await self._keep(self.laid)

    async def _settle(self, nodes: tuple[str, ...], what: Override, event: str) -> Applied:
        log.warning(
            event,
            pattern=what.pattern,
            mode=what.mode.value,
            nodes=list(nodes),
            author=what.author,
            why=what.reason,
            expires=what.expires,
        )
        self.apply()
        return Applied(nodes, what, await self._keep(self.laid))

    def _matching(self, pattern: str, *, needed: bool = True) -> tuple[str, ...]:
        probe = Override(pattern=pattern, mode=AdminMode.ENABLED, reason="", author="", created=0.0)
        ids = [record.node.id for record in self._board]
        found = tuple(node_id for node_id in ids if probe.matches(node_id))
        if needed and not found:
            near = difflib.get_close_matches(pattern, ids, n=3)
            hint = f"did you mean {', '.join(near)}?" if near else "see 'healthd status'"
            raise OverrideError(f"no node matches {pattern!r}; {hint}")
        return found

    def _refuse_below_floor(self, publication: Publication, taken: frozenset[str]) -> None:
        """Refuse to take working nodes out when fewer than the floor would be left.

        The floor is that of the publication as if no operator had touched it: else draining step by
        step would lower it step by step.
        """
        records = [record for record in self._board if publication.takes(record.node)]
        countable = [r for r in records if r.state.health not in {Health.INVALID, Health.UNKNOWN}]
        floor = gate.floor_of(len(countable), self._rules()[0], publication.config.limit)
        working = {
            record.node.id
            for record in records
            if record.admin not in TAKEN_OUT and _is_published_well(record)
        }
        left = working - taken
        if len(left) < min(floor, len(countable)) and left != working:
            raise OverrideError(
                f"publication {publication.config.name!r} would be left with {len(left)} working "
                f"nodes, below its floor of {floor}; use --allow-below-floor to insist",
                below_floor=True,
            )

    def _tell_forced(self) -> None:
        """A node that is forced up and has been down for long gives users a dead configuration."""
        now = trio.current_time()
        forced = {
            record.node.id
            for record in self._board
            if record.admin is AdminMode.FORCE_UP
            and record.state.down_since is not None
            and now - record.state.down_since >= REPORT_AFTER
        }
        for node_id in sorted(forced - self._told):
            log.warning("forced_up_but_down", node=node_id, minutes=REPORT_AFTER / 60)
        self._told = forced


def _is_published_well(record: Record) -> bool:
    return record.admin is AdminMode.FORCE_UP or record.state.health in IN_SERVICE
