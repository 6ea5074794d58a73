"""Real VPN servers on loopback that can be hurt on purpose.

Each server is a process of its own, so that one can be killed, stopped or replaced while the others
run. The target of those with REALITY is one more Xray with a self-signed certificate. TCP ports
stay reserved while a server is down, so that it can come back to the same one.
"""

import os
import shutil
import signal
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from healthd.demo.checkurl import CheckUrl
from healthd.demo.kind import Kind, target_inbound
from healthd.demo.kinds import DEFAULT, KINDS
from healthd.demo.materials import (
    NODE_NAME,
    TARGET_NAME,
    Access,
    KeyPair,
    Materials,
    make_certificate,
    make_encryption,
    make_inline_certificate,
    make_reality_keys,
)
from healthd.demo.server import Server, mute_listener
from healthd.demo.serving import serve, singbox_config, xray_config
from healthd.demo.warming import warm_up
from healthd.endpoints import Reality, Vless
from healthd.engines import process
from healthd.engines.ports import reserve_port


class Fleet:
    """The servers, their target, and the check URLs; see :func:`open_fleet`."""

    def __init__(self, engines: Mapping[str, str], directory: Path, nursery: trio.Nursery) -> None:
        self.engines = engines
        self.directory = directory
        self.servers: dict[str, Server] = {}
        self.checks: list[CheckUrl] = []
        self._nursery = nursery
        self._held: list[socket.socket] = []
        self._owner = f"demo {directory}"
        self._materials: Materials | None = None

    @property
    def xray(self) -> str:
        """Path of the Xray binary."""
        return self.engines["xray"]

    @property
    def ca_file(self) -> Path | None:
        """What clients must trust to reach all servers; None when nothing special."""
        certified = [s for s in self.servers.values() if s.kind.certified]
        return certified[0].access.materials.certificate.path if certified else None

    async def key_pair(self) -> KeyPair:
        """Make a REALITY key pair."""
        return await make_reality_keys(self._ask)

    async def prepare(self) -> None:
        """Make keys and a certificate, and start what REALITY borrows its handshake from."""
        found: dict[str, Any] = {}

        async def make(name: str, maker: Awaitable[object]) -> None:
            found[name] = await maker

        port = self._reserve()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(make, "reality", self.key_pair())
            nursery.start_soon(make, "encryption", make_encryption(self._ask))
            certificate = make_certificate(self._ask, NODE_NAME, self.directory)
            nursery.start_soon(make, "certificate", certificate)
            nursery.start_soon(self._start_target, port)
        self._materials = Materials(target_port=port, **found)

    async def _start_target(self, port: int) -> None:
        certificate = await make_inline_certificate(self._ask, TARGET_NAME)
        inbound = target_inbound(port, certificate)
        await self._nursery.start(self._serve, "xray", xray_config([inbound], frozenset()))

    def add(self, server_id: str, kind: str | Kind = DEFAULT) -> Server:
        """Make a server known, with a port of its own. It does not run yet.

        Args:
            server_id: Its name.
            kind: One of :data:`healthd.demo.kinds.KINDS` by name, or a kind of one's own.
        """
        assert self._materials is not None
        access = Access(self._reserve(), self._materials)
        server = Server(server_id, KINDS[kind] if isinstance(kind, str) else kind, access)
        self.servers[server_id] = server
        return server

    async def start(self, server_id: str) -> None:
        """Start a server that does not run; return when it listens."""
        await self._nursery.start(self._run_server, self.servers[server_id])

    async def start_together(self, ids: Sequence[str]) -> None:
        """Start many servers in one process: for benchmarks, not to be hurt one by one."""
        servers = [self.add(server_id) for server_id in ids]
        inbounds = [server.kind.inbound(server.access) for server in servers]
        config = xray_config(inbounds, frozenset())
        pid: int = await self._nursery.start(self._serve, "xray", config)
        await self._warm_up(servers[-1], pid)

    async def _warm_up(self, server: Server, pid: int) -> None:
        """Wait until a server that borrows another's handshake has had a look at it."""
        endpoint = server.endpoint
        if isinstance(endpoint, Vless) and isinstance(endpoint.security, Reality):
            target = server.access.materials.target_port
            await warm_up(self.xray, pid, endpoint, target, owner=self._owner)

    def close(self) -> None:
        """Give the reserved ports back."""
        for held in self._held:
            held.close()

    async def kill(self, server_id: str) -> None:
        """End a server at once (kill -9): its port refuses from now on."""
        server = self.servers[server_id]
        assert server.running is not None
        assert server.ended is not None
        server.running.cancel()
        await server.ended.wait()

    def freeze(self, server_id: str) -> None:
        """Stop a server (SIGSTOP): the kernel accepts connections, nobody answers."""
        pid = self.servers[server_id].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)

    def thaw(self, server_id: str) -> None:
        """Let a frozen server go on."""
        pid = self.servers[server_id].pid
        assert pid is not None
        os.kill(pid, signal.SIGCONT)

    async def mute(self, server_id: str) -> None:
        """Replace a server by a listener that accepts connections and carries nothing.

        This is the node that looks healthy to a ping. Undo it with :meth:`restore`.
        """
        await self.kill(server_id)
        await self._nursery.start(self._be_mute, self.servers[server_id])

    async def cut_off(self, server_id: str, *ports: int) -> None:
        """Let a server run, but carry nothing to these ports.

        This is the node whose address a check URL's operator blocks. Undo it with :meth:`restore`.
        """
        await self._restart(server_id, frozenset(ports))

    async def restore(self, server_id: str) -> None:
        """End whatever stands in a server's place, and start the server."""
        await self._restart(server_id, frozenset())

    async def _restart(self, server_id: str, cut_off: frozenset[int]) -> None:
        server = self.servers[server_id]
        if server.running is not None:
            await self.kill(server_id)
        server.cut_off = cut_off
        await self.start(server_id)

    def _reserve(self) -> int:
        self._held.append(reserve_port())
        port: int = self._held[-1].getsockname()[1]
        return port

    async def _ask(self, *words: str) -> str:
        output = bytearray()
        code = await process.run(
            [self.xray, *words], stdin=b"", on_output=output.extend, owner=self._owner
        )
        if code != 0:
            raise RuntimeError(f"xray {words[0]} failed: {output.decode(errors='replace')}")
        return output.decode()

    async def _serve(
        self, engine: str, config: dict[str, Any], task_status: trio.TaskStatus[int]
    ) -> None:
        path = self.engines[engine]
        await serve(engine, path, config, owner=self._owner, task_status=task_status)

    async def _run_server(
        self, server: Server, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with server.occupied():
            configure = xray_config if server.kind.engine == "xray" else singbox_config
            config = configure([server.kind.inbound(server.access)], server.cut_off)
            async with trio.open_nursery() as nursery:
                server.pid = pid = await nursery.start(self._serve, server.kind.engine, config)
                await self._warm_up(server, pid)
                task_status.started()
            server.pid = None

    async def _be_mute(
        self, server: Server, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with server.occupied():
            with mute_listener(server):
                task_status.started()
                await trio.sleep_forever()


async def _check_tls(fleet: Fleet) -> ssl.SSLContext:
    """A server context for https check URLs; clients verify it with ``ca.pem``."""
    certificate = await make_certificate(fleet._ask, "localhost", fleet.directory)
    certificate.path.rename(fleet.directory / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(fleet.directory / "ca.pem", certificate.key_path)
    return context


@asynccontextmanager
async def open_fleet(
    xray: str,
    ids: Sequence[str],
    *,
    sing_box: str | None = None,
    kinds: Mapping[str, str | Kind] | None = None,
    checks: int = 1,
    https: bool = False,
    together: bool = False,
) -> AsyncIterator[Fleet]:
    """Run a fleet for as long as the block lasts.

    Args:
        xray: Path of the Xray binary.
        ids: Names of the servers, all started.
        sing_box: Path of the sing-box binary, if a server's kind needs it.
        kinds: Kinds by id, as :meth:`Fleet.add` takes them; for all other servers it is the most
            usual one.
        checks: How many check-URL servers to run.
        https: Whether these speak https, verified by ``fleet.directory / "ca.pem"``.
        together: Run all servers in one process, which is lighter but cannot be hurt singly.
    """
    directory = Path(tempfile.mkdtemp(prefix="healthd-fleet-"))
    try:
        async with trio.open_nursery() as nursery:
            engines = {"xray": xray, **({"sing-box": sing_box} if sing_box else {})}
            fleet = Fleet(engines, directory, nursery)
            tls = await _check_tls(fleet) if https else None
            for _ in range(checks):
                fleet.checks.append(CheckUrl(nursery, tls))
                await fleet.checks[-1].start()
            await fleet.prepare()
            if together:
                await fleet.start_together(ids)
            else:
                async with trio.open_nursery() as starting:
                    for server_id in ids:
                        fleet.add(server_id, (kinds or {}).get(server_id, DEFAULT))
                        starting.start_soon(fleet.start, server_id)
            try:
                yield fleet
            finally:
                fleet.close()
            nursery.cancel_scope.cancel()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
