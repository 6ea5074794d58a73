"""Stand-ins for the world outside, and small helpers around them."""

import json
import os
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import psutil
import trio
import trio.testing

from healthd.endpoints import Endpoint, Reality, Vless, fingerprint
from healthd.engines.client import Client
from healthd.engines.process import OWNER
from healthd.engines.tunnel import Tunnel
from healthd.model import Node, Role

PUBLIC_KEY = "acaeUm7I44nRB-Qy2LNGxaxX60fRDdyNbxNlXkvlHlc"
USER = "b831381d-6324-4d53-ad4f-8cda48b30811"


def endpoint(*, port: int = 1, public_key: str = PUBLIC_KEY, user: str = USER) -> Vless:
    """A REALITY endpoint on loopback where, by default, nothing listens."""
    reality = Reality(public_key=public_key, server_name="target.test", short_id="0123456789abcdef")
    return Vless(
        address="127.0.0.1", port=port, user=user, flow="xtls-rprx-vision", security=reality
    )


def make_node(
    node_id: str,
    where: Endpoint | None = None,
    *,
    role: Role = Role.FAILOVER,
    tags: Sequence[str] = (),
) -> Node:
    """A node at this endpoint."""
    where = where or endpoint()
    return Node(
        id=node_id,
        name=node_id,
        endpoint=where,
        fingerprint=fingerprint(where),
        role=role,
        tags=frozenset(tags),
    )


async def wait_until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until the condition holds; fail after so many seconds."""
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.005)


def is_dead(pid: int) -> bool:
    """Whether a process has ended; an orphan may stay a zombie where nobody reaps."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def children_of(owner: str) -> list[int]:
    """Process ids of our children that bear this mark."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if child.environ().get(OWNER) == owner:
                found.append(child.pid)
        except psutil.Error:
            continue
    return found


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's powers: permissions hold in this block. Elsewhere it changes nothing."""
    if os.geteuid() != 0:
        yield
        return
    os.setresgid(65534, 65534, 0)
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)


# --- check URLs ------------------------------------------------------------------------------


async def ask(transport: httpx.AsyncBaseTransport, tunnel: Tunnel, url: str) -> tuple[int, bytes]:
    """Status and body of the answer that comes through a tunnel."""
    async with httpx.AsyncClient(
        transport=transport, trust_env=False, timeout=60, headers={"Connection": "close"}
    ) as client:
        answer = await client.get(url, extensions={"tunnel": tunnel, "max_body": 100_000})
        return answer.status_code, answer.content


