"""What belongs to a node or a publication, rendered from the board at each scrape."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from healthd.model import IN_SERVICE, AdminMode, Health, Outcome, Reason
from healthd.observing.families import counter, gauge
from healthd.publishing.formats import FORMATS
from healthd.publishing.publisher import Publication
from healthd.verdict.board import Board, Record
from healthd.verdict.decision import Decision, Mode
from healthd.verdict.ledger import SlotVerdict


class FleetCollector(Collector):
    """Nodes and publications, as they are at each scrape.

    Args:
        board: The nodes.
        publications: Gives what is published.
        decisions: Gives the gate's latest decision for each publication, by name.
    """

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
        """Nothing: else registering would render the whole fleet once."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        records = list(self._board)
        yield from _gauges(records)
        yield from _counters(records)
        yield from self._published(records)

    def _published(self, records: Sequence[Record]) -> Iterator[Metric]:
        label = ["publication"]
        node = gauge("node_published", "Whether users get the node.", ["publication", "node"])
        generation = gauge("publication_generation", "Generation being served.", label)
        timestamp = gauge("publication_timestamp_seconds", "When it was published.", label)
        nodes = gauge("publication_nodes", "Nodes in it.", label)
        mode = gauge("publication_mode", "1 for the mode in force.", [*label, "mode"])
        eligible = gauge("publication_eligible", "Nodes that count for its floor.", label)
        floor = gauge("publication_floor", "Nodes it holds at least.", label)
        service = gauge("publication_in_service", "Nodes of it that are in service.", label)
        held = gauge("publication_held", "Bad nodes that the brake keeps in it.", label)
        text = "Nodes that a format cannot express."
        left_out = gauge("publication_left_out", text, [*label, "format"])
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
    up = gauge("node_up", "Whether the node is good enough to be published.", ["node"])
    state = gauge("node_state", "1 for the node's health, 0 for the others.", ["node", "state"])
    latency = gauge("node_latency_seconds", "Of the latest good probe.", ["node"])
    probed = gauge("node_last_probe_timestamp_seconds", "When it was last probed.", ["node"])
    good = gauge("node_last_success_timestamp_seconds", "When that last went well.", ["node"])
    admin = gauge("node_admin", "1 for what an operator wants of the node.", ["node", "mode"])
    slow = gauge("node_slow", "Whether the node works, but slowly.", ["node"])
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
    transitions = counter("node_transitions", "Changes of health.", ["node", "to"])
    slots = counter("node_slots", "Slots by verdict: the SLI.", ["node", "verdict"])
    probes = counter("probes", "Probes by result, rechecks included.", ["node", "result"])
    failures = counter("probe_failures", "Probes without success, why.", ["node", "reason"])
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
