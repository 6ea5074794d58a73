"""The metrics of the contract.

What belongs to a node or a publication is rendered from the board at each scrape, by one collector:
its series exist from the start, agree with each other, never blink during a reload, and go away
with their node. Histograms and the daemon's own counters are ordinary ones. No label ever holds
free text.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from healthd import __version__
from healthd.engines.dialect import Engine, EngineName
from healthd.model import IN_SERVICE, AdminMode, Health, Outcome, Reason
from healthd.probing.selfcheck import Fault
from healthd.publishing.formats import FORMATS
from healthd.publishing.publisher import Outcome as PublicationOutcome
from healthd.publishing.publisher import Publication
from healthd.verdict.board import Board, Record
from healthd.verdict.decision import Decision, Mode
from healthd.verdict.ledger import SlotVerdict

PREFIX = "healthd_"

START_OUTCOMES = ("ready", "refused", "port_taken", "failed")

_LAG_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
_PROBE_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0)


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
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_FleetCollector(board, publications, decisions))
        self.lag = Histogram(
            f"{PREFIX}schedule_lag_seconds",
            "How late slots begin.",
            registry=registry,
            buckets=_LAG_BUCKETS,
        )
        self._duration = Histogram(
            f"{PREFIX}probe_duration_seconds",
            "How long probes take, waiting for a client included.",
            ["engine"],
            registry=registry,
            buckets=_PROBE_BUCKETS,
        )
        self.overruns = Counter(
            f"{PREFIX}overruns", "Slots skipped because a probe was running.", registry=registry
        )
        self._starts = Counter(
            f"{PREFIX}engine_starts",
            "Engine processes started, and how that went.",
            ["engine", "outcome"],
            registry=registry,
        )
        self.clients = Gauge(
            f"{PREFIX}engine_clients", "Engine processes alive now.", registry=registry
        )
        self.self_check_ok = Gauge(
            f"{PREFIX}self_check_ok",
            "Whether the monitor can be trusted; if not, see self_check_fault.",
            registry=registry,
        )
        self._faults = Gauge(
            f"{PREFIX}self_check_fault",
            "1 for each thing the monitor lacks.",
            ["fault"],
            registry=registry,
        )
        self.store_ok = Gauge(
            f"{PREFIX}store_ok", "Whether the database takes what it is given.", registry=registry
        )
        self.clock_jumps = Counter(
            f"{PREFIX}clock_jumps", "Jumps of the wall clock.", registry=registry
        )
        self._publication_slots = Counter(
            f"{PREFIX}publication_slots",
            "Slots by verdict: good when a node that users were given worked.",
            ["publication", "verdict"],
            registry=registry,
        )
        self._publications = Counter(
            f"{PREFIX}publications",
            "Attempts to publish, and what became of them.",
            ["publication", "outcome"],
            registry=registry,
        )
        self.reload_ok = Gauge(
            f"{PREFIX}config_last_reload_successful",
            "Whether the configuration in the file is the one in force.",
            registry=registry,
        )
        self._info = Gauge(
            f"{PREFIX}build_info", "Versions.", ["version", "xray", "sing_box"], registry=registry
        )
        self.engines_are(engines)
        self.self_checked(())
        self.store_ok.set(1)
        self.reload_ok.set(1)

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

    def announce(self, publication: str) -> None:
        """Make a publication's counters exist at zero."""
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


