"""Tunnels are leased, not spawned: `async with tunnels.open(node) as tunnel:` is all a probe knows.

Behind it, the nodes whose slots fall into the same shift share one short-lived engine process: it
costs 20-25 ms of CPU to start whether it carries one node or a hundred. The process is killed when
its shift is over and its last lease has ended, so nothing can leak for weeks.

Rechecks of suspects run in other clients, so that a shift's trouble is never their cause. Rechecks
that fall due while one is being gathered share it, because a mass failure must not mean a process
per node. Shift clients are never kept waiting by rechecks: these share what `max_clients` leaves
over, and gather in fewer, larger clients when that is little.

A node that the engine refuses is found by the engine's own words (or by halving, when these name
nobody), set aside for ten minutes, and its neighbours start without it.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from socket import socket

import trio

from healthd.engines import xray
from healthd.engines.check import find_refused
from healthd.engines.client import Client, Refused
from healthd.engines.ports import reserve_port
from healthd.errors import EngineFailed, EngineRejected
from healthd.model import Node, Reason

REFUSAL_KEPT = 600.0
"""Seconds until a refused node is tried again: only another engine would change the answer."""

GATHER = 0.1
"""Seconds a recheck client waits for company."""

_PORT_TRIES = 3


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A leased way through one node: a SOCKS5 port and the account that is routed to it."""

    port: int
    user: str
    password: str = field(repr=False)
    client: Client = field(repr=False)

    @property
    def control(self) -> "Tunnel":
        """The way past the node: straight out of the same process."""
        return Tunnel(self.port, xray.CONTROL, self.password, self.client)

    @property
    def alive(self) -> bool:
        """Whether the engine process still runs."""
        return self.client.ended is None

    async def failure(self) -> tuple[Reason, str] | None:
        """Why the engine says this tunnel failed, redacted; None when it does not say."""
        return await self.client.failure(self.user)


