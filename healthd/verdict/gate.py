"""The gate of one publication: which nodes users get, and why. Pure.

Clients fetch what is published about once an hour, so a wrong removal lasts an hour. The verdict
machine is slow to call a node down; the gate bounds the damage when it, or the monitor, is wrong
about many nodes at once:

    waiting     the first round of probes is not over; what the last run published stays
    offline     the monitor's own line (or another thing it needs) fails: nothing is believed
    last-good   no node is up: an empty list would only add our silence to the censor's
    normal      every node in service
    top-up      fewer than the floor are in service: the least bad fill up to it (panic)
    freeze, all, strict   an operator's choices for the same case: keep what is published; publish
                everything that ever worked; publish only what works, however little that is

In the first three, and in freeze, what is published stays byte for byte; but what an operator took
out himself leaves, and what he forces up joins (once the first round is over). When he took out all
there is, the least bad of the others replace it; without others it stays: a publication is never
emptied. Modes of panic end when one node more than the floor has been in service for `panic_hold`.

The floor is `max(min_nodes, ceil(floor * N))` of the N eligible nodes: those an operator did not
take out, the engine takes, and that are known at all. It is filled up with these only, and never
with one that never worked, unless it is published.

The brake holds removals, and removals only. None is made before a whole interval has passed since
the node began to fail: all others were asked meanwhile, so that the first of many is not taken for
a single one. When more than `mass_failure` of N (and at least two) fell within
`mass_failure_within`, or are failing now, none of them is removed before its fall is confirmed by a
probe that asks another check URL first, nor, for as long, while others are still suspects: first it
must be known how many there are. And within `removal_period` at most `max_removals` of N (at least
one) are removed. What floor or brake keeps in although it is bad is listed last; but who waits for
more probes is not known to be bad, and keeps his place.

A publication's limit is hard. What the brake keeps in keeps its place, or the limit would remove it
for a better node; but at least one good node is published, and neither a good one that is published
nor one that is forced up has to leave for a bad one.

A node that the engine refuses leaves at once: no document that holds it would be published at all.
"""

import math
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from healthd.config import GateConfig
from healthd.model import IN_SERVICE, Health, Node
from healthd.verdict.decision import Candidate, Decision, Memory, Mode

FIRST_ROUND = 3
"""Intervals after which publishing begins even if a node has had no verdict: 90 s at 30 s."""

_MANY = 2
"""One node that falls is no mass failure, however small the fleet."""


def floor_of(eligible: int, rules: GateConfig, limit: int = 0) -> int:
    """How many nodes are to be published at least."""
    share = math.ceil(round(rules.floor * eligible, 9))  # 0.1 * 30 is not quite 3
    floor = min(max(rules.min_nodes, share), eligible)
    return min(floor, limit) if limit else floor


def allowance(eligible: int, rules: GateConfig) -> int:
    """How many removals one period has room for."""
    return max(1, math.floor(round(rules.max_removals * eligible, 9)))


def decide(
    candidates: Sequence[Candidate],
    memory: Memory,
    *,
    now: float,
    rules: GateConfig,
    limit: int = 0,
    interval: float = 0.0,
    first_round_over: bool = True,
    monitor_ok: bool = True,
) -> Decision:
    """Decide what one publication holds.

    Args:
        candidates: The publication's nodes, in failover order.
        memory: What the decision before left behind, and what is published.
        now: Monotonic seconds.
        rules: The parameters.
        limit: The most nodes to publish; 0 for all.
        interval: Seconds within which every node is asked once.
        first_round_over: Whether every node had its chance of a verdict.
        monitor_ok: Whether the monitor's own self-check is good.
    """
    made = _Gate(candidates, memory, now, rules, limit, interval)
    return made.decide(first_round_over, monitor_ok)


