"""One VPN server of a fleet: where it is, what it is told, and its process while it runs."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from healthd.demo.kind import Kind
from healthd.demo.materials import Access, KeyPair
from healthd.endpoints import Endpoint
from healthd.engines.ports import reserve_port
from healthd.fleet import links


@dataclass
class Server:
    """One server; :class:`healthd.demo.fleet.Fleet` starts, hurts and ends it."""

    id: str
    kind: Kind
    access: Access = field(repr=False)
    pid: int | None = None
    cut_off: frozenset[int] = frozenset()
    """Ports that it carries nothing to, from its next start on."""
    running: trio.CancelScope | None = field(default=None, repr=False)
    ended: trio.Event | None = field(default=None, repr=False)

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self.access.port

    @property
    def keys(self) -> KeyPair:
        """Its REALITY keys, if it uses any."""
        return self.access.materials.reality

    @property
    def endpoint(self) -> Endpoint:
        """What a client needs to know."""
        return self.kind.endpoint(self.access)

    @property
    def link(self) -> str:
        """The share link an operator would write into config.toml."""
        return links.write(self.endpoint, self.id)

    @asynccontextmanager
    async def occupied(self) -> AsyncIterator[None]:
        """Something stands in its place while the block runs, until it is killed."""
        self.running, self.ended = trio.CancelScope(), trio.Event()
        try:
            with self.running:
                yield
        finally:
            self.pid = self.running = None
            self.ended.set()


def mute_listener(server: Server) -> socket.socket:
    """A socket in a server's place that takes what comes, and never answers."""
    if not server.kind.udp:
        listener = reserve_port(server.port)
        listener.listen(1024)
        return listener
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", server.port))
    return silent
