"""A whole fleet on a simulated clock: whatever happens, the invariants hold.

Nodes work or not, the monitor loses its own line, operators lay and lift overrides, the
configuration is reloaded, the daemon is restarted, the wall clock jumps. Nodes are probed as the
schedule says; after each change the gate decides, and what it decides is published. What is
published is then judged by code of this file's own, which knows the rules but not the gate.

All times are multiples of 1/1024 s: sums and gaps of them are exact, on any clock.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import takewhile
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from healthd.config import GateConfig, ProbeConfig, VerdictConfig
from healthd.model import (
    TAKEN_OUT,
    AdminMode,
    Health,
    Node,
    Outcome,
    Reason,
    Result,
    failure,
    inconclusive,
    success,
)
from healthd.verdict import damping, gate, machine, overrides, schedule
from healthd.verdict.board import Board, Record, slot_verdict
from healthd.verdict.decision import PANIC, Candidate, Decision, Memory, Mode, after_publishing
from healthd.verdict.ledger import Kind, Ledger, SlotVerdict
from healthd.verdict.machine import Transition
from healthd.verdict.overrides import Override
from healthd.verdict.schedule import Turn
from tests.builders import node, vless

GOOD, BAD = success(0.125), failure(Reason.REFUSED)
OURS = inconclusive(Reason.CONTROL_FAILED)
REFUSED = failure(Reason.ENGINE_REJECTED, "unknown cipher")

PROBE = ProbeConfig()
TAKEN_UP = 600.0
"""A state older than this is not taken up after a restart."""
FIRST_ROUND = 90.0

BAD_HEALTH = {Health.DOWN, Health.RECOVERING, Health.HELD}
STAYS = {Mode.WAITING, Mode.OFFLINE, Mode.LAST_GOOD, Mode.FREEZE}

GATES = [
    GateConfig(),
    GateConfig(min_nodes=1, floor=0.0),
    GateConfig(floor=1.0, max_removals=0.5, removal_period="60s", panic_hold="30s"),
    GateConfig(mode="freeze"),
    GateConfig(mode="all", min_nodes=3, mass_failure=0.5),
    GateConfig(mode="strict", max_removals=1.0, mass_failure=1.0),
]
VERDICTS = [
    VerdictConfig(),
    VerdictConfig(fall=2, fall_after="5s", rise=1, min_down="0s", probation="60s"),
    VerdictConfig(damping_hold=1000, damping_release=500, damping_half_life="60s"),
    VerdictConfig(window=4, window_failures=3, rise=2, down_interval="30s", down_slow_after="300s"),
]
IDS = [f"{place}-{number}" for place in ("hk", "jp", "us") for number in range(1, 5)]
PATTERNS = ["*", "hk-*", "jp-*", "*-1", "hk-1", "hk-2", "jp-1"]


def endpoint_of(node_id: str, version: int) -> Node:
    return node(node_id, endpoint=vless(address=f"{node_id}.example.com", port=1000 + version))


def matching(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*"))


def moved(at: float | None, by: float) -> float | None:
    return None if at is None else at + by


@dataclass
class Task:
    """One node's probes, as they are planned and made."""

    slot: float
    turn: Turn
    first: float
    """The first slot since the grid was laid, and what had been counted before it."""
    before: int
    running: Turn | None = None
    began: float = 0.0
    ends: float = math.inf
    result: Result = OURS


@dataclass
class Past:
    """What a node did, as seen from outside the machine."""

    seen: list[tuple[float, bool, bool]] = field(default_factory=list)
    """Conclusive results: when they began, whether they were slots, whether they were good."""
    fell: bool = False
    """Whether it fell by the rules, and did not come up since."""
    requalifies: bool = False
    """Whether an operator sent it to requalify, and it did not come up since."""

    def run(self) -> list[float]:
        """When the failures in a row began, the latest first."""
        return [began for began, _, _ in takewhile(lambda each: not each[2], reversed(self.seen))]

    def has_fallen(self, rules: VerdictConfig) -> bool:
        """The fall rule and the window rule, from the raw results."""
        run = self.run()
        in_a_row = len(run) >= rules.fall and run[0] - run[-1] >= rules.fall_after
        slots = [good for _, slot, good in self.seen if slot][-rules.window :]
        return in_a_row or 0 < rules.window_failures <= slots.count(False)


