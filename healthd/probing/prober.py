"""One question to one node: does it carry a real request?

Success is exactly the expected status and an empty body, TLS verified, within the deadline. A
redirect, a 200 or a body is a captive portal or a block page. When the first check URL fails, or is
silent for half of the deadline, a second one of another operator is asked as well: a dead
destination must not condemn a node. When all fail, the control request decides whether the node or
our own line is to blame.

Behind a good answer a larger one may be fetched, see :mod:`healthd.probing.bulk`.
"""

import ssl
from collections.abc import Callable, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
import trio

from healthd.engines.tunnel import Tunnel
from healthd.engines.tunnels import Tunnels
from healthd.errors import EngineFailed, EngineRejected, TunnelError
from healthd.model import Node, Outcome, Reason, Result, failure, inconclusive, redact, success
from healthd.probing import control
from healthd.probing.answer import HEADERS, require_good
from healthd.probing.bulk import Bulk, Pull
from healthd.probing.control import OURS, Control
from healthd.probing.transport import TunnelTransport

_VAGUE = {Reason.AUTH_OR_RESET, Reason.DEADLINE}
"""Reasons that the engine's log may know better."""


class Prober:
    """Probes nodes.

    Args:
        tunnels: Where tunnels are leased.
        urls: Check URLs. The first is asked, the second confirms; the others are asked before
            these when a mass failure is to be confirmed.
        self_check_urls: What the control request asks.
        expect_status: The one good status.
        deadline: Seconds for one probe, from a ready client.
        tls: Verifies https check URLs.
        on_control: Told each answer of the control request.
        loop_late: Whether our own loop stood still since a moment (monotonic seconds).
        short_of: What this machine was short of since a moment, in words.
        line_bad: Whether our own line was known to be bad at any time since a moment.
        bulk_url: What the bulk check fetches; None: there is none.
        bulk_bytes: How much of it.
        on_bulk_server: Told whether the bulk URL's server is fit for the check, at first and when
            that changes, with what is wrong in words.
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
        short_of: Callable[[float], str | None] = lambda _: None,
        line_bad: Callable[[float], bool] = lambda _: False,
        bulk_url: str | None = None,
        bulk_bytes: int = 65536,
        on_bulk_server: Callable[[bool, str], None] = lambda _, __: None,
    ) -> None:
        self._tunnels = tunnels
        self._urls = tuple(urls)
        self._self_check_urls = tuple(self_check_urls)
        self._expect_status = expect_status
        self._deadline = deadline
        self._loop_late = loop_late
        self._short_of = short_of
        self._line_bad = line_bad
        self._control = Control(self._ask_self, on_control)
        self._http = httpx.AsyncClient(
            transport=TunnelTransport(tls),
            trust_env=False,
            timeout=None,  # noqa: S113 - one deadline covers everything, and the caller holds it
            headers=HEADERS,
            # No cookies: one node's would be sent through all others, and past them.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )
        self._bulk = (
            Bulk(self._http, bulk_url, bulk_bytes, limit=self._past_limit, on_server=on_bulk_server)
            if bulk_url is not None
            else None
        )

    async def probe(
        self, node: Node, *, recheck: bool = False, confirm: bool = False, bulk: bool = False
    ) -> Result:
        """Probe one node. Whatever node, engine or network do, the answer is a value.

        Args:
            node: The node.
            recheck: Go through a fresh client instead of the shift's.
            confirm: Ask other check URLs than usual, or the usual ones in another order.
            bulk: Fetch the bulk URL as well, if there is one.
        """
        try:
            async with self._tunnels.open(node, recheck=recheck) as tunnel:
                return await self._through(tunnel, node, self._order(confirm), bulk)
        except EngineRejected as why:
            return self._excuse(failure(Reason.ENGINE_REJECTED, why.words), trio.current_time())
        except EngineFailed as why:
            return inconclusive(why.reason, why.words)

    def _order(self, confirm: bool) -> tuple[str, ...]:
        """The two URLs to ask, in this order."""
        usual, others = self._urls[:2], self._urls[2:]
        return (*others, *reversed(usual))[:2] if confirm else usual

    @property
    def _past_limit(self) -> float:
        """Seconds for a request past the nodes."""
        return min(control.LIMIT, self._deadline)

    async def _through(self, tunnel: Tunnel, node: Node, urls: Sequence[str], bulk: bool) -> Result:
        race, began = _Race(), trio.current_time()
        pull = None
        with trio.move_on_after(self._deadline) as scope:
            await self._ask_any(tunnel, urls, race)
            if bulk and self._bulk is not None and self._bulk.usable and race.latency is not None:
                pull = self._bulk.pull(scope.deadline)
                await self._bulk.fetch(tunnel, pull)
        if race.latency is None:
            # An answer that came says more than a deadline that passed: the first URL's before all.
            silence = TunnelError(Reason.DEADLINE, f"no answer in {self._deadline:g} s")
            errors = [race.errors[url] for url in urls if url in race.errors]
            result = await self._blame(tunnel, node, [*errors, silence][0])
        elif self._bulk is None or pull is None or pull.whole:
            result = success(race.latency)
        else:
            result = await self._weigh(tunnel, self._bulk, pull, success(race.latency))
        if result.outcome is Outcome.FAILURE and self._line_bad(began):
            # The control request was good, but it came later: the line has just come back.
            result = inconclusive(Reason.CONTROL_FAILED, "the monitor was offline under the probe")
        return self._excuse(result, began)

    def _excuse(self, result: Result, began: float) -> Result:
        """Nothing is held against a node that we may have done ourselves since ``began``."""
        if result.outcome is Outcome.SUCCESS:
            return result
        if self._loop_late(began):
            return inconclusive(Reason.LOOP_LAG, "the monitor stood still under the probe")
        if result.outcome is Outcome.FAILURE and (words := self._short_of(began)) is not None:
            return inconclusive(Reason.RESOURCES, words)
        return result

    async def _weigh(self, tunnel: Tunnel, bulk: Bulk, pull: Pull, small: Result) -> Result:
        """What a bulk answer that did not come whole says, behind a small one that was good."""
        if (ours := pull.ours) is not None:
            return inconclusive(ours.reason, ours.detail)
        server_is_good = await bulk.server_is_good(tunnel)
        line_is_good = server_is_good or await self._control.is_good(tunnel)
        if not tunnel.alive:
            return inconclusive(Reason.ENGINE_EXIT, "the client died under the probe")
        if not line_is_good:
            return inconclusive(Reason.CONTROL_FAILED, f"the monitor is offline ({pull.words})")
        if not server_is_good:
            bulk.blame_server()
        elif pull.proves_a_cut(self._deadline):
            return failure(Reason.TRUNCATED, pull.words)
        return small

    async def _blame(self, tunnel: Tunnel, node: Node, error: TunnelError) -> Result:
        """Whose fault is it? The node's only if our own line is good."""
        if error.reason in OURS:
            return inconclusive(error.reason, error.detail)
        good = await self._control.is_good(tunnel)
        if not tunnel.alive:
            return inconclusive(Reason.ENGINE_EXIT, "the client died under the probe")
        if not good:
            return inconclusive(Reason.CONTROL_FAILED, f"the monitor is offline ({error})")
        reason, words = error.reason, error.detail
        if reason in _VAGUE and (said := await tunnel.failure()) is not None:
            reason, words = said
        if reason in OURS:
            return inconclusive(reason, words)
        return failure(reason, redact(words, node.endpoint.secrets()))

    async def _ask_any(self, tunnel: Tunnel, urls: Sequence[str], race: "_Race") -> None:
        """Ask the first URL, and the second when that fails or hesitates; good is good."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._enter, race, tunnel, urls[0], nursery)
            if len(urls) > 1:
                with trio.move_on_after(self._deadline / 2):
                    await race.first_lost.wait()
                await self._enter(race, tunnel, urls[1], nursery)

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
        answer = await self._http.send(request, stream=True)
        try:
            await require_good(answer, self._expect_status)
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
                if why.reason in OURS and not good:
                    good = None
            else:
                good = True
                nursery.cancel_scope.cancel()

        with trio.move_on_after(self._past_limit):
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
