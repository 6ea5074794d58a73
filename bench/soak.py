"""Minutes at high speed: do memory, descriptors and children stay flat?

50 real nodes, probed every second; every ten seconds one of them is killed, and the one before is
brought back, so that every path is walked. Usage: python bench/soak.py [--minutes 10] [--nodes 50]
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import trio
from sampling import Sample, probes, sample, slope

from healthd.demo.fleet import Fleet, open_fleet
from healthd.demo.running import RunningDaemon, start_daemon, write_config
from healthd.engines.find import find_xray

SPEED = {
    "probe": {"interval": "1s", "deadline": "900ms", "shift": "500ms", "fast_interval": "200ms"},
}
WARM_UP = 300.0
"""Seconds left out of the fit: caches and the allocator's pools fill."""

PERIOD = 5.0

COLUMNS: dict[str, Callable[[Sample], float]] = {
    "daemon MiB": lambda s: s.daemon_rss / 2**20,
    "clients MiB": lambda s: s.clients_rss / 2**20,
    "descriptors": lambda s: s.descriptors,
    "children": lambda s: s.clients,
}


async def churn(fleet: Fleet) -> None:
    """Kill one node after the other, and bring each back."""
    ids = list(fleet.servers)
    while True:
        for node_id in ids:
            await fleet.kill(node_id)
            await trio.sleep(10)
            await fleet.restore(node_id)


async def watch(daemon: RunningDaemon, minutes: float) -> list[tuple[float, Sample]]:
    began, seen = trio.current_time(), list[tuple[float, Sample]]()
    print("  min  " + "  ".join(f"{name:>11}" for name in COLUMNS) + "     probes")
    while (elapsed := trio.current_time() - began) < minutes * 60:
        seen.append((elapsed, sample(daemon.pid)))
        if len(seen) % 12 == 1:
            count = sum(probes((await daemon.get("/metrics")).text).values())
            row = "  ".join(f"{read(seen[-1][1]):11.1f}" for read in COLUMNS.values())
            print(f"{elapsed / 60:5.1f}  {row}  {count:9d}", flush=True)
        await trio.sleep(PERIOD)
    return seen


async def soak(minutes: float, nodes: int) -> None:
    directory = Path(tempfile.mkdtemp(prefix="healthd-soak-"))
    ids = [f"node-{number}" for number in range(nodes)]
    async with open_fleet(find_xray().path, ids, checks=2) as fleet:
        config = write_config(fleet, directory, change=SPEED)
        async with start_daemon(config) as daemon, trio.open_nursery() as nursery:
            await daemon.wait_until(lambda: len(daemon.links()) == nodes, 60, "all published")
            nursery.start_soon(churn, fleet)
            seen = await watch(daemon, minutes)
            nursery.cancel_scope.cancel()
    fitted = [(at, one) for at, one in seen if at >= min(WARM_UP, minutes * 15)]
    print("slope per hour, with its standard error:")
    for name, read in COLUMNS.items():
        rise, error = slope([(at / 3600, read(one)) for at, one in fitted])
        print(f"  {name:>11}: {rise:+8.2f} ± {error:.2f}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--nodes", type=int, default=50)
    chosen = options.parse_args()
    trio.run(soak, chosen.minutes, chosen.nodes)


if __name__ == "__main__":
    main()