class House(RuleBasedStateMachine):
    """The pure core at work, and the world around it."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.wall = 1000.0, 1_800_000_000.0
        self.board, self.ledger = Board(), Ledger()
        self.counted: dict[str, Counter[SlotVerdict]] = {}
        self.twin: Board | None = None
        """The board that was not restarted, fed with the same; its clock is ``twin_by`` ahead."""
        self.twin_by = 0.0
        self.works: dict[str, float] = {}
        """By node: how likely a request goes through."""
        self.versions: dict[str, int] = {}
        self.refused: set[str] = set()
        self.online, self.disk_full = True, False
        self.tasks: dict[str, Task] = {}
        self.past: dict[str, Past] = {}
        self.carried: set[str] = set()
        """Fingerprints of endpoints that ever carried a request."""
        self.laid: tuple[Override, ...] = ()
        self.gating, self.verdict, self.limit = GateConfig(), VerdictConfig(), 0
        self.memory, self.look_again = Memory(), math.inf
        self.served: tuple[Node, ...] = ()
        self.generation = 0
        self.meta: tuple[str, list[float]] = ("", [])
        """What is kept beside the files: the mode, and the removals on the wall clock."""
        self.removals: list[float] = []
        self.first_over, self.started = False, self.now
        self.jumped = False
        self.random = Random(0)

    # --- the world ---

    @initialize(
        count=st.integers(2, 12), seed=st.integers(0, 999), limit=st.sampled_from([0, 0, 0, 2, 4])
    )
    def begin(self, count: int, seed: int, limit: int) -> None:
        self.random, self.limit = Random(seed), limit
        self.take_up(IDS[:count])
        self.pass_time(100.0)

    def take_up(self, ids: Sequence[str]) -> None:
        """A fleet, as from a configuration."""
        fleet = []
        for node_id in ids:
            self.works.setdefault(node_id, 1.0)
            fleet.append(endpoint_of(node_id, self.versions.setdefault(node_id, 0)))
        before = {record.node.id: record.node.fingerprint for record in self.board}
        self.keep_account(record for record in self.board if record.node.id not in ids)
        self.board.replace(fleet, self.now)
        if self.twin is not None:
            self.twin.replace(fleet, self.now + self.twin_by)
        for each in fleet:
            if before.get(each.id) != each.fingerprint:
                self.past[each.id] = Past()
                self.plan(each.id)
        self.tasks = {node_id: self.tasks[node_id] for node_id in ids}
        self.lay()

    def plan(self, node_id: str) -> None:
        """Lay a node's slots on the grid."""
        offset = math.floor(schedule.phase(node_id, PROBE.interval) * 1024) / 1024
        base = self.now - self.wall
        slot = schedule.next_slot(base, offset, PROBE.interval, self.now)
        counted = self.board[node_id].slots.total()
        self.tasks[node_id] = Task(slot, Turn(slot, slot=True), slot, counted)

    def lay(self) -> None:
        """Lay the overrides over the board, as it is told to do when something changed."""
        self.laid = overrides.unexpired(self.laid, self.wall)
        told = self.board.lay(self.laid, now=self.now, wall=self.wall, rules=self.verdict)
        if self.twin is not None:
            twins = self.twin.lay(
                self.laid, now=self.now + self.twin_by, wall=self.wall, rules=self.verdict
            )
            assert [t.after for _, t in told] == [t.after for _, t in twins]
        for record, transition in told:
            assert transition.after is Health.RECOVERING
            self.past[record.node.id].requalifies = True

    # --- time ---

    def pass_time(self, seconds: float) -> None:
        """Let everything happen that happens in this time."""
        end = self.now + seconds
        while True:
            moments = {node_id: min(t.ends, t.turn.at) for node_id, t in self.tasks.items()}
            expiries = [o.expires - self.wall for o in self.laid if o.expires is not None]
            alarms = [self.now + left for left in expiries]
            alarms += [self.look_again, self.started + FIRST_ROUND]
            alarm = min(at for at in (*alarms, math.inf) if at > self.now or at == math.inf)
            who = min(moments, key=lambda node_id: moments[node_id])
            at = max(self.now, min(moments[who], alarm))
            if at > end:
                break
            self.wall += at - self.now
            self.now = at
            if at == alarm:
                self.lay()
                self.publish()
            else:
                self.act(who, self.tasks[who])
        self.wall += end - self.now
        self.now = end
        self.publish()

    def act(self, node_id: str, task: Task) -> None:
        """A probe of this node begins, or ends."""
        if task.running is not None:
            self.end_probe(node_id, task, task.running)
            return
        if task.turn.slot:
            for number in range(task.turn.left_out):
                verdict = self.board.pass_over(node_id, 1, SlotVerdict.BAD)
                self.count(node_id, task.slot + number * PROBE.interval, verdict)
            task.slot = task.turn.at + PROBE.interval
        took, task.result = self.ask(node_id)
        task.running, task.turn = task.turn, Turn(math.inf, slot=False)
        task.began, task.ends = self.now, self.now + took

    def ask(self, node_id: str) -> tuple[float, Result]:
        """What a probe that begins now will find, and how long it takes."""
        chance = self.random.random
        slow = 42.5 if chance() < 0.02 else 10.25  # a client that had to be waited for
        if not self.online or chance() < 0.01:
            return (slow if chance() < 0.5 else 0.5), OURS
        if node_id in self.refused:
            return 0.125, REFUSED
        if chance() < self.works[node_id]:
            return 0.125, GOOD
        return (slow if chance() < 0.5 else 0.25), BAD

    def end_probe(self, node_id: str, task: Task, turn: Turn) -> None:
        record = self.board[node_id]
        before, was_slow, was_judged = record.state, record.speed.slow, record.judged
        told = self.observe(node_id, task.result, turn.slot, task.began)
        if task.result.outcome is Outcome.INCONCLUSIVE:
            assert (record.state, told) == (before, []), "an inconclusive result changes nothing"
        if turn.slot:
            self.count(node_id, turn.at, slot_verdict(record, task.result))
        counted = record.slots.total() - task.before
        assert counted == (task.slot - task.first) / PROBE.interval, "each slot counts once"
        self.skip(node_id, task)
        task.turn = schedule.next_turn(
            record.state,
            slot=task.slot,
            began=task.began,
            now=self.now,
            probe=PROBE,
            rules=self.verdict,
        )
        task.running, task.ends = None, math.inf
        assert task.turn.at >= self.now or task.turn.slot, "never two probes in flight"
        confirmed = record.state.confirmed is not before.confirmed
        news = record.speed.slow is not was_slow or record.judged is not was_judged
        if told or confirmed or news:
            self.publish()

    def skip(self, node_id: str, task: Task) -> None:
        """Pass over slots that went by under the probe."""
        late = self.now - task.slot - schedule.tolerance(PROBE.interval)
        for _ in range(math.ceil(late / PROBE.interval)):
            self.count(node_id, task.slot, self.board.skip(node_id, 1))
            task.slot += PROBE.interval

    def observe(self, node_id: str, result: Result, slot: bool, began: float) -> list[Transition]:
        """Tell the board, and keep account of what it makes of it."""
        past, record = self.past[node_id], self.board[node_id]
        told = self.board.observe(
            node_id,
            result,
            slot=slot,
            began=began,
            now=self.now,
            wall=self.wall,
            rules=self.verdict,
        )
        if self.twin is not None:
            self.follow(node_id, result, slot, began, told)
        if result.outcome is Outcome.SUCCESS:
            self.carried.add(record.node.fingerprint)
        if result in {GOOD, BAD}:
            past.seen.append((began, slot, result is GOOD))
        for transition in told:
            self.account(past, transition)
        return told

    def follow(
        self, node_id: str, result: Result, slot: bool, began: float, told: list[Transition]
    ) -> None:
        """The board that was not restarted makes the same of it."""
        assert self.twin is not None
        twins = self.twin.observe(
            node_id,
            result,
            slot=slot,
            began=began + self.twin_by,
            now=self.now + self.twin_by,
            wall=self.wall,
            rules=self.verdict,
        )
        assert [replace(t, at=t.at - self.twin_by) for t in twins] == told
        ours, theirs = self.board[node_id].state, self.twin[node_id].state
        if not ours.penalty.points:  # of nothing it does not matter when it was nothing
            ours, theirs = (replace(state, penalty=damping.NONE) for state in (ours, theirs))
            theirs = replace(theirs, penalty=replace(theirs.penalty, at=self.twin_by))
        assert machine.shifted(theirs, -self.twin_by) == ours

    def account(self, past: Past, transition: Transition) -> None:
        if transition.after is Health.DOWN and transition.before is not Health.RECOVERING:
            assert past.has_fallen(self.verdict), "nobody falls but by the rules"
            past.fell = True
        if transition.after in {Health.UP, Health.INVALID, Health.UNKNOWN}:
            past.fell = past.requalifies = False
        if transition.after is Health.INVALID:
            past.seen.clear()

    def count(self, node_id: str, slot: float, verdict: SlotVerdict) -> None:
        self.ledger.note(Kind.NODE, node_id, slot + self.wall - self.now, verdict)

    # --- what is published ---

    def candidates(self) -> list[Candidate]:
        return [record.candidate for record in self.board]

    def decide(
        self, candidates: Sequence[Candidate], memory: Memory, *, now: float, first_over: bool
    ) -> Decision:
        return gate.decide(
            candidates,
            memory,
            now=now,
            rules=self.gating,
            limit=self.limit,
            interval=PROBE.interval,
            first_round_over=first_over,
            monitor_ok=self.online,
        )

    def publish(self) -> None:
        """Decide as things stand; check the decision; put it into force."""
        over = self.board.all_judged() or self.now >= self.started + FIRST_ROUND
        self.first_over = self.first_over or over
        candidates = self.candidates()
        decision = self.decide(candidates, self.memory, now=self.now, first_over=self.first_over)
        self.check_look_again(candidates, decision)
        self.memory, self.look_again = decision.memory, decision.look_again
        before, after = self.served, self.served if decision.nodes is None else decision.nodes
        if self.disk_full and after != before:
            return
        self.check(before, decision, after)
        if after != before:
            self.serve(decision, after)
            again = self.decide(candidates, self.memory, now=self.now, first_over=self.first_over)
            assert again.nodes in {None, after}, "what was decided is decided"
            assert (again.mode, again.removes) == (decision.mode, ())
            self.look_again = again.look_again
        assert self.memory.published == tuple(each.id for each in self.served)

    def serve(self, decision: Decision, nodes: tuple[Node, ...]) -> None:
        """Write the files, and what is kept beside them: the number only ever rises."""
        self.served, self.generation = nodes, self.generation + 1
        self.memory = after_publishing(decision, self.now)
        clock = self.wall - self.now
        self.meta = (decision.mode, [at + clock for at in self.memory.removals])
        self.jumped = False

    def check_look_again(self, candidates: Sequence[Candidate], decision: Decision) -> None:
        """Until it wants to be asked again, time alone changes neither a node nor a word."""
        assert decision.look_again > self.now
        last = min(decision.look_again, self.now + 1000.0) - 1 / 1024
        again = self.decide(candidates, decision.memory, now=last, first_over=self.first_over)
        assert again == decision, "nothing changes before it is asked again"

    def check(self, before: Sequence[Node], decision: Decision, after: Sequence[Node]) -> None:
        ids, was_in = [each.id for each in after], {each.id for each in before}
        assert len(set(ids)) == len(ids)
        assert after or not before, "a publication is never emptied"
        if decision.mode is Mode.WAITING:
            assert after == before
            return
        self.check_who_joins(was_in, before, after)
        self.check_who_leaves(was_in, decision, set(ids))
        self.check_overrides(decision, set(ids))
        if decision.mode not in STAYS:
            self.check_floor(was_in, decision, ids)

    def check_who_joins(
        self, was_in: set[str], before: Sequence[Node], after: Sequence[Node]
    ) -> None:
        """Nobody who never worked, except by an operator's will."""
        known = {each.fingerprint for each in before} | self.carried
        forced = {r.node.id for r in self.board if r.admin is AdminMode.FORCE_UP}
        # One that left the fleet and came back keeps its place by its name: no more is known.
        strangers = {r.node.id for r in self.board if r.proven is None} & was_in
        for each in after:
            assert each.id in self.board or each.id in was_in
            proven = each.fingerprint in known or each.id in strangers
            assert proven or each.id in forced, "never an endpoint without proof"

    def check_who_leaves(self, was_in: set[str], decision: Decision, ids: set[str]) -> None:
        """Nobody who did not fall, and of those who did no more than the brake allows."""
        gone = [self.board[node_id] for node_id in was_in - ids if node_id in self.board]
        full = self.limit and len(ids) >= self.limit
        bad = []
        for record in gone:
            past, health = self.past[record.node.id], record.state.health
            if record.admin in TAKEN_OUT or health is Health.INVALID:
                continue
            assert past.fell or past.requalifies or full, "nobody leaves without a fall"
            if health in BAD_HEALTH and record.admin is AdminMode.ENABLED:
                bad.append(record)
        period = self.gating.removal_period
        self.removals = [at for at in self.removals if self.now < at + period]
        if not bad:
            return
        share = math.floor(Fraction(str(self.gating.max_removals)) * self.eligible(was_in))
        self.removals += [self.now] * len(bad)
        assert len(self.removals) <= max(1, share) or full, "the brake holds"
        if not full:
            assert not [r for r in bad if self.must_wait(r, was_in)], "the others are asked first"
        assert {record.node.id for record in bad} == set(decision.removes)

    def must_wait(self, record: Record, was_in: set[str]) -> bool:
        """Whether it is not known yet how many fail with this node, or whether it really does."""
        state = record.state
        failed_at = self.past[record.node.id].run()
        if state.health is Health.DOWN and failed_at and self.now < failed_at[-1] + PROBE.interval:
            return True
        if state.down_since is None or not self.fell_with_many(state.down_since, was_in):
            return False
        suspects = any(
            each.state.health is Health.SUSPECT and self.counts(each, was_in) for each in self.board
        )
        early = self.now < state.down_since + self.gating.mass_failure_within
        return not state.confirmed or (suspects and early)

    def fell_with_many(self, at: float, was_in: set[str]) -> bool:
        """Whether more than the allowed share fell around this time, or are failing since."""
        failing = [each.state for each in self.board if self.counts(each, was_in)]
        fell = [state.down_since for state in failing if state.down_since is not None]
        fell += [self.now for state in failing if state.health is Health.SUSPECT]
        within, share = self.gating.mass_failure_within, Fraction(str(self.gating.mass_failure))
        many: Fraction = share * self.eligible(was_in)
        windows = [[each for each in fell if first <= each < first + within] for first in fell]
        return any(at in found and len(found) >= 2 and len(found) > many for found in windows)

    def counts(self, record: Record, was_in: set[str]) -> bool:
        health, admin = record.state.health, record.admin
        if health is Health.INVALID or admin in TAKEN_OUT:
            return False
        known = health is not Health.UNKNOWN or record.node.id in was_in
        return known or admin is AdminMode.FORCE_UP

    def eligible(self, was_in: set[str]) -> int:
        return sum(self.counts(record, was_in) for record in self.board)

    def is_good(self, record: Record, was_in: set[str]) -> bool:
        if not self.counts(record, was_in):
            return False
        return record.admin is AdminMode.FORCE_UP or record.state.health not in BAD_HEALTH

    def check_floor(self, was_in: set[str], decision: Decision, ids: Sequence[str]) -> None:
        """As many as the floor, the good ones first, and all of them but for the limit."""
        eligible = self.eligible(was_in)
        share = math.ceil(Fraction(str(self.gating.floor)) * eligible)
        floor = min(max(self.gating.min_nodes, share), eligible, self.limit or eligible)
        there = [
            record
            for record in self.board
            if self.is_good(record, was_in)
            or (self.counts(record, was_in) and (record.last_good or record.node.id in was_in))
        ]
        good = {record.node.id for record in there if self.is_good(record, was_in)}
        assert decision.mode in {Mode.NORMAL, self.gating.mode}
        if decision.mode is not Mode.STRICT:
            assert len(ids) >= min(floor, len(there)), "the floor holds"
        assert decision.mode is not Mode.NORMAL or len(good) >= floor
        assert good <= set(ids) or len(ids) == self.limit, "what works is published"
        suspects = any(record.state.health is Health.SUSPECT for record in self.board)
        waits = {
            record.node.id
            for record in self.board
            if not record.state.confirmed
            or suspects
            or self.now < (record.state.failing_since or -math.inf) + PROBE.interval
        }
        last_good = max((place for place, each in enumerate(ids) if each in good), default=0)
        assert set(ids[:last_good]) <= good | waits, "what is known to be bad is listed last"

    def check_overrides(self, decision: Decision, ids: set[str]) -> None:
        """Overrides win: over health, over the floor, over the brake, in every mode."""
        for record in self.board:
            node_id = record.node.id
            laid = [o for o in self.laid if matching(o.pattern).fullmatch(node_id)]
            mode = laid[-1].mode if laid else AdminMode.ENABLED
            assert record.admin is mode
            if mode in TAKEN_OUT and node_id in ids:
                others = {r.node.id for r in self.board if r.admin not in TAKEN_OUT}
                others -= {r.node.id for r in self.board if r.state.health is Health.INVALID}
                assert not ids & others, "only when all of them had to go, and nobody else is there"
                assert decision.nodes is None
            if mode is AdminMode.FORCE_UP and record.state.health is not Health.INVALID:
                full = self.limit and len(ids) >= self.limit
                assert node_id in ids or full, "who is forced up is in"

    # --- what may happen ---

    @rule(seconds=st.sampled_from([1.0, 7.5, 30.0, 61.0, 125.0, 310.0]))
    def time_passes(self, seconds: float) -> None:
        self.pass_time(seconds)

    @rule(which=st.integers(0, 11), chance=st.sampled_from([0.0, 0.0, 1.0, 1.0, 0.6]))
    def node_changes(self, which: int, chance: float) -> None:
        """It dies, heals, or loses much."""
        self.works[list(self.tasks)[which % len(self.tasks)]] = chance
        self.pass_time(40.0)

    @rule(share=st.sampled_from([2, 3, 1]), seconds=st.sampled_from([20.0, 70.0, 200.0]))
    def many_die(self, share: int, seconds: float) -> None:
        for node_id in list(self.tasks)[::share]:
            self.works[node_id] = 0.0
        self.pass_time(seconds)

    @rule(seconds=st.sampled_from([5.0, 90.0, 300.0]))
    def all_heal(self, seconds: float) -> None:
        self.works = dict.fromkeys(self.works, 1.0)
        self.refused.clear()
        self.pass_time(seconds)

    @rule(which=st.integers(0, 11), times=st.integers(2, 4))
    def node_flaps(self, which: int, times: int) -> None:
        node_id = list(self.tasks)[which % len(self.tasks)]
        for _ in range(times):
            for chance, seconds in ((0.0, 75.0), (1.0, 100.0)):
                self.works[node_id] = chance
                self.pass_time(seconds)

    @rule(which=st.integers(0, 11))
    def engine_refuses(self, which: int) -> None:
        """Or takes it again."""
        self.refused ^= {list(self.tasks)[which % len(self.tasks)]}
        self.pass_time(35.0)

    @rule(seconds=st.sampled_from([10.0, 60.0, 300.0]))
    def line_fails(self, seconds: float) -> None:
        """The monitor's own, or it comes back."""
        self.online = not self.online
        self.pass_time(seconds)

    @rule()
    def disk_fills(self) -> None:
        """Nothing can be written, and what is served stays; or there is room again."""
        self.disk_full = not self.disk_full
        self.pass_time(15.0)

    @rule(
        mode=st.sampled_from([*TAKEN_OUT, AdminMode.FORCE_UP]),
        pattern=st.sampled_from(PATTERNS),
        seconds=st.sampled_from([60.0, 300.0, 3600.0]),
    )
    def operator_lays(self, mode: AdminMode, pattern: str, seconds: float) -> None:
        new = Override(
            pattern=pattern,
            mode=mode,
            reason="r",
            author="a",
            created=self.wall,
            expires=self.wall + seconds,
        )
        self.laid = overrides.added(self.laid, new)
        self.lay()
        self.publish()

    @precondition(lambda self: self.laid)
    @rule(pattern=st.sampled_from(PATTERNS))
    def operator_resumes(self, pattern: str) -> None:
        lift = Override(
            pattern=pattern, mode=AdminMode.ENABLED, reason="r", author="a", created=self.wall
        )
        self.laid = overrides.resumed(self.laid, lift, list(self.tasks))
        self.lay()
        free = [node_id for node_id in self.tasks if matching(pattern).fullmatch(node_id)]
        assert {self.board[node_id].admin for node_id in free} <= {AdminMode.ENABLED}
        self.publish()

    @rule(data=st.data(), change=st.sampled_from(["nodes", "endpoint", "gate", "verdict", "limit"]))
    def reload(self, data: st.DataObject, change: str) -> None:
        """Another configuration."""
        ids = list(self.tasks)
        match change:
            case "nodes":
                ids = data.draw(st.lists(st.sampled_from(IDS), min_size=2, unique=True))
            case "endpoint":
                self.versions[data.draw(st.sampled_from(ids))] += 1
            case "gate":
                self.gating = data.draw(st.sampled_from(GATES))
            case "verdict":
                self.verdict = data.draw(st.sampled_from(VERDICTS))
            case _:
                self.limit = data.draw(st.sampled_from([0, 1, 2, 5]))
        self.take_up(ids)
        self.publish()

    @rule(seconds=st.sampled_from([-3600.0, -20.0, 20.0, 3600.0]))
    def wall_clock_jumps(self, seconds: float) -> None:
        """The grid is laid anew on it; no verdict and no decision changes."""
        self.wall += seconds
        self.jumped = True
        self.lay()
        for node_id, task in self.tasks.items():
            if task.running is None:
                self.plan(node_id)
        self.publish()

    @rule(
        away=st.sampled_from([0.0, 0.0, 5.0, 120.0, 599.0, 700.0]),
        clock=st.integers(-4096, 4096 * 1024),
    )
    def restart(self, away: float, clock: int) -> None:
        """The daemon ends, and begins anew on another monotonic clock."""
        was_at, stopped, before = self.now, self.wall, self.board
        self.keep_account(before)
        then, self.twin = self.candidates(), None
        self.now, self.wall = clock / 1024, self.wall + away
        by = self.now - away - was_at
        generation, served = self.generation, self.served
        self.board = self.restored(before, by, fresh=away >= TAKEN_UP)
        self.started, self.first_over, self.look_again = self.now, False, math.inf
        mode, removals = self.meta
        panic = self.memory.panic, self.memory.enough_since
        old = self.memory
        self.memory = Memory(
            published=tuple(each.id for each in served),
            removals=tuple(min(at - self.wall, 0.0) + self.now for at in removals),
            panic=mode in PANIC,
        )
        self.removals = [] if self.jumped else [at + by for at in self.removals]
        if away == 0.0:
            self.twin, self.twin_by = before, was_at - self.now
            comparable = panic == (self.memory.panic, None) or self.gating.mode in {
                *("top-up", "strict")
            }
            if comparable and not self.jumped:
                self.compare(then, old, was_at)
        assert stopped <= self.wall
        self.tasks = {}
        for record in self.board:
            past = self.past[record.node.id]
            seen = [(began + by, slot, good) for began, slot, good in past.seen]
            gone = away >= TAKEN_UP
            self.past[record.node.id] = Past() if gone else replace(past, seen=seen)
            self.plan(record.node.id)
        self.lay()
        self.publish()
        assert (self.generation, self.served) == (generation, served) or self.first_over

    def restored(self, board: Board, by: float, *, fresh: bool) -> Board:
        """A board as a new run makes it of what the old one kept."""
        known = {}
        for record in board:
            state = machine.shifted(record.state, by)
            known[record.node.id] = Record(
                record.node,
                machine.State(since=self.now) if fresh else state,
                override=record.override,
                proven=record.proven,
                last_good=record.last_good,
                changed=None if fresh else record.changed,
                evidence="" if fresh else record.evidence,
                speed=replace(record.speed, sampled_at=moved(record.speed.sampled_at, by)),
            )
        made = Board()
        made.restore(known)
        made.replace([record.node for record in board], self.now)
        return made

    def compare(self, then: Sequence[Candidate], memory: Memory, was_at: float) -> None:
        """What would be decided now is what would have been decided without the restart."""
        was = self.decide(then, memory, now=was_at, first_over=True)
        now = self.decide(self.candidates(), self.memory, now=self.now, first_over=True)

        assert (was.nodes, was.why, was.held) == (now.nodes, now.why, now.held)
        assert was.removes == now.removes

    def keep_account(self, records: Iterable[Record]) -> None:
        """What these records counted, before they are let go."""
        for record in records:
            self.counted.setdefault(record.node.id, Counter()).update(record.slots)

    def teardown(self) -> None:
        """In the end the ledger holds what the records counted, each slot once."""
        self.keep_account(self.board)
        kept: dict[str, Counter[SlotVerdict]] = {}
        for (_, node_id, _), tally in self.ledger.take().items():
            here = kept.setdefault(node_id, Counter())
            here.update({verdict: getattr(tally, verdict) for verdict in SlotVerdict})
        assert all(+kept.get(node_id, Counter()) == +c for node_id, c in self.counted.items())


def test_house():
    """Whatever happens, in whatever order."""
    run_state_machine_as_test(
        House, settings=settings(max_examples=100, stateful_step_count=30, deadline=None)
    )
