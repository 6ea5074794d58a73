"""A way to a node that lets the first bytes of each connection through, as some censors do."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum

import trio


class Cut(Enum):
    """What becomes of a connection that has carried too much."""

    SILENCE = "silence"
    CLOSE = "close"


@dataclass
class Choke:
    """A TCP proxy in front of a node."""

    target: int
    cut: Cut
    limit: int | None = None
    """Bytes that each connection carries down to the client; None: as many as there are."""
    port: int = 0
    most: int = 0
    """The most bytes that one connection brought down, whether or not they were let through."""

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._carry, listeners)

    async def _carry(self, client: trio.SocketStream) -> None:
        try:
            async with (
                client,
                await trio.open_tcp_stream("127.0.0.1", self.target) as server,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(self._up, client, server, nursery.cancel_scope)
                await self._down(server, client)
                nursery.cancel_scope.cancel()
        except* OSError:
            pass  # the node is down
        except* trio.BrokenResourceError:
            pass  # one of them went away

    async def _up(
        self, client: trio.SocketStream, server: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        async for chunk in client:
            await server.send_all(chunk)
        scope.cancel()  # nobody is there to hear the rest

    async def _down(self, server: trio.SocketStream, client: trio.SocketStream) -> None:
        carried = 0
        async for chunk in server:
            carried += len(chunk)
            self.most = max(self.most, carried)
            if self.limit is not None and carried > self.limit:
                keep = len(chunk) - (carried - self.limit)
                if keep > 0:
                    await client.send_all(chunk[:keep])
                if self.cut is Cut.SILENCE:
                    await trio.sleep_forever()
                return
            await client.send_all(chunk)


@asynccontextmanager
async def choked(*chokes: Choke):
    """Run some of them as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        for choke in chokes:
            await nursery.start(choke.serve)
        yield
        nursery.cancel_scope.cancel()
