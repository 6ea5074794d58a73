"""A subscription panel on loopback that answers as the test says; raw bytes, no HTTP library."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import trio

Say = Callable[[trio.SocketStream, str], Awaitable[None]]
"""What happens on one connection, given the head of its request; it is closed behind it."""


def ok(body: bytes, *headers: str) -> bytes:
    """A whole answer with this body."""
    return answer(200, f"Content-Length: {len(body)}", *headers) + body


def answer(status: int, *headers: str) -> bytes:
    """The head of an answer."""
    return "\r\n".join((f"HTTP/1.1 {status} Words", *headers, "", "")).encode()


@dataclass
class Panel:
    """What it says, and what it was asked."""

    says: bytes | Say = b""
    port: int = 0
    asked: list[str] = field(default_factory=list)
    """The head of each request."""

    @property
    def url(self) -> str:
        """Its address, with a path that nobody else may know."""
        return f"http://127.0.0.1:{self.port}/sub/SECRET-TOKEN?key=SECRET-KEY"

    def header(self, name: str) -> list[str | None]:
        """What each request had under this name."""
        found = []
        for head in self.asked:
            fields = dict(line.split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
            lower = {key.lower(): value for key, value in fields.items()}
            found.append(lower.get(name.lower()))
        return found

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer one connection."""
        head = b""
        try:
            async with stream:
                while b"\r\n\r\n" not in head:
                    if not (more := await stream.receive_some(65536)):
                        return
                    head += more
                self.asked.append(head.decode())
                if isinstance(self.says, bytes):
                    await stream.send_all(self.says)
                else:
                    await self.says(stream, head.decode())
        except trio.BrokenResourceError:
            pass  # the peer has seen enough


@asynccontextmanager
async def open_panel(says: bytes | Say = b"", port: int = 0) -> AsyncIterator[Panel]:
    """Run a panel while the block lasts."""
    panel = Panel(says)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(
            partial(trio.serve_tcp, panel.serve, port, host="127.0.0.1")
        )
        panel.port = listeners[0].socket.getsockname()[1]
        try:
            yield panel
        finally:
            nursery.cancel_scope.cancel()
