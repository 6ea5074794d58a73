"""The metrics of the contract.

What belongs to a node or a publication is rendered from the board at each scrape, by one collector:
its series exist from the start, agree with each other, never blink during a reload, and go away
with their node. Histograms and the daemon's own counters are ordinary ones. No label ever holds
free text.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypedDict

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from healthd import __version__
from healthd.engines.dialect import Engine, EngineName
from healthd.observing.families import NAMESPACE
from healthd.observing.fleet import FleetCollector
from healthd.probing.selfcheck import Fault
from healthd.publishing.publisher import Outcome as PublicationOutcome
from healthd.publishing.publisher import Publication
from healthd.verdict.board import Board
from healthd.verdict.decision import Decision
from healthd.verdict.ledger import SlotVerdict

START_OUTCOMES = ("ready", "refused", "port_taken", "failed")

_LAG_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
_PROBE_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0)


class _Ours(TypedDict):
    """What all metrics of one registry are made with."""

    namespace: str
    registry: CollectorRegistry


class Metrics:
    """Everything Prometheus can ask for, in a registry of its own.

    Args:
        board: The nodes.
        publications: Gives what is published.
        decisions: Gives the gate's latest decision for each publication, by name.
        engines: The engines that were found, for ``build_info``.
    """

    def __init__(
        self,
        board: Board,
        publications: Callable[[], Sequence[Publication]],
        decisions: Callable[[], dict[str, Decision]],
        engines: Mapping[EngineName, Engine],
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(FleetCollector(board, publications, decisions))
        self._make_own()
        self._make_labelled()
        self.engines_are(engines)
        self.self_checked(())
        self.store_ok.set(1)
        self.reload_ok.set(1)

    def _make_own(self) -> None:
        """What there is one of."""
        ours = _Ours(namespace=NAMESPACE, registry=self.registry)
        text = "How late slots begin."
        self.lag = Histogram("schedule_lag_seconds", text, buckets=_LAG_BUCKETS, **ours)
        self.overruns = Counter("overruns", "Slots skipped because a probe was running.", **ours)
        self.clients = Gauge("engine_clients", "Engine processes alive now.", **ours)
        text = "Whether the monitor can be trusted; if not, see self_check_fault."
        self.self_check_ok = Gauge("self_check_ok", text, **ours)
        text = "Whether the database takes what it is given."
        self.store_ok = Gauge("store_ok", text, **ours)
        self.clock_jumps = Counter("clock_jumps", "Jumps of the wall clock.", **ours)
        text = "Whether the configuration in the file is the one in force."
        self.reload_ok = Gauge("config_last_reload_successful", text, **ours)

    def _make_labelled(self) -> None:
        """What there is one of for each engine, fault or publication."""
        ours = _Ours(namespace=NAMESPACE, registry=self.registry)
        text, labels = "How long probes take, waiting for a client included.", ["engine"]
        self._duration = Histogram(
            "probe_duration_seconds", text, labels, buckets=_PROBE_BUCKETS, **ours
        )
        text, labels = "Engine processes started, and how that went.", ["engine", "outcome"]
        self._starts = Counter("engine_starts", text, labels, **ours)
        text = "1 for each thing the monitor lacks."
        self._faults = Gauge("self_check_fault", text, ["fault"], **ours)
        text = "Slots by verdict: good when a node that users were given worked."
        labels = ["publication", "verdict"]
        self._publication_slots = Counter("publication_slots", text, labels, **ours)
        text, labels = "Attempts to publish, and what became of them.", ["publication", "outcome"]
        self._publications = Counter("publications", text, labels, **ours)
        labels = ["version", "xray", "sing_box"]
        self._info = Gauge("build_info", "Versions.", labels, **ours)

    def engines_are(self, engines: Mapping[EngineName, Engine]) -> None:
        """Tell which engines are used; the version of one that is not there is empty."""
        versions = [engines[name].version if name in engines else "" for name in EngineName]
        self._info.clear()
        self._info.labels(__version__, *versions).set(1)
        for name in engines:
            self._duration.labels(name)
            for outcome in START_OUTCOMES:
                self._starts.labels(name, outcome)

    def started(self, engine: EngineName, outcome: str) -> None:
        """Count the start of an engine process."""
        self._starts.labels(engine, outcome).inc()

    def probed(self, engine: EngineName, seconds: float) -> None:
        """Note how long a probe took."""
        self._duration.labels(engine).observe(seconds)

    def self_checked(self, faults: Collection[Fault]) -> None:
        """Tell what the monitor lacks now; nothing is best."""
        self.self_check_ok.set(not faults)
        for fault in Fault:
            self._faults.labels(fault).set(fault in faults)

    def publication_slot(self, publication: str, verdict: SlotVerdict) -> None:
        """Count one slot of a publication."""
        self._publication_slots.labels(publication, verdict).inc()

    def announce(self, *publications: str) -> None:
        """Make the counters of publications exist at zero."""
        for publication in publications:
            for verdict in SlotVerdict:
                self._publication_slots.labels(publication, verdict)
            for outcome in PublicationOutcome:
                self._publications.labels(publication, outcome)

    def published(self, publication: str, outcome: PublicationOutcome) -> None:
        """Count an attempt to publish."""
        self._publications.labels(publication, outcome).inc()

    def render(self) -> bytes:
        """The text Prometheus reads. Slow with thousands of nodes: call it in a thread."""
        return generate_latest(self.registry)
