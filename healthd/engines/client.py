"""One engine process that carries probes for several nodes, from its start to its end."""

import secrets
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from socket import socket

import trio

from healthd.endpoints import Reality
from healthd.engines import socks, xray
from healthd.engines.dialect import CONTROL, Dialect
from healthd.engines.program import Program
from healthd.errors import EngineFailed
from healthd.model import Node, Reason, redact, secrets_of

START_LIMIT = 5.0
"""Seconds for a client to answer on its port; it takes 0.03 s alone, 0.3 s with 5,000 nodes."""

_POLL = 0.01
_LOG_GRACE = 0.1
"""Seconds for the engine's log line to follow the end of a connection; it mostly precedes it."""
_TAIL = 4096


@dataclass(frozen=True, slots=True)
class Refused:
    """The engine refuses the configuration; ``tag`` is the outbound it names, if it names one."""

    tag: str | None
    words: str


class Client:
    """One engine process, shared by the leases on its nodes. It serves one :meth:`run`.

    Args:
        nodes: The nodes it carries; their engine is the one of ``dialect``.
        dialect: How that engine is spoken to.
    """

    def __init__(self, nodes: Iterable[Node], dialect: Dialect = xray.DIALECT) -> None:
        self.dialect = dialect
        self.nodes = {f"n{index}": node for index, node in enumerate(nodes)}
        self.tags = {node.id: tag for tag, node in self.nodes.items()}
        self._fingerprints = {node.id: node.fingerprint for node in self.nodes.values()}
        self.port = 0
        self.password = secrets.token_urlsafe(24)
        self.ready = trio.Event()
        """Set once the client is usable, or never will be; see `ended`."""
        self.ended: EngineFailed | None = None
        self.refused: dict[str, str] = {}
        """Node ids the engine refuses, with its words."""
        self.retired = False
        self.leases = 0
        self.scope = trio.CancelScope()
        self._log = dialect.log_reader()
        self._logged = trio.Event()
        self._tail = b""

    def carries(self, node: Node) -> bool:
        """Whether this client was made for this very endpoint."""
        return self._fingerprints.get(node.id) == node.fingerprint

    def retire(self) -> None:
        """No new leases; end with the last one."""
        self.retired = True
        self.end_if_idle()

    def end_if_idle(self) -> None:
        """End the process if nobody will use it any more."""
        if self.retired and not self.leases:
            self.scope.cancel()

    def refuse(self, tag: str, words: str) -> Node:
        """Leave out a node that the engine refuses."""
        node = self.nodes.pop(tag)
        self.refused[node.id] = redact(words, node.endpoint.secrets())
        return node

    async def failure(self, tag: str) -> tuple[Reason, str] | None:
        """The engine's reason for the latest failure of a tag, waiting a moment for its log."""
        with trio.move_on_after(_LOG_GRACE):
            while tag not in self._log.failures:
                await self._logged.wait()
        found = self._log.failures.pop(tag, None)
        if found is None:
            return None
        reason, words = found
        endpoint = self.nodes[tag].endpoint
        if reason is Reason.TLS and isinstance(getattr(endpoint, "security", None), Reality):
            # A REALITY server that does not know us shows its target's certificate: to the engine
            # a certificate error, to the operator a wrong key, short id or server name.
            reason = Reason.REALITY
        return reason, redact(words, endpoint.secrets())

    async def run(
        self,
        program: Program,
        *,
        reserve: Callable[[], socket],
        shift: float,
        on_ready: Callable[[], None],
    ) -> Refused | None:
        """Start the process, set `ready`, retire after ``shift`` seconds, live until cancelled.

        Returns:
            What the engine refuses; None when it could not have its port, which is worth another
            try. A client that worked only ends by cancelling `scope`.

        Raises:
            EngineFailed: it did not start, or died.
        """
        with nullcontext() if self.dialect.chooses_port else reserve() as held:
            self.port = 0 if held is None else held.getsockname()[1]
            self._tail, self._log = b"", self.dialect.log_reader()
            end = _End()
            async with trio.open_nursery() as nursery:
                try:
                    await nursery.start(partial(self._watch, nursery, program, end))
                except EngineFailed as why:
                    end.failed = why
                else:
                    await self._serve(end, shift, on_ready)
                nursery.cancel_scope.cancel()
        return self._judge(end)

    async def _watch(
        self,
        nursery: trio.Nursery,
        program: Program,
        end: "_End",
        task_status: trio.TaskStatus[int],
    ) -> None:
        config = self.dialect.client_config(
            {tag: node.endpoint for tag, node in self.nodes.items()},
            port=self.port,
            password=self.password,
        )
        end.code = await program.run(config, self._read, task_status=task_status)
        nursery.cancel_scope.cancel()

    async def _serve(self, end: "_End", shift: float, on_ready: Callable[[], None]) -> None:
        with trio.move_on_after(START_LIMIT):
            end.foreign = not await self._wait_ready()
            end.ready = not end.foreign
        if end.ready:
            self.ready.set()
            on_ready()
            await trio.sleep(shift)
            self.retire()
            await trio.sleep_forever()

    async def _wait_ready(self) -> bool:
        """Wait for the port to answer; False when it answers, but not as our process."""
        if self.dialect.chooses_port:
            while not self._log.port:
                await self._logged.wait()
            self.port = self._log.port
        while True:
            try:
                async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
                    await stream.send_all(socks.authentication(CONTROL, self.password))
                    answer = b""
                    while len(answer) < len(socks.AUTHENTICATED):
                        chunk = await stream.receive_some(16)
                        if not chunk:
                            break
                        answer += chunk
                    return answer == socks.AUTHENTICATED
            except OSError:
                await trio.sleep(_POLL)
            except trio.BrokenResourceError:
                return False

    def _judge(self, end: "_End") -> Refused | None:
        output = self._tail.decode(errors="replace")
        secrets_here = [*secrets_of(self.nodes.values()), self.password]
        words = redact(self.dialect.last_words(output), secrets_here)
        if end.failed is not None:
            raise end.failed
        if end.ready:
            raise EngineFailed(
                Reason.ENGINE_EXIT, f"the client ended with code {end.code}: {words}"
            )
        if end.code is not None and self.dialect.refuses(end.code, output):
            tag, why = self.dialect.rejected_tag(output, list(self.nodes)) or (None, words)
            return Refused(tag if tag in self.nodes else None, why)
        if end.foreign or "address already in use" in output:
            return None
        if end.code is None:
            raise EngineFailed(
                Reason.SPAWN, f"the client did not answer within {START_LIMIT:.0f} s"
            )
        raise EngineFailed(Reason.SPAWN, f"the client ended with code {end.code}: {words}")

    def _read(self, chunk: bytes) -> None:
        self._tail = (self._tail + chunk)[-_TAIL:]
        if self._log.feed(chunk):
            self._logged.set()
            self._logged = trio.Event()


@dataclass(slots=True)
class _End:
    """How far a process got, and how it ended."""

    ready: bool = False
    foreign: bool = False
    code: int | None = None
    failed: EngineFailed | None = field(default=None)