class _FleetCollector(Collector):
    def __init__(
        self,
        board: Board,
        publications: Callable[[], Sequence[Publication]],
        decisions: Callable[[], dict[str, Decision]],
    ) -> None:
        self._board = board
        self._publications = publications
        self._decisions = decisions

    def describe(self) -> Iterable[Metric]:
        return ()  # else registering would render the whole fleet once

    def collect(self) -> Iterator[Metric]:
        records = list(self._board)
        yield from _gauges(records)
        yield from _counters(records)
        yield from self._published(records)

    def _published(self, records: Sequence[Record]) -> Iterator[Metric]:
        label = ["publication"]
        node = _gauge("node_published", "Whether users get the node.", ["publication", "node"])
        generation = _gauge("publication_generation", "Generation being served.", label)
        timestamp = _gauge("publication_timestamp_seconds", "When it was published.", label)
        nodes = _gauge("publication_nodes", "Nodes in it.", label)
        mode = _gauge("publication_mode", "1 for the mode in force.", [*label, "mode"])
        eligible = _gauge("publication_eligible", "Nodes that count for its floor.", label)
        floor = _gauge("publication_floor", "Nodes it holds at least.", label)
        service = _gauge("publication_in_service", "Nodes of it that are in service.", label)
        held = _gauge("publication_held", "Bad nodes that the brake keeps in it.", label)
        text = "Nodes that a format cannot express."
        left_out = _gauge("publication_left_out", text, [*label, "format"])
        for publication in self._publications():
            name, served = publication.config.name, publication.published
            ids = frozenset(served.nodes) if served else frozenset()
            for record in records:
                if publication.takes(record.node):
                    node.add_metric([name, record.node.id], float(record.node.id in ids))
            generation.add_metric([name], served.generation if served else 0)
            timestamp.add_metric([name], served.published_at if served else 0)
            nodes.add_metric([name], len(ids))
            decision = self._decisions().get(name)
            now = decision.mode if decision else Mode.WAITING
            for each in Mode:
                mode.add_metric([name, each], float(each is now))
            eligible.add_metric([name], decision.eligible if decision else 0)
            floor.add_metric([name], decision.floor if decision else 0)
            service.add_metric([name], decision.in_service if decision else 0)
            held.add_metric([name], len(decision.held) if decision else 0)
            for kind in publication.config.formats:
                nowhere = publication.notes.left_out.get(FORMATS[kind].file, ())
                left_out.add_metric([name, kind], len(nowhere))
        yield from (node, generation, timestamp, nodes, mode, eligible, floor, service, held)
        yield left_out


def _gauges(records: Sequence[Record]) -> Iterator[Metric]:
    up = _gauge("node_up", "Whether the node is good enough to be published.", ["node"])
    state = _gauge("node_state", "1 for the node's health, 0 for the others.", ["node", "state"])
    latency = _gauge("node_latency_seconds", "Of the latest good probe.", ["node"])
    probed = _gauge("node_last_probe_timestamp_seconds", "When it was last probed.", ["node"])
    good = _gauge("node_last_success_timestamp_seconds", "When that last went well.", ["node"])
    admin = _gauge("node_admin", "1 for what an operator wants of the node.", ["node", "mode"])
    slow = _gauge("node_slow", "Whether the node works, but slowly.", ["node"])
    for record in records:
        label = [record.node.id]
        up.add_metric(label, float(record.state.health in IN_SERVICE))
        for health in Health:
            state.add_metric([*label, health], float(record.state.health is health))
        latency.add_metric(label, float("nan") if record.latency is None else record.latency)
        probed.add_metric(label, record.last_probe or 0)
        good.add_metric(label, record.last_good or 0)
        for mode in AdminMode:
            admin.add_metric([*label, mode], float(record.admin is mode))
        slow.add_metric(label, float(record.speed.slow))
    yield from (up, state, latency, probed, good, admin, slow)


def _counters(records: Sequence[Record]) -> Iterator[Metric]:
    transitions = _counter("node_transitions", "Changes of health.", ["node", "to"])
    slots = _counter("node_slots", "Slots by verdict: the SLI.", ["node", "verdict"])
    probes = _counter("probes", "Probes by result, rechecks included.", ["node", "result"])
    failures = _counter("probe_failures", "Probes without success, why.", ["node", "reason"])
    for record in records:
        label = [record.node.id]
        for health in Health:
            transitions.add_metric([*label, health], record.transitions[health])
        for verdict in SlotVerdict:
            slots.add_metric([*label, verdict], record.slots[verdict])
        for outcome in Outcome:
            probes.add_metric([*label, outcome], record.probes[outcome])
        for reason in Reason:
            failures.add_metric([*label, reason], record.failures[reason])
    yield from (transitions, slots, probes, failures)


def _gauge(name: str, text: str, labels: Sequence[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, labels=labels)


def _counter(name: str, text: str, labels: Sequence[str]) -> CounterMetricFamily:
    return CounterMetricFamily(PREFIX + name, text, labels=labels)
