"""A tunnel as an httpx transport: SOCKS5 and HTTP/1.1, the first flight in one write.

The whole SOCKS handshake and the request (for https: the ClientHello) leave in a single send, which
Xray accepts; its answers come back concatenated. sing-box takes the handshake in one send as well,
but loses what follows it: there the request waits for the reply. HTTP is parsed by h11, and reading
stops where the answer ends: with Vision the end of the connection comes two seconds later.

One connection per request, closed with its response. Every error of sockets, TLS and HTTP becomes a
:class:`~healthd.errors.TunnelError` here and nowhere else. There is no timeout here either: the
caller's deadline covers everything.
"""

import errno
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import h11
import httpx
import trio

from healthd.engines import socks
from healthd.engines.tunnel import Tunnel
from healthd.errors import TunnelError
from healthd.model import Reason

_READ_SIZE = 16384
_MAX_HEAD = 16384
"""Bytes of response head; that of a generate_204 has a few hundred."""

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL}

T = TypeVar("T")


class TunnelTransport(httpx.AsyncBaseTransport):
    """Sends each request through the tunnel in its ``extensions["tunnel"]``.

    Of the response's body no more is read than ``extensions["max_body"]`` bytes, give or take what
    came along in the last read. ``extensions["on_received"]``, if given, is told how many bytes
    each read brought from behind the tunnel, be they TLS, head or body.

    Args:
        tls: The context that verifies https URLs; one per daemon, as it takes 16 ms to make.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the response's body is read as the caller iterates over it.

        Raises:
            TunnelError: no usable answer came, and why.
        """
        tunnel: Tunnel = request.extensions["tunnel"]
        sock = await _connect(tunnel)
        try:
            with _translated():
                return await self._exchange(sock, tunnel, request)
        except BaseException:
            sock.close()
            raise

    async def _exchange(
        self, sock: trio.socket.SocketType, tunnel: Tunnel, request: httpx.Request
    ) -> httpx.Response:
        url = request.url
        secure = url.scheme == "https"
        port = url.port or (443 if secure else 80)
        host = url.raw_host.decode("ascii")  # `url.host` would undo punycode
        on_received = request.extensions.get("on_received", _ignore)
        wire: _Wire = _SocksWire(sock, tunnel, host, port, on_received)
        if secure:
            wire = _TlsWire(wire, self._tls, host)
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        head = h11.Request(method=request.method, target=url.raw_path, headers=request.headers.raw)
        await wire.send((http.send(head) or b"") + (http.send(h11.EndOfMessage()) or b""))
        while True:
            event = await _next_event(http, wire)
            if isinstance(event, h11.Response):
                body = _Body(http, wire, sock, request.extensions["max_body"])
                return httpx.Response(event.status_code, headers=list(event.headers), stream=body)


class _Body(httpx.AsyncByteStream):
    """The body of a response, read as it is iterated over; closing it closes the connection."""

    def __init__(
        self, http: h11.Connection, wire: "_Wire", sock: trio.socket.SocketType, most: int
    ) -> None:
        self._most = most
        self._http = http
        self._wire = wire
        self._sock = sock

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        while read < self._most:
            with _translated():
                event = await _next_event(self._http, self._wire)
            if not isinstance(event, h11.Data):
                return
            read += len(event.data)
            yield bytes(event.data)

    async def aclose(self) -> None:
        self._sock.close()


async def _next_event(http: h11.Connection, wire: "_Wire") -> object:
    while (event := http.next_event()) is h11.NEED_DATA:
        data = await wire.receive()
        if not data and http.their_state is h11.SEND_RESPONSE:
            if http.trailing_data[0]:
                raise TunnelError(Reason.HTTP_PROTOCOL, "closed within the head of its answer")
            raise TunnelError(Reason.AUTH_OR_RESET, "closed without an answer")
        http.receive_data(data)
        if not data:
            return _last_event(http)
    return event


def _last_event(http: h11.Connection) -> object:
    """The end of an answer that only the end of the connection ends; any other was cut."""
    try:
        return http.next_event()
    except h11.RemoteProtocolError as why:
        raise TunnelError(Reason.HTTP_PROTOCOL, "closed within its answer") from why


