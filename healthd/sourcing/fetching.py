"""One answer of a source: from its URL or its file, whole, and no larger than it may be.

A panel may be slow, broken, or in foreign hands: nothing it sends costs more than `max_bytes` of
memory and `timeout` seconds. Its URL is a secret; errors name the host only.
"""

import ssl
from dataclasses import dataclass, field
from functools import partial

import httpx
import trio
from pydantic import TypeAdapter, ValidationError

from healthd.config import SourceConfig
from healthd.config.values import Url
from healthd.errors import SourceError
from healthd.http_client import open_client, words
from healthd.sourcing.bodies import Body
from healthd.sourcing.files import read_file

REDIRECTS = 3
"""How often an answer may lead elsewhere, as v2rayNG takes it."""

_LONGEST_ETAG = 1024
_SOUND: TypeAdapter[str] = TypeAdapter(Url)
"""The rule for a source's own URL holds for those it leads to."""
_KNOWN_STATUS = {
    401: "it wants other credentials; check the source's header",
    403: "it forbids this; check the source's url, header and user_agent",
    404: "there is nothing at this URL; check the source's url",
    410: "there is nothing any more at this URL; check the source's url",
    429: "it was asked too often; raise the source's refresh",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a source said."""

    body: bytes = field(repr=False)
    etag: str = ""
    """The server's name for this very body; empty if it gave none."""


async def fetch(source: SourceConfig, tls: ssl.SSLContext, etag: str = "") -> Answer | None:
    """Ask a source once.

    Args:
        source: Where, and within which limits; its deadline is for the whole.
        tls: Verifies https.
        etag: Of the body we have, if there is one.

    Returns:
        The answer; None when the body is still the one we have.

    Raises:
        SourceError: there was no usable answer.
    """
    with trio.move_on_after(source.timeout):
        if source.file is None:
            return await _ask(source, tls, etag)
        read = partial(read_file, source)
        # Abandoned at the deadline: the file may lie on a network that does not answer.
        return Answer(await trio.to_thread.run_sync(read, abandon_on_cancel=True))
    raise SourceError(source.name, f"{where(source)}: no whole answer in {source.timeout:g} s")


def where(source: SourceConfig) -> str:
    """What may be told of where a source is."""
    return str(source.file) if source.url is None else httpx.URL(source.url).host


async def _ask(source: SourceConfig, tls: ssl.SSLContext, etag: str) -> Answer | None:
    url = first = httpx.URL(source.url or "")
    async with open_client(tls, limit=source.timeout, headers=_headers(source, etag)) as client:
        for _ in range(REDIRECTS + 1):
            same = _origin(url) == _origin(first)
            try:
                async with client.stream("GET", url, headers=_own_header(source, same)) as answer:
                    if answer.next_request is None:
                        return await _take(answer, source, etag)
                    url = _next(url, answer.next_request.url)
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as why:
                # Where a redirect leads is the server's word: it is not quoted.
                behind = "" if same else "behind its redirect: "
                raise SourceError(source.name, f"{first.host}: {behind}{_told(why)}") from why
    raise SourceError(source.name, f"{first.host}: more than {REDIRECTS} redirects")


def _told(why: Exception) -> str:
    if isinstance(why, httpx.HTTPError):
        return words(why)
    if isinstance(why, httpx.InvalidURL | UnicodeError):  # httpx's and idna's, which quote it
        return "the answer leads to a URL that cannot be used"
    return str(why)


def _headers(source: SourceConfig, etag: str) -> dict[str, str]:
    # Only what can be unpacked under a limit; see `Body`.
    given = {"User-Agent": source.user_agent, "Accept": "*/*", "Accept-Encoding": "gzip"}
    return given | ({"If-None-Match": etag} if etag else {})


def _own_header(source: SourceConfig, same_origin: bool) -> dict[str, str]:
    """The header the operator gives; it may be a password, and is for his panel only."""
    if source.header is None or not same_origin:
        return {}
    name, _, value = source.header.partition(":")
    return {name: value.strip()}


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _next(url: httpx.URL, to: httpx.URL) -> httpx.URL:
    """Where a redirect leads.

    Raises:
        ValueError: it would give up encryption, or is no URL for a source.
    """
    if to.scheme not in {url.scheme, "https"}:
        raise ValueError("leads to an unencrypted or foreign URL, which is not followed")
    try:
        _SOUND.validate_python(str(to))
    except ValidationError:
        raise ValueError("leads to a URL that cannot be used") from None
    return to


async def _take(answer: httpx.Response, source: SourceConfig, etag: str) -> Answer | None:
    """Read an answer that is being streamed.

    Raises:
        ValueError: it is not to be used; says why.
    """
    if answer.status_code == httpx.codes.NOT_MODIFIED and etag:
        return None
    if answer.status_code != httpx.codes.OK:
        known = _KNOWN_STATUS.get(answer.status_code)
        raise ValueError(f"answers {answer.status_code}{f': {known}' if known else ''}")
    body = Body(answer.headers.get("content-encoding", ""), source.max_bytes)
    body.announced(answer.headers.get("content-length", ""))
    await _fill(body, answer)
    return Answer(body.whole(), _usable(answer.headers.get("etag", "")))


async def _fill(body: Body, answer: httpx.Response) -> None:
    """Read to the end, or to the first fault.

    Raises:
        ValueError: there is one.
    """
    fault = None
    # A generator that is left early is never cleaned up; one that is cancelled is.
    with trio.CancelScope() as enough:
        # Raw: httpx would unpack a whole chunk at once, layer by layer, however large that becomes.
        async for chunk in answer.aiter_raw():
            try:
                if fault is None:
                    body.add(chunk)
            except ValueError as why:
                fault = why
                enough.cancel(reason="the answer is no good")
    if fault is not None:
        raise fault


def _usable(etag: str) -> str:
    """The ETag, if it can be sent back."""
    return etag if etag.isascii() and etag.isprintable() and len(etag) <= _LONGEST_ETAG else ""
