"""The control request: is it our own line that is broken, or the server that was asked?

Every engine client carries an account that leads straight out, past every node. When a probe fails,
the self-check URLs are asked through it: if no one of them answers, the failure proves nothing. The
same is done with the bulk URL.

A good answer must be younger than the failure it is to confirm, or the first probes to notice a
dead check URL would be blamed on their nodes. So failures gather for a moment, and one request,
asked afterwards, serves them all. A bad answer serves two seconds of further failures: it can only
make them inconclusive.
"""

from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

import trio

from healthd.engines.client import Client
from healthd.engines.tunnel import Tunnel
from healthd.model import Reason

OURS = frozenset({Reason.FOREIGN_PORT, Reason.ENGINE_EXIT, Reason.RESOURCES, Reason.RESOLVER})
"""Reasons that say something about the monitor only."""

LIMIT = 5.0
"""Seconds for the control request; it takes 3 ms where the line is good."""

GATHER = 0.2
"""Seconds that failures gather. A request costs about 1.5 ms of CPU: at most five a second."""

BAD_FOR = 2.0
"""Seconds that a bad answer serves."""


class Control:
    """Asks past the nodes, once for all the failures of one client.

    Args:
        ask: Asks through a tunnel: whether a good answer came, or None when the client itself
            failed, which says nothing about what was asked.
        on_answer: Told each answer.
    """

    def __init__(
        self,
        ask: Callable[[Tunnel], Awaitable[bool | None]],
        on_answer: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._ask = ask
        self._on_answer = on_answer
        self._gathering: WeakKeyDictionary[Client, _Round] = WeakKeyDictionary()
        self._bad_until: WeakKeyDictionary[Client, float] = WeakKeyDictionary()

    async def is_good(self, tunnel: Tunnel) -> bool:
        """Whether the way past this tunnel's node is good, asked after this call began."""
        client = tunnel.client
        if trio.current_time() < self._bad_until.get(client, 0.0):
            return False
        current = self._gathering.get(client)
        if current is None:
            return await self._lead(client, tunnel)
        await current.over.wait()
        # A leader that was cancelled (its node was removed) answered nothing: ask again.
        return await self.is_good(tunnel) if current.good is None else current.good

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