async def _connect(tunnel: Tunnel) -> trio.socket.SocketType:
    try:
        sock = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_STREAM)
    except OSError as why:
        raise TunnelError(Reason.RESOURCES, why.strerror or "no socket") from why
    try:
        sock.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
        await sock.connect(("127.0.0.1", tunnel.port))
    except OSError as why:
        sock.close()
        reason = Reason.RESOURCES if why.errno in _EXHAUSTED else Reason.ENGINE_EXIT
        raise TunnelError(reason, "the client does not accept connections") from why
    except BaseException:
        sock.close()
        raise
    return sock


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what sockets, TLS and HTTP raise into a reason."""
    try:
        yield
    except ssl.SSLCertVerificationError as why:
        raise TunnelError(Reason.CHECK_TLS, why.verify_message) from why
    except ssl.SSLEOFError as why:
        raise TunnelError(Reason.AUTH_OR_RESET, "closed within TLS") from why
    except ssl.SSLError as why:
        raise TunnelError(Reason.CHECK_TLS, why.reason or "TLS failed") from why
    except OSError as why:
        raise TunnelError(Reason.AUTH_OR_RESET, why.strerror or "the connection broke") from why
    except h11.ProtocolError as why:
        raise TunnelError(Reason.HTTP_PROTOCOL, str(why)) from why


def _ignore(_: int) -> None:
    """Nobody wants to know."""


class _Wire(Protocol):
    async def send(self, data: bytes) -> None: ...
    async def receive(self) -> bytes: ...


class _SocksWire:
    """The connection behind a SOCKS handshake, which travels with the first bytes sent."""

    def __init__(
        self,
        sock: trio.socket.SocketType,
        tunnel: Tunnel,
        host: str,
        port: int,
        on_received: Callable[[int], None],
    ) -> None:
        self._sock = sock
        self._on_received = on_received
        login = socks.authentication(tunnel.user, tunnel.password)
        self._prefix = login + socks.connect(host, port)
        self._one_write = tunnel.one_write
        self._connected = False
        self._came_along = b""
        """What came behind the SOCKS replies, in the same segment."""

    async def send(self, data: bytes) -> None:
        if self._one_write or self._connected:
            data, self._prefix = self._prefix + data, b""
        else:
            await self._write(self._prefix)
            self._prefix = b""
            await self._connect()
        await self._write(data)

    async def receive(self) -> bytes:
        if not self._connected:
            await self._connect()
        data, self._came_along = self._came_along, b""
        data = data or await self._sock.recv(_READ_SIZE)
        self._on_received(len(data))
        return data

    async def _write(self, data: bytes) -> None:
        while data:
            data = data[await self._sock.send(data) :]

    async def _connect(self) -> None:
        """Read the SOCKS replies."""
        replies = b""
        while (length := socks.reply_length(replies)) is None:
            chunk = await self._sock.recv(_READ_SIZE)
            if not chunk:
                raise TunnelError(Reason.AUTH_OR_RESET, "closed within the SOCKS handshake")
            replies += chunk
        self._connected, self._came_along = True, replies[length:]


class _TlsWire:
    """TLS over another wire. Our own, because its ClientHello must go into the first write."""

    def __init__(self, wire: _Wire, context: ssl.SSLContext, host: str) -> None:
        self._wire = wire
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._shaken = False

    async def send(self, data: bytes) -> None:
        if not self._shaken:
            await self._pump(self._tls.do_handshake)
            self._shaken = True
        await self._pump(lambda: self._tls.write(data))
        await self._flush()

    async def receive(self) -> bytes:
        try:
            return await self._pump(lambda: self._tls.read(_READ_SIZE))
        except ssl.SSLZeroReturnError:
            return b""

    async def _pump(self, operation: Callable[[], T]) -> T:
        """Repeat a TLS operation, feeding it, until it is through."""
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                await self._flush()
                if chunk := await self._wire.receive():
                    self._incoming.write(chunk)
                else:
                    self._incoming.write_eof()

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            await self._wire.send(data)
