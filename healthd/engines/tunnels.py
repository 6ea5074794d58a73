"""Tunnels are leased, not spawned: `async with tunnels.open(node) as tunnel:` is all a probe knows.

Behind it, the nodes whose slots fall into the same shift share one short-lived engine process: it
costs 20-25 ms of CPU to start whether it carries one node or a hundred. The process is killed when
its shift is over and its last lease has ended, so nothing can leak for weeks.

Each node is carried by the engine that can (:mod:`healthd.engines.carrying`): a shift has one
client for each engine its nodes need, and rechecks gather by engine as well. Nodes that one process
could not tell apart (:attr:`Dialect.conflict`) are never put into one.

Rechecks of suspects run in other clients, so that a shift's trouble is never their cause. Rechecks
that fall due while one is being gathered share it, because a mass failure must not mean a process
per node. Shift clients are never kept waiting by rechecks: these share what `max_clients` leaves
over, and gather in fewer, larger clients when that is little.

A node that the engine refuses is found by the engine's own words (or by halving, when these name
nobody), set aside for ten minutes, and its neighbours start without it.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from socket import socket

import trio

from healthd.engines.carrying import Preference, apart, carrier
from healthd.engines.client import Client
from healthd.engines.dialect import EngineName
from healthd.engines.ports import reserve_port
from healthd.engines.program import Programs
from healthd.engines.starting import Gathering, Refusals, Starter
from healthd.engines.tunnel import Tunnel
from healthd.errors import EngineFailed, EngineRejected
from healthd.model import Node, Reason

GATHER = 0.1
"""Seconds a recheck client waits for company."""


class Tunnels:
    """The shared clients; one instance per daemon.

    Args:
        programs: The engines that are installed.
        hysteria2: Which of them carries Hysteria2, if it can.
        nursery: Where the client processes live.
        shift_mates: Gives the nodes whose slots share a shift with this one.
        shift: Seconds that a shift client takes new leases.
        max_clients: The most processes of one engine at a time.
        shift_clients: How many of these are kept for shifts.
        on_start: Told the engine and the outcome of every start: "ready", "refused", "port_taken"
            or "failed".
        reserve: Gives each client its port.
    """

    def __init__(
        self,
        programs: Programs,
        nursery: trio.Nursery,
        *,
        hysteria2: Preference = "xray",
        shift_mates: Callable[[Node], Iterable[Node]],
        shift: float,
        max_clients: int,
        shift_clients: int,
        on_start: Callable[[EngineName, str], None] = lambda _, __: None,
        reserve: Callable[[], socket] = reserve_port,
    ) -> None:
        self._hysteria2 = hysteria2
        self._nursery = nursery
        self._shift_mates = shift_mates
        self._shift = shift
        self._refusals = Refusals()
        self._engines = {
            name: Starter(
                program,
                self._refusals,
                shift_clients=shift_clients,
                recheck_clients=max(1, max_clients - shift_clients),
                on_start=on_start,
                reserve=reserve,
            )
            for name, program in programs.items()
        }
        self._by_node: dict[str, Client] = {}
        self.clients = 0
        """Engine processes alive now."""

    @asynccontextmanager
    async def open(self, node: Node, *, recheck: bool = False) -> AsyncIterator[Tunnel]:
        """Lease a tunnel through ``node``; waits until its client is ready.

        Args:
            node: The node to go through.
            recheck: Use a fresh client instead of the shift's.

        Raises:
            EngineRejected: the engine refuses this node's settings, or none here can carry it.
            EngineFailed: no client could be started; that says nothing about the node.
        """
        if (words := self._refusals.of(node)) is not None:
            raise EngineRejected(words)
        engine = self._engines[self._carrier(node)]
        if recheck:
            client = await self._recheck_client(engine, node)
        else:
            client = self._shift_client(engine, node)
        client.leases += 1
        try:
            await client.ready.wait()
            if node.id in client.refused:
                raise EngineRejected(client.refused[node.id])
            if client.ended is not None:
                # A copy: one instance raised in many tasks would collect all their tracebacks.
                raise EngineFailed(client.ended.reason, client.ended.words)
            yield Tunnel(client.port, client.tags[node.id], client.password, client)
        finally:
            client.leases -= 1
            client.end_if_idle()

    def engine_of(self, node: Node) -> EngineName | None:
        """Which engine carries this node; None when no engine that is here can."""
        try:
            return self._carrier(node)
        except EngineRejected:
            return None

    def _carrier(self, node: Node) -> EngineName:
        return carrier(node.endpoint, self._hysteria2, self._engines)

    def _shift_client(self, engine: Starter, node: Node) -> Client:
        client = self._usable(node)
        if client is None:
            client, shift = self._new_client(engine, node)
            self._by_node.update(dict.fromkeys(client.tags, client))
            self._nursery.start_soon(self._work, engine, engine.shift_limit, client, shift)
        return client

    def _new_client(self, engine: Starter, node: Node) -> tuple[Client, float]:
        """A client for this node and the mates that have none; and the seconds of its shift."""
        dialect = engine.dialect
        mates = [
            mate
            for mate in self._shift_mates(node)
            if mate.id != node.id
            and self._refusals.of(mate) is None
            and self.engine_of(mate) is dialect.name
        ]
        key = dialect.conflict(node.endpoint)
        rivals = [mate for mate in mates if dialect.conflict(mate.endpoint) == key]
        if key is not None and any(self._usable(rival) for rival in rivals):
            # The shift's client has its rival: this one goes alone, for as long as it takes.
            return Client([node], dialect), 0.0
        left = [mate for mate in mates if self._usable(mate) is None]
        return Client(apart([node, *left], dialect)[0], dialect), self._shift

    def _usable(self, node: Node) -> Client | None:
        """The shift client that takes leases on this node, if there is one."""
        client = self._by_node.get(node.id)
        if client is None or client.retired or client.ended is not None:
            return None
        # After a reload the same id may stand for another endpoint.
        return client if client.carries(node) else None

    async def _recheck_client(self, engine: Starter, node: Node) -> Client:
        """Join the recheck client that is being gathered, or begin to gather one."""
        if engine.gathering is None:
            engine.gathering = Gathering()
            self._nursery.start_soon(self._gather, engine, engine.gathering)
        gathering = engine.gathering
        gathering.nodes[node.id] = node
        await gathering.over.wait()
        return gathering.clients[node.id]

    async def _gather(self, engine: Starter, gathering: Gathering) -> None:
        # Nodes go on joining while this waits for its turn, so that a mass failure makes the
        # clients larger instead of more numerous.
        await trio.sleep(GATHER)
        async with engine.recheck_limit:
            engine.gathering = None
            groups = apart(gathering.nodes.values(), engine.dialect)
            first, *others = (Client(group, engine.dialect) for group in groups)
            for client in (first, *others):
                gathering.clients.update(dict.fromkeys(client.tags, client))
            gathering.over.set()
            # Nobody joins them any more: they end with their last lease instead of after a shift.
            for client in others:
                self._nursery.start_soon(self._work, engine, engine.recheck_limit, client, 0.0)
            await self._live(engine, first, shift=0.0)

    async def _work(
        self, engine: Starter, limit: trio.Semaphore, client: Client, shift: float
    ) -> None:
        async with limit:
            await self._live(engine, client, shift)

    async def _live(self, engine: Starter, client: Client, shift: float) -> None:
        """The life of one client: start, serve a shift, end with its last lease."""
        self.clients += 1
        try:
            with client.scope:
                await engine.serve(client, shift)
        except EngineFailed as why:
            client.ended = why
        finally:
            self.clients -= 1
            client.ended = client.ended or EngineFailed(Reason.ENGINE_EXIT, "the client has ended")
            client.ready.set()
            for node_id in client.tags:
                if self._by_node.get(node_id) is client:
                    del self._by_node[node_id]
