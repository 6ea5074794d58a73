"""Real VPN servers on loopback that can be hurt on purpose.

Each server is an Xray process of its own (VLESS + REALITY + Vision), so that one can be killed,
stopped or replaced while the others run. Their REALITY target is one more Xray with a self-signed
certificate. Ports stay reserved while a server is down, so that it can come back to the same one.
"""

import json
import os
import shutil
import signal
import socket
import ssl
import tempfile
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio

from healthd.demo.checkurl import CheckUrl
from healthd.endpoints import Reality, Vless
from healthd.engines import process
from healthd.engines.ports import reserve_port
from healthd.fleet import links

SNI = "target.test"
_START_LIMIT = 20.0
"""Seconds for a server to listen; a busy two-core machine needs a fraction of a second."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A REALITY key pair."""

    private: str = field(repr=False)
    public: str = field(repr=False)


@dataclass
class Server:
    """One VPN server: where it is, who may use it, and its process while it runs."""

    id: str
    port: int
    user: str = field(repr=False)
    keys: KeyPair = field(repr=False)
    short_id: str = field(default="0123456789abcdef", repr=False)
    pid: int | None = None
    cut_off: frozenset[int] = frozenset()
    """Ports that it carries nothing to, from its next start on."""
    _running: trio.CancelScope | None = field(default=None, repr=False)
    _ended: trio.Event | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> Vless:
        """What a client needs to know."""
        return Vless(
            address="127.0.0.1",
            port=self.port,
            user=self.user,
            flow="xtls-rprx-vision",
            security=Reality(
                public_key=self.keys.public,
                server_name=SNI,
                fingerprint="chrome",
                short_id=self.short_id,
            ),
        )

    @property
    def link(self) -> str:
        """The share link an operator would write into config.toml."""
        return links.write(self.endpoint, self.id)


