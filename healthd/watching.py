"""One task per node: wait for its turn, probe, tell the board, and plan the next turn.

The grid is laid on the wall clock, so that a restart finds every node at its old place in the
interval, and every slot has a name in time. From then on only the monotonic clock counts; when the
wall clock has jumped, the grid is laid anew.
"""

import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
import trio

from healthd.config import ProbeConfig, VerdictConfig
from healthd.model import AdminMode, Health, Node, Reason, Result
from healthd.verdict import schedule
from healthd.verdict.board import Board, Record, slot_verdict
from healthd.verdict.ledger import SlotVerdict
from healthd.verdict.machine import Transition
from healthd.verdict.schedule import Turn
from healthd.verdict.trace import Recorded

log = structlog.get_logger()

_BAD_NEWS = {Health.DOWN, Health.INVALID}

WALL_JUMP = 5.0
"""Seconds by which the wall clock may drift from the grid before that is laid anew."""


class Probe(Protocol):
    """Probes one node; never raises for what node, engine or network do."""

    def __call__(
        self, node: Node, *, recheck: bool, confirm: bool, bulk: bool
    ) -> Awaitable[Result]:
        """Return what was found.

        Args:
            node: The node.
            recheck: Go through a fresh client.
            confirm: Ask another check URL first.
            bulk: Fetch a larger answer as well.
        """


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told what."""

    transition: Callable[[Record, Transition], None]
    judged: Callable[[], None]
    """A node had its first conclusive result, or its fall was confirmed, or it became slow."""
    result: Callable[[Record, Recorded], None]
    """A probe ended."""
    slot: Callable[[Record, float, SlotVerdict, float | None], None]
    """The slot of this wall-clock second was counted; with the latency, if there is one."""
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

    def check_clock(self) -> bool:
        """Lay the grid anew if the wall clock has jumped, and say so; call it every few seconds."""
        base = trio.current_time() - self._wall()
        jumped = self._base - base
        if abs(jumped) <= WALL_JUMP:
            return False
        self._base = base
        log.warning("clock_jumped", seconds=round(jumped, 1))
        return True

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
            base, turn = self._base, Turn(slot, slot=True)
            while True:
                await trio.sleep_until(turn.at)
                if turn.slot:
                    self._listeners.lag(trio.current_time() - turn.at)
                    self._leave_out(node_id, slot, turn.left_out)
                    slot = turn.at + interval
                began = trio.current_time()
                await self._take(node_id, turn, began)
                now = trio.current_time()
                if base != self._base:
                    base = self._base
                    slot = schedule.next_slot(base, self._offset(node_id), interval, now)
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
        before, was_slow = record.state, record.speed.slow
        result = await self._probe(
            record.node,
            recheck=not turn.slot,
            confirm=before.health is Health.DOWN and not before.confirmed,
            bulk=self._wants_bulk(record, turn),
        )
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
        if turn.slot:
            self._count(record, turn.at, slot_verdict(record, result), result.latency)
        recorded = Recorded(began - self._base, now - began, result, turn.slot)
        self._listeners.result(record, recorded)
        log.debug("node_probed", outcome=result.outcome, reason=result.reason, slot=turn.slot)
        for transition in transitions:
            log_transition(record, transition, result.detail)
            self._listeners.transition(record, transition)
        state = record.state
        confirmed = state.confirmed and not before.confirmed
        if (first and record.judged) or confirmed or record.speed.slow is not was_slow:
            self._listeners.judged()

    def _wants_bulk(self, record: Record, turn: Turn) -> bool:
        """Each so many slots, the nodes spread over them; and while it was that which failed."""
        timing, state = self._timing, record.state
        if timing.bulk_url is None:
            return False
        if state.health is not Health.UP and state.reason is Reason.TRUNCATED:
            return True
        number = round((turn.at - self._base) / timing.interval)
        mine = int(schedule.phase(f"bulk {record.node.id}", timing.bulk_every))
        return turn.slot and number % timing.bulk_every == mine

    def _count(
        self, record: Record, slot: float, verdict: SlotVerdict, latency: float | None = None
    ) -> None:
        self._listeners.slot(record, slot - self._base, verdict, latency)

    def _leave_out(self, node_id: str, slot: float, slots: int) -> None:
        """Count slots in which a node that is down for long was not asked."""
        if slots:
            # As it was found last: down, unless that probe said nothing of it.
            silent = self._board[node_id].usable is None
            verdict = SlotVerdict.UNKNOWN if silent else SlotVerdict.BAD
            verdict = self._board.pass_over(node_id, slots, verdict)
            for number in range(slots):
                at = slot + number * self._timing.interval
                self._count(self._board[node_id], at, verdict)

    def _skip(self, node_id: str, slot: float, now: float) -> float:
        """Seconds to move on by, past slots that went by under the probe."""
        late = now - slot - schedule.tolerance(self._timing.interval)
        if late <= 0:
            return 0.0
        missed = math.ceil(late / self._timing.interval)
        verdict = self._board.skip(node_id, missed)
        for number in range(missed):
            self._count(self._board[node_id], slot + number * self._timing.interval, verdict)
        self._listeners.overruns(missed)
        log.debug("slots_skipped", missed=missed)
        return missed * self._timing.interval


def log_transition(record: Record, transition: Transition, detail: str) -> None:
    """Tell a change of health; an operator who works on a node himself is not warned about it."""
    muted = record.admin is AdminMode.MAINTENANCE
    tell = log.warning if transition.after in _BAD_NEWS and not muted else log.info
    tell(
        f"node_{transition.after}",
        node=record.node.id,
        before=transition.before.value,
        reason=None if transition.reason is None else transition.reason.value,
        evidence=transition.evidence,
        detail=detail,
        role=record.node.role.value,
        mode=record.admin.value,
    )
