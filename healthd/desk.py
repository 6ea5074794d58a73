"""The desk where all news arrive: counted in metrics, noted in the store, and passed on."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from healthd.engines.dialect import EngineName
from healthd.model import Node, Outcome
from healthd.observing.metrics import Metrics
from healthd.probing.selfcheck import SelfCheck
from healthd.publishing.publisher import Outcome as PublicationOutcome
from healthd.publishing.publisher import Publication
from healthd.publishing.service import difference
from healthd.store.service import Store
from healthd.verdict.board import Record
from healthd.verdict.decision import Decision
from healthd.verdict.ledger import Kind, SlotVerdict
from healthd.verdict.machine import Transition
from healthd.verdict.trace import Recorded
from healthd.watching import Listeners, log_transition

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Desk:
    """Who is told what.

    Args:
        metrics: Counts.
        store: Keeps.
        self_check: Learns what proves or disproves the monitor.
        touch: Wakes the publishing service.
        engine_of: Which engine carries a node; None: none can.
    """

    metrics: Metrics
    store: Store
    self_check: SelfCheck
    touch: Callable[[], None]
    engine_of: Callable[[Node], EngineName | None]

    def listeners(self) -> Listeners:
        """What the tasks of the nodes tell."""
        return Listeners(
            transition=self._changed,
            judged=self.touch,
            result=self._probed,
            slot=self._counted,
            lag=self.metrics.lag.observe,
            overruns=self.metrics.overruns.inc,
        )

    def _probed(self, record: Record, recorded: Recorded) -> None:
        if (engine := self.engine_of(record.node)) is not None:
            self.metrics.probed(engine, recorded.took)
        self.store.note_result(record.node.id, recorded)
        if recorded.result.outcome is Outcome.SUCCESS:
            self.self_check.note_success()

    def _counted(
        self, record: Record, wall: float, verdict: SlotVerdict, latency: float | None
    ) -> None:
        self.store.ledger.note(Kind.NODE, record.node.id, wall, verdict, latency)

    def _changed(self, record: Record, transition: Transition) -> None:
        detail = record.result.detail if record.result else ""
        self.store.note_transition(record.node.id, transition, time.time(), detail)
        self.touch()

    def requalified(self, record: Record, transition: Transition) -> None:
        """An operator is done with a node."""
        log_transition(record, transition, "")
        self.store.note_transition(record.node.id, transition, time.time())

    def engine_started(self, engine: EngineName, outcome: str) -> None:
        """An engine process was started, and how that went."""
        self.metrics.started(engine, outcome)
        self.self_check.engine_start(engine, outcome)

    def publication_slot(self, name: str, wall: float, verdict: SlotVerdict) -> None:
        """A slot of a publication was judged."""
        self.store.ledger.note(Kind.PUBLICATION, name, wall, verdict)
        self.metrics.publication_slot(name, verdict)

    def publication_tried(
        self,
        publication: Publication,
        outcome: PublicationOutcome,
        was: Sequence[str],
        decision: Decision,
    ) -> None:
        """An attempt to publish ended."""
        name, served = publication.config.name, publication.published
        self.metrics.published(name, outcome)
        if outcome is PublicationOutcome.PUBLISHED and served is not None:
            self.store.note_publication(
                name,
                served.generation,
                decision.mode,
                nodes=served.nodes,
                **difference(was, decision),
                wall=served.published_at,
            )


def bulk_server_judged(fit: bool, why: str) -> None:
    """The bulk URL's server is fit for its check, or is not."""
    if fit:
        log.info("bulk_server_fit")
    else:
        log.warning("bulk_server_unfit", why=why)
