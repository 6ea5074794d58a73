"""The publishing loop: level-triggered, debounced, spaced, and it tries again after a failure.

Whatever happened since the last look, only the latest state of the board is published. It also
looks again when time alone may have changed the gate's decision.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypedDict

import structlog
import trio

from healthd.config import GateConfig
from healthd.errors import PublishError
from healthd.publishing.files import Notes
from healthd.publishing.publisher import Outcome, Publication
from healthd.verdict import gate
from healthd.verdict.decision import Candidate, Decision, Mode

log = structlog.get_logger()

RETRY = 30.0
"""Seconds until a publication that failed is tried again by itself."""


class Difference(TypedDict):
    """Node ids that came, and those that went with the reason in words."""

    added: list[str]
    removed: dict[str, str]


_SETTLED = {Mode.NORMAL, Mode.WAITING}
"""Modes that nobody needs to be woken for."""


_WELL = {Outcome.PUBLISHED, Outcome.UNCHANGED}

OnOutcome = Callable[[Publication, Outcome, Sequence[str], Decision], None]
"""Told an attempt: what became of it, the nodes served before, and what the gate had decided.
Where some formats were brought up to date and others kept for a fault, it is told of both."""


class PublishingService:
    """Keeps every publication in line with the board.

    Args:
        publications: What to publish.
        candidates: Gives the fleet, in failover order.
        first_round_over: Whether every node has had a verdict.
        first_round_ends: Monotonic seconds after which publishing begins all the same.
        monitor_ok: Whether the monitor's own self-check is good.
        interval: Gives the seconds within which every node is asked once.
        config: The gate's parameters, debounce and spacing among them.
        on_outcome: Told each attempt.
    """

    def __init__(
        self,
        publications: Sequence[Publication],
        *,
        candidates: Callable[[], Sequence[Candidate]],
        first_round_over: Callable[[], bool],
        first_round_ends: float,
        monitor_ok: Callable[[], bool],
        interval: Callable[[], float],
        config: GateConfig,
        on_outcome: OnOutcome,
    ) -> None:
        self.publications = tuple(publications)
        self.config = config
        self.decisions: dict[str, Decision] = {}
        self._candidates = candidates
        self._first_round_over = first_round_over
        self._first_round_ends = first_round_ends
        self._monitor_ok = monitor_ok
        self._interval = interval
        self._started = self._replaced = False
        self._on_outcome = on_outcome
        self._dirty = trio.Event()

    def apply(self, publications: Sequence[Publication], config: GateConfig) -> None:
        """Take up other publications, or other parameters."""
        self.publications, self.config = tuple(publications), config
        names = {publication.config.name for publication in publications}
        self.decisions = {name: made for name, made in self.decisions.items() if name in names}
        self._replaced = True
        self.touch()

    def touch(self) -> None:
        """Something changed: look again soon."""
        self._dirty.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        again = self._first_round_ends
        while True:
            with trio.move_on_at(again):
                await self._dirty.wait()
            await trio.sleep(self.config.debounce)
            self._dirty = trio.Event()
            if self._replaced:
                # Anew: one of those before them may have been publishing while they were made.
                self._replaced = False
                for publication in self.publications:
                    publication.load()
            outcomes = [await self._publish(publication) for publication in self.publications]
            again = min(self._moments(), default=math.inf)
            if {Outcome.FAILED, Outcome.REFUSED}.intersection(outcomes) or any(
                publication.fault for publication in self.publications
            ):
                again = min(again, trio.current_time() + RETRY)
            if not self._started:
                again = min(again, max(self._first_round_ends, trio.current_time() + 0.1))
            if Outcome.PUBLISHED in outcomes:
                await trio.sleep(self.config.spacing)

    def decide(self, publication: Publication) -> Decision:
        """The gate's decision as things stand."""
        over = self._first_round_over() or trio.current_time() >= self._first_round_ends
        self._started = self._started or over  # nodes that join later do not close the gate again
        return gate.decide(
            [each for each in self._candidates() if publication.takes(each.node)],
            publication.memory,
            now=trio.current_time(),
            rules=self.config,
            limit=publication.config.limit,
            interval=self._interval(),
            first_round_over=self._started,
            monitor_ok=self._monitor_ok(),
        )

    def _moments(self) -> Iterator[float]:
        """When time alone may change a decision (monotonic seconds).

        The removals that were just published are in the memory, but not in the decision that made
        them: those that the brake held back wait for the end of these.
        """
        for publication in self.publications:
            if made := self.decisions.get(publication.config.name):
                yield made.look_again
            for at in publication.memory.removals:
                yield at + self.config.removal_period

    async def _publish(self, publication: Publication) -> Outcome:
        name = publication.config.name
        decision = self.decide(publication)
        _log_decision(name, self.decisions.get(name), decision)
        self.decisions[name], publication.memory = decision, decision.memory
        before = publication.published.nodes if publication.published else ()
        noted, faults = publication.notes, publication.judged.faults
        try:
            outcome = await publication.publish(decision)
        except PublishError as why:
            outcome = Outcome(why.outcome)
            # Expected, and told in full by its words: no traceback.
            log.error("publication_failed", publication=name, outcome=why.outcome, why=why.why)  # noqa: TRY400
        _log_notes(name, noted, publication.notes, publication.judged.faults)
        _log_faults(name, faults, publication.judged.faults)
        if outcome is Outcome.PUBLISHED:
            _log_publication(publication, before, decision)
        self._on_outcome(publication, outcome, before, decision)
        if (fault := publication.fault) and outcome in _WELL:
            # Some formats are as they should be, others are not: both are told.
            self._on_outcome(publication, fault, before, decision)
        return outcome


def _log_decision(name: str, before: Decision | None, now: Decision) -> None:
    """Tell when the gate changes its mode, and when the brake holds something."""
    if before is None or before.mode is not now.mode:
        tell = log.info if now.mode in _SETTLED else log.warning
        tell("gate_mode_changed", publication=name, mode=now.mode.value, summary=now.summary)
    if now.held and (before is None or before.held != now.held):
        log.warning(
            "removals_held",
            publication=name,
            nodes={node_id: now.why[node_id] for node_id in now.held},
            unconfirmed=list(now.unconfirmed),
        )


def _log_notes(name: str, before: Notes, now: Notes, faults: Mapping[str, str]) -> None:
    """Tell when a format cannot express other nodes than before, or too many of them."""
    if now.left_out != before.left_out:
        log.info("nodes_left_out", publication=name, left_out=now.left_out)
    for file, why in now.not_written.items():
        if file not in before.not_written and file not in faults:
            log.warning("format_below_floor", publication=name, file=file, why=why)


def _log_faults(name: str, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Tell when a format must keep an older document for a fault, and when that is over."""
    for file, why in now.items():
        if before.get(file) != why:
            log.error("publication_format_refused", publication=name, file=file, why=why)
    for file in before.keys() - now.keys():
        log.info("publication_format_taken_again", publication=name, file=file)


def _log_publication(publication: Publication, was: Sequence[str], decision: Decision) -> None:
    generation = publication.published.generation if publication.published else 0
    log.info(
        "config_published",
        publication=publication.config.name,
        generation=generation,
        nodes=len(decision.nodes or ()),
        mode=decision.mode.value,
        summary=decision.summary,
        **difference(was, decision),
    )


def difference(was: Sequence[str], decision: Decision) -> Difference:
    """What a publication added, and what it removed and why."""
    old, new = set(was), {node.id for node in decision.nodes or ()}
    why = decision.why
    return {
        "added": sorted(new - old),
        "removed": {node_id: why.get(node_id, "removed") for node_id in sorted(old - new)},
    }
