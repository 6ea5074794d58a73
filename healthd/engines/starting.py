"""Starting the clients of one engine, without the nodes that the engine refuses."""

from collections.abc import Callable
from dataclasses import dataclass, field
from socket import socket

import trio

from healthd.engines.check import find_refused
from healthd.engines.client import Client, Refused
from healthd.engines.dialect import EngineName
from healthd.engines.program import Program
from healthd.errors import EngineFailed
from healthd.model import Node, Reason

REFUSAL_KEPT = 600.0
"""Seconds until a refused node is tried again: only another engine would change the answer."""

_PORT_TRIES = 3


class Refusals:
    """Which endpoints the engines have refused lately, and in which words."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, float]] = {}

    def note(self, node: Node, words: str) -> None:
        """The engine refuses this node's settings."""
        self._known[node.fingerprint] = words, trio.current_time() + REFUSAL_KEPT

    def of(self, node: Node) -> str | None:
        """The words in which this very endpoint was refused; None when it was not, or long ago."""
        words, until = self._known.get(node.fingerprint, ("", 0.0))
        return words if trio.current_time() < until else None


class Starter:
    """One engine: what it may run at a time, and how a client of it is brought up.

    Args:
        program: The engine.
        refusals: Where refused nodes are noted.
        shift_clients: The most shift clients at a time.
        recheck_clients: The most recheck clients at a time.
        on_start: Told the outcome of every start.
        reserve: Gives each client its port, unless the engine chooses it.
    """

    def __init__(
        self,
        program: Program,
        refusals: Refusals,
        *,
        shift_clients: int,
        recheck_clients: int,
        on_start: Callable[[EngineName, str], None],
        reserve: Callable[[], socket],
    ) -> None:
        self.dialect = program.dialect
        self.shift_limit = trio.Semaphore(shift_clients)
        self.recheck_limit = trio.Semaphore(recheck_clients)
        self.gathering: Gathering | None = None
        """Rechecks that will share the next client."""
        self._program = program
        self._refusals = refusals
        self._on_start = on_start
        self._reserve = reserve

    async def serve(self, client: Client, shift: float) -> None:
        """Run the client, without the nodes that the engine refuses, until none is left.

        Raises:
            EngineFailed: it did not start, or died.
        """
        ports = _PORT_TRIES
        while client.nodes:
            refused = await self._run(client, shift)
            if refused is not None:
                await self._set_aside(client, refused)
            elif not (ports := ports - 1):
                raise EngineFailed(Reason.FOREIGN_PORT, "every port tried was taken by another")

    async def _run(self, client: Client, shift: float) -> Refused | None:
        try:
            refused = await client.run(
                self._program,
                reserve=self._reserve,
                shift=shift,
                on_ready=lambda: self._tell("ready"),
            )
        except EngineFailed:
            if not client.ready.is_set():
                self._tell("failed")
            raise
        if refused is None:
            self._tell("port_taken")
        return refused

    async def _set_aside(self, client: Client, refused: Refused) -> None:
        try:
            found = await self._find(client, refused)
        except EngineFailed:
            # No node is to blame for it: an engine that takes nothing is an engine that fails.
            self._tell("failed")
            raise
        self._tell("refused")
        for tag, words in found.items():
            node = client.refuse(tag, words)
            self._refusals.note(node, client.refused[node.id])

    async def _find(self, client: Client, refused: Refused) -> dict[str, str]:
        """The tags of the nodes that the engine refuses, with its words."""
        if refused.tag is not None:
            return {refused.tag: refused.words}
        found = await find_refused(self._program, client.nodes)
        if not found:
            raise EngineFailed(
                Reason.SPAWN, f"the engine refuses its configuration: {refused.words}"
            )
        return found

    def _tell(self, outcome: str) -> None:
        self._on_start(self.dialect.name, outcome)


@dataclass(slots=True)
class Gathering:
    """Rechecks waiting for the client they will share."""

    nodes: dict[str, Node] = field(default_factory=dict)
    over: trio.Event = field(default_factory=trio.Event)
    clients: dict[str, Client] = field(default_factory=dict)
    """The client of each node; whole once it is over."""
