"""The control request: is it our own line that is broken?

Every engine client carries an account that leads straight out, past every node. When a probe fails,
the self-check URLs are asked through it: if no one of them answers, the failure proves nothing.

A good answer must be younger than the failure it is to confirm, or the first probes to notice a
dead check URL would be blamed on their nodes. So failures gather for a moment, and one request,
asked afterwards, serves them all. A bad answer serves two seconds of further failures: it can only
make them inconclusive.
"""

from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

import trio

from healthd.engines.client import Client
from healthd.engines.tunnels import Tunnel

GATHER = 0.2
"""Seconds that failures gather. A request costs about 1.5 ms of CPU: at most five a second."""

BAD_FOR = 2.0
"""Seconds that a bad answer serves."""


class Control:
    """Asks about our own line, once for all the failures of one client.

    Args:
        ask: Asks the self-check URLs through a tunnel: whether one of them answers well, or None
            when the client itself failed, which says nothing about the line.
        on_answer: Told each answer.
    """

    def __init__(
        self, ask: Callable[[Tunnel], Awaitable[bool | None]], on_answer: Callable[[bool], None]
    ) -> None:
        self._ask = ask
        self._on_answer = on_answer
        self._gathering: WeakKeyDictionary[Client, _Round] = WeakKeyDictionary()
        self._bad_until: WeakKeyDictionary[Client, float] = WeakKeyDictionary()

    async def line_is_good(self, tunnel: Tunnel) -> bool:
        """Whether our own line carries requests, asked after this call began."""
        client = tunnel.client
        if trio.current_time() < self._bad_until.get(client, 0.0):
            return False
        current = self._gathering.get(client)
        if current is None:
            return await self._lead(client, tunnel)
        await current.over.wait()
        # A leader that was cancelled (its node was removed) answered nothing: ask again.
        return await self.line_is_good(tunnel) if current.good is None else current.good

    async def _lead(self, client: Client, tunnel: Tunnel) -> bool:
        current = self._gathering[client] = _Round()
        try:
            try:
                await trio.sleep(GATHER)
            finally:
                del self._gathering[client]
            answer = await self._ask(tunnel.control)
            current.good = bool(answer)
        finally:
            current.over.set()
        if not current.good:
            self._bad_until[client] = trio.current_time() + BAD_FOR
        if answer is not None and tunnel.alive:
            self._on_answer(answer)
        return current.good


class _Round:
    """One control request and those who wait for it."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.good: bool | None = None
