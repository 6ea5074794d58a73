"""A check-URL server on loopback whose answer can be changed while it runs."""

import ssl
from dataclasses import dataclass, field

import trio

NO_CONTENT = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
OK_WITH_BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://portal.test/\r\nContent-Length: 0\r\n\r\n"
LYING_BODY = b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


def bulk_answer(size: int) -> bytes:
    """The answer of a bulk URL: so many bytes of body."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    return head.encode() + bytes(size)


@dataclass
class CheckUrl:
    """One server. ``answer`` is sent to every request; None closes without a word."""

    nursery: trio.Nursery = field(repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    answer: bytes | None = NO_CONTENT
    delay: float = 0.0
    port: int = 0
    requests: int = 0
    _listening: trio.CancelScope | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where it answers."""
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://localhost:{self.port}/generate_204"

    async def start(self) -> None:
        """Listen; on the same port as before, if there was one."""
        self._listening = trio.CancelScope()
        listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        self.nursery.start_soon(self._serve, listeners, self._listening)

    def stop(self) -> None:
        """Stop listening: connections are refused from now on."""
        assert self._listening is not None
        self._listening.cancel()

    async def _serve(self, listeners: list[trio.SocketListener], scope: trio.CancelScope) -> None:
        with scope:
            await trio.serve_listeners(self._answer, listeners)

    async def _answer(self, stream: trio.SocketStream) -> None:
        wire: trio.abc.Stream = stream
        if self.tls is not None:
            wire = trio.SSLStream(stream, self.tls, server_side=True, https_compatible=True)
        with trio.move_on_after(30):
            try:
                async with wire:
                    await self._exchange(wire)
            except (trio.BrokenResourceError, ssl.SSLError):
                pass  # the probe went away: its business

    async def _exchange(self, wire: trio.abc.Stream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            chunk = await wire.receive_some(4096)
            if not chunk:
                return
            request += chunk
        self.requests += 1
        await trio.sleep(self.delay)
        if self.answer is not None:
            await wire.send_all(self.answer)
