"""Jobs that run once and end: probing a fleet from the command line, asking the engine about it."""

import os
from collections.abc import Callable, Mapping, Sequence

import trio

from healthd import endpoints, startup
from healthd.config import Config
from healthd.engines.carrying import carrier
from healthd.engines.check import find_refused
from healthd.engines.dialect import Engine, EngineName
from healthd.engines.program import Programs, programs
from healthd.engines.tunnels import Tunnels
from healthd.errors import ConfigError, EngineRejected, LinkError, Problem
from healthd.fleet import links
from healthd.model import Node, Result
from healthd.probing.prober import Prober

AT_ONCE = 50
"""Probes in flight: a burst of more would measure this machine instead of the nodes."""

PER_CLIENT = 500
"""Nodes that share a client."""


Engines = Mapping[EngineName, Engine]


def _programs(config: Config, engines: Engines) -> Programs:
    owner = f"one shot {os.getpid()}"
    return programs(engines, owner=owner, ca_file=config.engines.ca_file)


def fleet_of_link(link: str) -> tuple[Node, ...]:
    """A fleet of one, from a share link.

    Raises:
        ConfigError: the link is malformed.
    """
    try:
        endpoint, name = links.parse(link)
    except LinkError as why:
        raise ConfigError("--link", [Problem("", f"malformed link, {why}")]) from why
    return (
        Node(
            id=name or "link",
            name=name,
            endpoint=endpoint,
            fingerprint=endpoints.fingerprint(endpoint),
        ),
    )


async def refused(fleet: Sequence[Node], config: Config, engines: Engines) -> dict[str, str]:
    """The nodes that their engine refuses, or that none here can carry, by id: why."""
    found: dict[str, str] = {}
    carried: dict[EngineName, dict[str, Node]] = {name: {} for name in engines}
    for node in fleet:
        try:
            name = carrier(node.endpoint, config.engines.hysteria2, engines)
        except EngineRejected as why:
            found[node.id] = why.words
        else:
            carried[name][node.id] = node
    for name, program in _programs(config, engines).items():
        words = await find_refused(program, carried[name])
        found |= {key: f"{program.dialect.title} refuses it: {why}" for key, why in words.items()}
    return found


async def probe(
    fleet: Sequence[Node], config: Config, engines: Engines, on_result: Callable[[], None]
) -> list[tuple[Node, Result]]:
    """Probe every node once; the results in the order of the fleet.

    Args:
        fleet: The nodes.
        config: Check URLs and deadline.
        engines: The engines that were found.
        on_result: Called after each.
    """
    results: dict[str, Result] = {}
    for first in range(0, len(fleet), PER_CLIENT):
        batch = fleet[first : first + PER_CLIENT]
        async with trio.open_nursery() as clients:
            prober = _prober(batch, config, engines, clients)
            await _probe_batch(batch, prober, results, on_result)
            clients.cancel_scope.cancel(reason="all probed")
    return [(node, results[node.id]) for node in fleet]


async def _probe_batch(
    batch: Sequence[Node], prober: Prober, results: dict[str, Result], on_result: Callable[[], None]
) -> None:
    slots = trio.CapacityLimiter(AT_ONCE)

    async def one(node: Node) -> None:
        async with slots:
            results[node.id] = await prober.probe(node)
        on_result()

    async with trio.open_nursery() as nursery:
        for node in batch:
            nursery.start_soon(one, node)


def _prober(
    batch: Sequence[Node], config: Config, engines: Engines, clients: trio.Nursery
) -> Prober:
    tunnels = Tunnels(
        _programs(config, engines),
        clients,
        hysteria2=config.engines.hysteria2,
        shift_mates=lambda _: batch,
        shift=float("inf"),
        max_clients=2,
        shift_clients=1,
    )
    return Prober(
        tunnels,
        urls=config.probe.urls,
        self_check_urls=config.self_check_urls,
        expect_status=config.probe.expect_status,
        deadline=config.probe.deadline,
        tls=startup.load_tls(config),
    )