def certificate(xray: str, folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server context for ``localhost``, and the file by which clients trust it."""
    answer = subprocess.run(
        [xray, "tls", "cert", "--domain=localhost", "--json"], capture_output=True, check=True
    )
    made = json.loads(answer.stdout)
    public, private = folder / "ca.pem", folder / "key.pem"
    public.write_text("\n".join(made["certificate"]) + "\n")
    # Xray labels its PKCS#8 key as an RSA one, which OpenSSL refuses.
    key = "\n".join(made["key"]).replace("RSA PRIVATE KEY", "PRIVATE KEY")
    private.write_text(key + "\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public


# --- a scripted SOCKS server -----------------------------------------------------------------

AUTHENTICATED = b"\x05\x02\x01\x00"
CONNECTED = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
SHAKEN = AUTHENTICATED + CONNECTED
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
GOOD = SHAKEN + NO_CONTENT


@dataclass(frozen=True, slots=True)
class First:
    """The first segment of a connection, taken apart."""

    raw: bytes
    user: str
    password: str
    host: str
    port: int
    rest: bytes
    """What came behind the handshake: a request, or a ClientHello."""
    at: float


def _take_apart(raw: bytes) -> First:
    assert raw[:4] == b"\x05\x01\x02\x01"
    user, behind = _counted(raw[4:])
    password, behind = _counted(behind)
    assert behind[:4] == b"\x05\x01\x00\x03"
    host, behind = _counted(behind[4:])
    port = int.from_bytes(behind[:2], "big")
    at = trio.current_time()
    return First(raw, user.decode(), password.decode(), host.decode(), port, behind[2:], at)


def _counted(data: bytes) -> tuple[bytes, bytes]:
    return data[1 : 1 + data[0]], data[1 + data[0] :]


Play = Callable[[trio.SocketStream, First], Awaitable[None]]
"""What happens on one connection after its first segment; the connection is closed behind it."""


def say(answer: bytes, *, then: str = "hold") -> Play:
    """Send the answer, then "hold" until the peer has gone, "close" or "reset"."""

    async def play(stream: trio.SocketStream, _: First) -> None:
        await stream.send_all(answer)
        if then == "hold":
            while await stream.receive_some(4096):
                pass
        elif then == "reset":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return play


def trickle(answer: bytes) -> Play:
    """Send the answer byte by byte, each only when the peer has read the one before."""

    async def play(stream: trio.SocketStream, _: First) -> None:
        for index in range(len(answer)):
            await stream.send_all(answer[index : index + 1])
            await trio.testing.wait_all_tasks_blocked()

    return play


@dataclass
class FakeSocks:
    """A SOCKS5 server on loopback that does what ``play`` says."""

    play: Play
    port: int = 0
    firsts: list[First] = field(default_factory=list)

    async def _serve_one(self, stream: trio.SocketStream) -> None:
        try:
            async with stream:
                raw = await stream.receive_some(65536)
                if raw:
                    self.firsts.append(_take_apart(bytes(raw)))
                    await self.play(stream, self.firsts[-1])
        except trio.BrokenResourceError:
            pass  # the peer went away

    def tunnel(self, client: Client | None = None) -> Tunnel:
        """A lease on this server, as if it were an engine's client."""
        client = client or Client([make_node("a")])
        return Tunnel(self.port, "n0", client.password, client)


@asynccontextmanager
async def open_socks(play: Play) -> AsyncIterator[FakeSocks]:
    """Run a scripted SOCKS server while the block lasts."""
    fake = FakeSocks(play)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(
            partial(trio.serve_tcp, fake._serve_one, 0, host="127.0.0.1")
        )
        fake.port = listeners[0].socket.getsockname()[1]
        try:
            yield fake
        finally:
            nursery.cancel_scope.cancel()


def by_host(plays: Mapping[str, Play], control: Play) -> Play:
    """Play by the host that is asked for; the control account has a play of its own."""

    async def play(stream: trio.SocketStream, first: First) -> None:
        chosen = control if first.user == "control" else plays[first.host]
        await chosen(stream, first)

    return play


class FakeTunnels:
    """Leases on one scripted server, with the same ``open`` as the real ones."""

    def __init__(self, tunnel: Tunnel, error: Exception | None = None) -> None:
        self.tunnel = tunnel
        self.error = error
        self.rechecks: list[bool] = []

    @asynccontextmanager
    async def open(self, _: Node, *, recheck: bool = False) -> AsyncIterator[Tunnel]:
        """Lease the tunnel, or raise the error."""
        self.rechecks.append(recheck)
        if self.error is not None:
            raise self.error
        yield self.tunnel


class Rewound(trio.abc.Stream):
    """A stream of which the first bytes have been read already."""

    def __init__(self, read: bytes, stream: trio.abc.Stream) -> None:
        self._read = read
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what was read already, then what comes."""
        if self._read:
            read, self._read = self._read, b""
            return read
        return bytes(await self._stream.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Pass it on."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Pass it on."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Pass it on."""
        await self._stream.aclose()


def say_tls(context: ssl.SSLContext, answer: bytes, *, then: str = "hold") -> Play:
    """Shake hands as SOCKS and TLS do, take the request, send the answer."""

    async def play(stream: trio.SocketStream, first: First) -> None:
        await stream.send_all(SHAKEN)
        tls = trio.SSLStream(
            Rewound(first.rest, stream), context, server_side=True, https_compatible=True
        )
        try:
            await tls.receive_some(65536)
            await tls.send_all(answer)
            if then == "hold":
                await tls.receive_some(65536)
        except (trio.BrokenResourceError, ssl.SSLError):
            pass  # the peer did not like our certificate, or has what it wants

    return play


# --- clocks ------------------------------------------------------------------------------------

_IDLE = 0.02
"""Real seconds without any event after which a clock may jump; loopback answers in 0.1 ms."""


def clock_skipping_silence() -> trio.testing.MockClock:
    """A clock that stands still while anything moves, and jumps to the next deadline behind that.

    For tests against servers of their own process: whoever is silent there for a moment will be
    silent for ever. Not for real processes, threads or names to resolve: to the clock, who waits
    for these looks idle.
    """
    return trio.testing.MockClock(autojump_threshold=_IDLE)
