"""A scenario of the bulk check: it finds the paths that are cut after 16 KB, and only those."""

from dataclasses import replace
from pathlib import Path

import trio

from healthd.demo.checkurl import CheckUrl, bulk_answer
from healthd.demo.fleet import Fleet, open_fleet
from healthd.demo.running import OPEN_GATE, RunningDaemon, start_daemon
from healthd.fleet import links
from tests.e2e.choke import Choke, Cut, choked
from tests.e2e.support import (
    FALL_LIMIT,
    swift_config,
    transitions,
    wait_healths,
    wait_probed,
)
from tests.e2e.test_failover import add_nodes

LIMIT = 16 * 1024
IDS = ["frozen", "closed", "well"]


async def cut_after_16_kb(xray: str, directory: Path) -> None:
    """Nodes that pass the small check and cut the large one go, and come back when it is over.

    A bulk server that is down for all blames nobody, and costs nobody his place.
    """
    async with (
        open_fleet(xray, ["one", "two", "well"], checks=2) as fleet,
        trio.open_nursery() as nursery,
    ):
        bulk = CheckUrl(nursery, answer=bulk_answer(65536))
        await bulk.start()
        chokes = {
            "frozen": Choke(fleet.servers["one"].port, Cut.SILENCE),
            "closed": Choke(fleet.servers["two"].port, Cut.CLOSE),
        }
        async with choked(*chokes.values()):
            config = bulk_config(fleet, directory, bulk, chokes)
            async with start_daemon(config) as daemon:
                await whole_at_first(daemon, bulk, chokes)
                await cut_and_mended(daemon, chokes)
                await server_is_to_blame(daemon, bulk)
        nursery.cancel_scope.cancel()


def bulk_config(fleet: Fleet, directory: Path, bulk: CheckUrl, chokes: dict[str, Choke]) -> Path:
    """The third server as it is, the other two through their chokes; a bulk check in every slot."""
    behind = {"frozen": fleet.servers.pop("one"), "closed": fleet.servers.pop("two")}
    change = {"probe": {"bulk_url": bulk.url, "bulk_every": 1}, "gate": OPEN_GATE}
    config = swift_config(fleet, directory, change)
    choked_links = {
        node_id: links.write(replace(server.endpoint, port=chokes[node_id].port))
        for node_id, server in behind.items()
    }
    add_nodes(config, choked_links)
    return config


async def whole_at_first(daemon: RunningDaemon, bulk: CheckUrl, chokes: dict[str, Choke]) -> None:
    """While nothing is cut, 64 KiB come through every node, and all are up."""
    await daemon.wait_until(lambda: set(daemon.links()) == set(IDS), 30, "published")
    await wait_probed(daemon, IDS, 2, result="success")
    assert bulk.requests >= 3
    assert all(choke.most > 65536 for choke in chokes.values())
    await daemon.wait_event("bulk_server_fit")


async def cut_and_mended(daemon: RunningDaemon, chokes: dict[str, Choke]) -> None:
    """Cut after 16 KB: the small check passes still, the large one does not. Then all is well."""
    for choke in chokes.values():
        choke.limit = LIMIT
    for node_id, words in (("frozen", "then silence"), ("closed", "of 65536 bytes, then closed")):
        down = await daemon.wait_event("node_down", node=node_id)
        assert down["reason"] == "truncated"
        assert words in down["detail"]
    await daemon.wait_until(lambda: daemon.links() == ["well"], 10, "the cut ones have gone")
    for node_id in chokes:
        # Such a failure is one behind a small answer that was good.
        cut = await daemon.metric("probe_failures_total", node=node_id, reason="truncated")
        assert cut >= 3.0
    assert await daemon.metric("probe_failures_total", node="well", reason="truncated") == 0.0

    for choke in chokes.values():
        choke.limit = None
    await wait_healths(daemon, dict.fromkeys(IDS, "up"))
    await daemon.wait_until(lambda: set(daemon.links()) == set(IDS), 10, "all are back")


async def server_is_to_blame(daemon: RunningDaemon, bulk: CheckUrl) -> None:
    """When the bulk URL answers nobody, that is told, and the small check alone decides."""
    said = len(transitions(daemon))
    bulk.stop()
    with trio.fail_after(FALL_LIMIT):
        await daemon.wait_event("bulk_server_unfit")
    await wait_probed(daemon, IDS, 3, result="success")
    assert transitions(daemon)[said:] == []
    assert set(daemon.links()) == set(IDS)
