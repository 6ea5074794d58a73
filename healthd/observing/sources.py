"""The metrics of sources: rendered from their statuses at each scrape, gone with their source."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from healthd.fleet.subscriptions import Outcome
from healthd.observing.metrics import PREFIX
from healthd.sourcing.status import Fetch, Status


class SourceCollector(Collector):
    """Renders them.

    Args:
        statuses: Gives how the sources are.
    """

    def __init__(self, statuses: Callable[[], Sequence[Status]]) -> None:
        self._statuses = statuses

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are known without rendering anything."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        label = ["source"]
        ok = _gauge("source_ok", "Whether its latest answer is in force.", label)
        nodes = _gauge("source_nodes", "Nodes the fleet has of it.", label)
        success = _gauge(
            "source_last_success_timestamp_seconds", "When it last gave a good answer.", label
        )
        entries = _gauge(
            "source_entries",
            "Entries of the answer in force, by what became of them.",
            [*label, "outcome"],
        )
        fetches = CounterMetricFamily(
            f"{PREFIX}source_fetches",
            "Attempts to fetch it, and what became of them.",
            labels=[*label, "outcome"],
        )
        for status in self._statuses():
            name = status.name
            ok.add_metric([name], float(status.ok))
            nodes.add_metric([name], status.nodes)
            success.add_metric([name], status.last_success or 0)
            for outcome in Outcome:
                entries.add_metric([name, outcome], status.entries.get(outcome, 0))
            for fetch in Fetch:
                fetches.add_metric([name, fetch], status.fetches.get(fetch, 0))
        yield from (ok, nodes, success, entries, fetches)


def _gauge(name: str, text: str, labels: Sequence[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, labels=labels)
