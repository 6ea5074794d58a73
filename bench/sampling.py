"""Figures of a running daemon: CPU, memory, descriptors, children."""

from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Sample:
    """What the kernel says of the daemon and its engine processes at one moment."""

    daemon_rss: int
    clients_rss: int
    clients: int
    descriptors: int
    daemon_cpu: float
    engines_cpu: float
    """Of clients that have ended and were waited for, plus those alive."""


def sample(pid: int) -> Sample:
    """Look at the daemon with this process id."""
    daemon = psutil.Process(pid)
    times = daemon.cpu_times()
    rss = cpu = 0.0
    children = daemon.children()
    for child in children:
        with suppress(psutil.Error):
            rss += child.memory_info().rss
            alive = child.cpu_times()
            cpu += alive.user + alive.system
    return Sample(
        daemon.memory_info().rss,
        int(rss),
        len(children),
        daemon.num_fds(),
        times.user + times.system,
        times.children_user + times.children_system + cpu,
    )


def probes(metrics: str) -> dict[str, int]:
    """Probes counted so far, by result."""
    found: dict[str, int] = {}
    for line in metrics.splitlines():
        if line.startswith("healthd_probes_total"):
            result = line.partition('result="')[2].partition('"')[0]
            found[result] = found.get(result, 0) + int(float(line.split()[-1]))
    return found


def slope(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Least-squares slope of (x, y) points, and its standard error."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    residual = sum((y - mean_y - rise * (x - mean_x)) ** 2 for x, y in points)
    return rise, (residual / (n - 2) / spread) ** 0.5
