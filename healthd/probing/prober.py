"""One question to one node: does it carry a real request?

Success is exactly the expected status and an empty body, TLS verified, within the deadline. A
redirect, a 200 or a body is a captive portal or a block page. When the first check URL fails, or is
silent for half of the deadline, a second one of another operator is asked as well: a dead
destination must not condemn a node. When all fail, the control request decides whether the node or
our own line is to blame.
"""

import ssl
from collections.abc import Callable, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
import trio

from healthd.engines.tunnels import Tunnel, Tunnels
from healthd.errors import EngineFailed, EngineRejected, TunnelError
from healthd.model import Node, Reason, Result, failure, inconclusive, redact, success
from healthd.probing.control import Control
from healthd.probing.transport import TunnelTransport

CONTROL_LIMIT = 5.0
"""Seconds for the control request; it takes 3 ms where the line is good."""

_OURS = {Reason.FOREIGN_PORT, Reason.ENGINE_EXIT, Reason.RESOURCES, Reason.RESOLVER}
"""Reasons that say something about the monitor only."""

_VAGUE = {Reason.AUTH_OR_RESET, Reason.DEADLINE}
"""Reasons that the engine's log may know better."""

_HEADERS = {"User-Agent": "Mozilla/5.0", "Accept": "*/*", "Connection": "close"}
"""What an ordinary captive-portal check sends; the check's operator should learn nothing more."""


class Prober:
    """Probes nodes.

    Args:
        tunnels: Where tunnels are leased.
        urls: Check URLs; the first is asked, the second confirms.
        self_check_urls: What the control request asks.
        expect_status: The one good status.
        deadline: Seconds for one probe, from a ready client.
        tls: Verifies https check URLs.
        on_control: Told each answer of the control request.
        loop_late: Whether our own loop stood still since a moment.
    """

    def __init__(
        self,
        tunnels: Tunnels,
        *,
        urls: Sequence[str],
        self_check_urls: Sequence[str],
        expect_status: int,
        deadline: float,
        tls: ssl.SSLContext,
        on_control: Callable[[bool], None] = lambda _: None,
        loop_late: Callable[[float], bool] = lambda _: False,
    ) -> None:
        self._tunnels = tunnels
        self._urls = tuple(urls)
        self._self_check_urls = tuple(self_check_urls)
        self._expect_status = expect_status
        self._deadline = deadline
        self._loop_late = loop_late
        self._control = Control(self._ask_self, on_control)
        self._http = httpx.AsyncClient(
            transport=TunnelTransport(tls),
            trust_env=False,
            timeout=None,  # noqa: S113 - one deadline covers everything, and the caller holds it
            headers=_HEADERS,
            # No cookies: one node's would be sent through all others, and past them.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    async def probe(self, node: Node, *, recheck: bool = False) -> Result:
        """Probe one node. Whatever node, engine or network do, the answer is a value."""
        try:
            async with self._tunnels.open(node, recheck=recheck) as tunnel:
                return await self._through(tunnel, node)
        except EngineRejected as why:
            return failure(Reason.ENGINE_REJECTED, why.words)
        except EngineFailed as why:
            return inconclusive(why.reason, why.words)

    async def _through(self, tunnel: Tunnel, node: Node) -> Result:
        race, began = _Race(), trio.current_time()
        with trio.move_on_after(self._deadline):
            await self._ask_any(tunnel, race)
        if race.latency is not None:
            return success(race.latency)
        # An answer that came says more than a deadline that passed: the first URL's before all.
        silence = TunnelError(Reason.DEADLINE, f"no answer in {self._deadline:g} s")
        errors = [race.errors[url] for url in self._urls if url in race.errors]
        result = await self._blame(tunnel, node, [*errors, silence][0])
        if self._loop_late(began):
            return inconclusive(Reason.LOOP_LAG, "the monitor stood still under the probe")
        return result

    async def _blame(self, tunnel: Tunnel, node: Node, error: TunnelError) -> Result:
        """Whose fault is it? The node's only if our own line is good."""
        if error.reason in _OURS:
            return inconclusive(error.reason, error.detail)
        good = await self._control.line_is_good(tunnel)
        if not tunnel.alive:
            return inconclusive(Reason.ENGINE_EXIT, "the client died under the probe")
        if not good:
            return inconclusive(Reason.CONTROL_FAILED, f"the monitor is offline ({error})")
        reason, words = error.reason, error.detail
        if reason in _VAGUE and (said := await tunnel.failure()) is not None:
            reason, words = said
        if reason in _OURS:
            return inconclusive(reason, words)
        return failure(reason, redact(words, node.endpoint.secrets()))

    async def _ask_any(self, tunnel: Tunnel, race: "_Race") -> None:
        """Ask the first URL, and the second when that fails or hesitates; good is good."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._enter, race, tunnel, self._urls[0], nursery)
            if len(self._urls) > 1:
                with trio.move_on_after(self._deadline / 2):
                    await race.first_lost.wait()
                await self._enter(race, tunnel, self._urls[1], nursery)

    async def _enter(self, race: "_Race", tunnel: Tunnel, url: str, nursery: trio.Nursery) -> None:
        try:
            race.latency = await self._ask(tunnel, url)
        except TunnelError as why:
            race.errors[url] = why
            race.first_lost.set()
        else:
            nursery.cancel_scope.cancel()

    async def _ask(self, tunnel: Tunnel, url: str) -> float:
        """Ask one URL; return the seconds it took, or raise what was wrong with the answer."""
        began = trio.current_time()
        about = {"tunnel": tunnel, "max_body": 1}
        request = self._http.build_request("GET", url, extensions=about)
        host = request.url.raw_host.decode("ascii")
        answer = await self._http.send(request, stream=True)
        try:
            if answer.status_code != self._expect_status:
                raise TunnelError(Reason.HTTP_STATUS, f"{host} answered {answer.status_code}")
            # A 204 has no body by definition: whoever announces one knows no better.
            chunked = answer.status_code == 204 and "transfer-encoding" in answer.headers
            if chunked or answer.headers.get("content-length", "0") != "0":
                raise TunnelError(Reason.HTTP_BODY, f"{host} announced a body")
            # Read to its (capped) end: a generator that is left early is never cleaned up.
            if any([chunk async for chunk in answer.aiter_raw()]):
                raise TunnelError(Reason.HTTP_BODY, f"{host} answered with a body")
        finally:
            await answer.aclose()
        return trio.current_time() - began

    async def _ask_self(self, control: Tunnel) -> bool | None:
        """Whether a self-check URL answers, straight from here; None: the client is broken."""
        good: bool | None = False

        async def ask(url: str) -> None:
            nonlocal good
            try:
                await self._ask(control, url)
            except TunnelError as why:
                good = None if why.reason in _OURS else good
            else:
                good = True
                nursery.cancel_scope.cancel()

        with trio.move_on_after(min(CONTROL_LIMIT, self._deadline)):
            async with trio.open_nursery() as nursery:
                for url in self._self_check_urls:
                    nursery.start_soon(ask, url)
        return good


class _Race:
    """Two check URLs asked for one probe."""

    def __init__(self) -> None:
        self.latency: float | None = None
        self.errors: dict[str, TunnelError] = {}
        self.first_lost = trio.Event()