class Fleet:
    """The servers, their target, and the check URLs; see :func:`open_fleet`."""

    def __init__(self, xray: str, directory: Path, nursery: trio.Nursery) -> None:
        self.xray = xray
        self.directory = directory
        self.servers: dict[str, Server] = {}
        self.checks: list[CheckUrl] = []
        self._nursery = nursery
        self._held: list[socket.socket] = []
        self._owner = f"demo {directory}"
        self._target_port = 0

    async def key_pair(self) -> KeyPair:
        """Make a REALITY key pair."""
        words = dict(
            line.split(": ", 1) for line in (await self._ask("x25519")).splitlines() if ": " in line
        )
        return KeyPair(words["PrivateKey"], words["Password (PublicKey)"])

    async def start_target(self) -> None:
        """Start the TLS server that REALITY borrows its handshake from."""
        certificate = json.loads(await self._ask("tls", "cert", f"--domain={SNI}", "--json"))
        self._target_port = self._reserve()
        inbound = {
            "listen": "127.0.0.1",
            "port": self._target_port,
            "protocol": "vless",
            "settings": {"clients": [{"id": str(uuid.uuid4())}], "decryption": "none"},
            "streamSettings": {
                "network": "tcp",
                "security": "tls",
                "tlsSettings": {"alpn": ["h2", "http/1.1"], "certificates": [certificate]},
            },
        }
        await self._nursery.start(self._run, [inbound])
        await _wait_listening(self._target_port)

    def add(self, server_id: str, keys: KeyPair) -> Server:
        """Make a server known, with a port of its own. It does not run yet."""
        server = Server(server_id, self._reserve(), str(uuid.uuid4()), keys)
        self.servers[server_id] = server
        return server

    async def start(self, server_id: str) -> None:
        """Start a server that does not run; return when it listens."""
        server = self.servers[server_id]
        await self._nursery.start(self._run_server, server)
        await _wait_listening(server.port)

    async def start_together(self, ids: Sequence[str], keys: KeyPair) -> None:
        """Start many servers in one process: for benchmarks, not to be hurt one by one."""
        servers = [self.add(server_id, keys) for server_id in ids]
        inbounds = [_reality_inbound(server, self._target_port) for server in servers]
        await self._nursery.start(self._run, inbounds)
        await _wait_listening(servers[-1].port)

    def close(self) -> None:
        """Give the reserved ports back."""
        for held in self._held:
            held.close()

    async def kill(self, server_id: str) -> None:
        """End a server at once (kill -9): its port refuses from now on."""
        server = self.servers[server_id]
        assert server._running is not None
        assert server._ended is not None
        server._running.cancel()
        await server._ended.wait()

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
        if server._running is not None:
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

    async def _run_server(
        self, server: Server, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with _occupied(server):
            inbound = _reality_inbound(server, self._target_port)
            run = partial(self._run, [inbound], server.cut_off)
            async with trio.open_nursery() as nursery:
                server.pid = await nursery.start(run)
                task_status.started()
            server.pid = None

    async def _be_mute(
        self, server: Server, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with _occupied(server):
            with reserve_port(server.port) as listener:
                listener.listen(1024)
                task_status.started()
                await trio.sleep_forever()

    async def _run(
        self,
        inbounds: list[dict[str, Any]],
        cut_off: frozenset[int] = frozenset(),
        task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        ports = ",".join(map(str, sorted(cut_off)))
        config = {
            "log": {"loglevel": "warning", "access": "none"},
            "inbounds": inbounds,
            "outbounds": [
                {"protocol": "freedom", "settings": {"finalRules": [{"action": "allow"}]}},
                {"protocol": "blackhole", "tag": "nowhere"},
            ],
            "routing": {"rules": [{"port": ports, "outboundTag": "nowhere"}] if ports else []},
        }
        await process.run(
            [self.xray, "run", "-c", "stdin:"],
            stdin=json.dumps(config).encode(),
            on_output=lambda _: None,
            owner=self._owner,
            task_status=task_status,
        )


@asynccontextmanager
async def _occupied(server: Server) -> AsyncIterator[None]:
    """Something stands in the server's place while the block runs, until it is killed."""
    server._running, server._ended = trio.CancelScope(), trio.Event()
    try:
        with server._running:
            yield
    finally:
        server.pid = server._running = None
        server._ended.set()


def _reality_inbound(server: Server, target_port: int) -> dict[str, Any]:
    client = {"id": server.user, "email": "demo|probe", "flow": "xtls-rprx-vision"}
    return {
        "listen": "127.0.0.1",
        "port": server.port,
        "protocol": "vless",
        "settings": {"clients": [client], "decryption": "none"},
        "streamSettings": {
            "network": "tcp",
            "security": "reality",
            "realitySettings": {
                "target": f"127.0.0.1:{target_port}",
                "serverNames": [SNI],
                "privateKey": server.keys.private,
                "shortIds": [server.short_id],
            },
        },
    }


async def _wait_listening(port: int) -> None:
    with trio.fail_after(_START_LIMIT):
        while True:
            try:
                async with await trio.open_tcp_stream("127.0.0.1", port):
                    return
            except OSError:
                await trio.sleep(0.02)


async def _check_tls(fleet: Fleet) -> ssl.SSLContext:
    """A server context for https check URLs; clients verify it with ``ca.pem``."""
    certificate = json.loads(await fleet._ask("tls", "cert", "--domain=localhost", "--json"))
    public = fleet.directory / "ca.pem"
    private = fleet.directory / "key.pem"
    public.write_text("\n".join(certificate["certificate"]) + "\n")
    private.touch(0o600)
    # Xray labels its PKCS#8 key as an RSA one, which OpenSSL refuses.
    key = "\n".join(certificate["key"]).replace("RSA PRIVATE KEY", "PRIVATE KEY")
    private.write_text(key + "\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context


@asynccontextmanager
async def open_fleet(
    xray: str, ids: Sequence[str], *, checks: int = 1, https: bool = False, together: bool = False
) -> AsyncIterator[Fleet]:
    """Run a fleet for as long as the block lasts.

    Args:
        xray: Path of the Xray binary.
        ids: Names of the servers, all started.
        checks: How many check-URL servers to run.
        https: Whether these speak https, verified by ``fleet.directory / "ca.pem"``.
        together: Run all servers in one process, which is lighter but cannot be hurt singly.
    """
    directory = Path(tempfile.mkdtemp(prefix="healthd-fleet-"))
    try:
        async with trio.open_nursery() as nursery:
            fleet = Fleet(xray, directory, nursery)
            tls = await _check_tls(fleet) if https else None
            for _ in range(checks):
                fleet.checks.append(CheckUrl(nursery, tls))
                await fleet.checks[-1].start()
            await fleet.start_target()
            keys = await fleet.key_pair()
            if together:
                await fleet.start_together(ids, keys)
            else:
                async with trio.open_nursery() as starting:
                    for server_id in ids:
                        fleet.add(server_id, keys)
                        starting.start_soon(fleet.start, server_id)
            try:
                yield fleet
            finally:
                fleet.close()
            nursery.cancel_scope.cancel()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