class Tunnels:
    """The shared clients; one instance per daemon.

    Args:
        binary: Absolute path of the Xray binary.
        nursery: Where the client processes live.
        shift_mates: Gives the nodes whose slots share a shift with this one.
        shift: Seconds that a shift client takes new leases.
        max_clients: The most engine processes at a time.
        shift_clients: How many of these are kept for shifts.
        owner: The mark of our children; see :func:`healthd.engines.process.sweep`.
        on_start: Told the outcome of every start: "ready", "refused", "port_taken" or "failed".
        reserve: Gives each client its port.
    """

    def __init__(
        self,
        binary: str,
        nursery: trio.Nursery,
        *,
        shift_mates: Callable[[Node], Iterable[Node]],
        shift: float,
        max_clients: int,
        shift_clients: int,
        owner: str,
        on_start: Callable[[str], None] = lambda _: None,
        reserve: Callable[[], socket] = reserve_port,
    ) -> None:
        self._binary = binary
        self._nursery = nursery
        self._shift_mates = shift_mates
        self._shift = shift
        self._owner = owner
        self._on_start = on_start
        self._reserve = reserve
        self._shift_limit = trio.Semaphore(shift_clients)
        self._recheck_limit = trio.Semaphore(max(1, max_clients - shift_clients))
        self._by_node: dict[str, Client] = {}
        self._gathering: _Gathering | None = None
        self._refusals: dict[str, tuple[str, float]] = {}
        self.clients = 0
        """Engine processes alive now."""

    @asynccontextmanager
    async def open(self, node: Node, *, recheck: bool = False) -> AsyncIterator[Tunnel]:
        """Lease a tunnel through ``node``; waits until its client is ready.

        Args:
            node: The node to go through.
            recheck: Use a fresh client instead of the shift's.

        Raises:
            EngineRejected: the engine refuses this node's settings.
            EngineFailed: no client could be started; that says nothing about the node.
        """
        if (words := self._refusal(node)) is not None:
            raise EngineRejected(words)
        client = await self._recheck_client(node) if recheck else self._shift_client(node)
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

    def _refusal(self, node: Node) -> str | None:
        words, until = self._refusals.get(node.fingerprint, ("", 0.0))
        return words if trio.current_time() < until else None

    def _shift_client(self, node: Node) -> Client:
        client = self._by_node.get(node.id)
        stale = client is None or client.retired or client.ended is not None
        # After a reload the same id may stand for another endpoint.
        if client is None or stale or not client.carries(node):
            mates = [mate for mate in self._shift_mates(node) if self._refusal(mate) is None]
            client = Client(({mate.id: mate for mate in mates} | {node.id: node}).values())
            self._by_node.update(dict.fromkeys(client.tags, client))
            self._nursery.start_soon(self._work_shift, client)
        return client

    async def _recheck_client(self, node: Node) -> Client:
        """Join the recheck client that is being gathered, or begin to gather one."""
        if self._gathering is None:
            self._gathering = _Gathering()
            self._nursery.start_soon(self._gather, self._gathering)
        gathering = self._gathering
        gathering.nodes[node.id] = node
        await gathering.over.wait()
        assert gathering.client is not None  # noqa: S101 - set together with the event
        return gathering.client

    async def _gather(self, gathering: "_Gathering") -> None:
        # Nodes go on joining while this waits for its turn, so that a mass failure makes the
        # clients larger instead of more numerous.
        await trio.sleep(GATHER)
        async with self._recheck_limit:
            self._gathering = None
            gathering.client = Client(gathering.nodes.values())
            gathering.over.set()
            # Nobody joins it any more: it ends with its last lease instead of after a shift.
            await self._live(gathering.client, shift=0.0)

    async def _work_shift(self, client: Client) -> None:
        async with self._shift_limit:
            await self._live(client, self._shift)

    async def _live(self, client: Client, shift: float) -> None:
        """The life of one client: start, serve a shift, end with its last lease."""
        self.clients += 1
        try:
            with client.scope:
                await self._serve(client, shift)
        except EngineFailed as why:
            client.ended = why
        finally:
            self.clients -= 1
            client.ended = client.ended or EngineFailed(Reason.ENGINE_EXIT, "the client has ended")
            client.ready.set()
            for node_id in client.tags:
                if self._by_node.get(node_id) is client:
                    del self._by_node[node_id]

    async def _serve(self, client: Client, shift: float) -> None:
        """Run the client, without the nodes that the engine refuses."""
        ports = _PORT_TRIES
        while client.nodes:
            refused = await self._run(client, shift)
            if refused is not None:
                await self._set_aside(client, refused)
            elif not (ports := ports - 1):
                raise EngineFailed(Reason.FOREIGN_PORT, "every port tried was taken by another")

    async def _run(self, client: Client, shift: float) -> Refused | None:
        try:
            refused = await client.run(
                self._binary,
                owner=self._owner,
                reserve=self._reserve,
                shift=shift,
                on_ready=lambda: self._on_start("ready"),
            )
        except EngineFailed:
            if not client.ready.is_set():
                self._on_start("failed")
            raise
        if refused is None:
            self._on_start("port_taken")
        return refused

    async def _set_aside(self, client: Client, refused: Refused) -> None:
        try:
            found = await self._find(client, refused)
        except EngineFailed:
            # No node is to blame for it: an engine that takes nothing is an engine that fails.
            self._on_start("failed")
            raise
        self._on_start("refused")
        until = trio.current_time() + REFUSAL_KEPT
        for tag, words in found.items():
            node = client.refuse(tag, words)
            self._refusals[node.fingerprint] = (client.refused[node.id], until)

    async def _find(self, client: Client, refused: Refused) -> dict[str, str]:
        """The tags of the nodes that the engine refuses, with its words."""
        if refused.tag is not None:
            return {refused.tag: refused.words}
        found = await find_refused(self._binary, client.nodes, owner=self._owner)
        if not found:
            raise EngineFailed(
                Reason.SPAWN, f"the engine refuses its configuration: {refused.words}"
            )
        return found


@dataclass(slots=True)
class _Gathering:
    """Rechecks waiting for the client they will share."""

    nodes: dict[str, Node] = field(default_factory=dict)
    over: trio.Event = field(default_factory=trio.Event)
    client: Client | None = None