class _Gate:
    """One decision in the making."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        memory: Memory,
        now: float,
        rules: GateConfig,
        limit: int,
        interval: float,
    ) -> None:
        self.all = candidates
        self.was_in = frozenset(memory.published)
        self.now, self.rules, self.limit, self.interval = now, rules, limit, interval
        # Compared as `_look_again` computes it: a sum may be rounded to another side than a gap.
        recent = tuple(at for at in memory.removals if now < at + rules.removal_period)
        self.memory = replace(memory, removals=recent)
        self.eligible = [each for each in candidates if self._is_eligible(each)]
        self.good = [each for each in self.eligible if self._is_good(each)]
        self._are_good = frozenset(self.good)
        self.placed = self._are_good
        """Those who have a place in the failover order."""
        self.floor = floor_of(len(self.eligible), rules, limit)
        self.why: dict[str, str] = {}

    def decide(self, first_round_over: bool, monitor_ok: bool) -> Decision:
        if not first_round_over:
            return self._stay(Mode.WAITING, "the first round of probes is not over")
        if not monitor_ok:
            return self._stay(Mode.OFFLINE, "the monitor's own check fails")
        if not any(each.forced_up or each.health in IN_SERVICE for each in self.good):
            return self._stay(Mode.LAST_GOOD, "no node is up")
        mode = self._mode()
        if mode is Mode.FREEZE and self.was_in:
            return self._stay(mode, "too few nodes are up, or not for long enough")
        return self._publish(mode)

    # --- who counts ---

    def _is_eligible(self, each: Candidate) -> bool:
        if each.forced_up:
            return True
        if each.taken_out or each.health is Health.INVALID:
            return False
        # A newcomer cannot be published before its first success: it must not raise the floor.
        return each.health is not Health.UNKNOWN or each.node.id in self.was_in

    def _is_good(self, each: Candidate) -> bool:
        kept = each.health is Health.UNKNOWN and each.node.id in self.was_in
        return each.forced_up or each.health in IN_SERVICE or kept

    # --- panic ---

    def _mode(self) -> Mode:
        """Normal, or the mode of panic; notes in the memory how far it is from its end."""
        below = len(self.good) < self.floor
        if not below and not self.memory.panic:
            return Mode.NORMAL
        enough = len(self.good) >= min(self.floor + 1, len(self.eligible))
        since = self.memory.enough_since
        since = (self.now if since is None else since) if enough and not below else None
        over = since is not None and self.now >= since + self.rules.panic_hold
        self.memory = replace(self.memory, panic=not over, enough_since=None if over else since)
        return Mode.NORMAL if over else Mode(self.rules.mode)

    # --- decisions ---

    def _stay(self, mode: Mode, because: str) -> Decision:
        """What is published stays byte for byte, except for what the operator wants himself."""
        if mode is not Mode.FREEZE:  # there, panic may be about to end; here nobody is in service
            self.memory = replace(self.memory, enough_since=None)
        nodes = None if mode is Mode.WAITING else self._as_the_operator_wants()
        inside = self.was_in if nodes is None else {node.id for node in nodes}
        for each in self.all:
            where = "in" if each.node.id in inside else "out"
            alone = each.taken_out and where == "in" and mode is not Mode.WAITING
            note = "; kept: there is nothing else to publish" if alone else ""
            self.why[each.node.id] = f"{where}: {each.about}; {because}{note}"
        return self._decision(mode, nodes)

    def _as_the_operator_wants(self) -> tuple[Node, ...] | None:
        """What is published, less what he took out, plus what he forces up; None if it is that."""
        by_id = {each.node.id: each for each in self.all if not each.taken_out}
        left = [by_id[node_id] for node_id in self.memory.published if node_id in by_id]
        writable = [each for each in left if each.health is not Health.INVALID]
        joining = [c for c in self.eligible if c.forced_up and c.node.id not in self.was_in]
        if self.limit:
            joining = joining[: max(0, self.limit - len(writable))]
        if len(left) == len(self.was_in) and not joining:
            return None
        chosen = writable + joining
        if not chosen and any(c.taken_out and c.node.id in self.was_in for c in self.all):
            bad = self._bad()
            chosen = self._chosen(bad, frozenset(), self._filling(Mode.TOP_UP, bad, frozenset()))
        return tuple(each.node for each in chosen) or None

    def _publish(self, mode: Mode) -> Decision:
        bad = self._bad()
        leaving = [each for each in reversed(bad) if each.node.id in self.was_in]
        waiting = self._unconfirmed(bad) | frozenset(filter(self._is_early, bad))
        unconfirmed = waiting & frozenset(leaving)
        self.placed = self._are_good | waiting
        free = [each for each in leaving if each not in unconfirmed]
        room = allowance(len(self.eligible), self.rules) - len(self.memory.removals)
        held = unconfirmed | frozenset(free[max(0, room) :])
        filling = self._filling(mode, bad, held)
        chosen = self._chosen(bad, held, filling)
        inside = frozenset(chosen)
        self._explain(inside, held, unconfirmed, frozenset(filling))
        return self._decision(
            mode,
            tuple(each.node for each in chosen),
            held=tuple(each.node.id for each in leaving if each in held & inside),
            unconfirmed=tuple(each.node.id for each in leaving if each in unconfirmed & inside),
            removes=tuple(each.node.id for each in leaving if each not in inside),
        )

    def _bad(self) -> list[Candidate]:
        """Those that only floor or brake can keep in, the least bad first, equals in order."""
        bad = (c for c in self.all if c.health in _WORSE and not (c.forced_up or c.taken_out))
        return sorted(bad, key=_badness)

    def _unconfirmed(self, bad: Sequence[Candidate]) -> frozenset[Candidate]:
        """Whose fall must be confirmed, or counted with those of others, as many fell at once."""
        suspects = [self.now for each in self.eligible if each.health is Health.SUSPECT]
        fell = sorted(each.fell for each in self.eligible if each.fell is not None) + suspects
        share = math.floor(round(self.rules.mass_failure * len(self.eligible), 9))
        many = max(_MANY, share + 1)
        at_once: set[float] = set()
        for first, last in enumerate(fell[many - 1 :]):
            if last < fell[first] + self.rules.mass_failure_within:
                at_once.update(fell[first : first + many])
        return frozenset(
            c
            for c in bad
            if c.fell in at_once and not (c.confirmed and self._are_judged(c, suspects))
        )

    def _are_judged(self, each: Candidate, suspects: Sequence[float]) -> bool:
        """Whether those who fail beside a node are judged, or had the time for it."""
        return not suspects or self.now >= (each.fell or 0.0) + self.rules.mass_failure_within

    def _is_early(self, each: Candidate) -> bool:
        """Whether the others were not all asked since the node began to fail."""
        return each.failing_since is not None and self.now < each.failing_since + self.interval

    def _filling(
        self, mode: Mode, bad: Sequence[Candidate], held: AbstractSet[Candidate]
    ) -> list[Candidate]:
        """The bad nodes that fill up to the floor; in mode all, whatever ever worked."""
        pool = [
            each
            for each in bad
            if each not in held and (each.last_good is not None or each.node.id in self.was_in)
        ]
        if mode is Mode.ALL:
            return pool
        if mode is not Mode.TOP_UP:
            return []
        return pool[: max(0, self.floor - len(self.good) - len(held))]

    def _chosen(
        self,
        bad: Sequence[Candidate],
        held: AbstractSet[Candidate],
        filling: Sequence[Candidate],
    ) -> list[Candidate]:
        """Good and waiting ones in their order, the bad ones last, no more than the limit."""
        good = sorted(self.good, key=self._rank)
        kept = [*(each for each in bad if each in held), *filling]
        if self.limit:
            firm = sum(each.forced_up or each.node.id in self.was_in for each in good)
            places = max(1, self.limit - len(held), min(firm, self.limit))
            first = frozenset(sorted(good, key=lambda each: not each.forced_up)[:places])
            good = [each for each in good if each in first]
            kept = kept[: self.limit - len(good)]
        inside = frozenset([*good, *kept])
        front = [each for each in self.all if each in inside & self.placed]
        last = [each for each in bad if each in inside - self.placed]
        return [*sorted(front, key=self._rank), *last]

    def _rank(self, each: Candidate) -> int:
        """Slow ones after the others, those on probation last; the sort keeps the rest as it is."""
        if each.forced_up:
            return 0
        if each.probation_until is not None and self.now < each.probation_until:
            return 2
        return int(each.slow)

    # --- words ---

    def _explain(
        self,
        chosen: AbstractSet[Candidate],
        held: AbstractSet[Candidate],
        unconfirmed: AbstractSet[Candidate],
        filling: AbstractSet[Candidate],
    ) -> None:
        floor = f"floor {self.floor} of {len(self.eligible)}"
        floor += " met" if len(self.good) >= self.floor else " not met"
        room = f"{allowance(len(self.eligible), self.rules)} of {len(self.eligible)}"
        brake = f"at most {room} may be removed in {self.rules.removal_period:g} s"
        places = ("", "; slow: listed later", "; on probation: listed last")
        for each in self.all:
            if each not in chosen:
                wanted = each in self._are_good or each in held or each in filling
                note = f"; beyond the limit of {self.limit}" if wanted else f"; {floor}"
            elif each in unconfirmed:
                waits = each.confirmed or self._is_early(each)
                note = "the others are asked first"
                if not waits:
                    note = "many fell at once, not confirmed by another check URL yet"
                note = f"; kept: {note}"
            elif each in held:
                note = f"; kept: {brake}"
            else:
                note = f"; kept: {floor}" if each in filling else places[self._rank(each)]
            where = "in" if each in chosen else "out"
            self.why[each.node.id] = f"{where}: {each.about}{note}"

    def _decision(
        self,
        mode: Mode,
        nodes: tuple[Node, ...] | None,
        *,
        held: tuple[str, ...] = (),
        unconfirmed: tuple[str, ...] = (),
        removes: tuple[str, ...] = (),
    ) -> Decision:
        return Decision(
            mode=mode,
            nodes=nodes,
            why=self.why,
            eligible=len(self.eligible),
            floor=self.floor,
            in_service=len(self.good),
            held=held,
            unconfirmed=unconfirmed,
            removes=removes,
            memory=self.memory,
            look_again=self._look_again(),
        )

    def _look_again(self) -> float:
        """The next moment at which time alone changes something."""
        moments = [each.probation_until for each in self.placed]
        moments += [at + self.rules.removal_period for at in self.memory.removals]
        waiting = self.placed - self._are_good  # for more probes
        began = (each.failing_since for each in waiting)
        moments += [at + self.interval for at in began if at is not None]
        # Any fall may be what makes many of them, one of a node that is forced up as well.
        fell = (each.fell for each in self.eligible if waiting)
        moments += [at + self.rules.mass_failure_within for at in fell if at is not None]
        if self.memory.enough_since is not None:
            moments.append(self.memory.enough_since + self.rules.panic_hold)
        return _next(moments, self.now)


def _next(moments: Iterable[float | None], now: float) -> float:
    return min((at for at in moments if at is not None and at > now), default=math.inf)


_WORSE = {Health.RECOVERING: 0, Health.HELD: 1, Health.DOWN: 2}
"""Among the bad: who is least bad."""


def _badness(each: Candidate) -> tuple[int, float]:
    """The least bad first: by health, then by latest success."""
    return _WORSE[each.health], -(each.last_good or 0.0)
