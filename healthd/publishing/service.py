"""The publishing loop: level-triggered, debounced, spaced, and it tries again after a failure.

Whatever happened since the last look, only the latest state of the board is published.
"""

from collections.abc import Callable, Mapping, Sequence

import structlog
import trio

from healthd.config import GateConfig
from healthd.errors import PublishError
from healthd.model import Health, Node
from healthd.publishing.publisher import Outcome, Publication
from healthd.verdict import gate
from healthd.verdict.gate import Decision

log = structlog.get_logger()

RETRY = 30.0
"""Seconds until a publication that failed is tried again by itself."""


class PublishingService:
    """Keeps every publication in line with the board.

    Args:
        publications: What to publish.
        nodes: Gives the fleet, in failover order.
        health: Gives the health of every node, by id.
        first_round_over: Whether every node has had a verdict.
        first_round_ends: Monotonic seconds after which publishing begins all the same.
        config: Debounce and spacing.
        on_outcome: Told each attempt.
    """

    def __init__(
        self,
        publications: Sequence[Publication],
        *,
        nodes: Callable[[], Sequence[Node]],
        health: Callable[[], Mapping[str, Health]],
        first_round_over: Callable[[], bool],
        first_round_ends: float,
        config: GateConfig,
        on_outcome: Callable[[Publication, Outcome], None],
    ) -> None:
        self.publications = tuple(publications)
        self.config = config
        self.decisions: dict[str, Decision] = {}
        self._nodes = nodes
        self._health = health
        self._first_round_over = first_round_over
        self._first_round_ends = first_round_ends
        self._started = False
        self._on_outcome = on_outcome
        self._dirty = trio.Event()

    def apply(self, publications: Sequence[Publication], config: GateConfig) -> None:
        """Take up other publications, or other parameters."""
        self.publications, self.config = tuple(publications), config
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
            outcomes = [await self._publish(publication) for publication in self.publications]
            failed = {Outcome.FAILED, Outcome.REFUSED}.intersection(outcomes)
            again = trio.current_time() + RETRY if failed else float("inf")
            if not self._started:
                again = min(again, max(self._first_round_ends, trio.current_time() + 0.1))
            if Outcome.PUBLISHED in outcomes:
                await trio.sleep(self.config.spacing)

    def decide(self, publication: Publication) -> Decision:
        """The gate's decision as things stand."""
        over = self._first_round_over() or trio.current_time() >= self._first_round_ends
        self._started = self._started or over  # nodes that join later do not close the gate again
        served = publication.published
        return gate.decide(
            [node for node in self._nodes() if publication.takes(node)],
            self._health(),
            published=frozenset(served.nodes if served else ()),
            first_round_over=self._started,
        )

    async def _publish(self, publication: Publication) -> Outcome:
        name = publication.config.name
        decision = self.decisions[name] = self.decide(publication)
        before = publication.published
        try:
            outcome = await publication.publish(decision)
        except PublishError as why:
            outcome = Outcome(why.outcome)
            # Expected, and told in full by its words: no traceback.
            log.error("publication_failed", publication=name, outcome=why.outcome, why=why.why)  # noqa: TRY400
        self._on_outcome(publication, outcome)
        if outcome is Outcome.PUBLISHED and publication.published is not None:
            old, new = set(before.nodes if before else ()), set(publication.published.nodes)
            log.info(
                "config_published",
                publication=name,
                generation=publication.published.generation,
                nodes=len(new),
                added=sorted(new - old),
                removed={node: decision.why.get(node, "removed") for node in sorted(old - new)},
            )
        return outcome
