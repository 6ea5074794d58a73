"""The metrics of sources: rendered from their statuses at each scrape, gone with their source."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from healthd.fleet.subscriptions import Outcome
from healthd.observing.families import counter, gauge
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
        ok = gauge("source_ok", "Whether its latest answer is in force.", label)
        nodes = gauge("source_nodes", "Nodes the fleet has of it.", label)
        success = gauge(
            "source_last_success_timestamp_seconds", "When it last gave a good answer.", label
        )
        entries = gauge(
            "source_entries",
            "Entries of the answer in force, by what became of them.",
            [*label, "outcome"],
        )
        fetches = counter(
            "source_fetches", "Attempts to fetch it, and what became of them.", [*label, "outcome"]
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
