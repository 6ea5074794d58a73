"""How the families of a collector are called: each name has our prefix."""

from collections.abc import Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

NAMESPACE = "healthd"


def gauge(name: str, text: str, labels: Sequence[str]) -> GaugeMetricFamily:
    """A family of gauges; ``text`` is its help."""
    return GaugeMetricFamily(f"{NAMESPACE}_{name}", text, labels=labels)


def counter(name: str, text: str, labels: Sequence[str]) -> CounterMetricFamily:
    """A family of counters; ``_total`` is added to the name."""
    return CounterMetricFamily(f"{NAMESPACE}_{name}", text, labels=labels)
