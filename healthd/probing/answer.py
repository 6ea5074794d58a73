"""What counts as a good answer of a check URL: the expected status, and nothing else."""

import httpx

from healthd.errors import TunnelError
from healthd.model import Reason

HEADERS = {"User-Agent": "Mozilla/5.0", "Accept": "*/*", "Connection": "close"}
"""What an ordinary captive-portal check sends; the check's operator should learn nothing more."""


async def require_good(answer: httpx.Response, expect_status: int) -> None:
    """Read an answer that is being streamed, to its end; whoever got it still closes it.

    A redirect, a 200 or a body is a captive portal or a block page.

    Raises:
        TunnelError: it has another status, or a body.
    """
    host = host_of(answer.request.url)
    if answer.status_code != expect_status:
        raise TunnelError(Reason.HTTP_STATUS, f"{host} answered {answer.status_code}")
    # A 204 has no body by definition: whoever announces one knows no better.
    chunked = answer.status_code == 204 and "transfer-encoding" in answer.headers
    if chunked or answer.headers.get("content-length", "0") != "0":
        raise TunnelError(Reason.HTTP_BODY, f"{host} announced a body")
    body = False
    # Read to its end: a generator that is left early is never cleaned up.
    async for chunk in answer.aiter_raw():
        body = body or bool(chunk)
    if body:
        raise TunnelError(Reason.HTTP_BODY, f"{host} answered with a body")


def host_of(url: httpx.URL) -> str:
    """What may be told of a URL: its path and query may hold somebody's token."""
    return url.raw_host.decode("ascii")
