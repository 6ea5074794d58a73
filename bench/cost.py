"""CPU per probe and memory of the daemon and its engines, by fleet size.

A loopback fleet of real REALITY + Vision servers in a process of its own, counted apart; the check
URL is served by this script. Usage: python bench/cost.py [--sizes 4,100,1000] [--seconds 90]
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import trio
from sampling import Sample, probes, sample

from healthd.demo.fleet import open_fleet
from healthd.demo.running import RunningDaemon, start_daemon, write_config
from healthd.engines.find import find_xray

PRODUCTION = {
    "probe": {"interval": "30s", "deadline": "10s", "fast_interval": "5s", "shift": "5s"},
}


async def measure(size: int, seconds: float, https: bool) -> None:
    ids = [f"node-{number}" for number in range(size)]
    directory = Path(tempfile.mkdtemp(prefix="healthd-cost-"))
    async with open_fleet(find_xray().path, ids, https=https, together=True) as fleet:
        change = {"probe": dict(PRODUCTION["probe"])}
        if https:
            change["probe"]["ca_file"] = str(fleet.directory / "ca.pem")
        config = write_config(fleet, directory, change=change)
        async with start_daemon(config) as daemon:
            with trio.fail_after(60 + size / 50):
                await daemon.wait_event("config_published")
            await report(daemon, size, seconds)


async def report(daemon: RunningDaemon, size: int, seconds: float) -> None:
    first, before = sample(daemon.pid), probes((await daemon.get("/metrics")).text)
    began, seen = trio.current_time(), list[Sample]()
    while trio.current_time() - began < seconds:
        await trio.sleep(1)
        seen.append(sample(daemon.pid))
    last, after = seen[-1], probes((await daemon.get("/metrics")).text)
    elapsed = trio.current_time() - began
    count = sum(after.values()) - sum(before.values())
    daemon_ms = (last.daemon_cpu - first.daemon_cpu) / count * 1000
    engines_ms = (last.engines_cpu - first.engines_cpu) / count * 1000
    cpu = (last.daemon_cpu - first.daemon_cpu + last.engines_cpu - first.engines_cpu) / elapsed
    status = await daemon.status()
    latencies = [node["latency_ms"] for node in status["nodes"] if node["latency_ms"] is not None]
    print(
        f"{size:6d} {count:7d} {after.get('failure', 0):4d} {daemon_ms:9.2f} {engines_ms:10.2f} "
        f"{cpu * 100:6.2f} {max(s.daemon_rss for s in seen) / 2**20:9.0f} "
        f"{statistics.mean(s.clients_rss for s in seen) / 2**20:9.0f} "
        f"{max(s.clients_rss for s in seen) / 2**20:8.0f} "
        f"{max(s.descriptors for s in seen):4d} {statistics.median(latencies):7.1f}",
        flush=True,
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sizes", default="4,100,1000")
    options.add_argument("--seconds", type=float, default=90.0)
    options.add_argument("--https", action="store_true")
    chosen = options.parse_args()
    print(f"python {sys.version.split()[0]}, interval 30 s, {'https' if chosen.https else 'http'}")
    print(
        " nodes  probes fail daemon_ms engines_ms   cpu% daemonMiB clientsMiB peakMiB  fds  med_ms"
    )
    for size in map(int, chosen.sizes.split(",")):
        trio.run(measure, size, chosen.seconds, chosen.https)


if __name__ == "__main__":
    main()
