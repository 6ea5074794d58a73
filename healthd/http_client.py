"""The one place where asynchronous clients of httpx are made, and its errors put into words.

A move to httpx's fork is then a change of this file. The tunnels' transport is its own matter.
"""

import os
import socket
import ssl
from collections.abc import Iterator, Mapping

import httpx


def open_client(
    tls: ssl.SSLContext, *, limit: float, headers: Mapping[str, str]
) -> httpx.AsyncClient:
    """A client that keeps nothing from one request to the next, and follows no redirect.

    The surroundings' proxies, certificates and netrc have no say in it.

    Args:
        tls: What verifies https; making one costs 16 ms, so there is one for all clients.
        limit: Seconds for each single step. A slow drip passes each: the caller sets the deadline.
        headers: Sent with each request.
    """
    transport = httpx.AsyncHTTPTransport(
        verify=tls, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
    )
    return httpx.AsyncClient(
        transport=transport,
        trust_env=False,
        timeout=httpx.Timeout(limit),
        headers=headers,
        follow_redirects=False,
    )


def words(why: httpx.HTTPError) -> str:
    """What went wrong, for people. Quotes nothing that a server or a URL said: it may be secret."""
    for each in _behind(why):
        if told := _system_words(each):
            return told
    if isinstance(why, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(why, httpx.RemoteProtocolError):
        return _protocol_words(str(why))
    return _OTHERS.get(type(why), type(why).__name__)


_OTHERS: Mapping[type[Exception], str] = {
    httpx.UnsupportedProtocol: "the URL is of a kind that cannot be asked",
    httpx.ConnectError: "cannot be connected to",
    httpx.ReadError: "the connection broke",
    httpx.WriteError: "the connection broke",
}


def _behind(why: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it."""
    found: list[BaseException] = [why]
    for each in found:  # grows as it is gone through
        yield each
        # httpcore breaks the chain of causes, trio gathers one error for each address.
        led = each.__cause__ or each.__context__
        members = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        found += [other for other in (led, *members) if other is not None and other not in found]


def _system_words(why: BaseException) -> str | None:
    match why:
        case ssl.SSLCertVerificationError():
            return f"the certificate does not verify: {why.verify_message}"
        case ssl.SSLError():
            return "TLS cannot be agreed on"
        case socket.gaierror():
            return f"the name does not resolve: {why.strerror}"
        case OSError():
            # trio's own, about all addresses at once, has no number: the ones behind it do. Their
            # text names addresses, so only the number is used.
            return os.strerror(why.errno) if why.errno else None
    return None


def _protocol_words(told: str) -> str:
    """There is one error for all of these; its own words may quote the answer."""
    if "without sending complete message body" in told:
        return "the answer ended early"
    if "without sending a response" in told:
        return "the connection was closed without an answer"
    if "location header" in told:
        return "the answer leads to a URL that cannot be used"
    return "the answer is not sound HTTP"
