"""One task per node: wait for its turn, probe, tell the board, and plan the next turn.

The grid is laid on the wall clock once, at the start, so that a restart finds every node at its old
place in the interval; from then on only the monotonic clock counts.
"""

import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
import trio

from healthd.config import ProbeConfig, VerdictConfig
from healthd.model import Health, Node, Result
from healthd.verdict import schedule
from healthd.verdict.board import Board, Record
from healthd.verdict.machine import Transition
from healthd.verdict.schedule import Turn

log = structlog.get_logger()

_BAD_NEWS = {Health.DOWN, Health.INVALID}


class Probe(Protocol):
    """Probes one node; never raises for what node, engine or network do."""

    def __call__(self, node: Node, *, recheck: bool) -> Awaitable[Result]:
        """Return what was found."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told what."""

    transition: Callable[[Record, Transition], None]
    judged: Callable[[], None]
    """A node had its first conclusive result."""
    result: Callable[[Result, float], None]
    """A probe ended after so many seconds."""
    lag: Callable[[float], None]
    """A slot began so many seconds late."""
    overruns: Callable[[int], None]
    """So many slots were skipped."""


@dataclass(slots=True)
class _Task:
    fingerprint: str
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


class Watchers:
    """The tasks of the fleet.

    Args:
        nursery: Where the tasks live.
        board: Told every result; the only writer of it.
        probe: Probes a node.
        listeners: Told what happens.
        wall: The wall clock.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        board: Board,
        probe: Probe,
        listeners: Listeners,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._nursery = nursery
        self._board = board
        self._probe = probe
        self._listeners = listeners
        self._wall = wall
        self._base = trio.current_time() - wall()
        self._tasks: dict[str, _Task] = {}
        self._buckets: dict[int, list[Node]] = {}
        self._timing = ProbeConfig()
        self._rules = VerdictConfig()

    def apply(self, nodes: Sequence[Node], timing: ProbeConfig, rules: VerdictConfig) -> None:
        """Take up a fleet and its parameters. Unchanged nodes keep state, phase and task."""
        moved = timing != self._timing
        self._timing, self._rules = timing, rules
        self._board.replace(nodes, trio.current_time())
        self._buckets = {}
        for node in nodes:
            self._buckets.setdefault(self._bucket(node), []).append(node)
        wanted = {node.id: node.fingerprint for node in nodes}
        for node_id, task in list(self._tasks.items()):
            if moved or wanted.get(node_id) != task.fingerprint:
                task.scope.cancel(reason="the node's configuration changed")
                del self._tasks[node_id]
        for node in nodes:
            if node.id not in self._tasks:
                self._tasks[node.id] = task = _Task(node.fingerprint)
                self._board[node.id].ticked = trio.current_time()
                self._nursery.start_soon(self._watch, node.id, task)

    def shift_mates(self, node: Node) -> Iterable[Node]:
        """The nodes whose slots lie in the same shift as this one's."""
        return self._buckets.get(self._bucket(node), ())

    def stalled(self) -> list[str]:
        """Nodes whose task shows no sign of life for three intervals: the daemon is stuck."""
        oldest = trio.current_time() - 3 * self._timing.interval - self._timing.deadline
        return [record.node.id for record in self._board if record.ticked < oldest]

    def _bucket(self, node: Node) -> int:
        return int(self._offset(node.id) // self._timing.shift_length)

    def _offset(self, node_id: str) -> float:
        return schedule.phase(node_id, self._timing.interval)

    async def _watch(self, node_id: str, task: _Task) -> None:
        with task.scope:
            structlog.contextvars.bind_contextvars(node=node_id)
            interval = self._timing.interval
            slot = schedule.next_slot(
                self._base, self._offset(node_id), interval, trio.current_time()
            )
            turn = Turn(slot, slot=True)
            while True:
                await trio.sleep_until(turn.at)
                if turn.slot:
                    self._listeners.lag(trio.current_time() - turn.at)
                    slot += interval
                began = trio.current_time()
                await self._take(node_id, turn, began)
                now = trio.current_time()
                slot += self._skip(node_id, slot, now)
                turn = schedule.next_turn(
                    self._board[node_id].state,
                    slot=slot,
                    began=began,
                    now=now,
                    probe=self._timing,
                    rules=self._rules,
                )

    async def _take(self, node_id: str, turn: Turn, began: float) -> None:
        """Probe once, and tell everybody."""
        record = self._board[node_id]
        result = await self._probe(record.node, recheck=not turn.slot)
        # A reload may have cancelled us when the probe was over already: its result is then about a
        # node, or an endpoint, that is no more.
        await trio.lowlevel.checkpoint_if_cancelled()
        now = trio.current_time()
        first = not record.judged
        transitions = self._board.observe(
            node_id,
            result,
            slot=turn.slot,
            began=began,
            now=now,
            wall=self._wall(),
            rules=self._rules,
        )
        record.ticked = now
        self._listeners.result(result, now - began)
        log.debug("node_probed", outcome=result.outcome, reason=result.reason, slot=turn.slot)
        for transition in transitions:
            _log_transition(record.node, transition, result)
            self._listeners.transition(record, transition)
        if first and record.judged:
            self._listeners.judged()

    def _skip(self, node_id: str, slot: float, now: float) -> float:
        """Seconds to move on by, past slots that went by under the probe."""
        late = now - slot - schedule.tolerance(self._timing.interval)
        if late <= 0:
            return 0.0
        missed = math.ceil(late / self._timing.interval)
        self._board.skip(node_id, missed)
        self._listeners.overruns(missed)
        log.debug("slots_skipped", missed=missed)
        return missed * self._timing.interval


def _log_transition(node: Node, transition: Transition, result: Result) -> None:
    tell = log.warning if transition.after in _BAD_NEWS else log.info
    tell(
        f"node_{transition.after}",
        before=transition.before.value,
        reason=None if transition.reason is None else transition.reason.value,
        evidence=transition.evidence,
        detail=result.detail,
        role=node.role.value,
    )
