"""The publishing loop on a simulated clock: when the gate is asked, and what users get. Pure.

As in :mod:`healthd.publishing.service`: whatever changes, the gate is asked `debounce` later, and
after a publication not before `spacing` has passed; it also asks again when time alone may have
changed its decision. What is not new in names or order is not published.
"""

from dataclasses import dataclass

from healthd.config import GateConfig
from healthd.model import IN_SERVICE
from healthd.verdict import gate
from healthd.verdict.board import Board
from healthd.verdict.decision import Candidate, Decision, Memory, Mode, after_publishing


@dataclass(frozen=True, slots=True)
class Issue:
    """One publication: what users got from then on."""

    at: float
    mode: Mode
    nodes: tuple[str, ...]
    removed: tuple[str, ...]
    """Nodes that left it and were not in service."""


class Circulation:
    """What is published of a board, as time goes by.

    Args:
        board: The nodes; observed by somebody else.
        rules: The gate's parameters.
        limit: The most nodes to publish; 0 for all.
        select: Nodes with one of these tags are published; all if there are none.
        interval: Seconds within which every node is asked once.
        now: The time now.
        first_round_ends: When publishing begins even if a node has had no verdict.
    """

    def __init__(
        self,
        board: Board,
        rules: GateConfig,
        *,
        limit: int,
        select: tuple[str, ...],
        interval: float,
        now: float,
        first_round_ends: float,
    ) -> None:
        self.issues: list[Issue] = []
        self.modes: dict[Mode, float] = {}
        self.monitor_ok = True
        self._board, self._rules = board, rules
        self._limit, self._select = limit, frozenset(select)
        self._interval = interval
        self._first_round_ends = first_round_ends
        self._started = False
        self._memory = Memory()
        self._mode, self._since = Mode.WAITING, now
        self._ready = now
        """When the loop is free to wait for the next change."""
        self._due = first_round_ends + rules.debounce
        """When the gate is asked next."""

    def touch(self, now: float) -> None:
        """Something changed."""
        self._due = min(self._due, max(now, self._ready) + self._rules.debounce)

    def advance(self, now: float) -> None:
        """Do all that is due until now, by what the board held all the while."""
        while self._due <= now:
            self._ask(self._due)

    def finish(self, now: float) -> None:
        """The end: what changed last is still published, and the current mode counted until now."""
        self.advance(max(now, self._ready) + self._rules.debounce)
        self._enter(self._mode, max(now, self._since))

    def _ask(self, now: float) -> None:
        self._started = self._started or now >= self._first_round_ends or self._board.all_judged()
        before = self._memory.published
        decision = gate.decide(
            self._candidates(),
            self._memory,
            now=now,
            rules=self._rules,
            limit=self._limit,
            interval=self._interval,
            first_round_over=self._started,
            monitor_ok=self.monitor_ok,
        )
        self._enter(decision.mode, now)
        self._memory, self._ready = decision.memory, now
        chosen = tuple(node.id for node in decision.nodes or ())
        if chosen and chosen != before:
            self._memory = after_publishing(decision, now)
            self._ready = now + self._rules.spacing
            gone = [each for each in before if each not in frozenset(chosen)]
            removed = tuple(each for each in gone if not self._in_service(each))
            self.issues.append(Issue(now, decision.mode, chosen, removed))
        self._due = max(self._again(decision), self._ready) + self._rules.debounce

    def _again(self, decision: Decision) -> float:
        """When time alone may change the decision, or end what was published of it just now."""
        if not self._started:
            return self._first_round_ends
        ends = (at + self._rules.removal_period for at in self._memory.removals)
        return min((decision.look_again, *ends))

    def _candidates(self) -> list[Candidate]:
        return [record.candidate for record in self._board if record.node.selected_by(self._select)]

    def _in_service(self, node_id: str) -> bool:
        return self._board[node_id].state.health in IN_SERVICE

    def _enter(self, mode: Mode, now: float) -> None:
        self.modes[self._mode] = self.modes.get(self._mode, 0.0) + now - self._since
        self._mode, self._since = mode, now
