"""The direct check: does this machine reach the self-check URLs without any engine?

It shares nothing with the probes but the definition of a good answer: neither the clients nor the
transport. So it tells a broken line from a broken client, and it can be asked when all is quiet.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
import trio

from healthd.errors import TunnelError
from healthd.http_client import open_client
from healthd.model import redact
from healthd.probing.answer import HEADERS, host_of, require_good

LIMIT = 5.0
"""Seconds for the whole check, at most; it takes some 50 ms where the line is good."""


@dataclass(frozen=True, slots=True)
class DirectCheck:
    """Asks the self-check URLs straight from this process; one good answer is enough."""

    urls: Sequence[str]
    expect_status: int
    deadline: float
    """Seconds of a probe: the check takes no longer, nor longer than `LIMIT`."""
    tls: ssl.SSLContext = field(repr=False)

    async def __call__(self) -> str | None:
        """Ask all at once. None when one answered well, else what was wrong with each, in words."""
        limit = min(LIMIT, self.deadline)
        wrong = {url: f"{host_of(httpx.URL(url))}: no answer in {limit:g} s" for url in self.urls}
        good = False

        async def ask(url: str) -> None:
            nonlocal good
            words = await self._ask(client, url)
            if words is not None:
                wrong[url] = words
            else:
                good = True
                nursery.cancel_scope.cancel()

        # A fresh one for each check: nothing of an earlier check can be in its way.
        fresh = open_client(self.tls, limit=limit, headers=HEADERS)
        with trio.move_on_after(limit):
            async with fresh as client, trio.open_nursery() as nursery:
                for url in self.urls:
                    nursery.start_soon(ask, url)
        return None if good else redact("; ".join(wrong.values()), ())

    async def _ask(self, client: httpx.AsyncClient, url: str) -> str | None:
        try:
            async with client.stream("GET", url) as answer:
                await require_good(answer, self.expect_status)
        except TunnelError as why:
            return why.detail
        except httpx.HTTPError as why:
            return f"{host_of(httpx.URL(url))}: {_words(why)}"
        return None


def _words(why: httpx.HTTPError) -> str:
    """What the error says, or the first one behind it that says anything."""
    told: BaseException | None = why
    while told is not None and not str(told):
        told = told.__cause__ or told.__context__  # httpcore breaks the chain of causes
    return str(told or type(why).__name__)
