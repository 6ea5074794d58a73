"""Recorded results through machine and gate once more, on a simulated clock. Pure.

The clock is the wall clock of the recording. The gate is asked as the daemon asks it: when
something changed, and when time alone may have changed something; never per result.

What cannot be known here: rechecks that were never made, because the parameters of then did not ask
for them; what operators wanted; and what the monitor found wrong with itself, beyond its results.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from healthd.config import GateConfig, VerdictConfig
from healthd.endpoints import Vless
from healthd.errors import ReplayError
from healthd.model import Health, Node, Outcome, Reason
from healthd.replay.circulating import Circulation, Issue
from healthd.verdict.board import Board
from healthd.verdict.decision import Mode
from healthd.verdict.gate import FIRST_ROUND
from healthd.verdict.machine import State, Transition
from healthd.verdict.trace import Recorded

_FALLEN = {Health.DOWN, Health.RECOVERING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The parameters of one replay."""

    verdict: VerdictConfig = field(default_factory=VerdictConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    interval: float = 30.0
    """Seconds between two slots of a node."""
    limit: int = 0
    """The most nodes to publish; 0 for all."""
    select: tuple[str, ...] = ()
    """Nodes with one of these tags are published; all of them if there are none."""
    forget_after: float = 600.0
    """Seconds without any result after which all nodes are UNKNOWN: the daemon was not running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Down:
    """A node was down. Times are wall-clock seconds."""

    node: str
    began: float
    """When the probe began that ended it."""
    at: float
    until: float | None
    """When it was called up, or held; None: not within the recording."""
    reason: Reason | None
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What machine and gate made of a recording. Times are wall-clock seconds."""

    began: float
    """When the first result began."""
    ended: float
    """When the last one came."""
    results: int
    transitions: tuple[tuple[str, Transition], ...]
    """Every change of a node's health, in their order."""
    downs: tuple[Down, ...]
    """Every fall, in the order of their times; a relapse belongs to the fall before it."""
    issues: tuple[Issue, ...]
    """What was published, in the order of time."""
    modes: dict[Mode, float]
    """Seconds in each of the gate's modes."""

    def lasted(self, down: Down) -> float:
        """Seconds for which a node was down, within the recording."""
        return (self.ended if down.until is None else down.until) - down.at


def fleet_of(configured: Sequence[Node], recorded: Iterable[str]) -> tuple[Node, ...]:
    """The nodes that were recorded: those of the configuration in their order, then strangers."""
    ids = tuple(recorded)
    known = [node for node in configured if node.id in frozenset(ids)]
    strangers = [node_id for node_id in ids if node_id not in {node.id for node in known}]
    return (*known, *map(_stranger, strangers))


def _stranger(node_id: str) -> Node:
    """A node of which only the results are known; where it is, or was, is nothing to a replay."""
    return Node(
        id=node_id,
        name=node_id,
        endpoint=Vless(address="replay.invalid", port=1, user="replay"),
        fingerprint="",
    )


def run(
    trace: Iterable[tuple[float, str, Recorded]], fleet: Sequence[Node], rules: Rules
) -> Replayed:
    """Replay a recording.

    Args:
        trace: When each result came, whose it is, and itself; in the order in which they came.
        fleet: The nodes, in failover order; every node of the trace is one of them.
        rules: The parameters.

    Raises:
        ReplayError: there is nothing to replay.
    """
    results = iter(trace)
    if (found := next(results, None)) is None:
        raise ReplayError("recording", "holds no results of this time")
    ended, node_id, first = found
    replay = _Replay(fleet, rules, first.began)
    replay.take(ended, node_id, first)
    for ended, node_id, each in results:
        replay.take(ended, node_id, each)
    return replay.ended()


class _Replay:
    """A board, the publishing loop beside it, and what is noted of both."""

    def __init__(self, fleet: Sequence[Node], rules: Rules, began: float) -> None:
        self._rules, self._began, self._now = rules, began, began
        self._board = Board()
        self._board.replace(fleet, began)
        self._circulation = Circulation(
            self._board,
            rules.gate,
            limit=rules.limit,
            select=rules.select,
            interval=rules.interval,
            now=began,
            first_round_ends=began + FIRST_ROUND * rules.interval,
        )
        # However seldom the only node of a recording was asked while it was down.
        self._forget_after = max(rules.forget_after, 2 * rules.verdict.down_slow_interval)
        self._results = 0
        self._transitions: list[tuple[str, Transition]] = []
        self._open: dict[str, Down] = {}
        self._downs: list[Down] = []

    def take(self, ended: float, node_id: str, each: Recorded) -> None:
        """One result."""
        self._circulation.advance(ended)
        if each.began - self._now > self._forget_after:
            self._forget(ended)
        record = self._board[node_id]
        before, slow, judged = record.state, record.speed.slow, record.judged
        transitions = self._board.observe(
            node_id,
            each.result,
            slot=each.slot,
            began=each.began,
            now=ended,
            wall=ended,
            rules=self._rules.verdict,
        )
        self._results += 1
        self._now = ended
        self._check_monitor(each, ended)
        for transition in transitions:
            self._note(node_id, transition, each.began)
        confirmed = record.state.confirmed and not before.confirmed
        if transitions or confirmed or record.speed.slow is not slow or not judged:
            self._circulation.touch(ended)

    def ended(self) -> Replayed:
        """What came of it, once the last change had its time to be published."""
        self._circulation.finish(self._now)
        downs = sorted([*self._downs, *self._open.values()], key=lambda down: down.at)
        return Replayed(
            began=self._began,
            ended=self._now,
            results=self._results,
            transitions=tuple(self._transitions),
            downs=tuple(downs),
            issues=tuple(self._circulation.issues),
            modes=dict(self._circulation.modes),
        )

    def _note(self, node_id: str, transition: Transition, began: float) -> None:
        self._transitions.append((node_id, transition))
        if transition.after not in _FALLEN:
            self._close(node_id, transition.at)
        elif transition.after is Health.DOWN and node_id not in self._open:
            self._open[node_id] = Down(
                node=node_id,
                began=began,
                at=transition.at,
                until=None,
                reason=transition.reason,
                evidence=transition.evidence,
            )

    def _close(self, node_id: str, at: float) -> None:
        if (down := self._open.pop(node_id, None)) is not None:
            self._downs.append(replace(down, until=at))

    def _forget(self, now: float) -> None:
        """As after a long stop of the daemon: only what nodes lost by flapping is remembered."""
        for record in self._board:
            self._close(record.node.id, now)
            record.state = State(since=now, penalty=record.state.penalty)
        self._circulation.touch(now)

    def _check_monitor(self, each: Recorded, now: float) -> None:
        """Whether the monitor's own line was good, as far as results tell."""
        if each.result.reason is Reason.CONTROL_FAILED:
            ok = False
        elif each.result.outcome is Outcome.INCONCLUSIVE:
            return
        else:
            ok = True
        if ok is not self._circulation.monitor_ok:
            self._circulation.monitor_ok = ok
            self._circulation.touch(now)
