"""Pieces of an endpoint that JSON and YAML subscriptions write in the same way. Pure."""

from collections.abc import Mapping
from typing import TypeVar

from healthd import endpoints
from healthd.endpoints import WebSocket
from healthd.errors import LinkError, Unsupported
from healthd.fleet.fields import Fields

Reader = TypeVar("Reader")

EARLY_DATA = "Sec-WebSocket-Protocol"
"""The header in which Xray sends early data, and the only one it reads them from."""

INSECURE = "cannot be honoured by current Xray; pin the certificate instead"
LEGACY_VMESS = "only 0 is supported: VMess without AEAD is gone from every engine"
PLUGIN = "no plugin of Shadowsocks is supported"
OVER_TCP = "is not supported: UDP would go another way"
CHAINED = "is not supported: the node is reached through another one"

_FILLERS = {
    *("user-agent", "accept", "accept-encoding", "accept-language", "cache-control"),
    *("connection", "pragma", "upgrade"),
}
"""Request headers that dress up a client, and that no server asks for."""


def place(fields: Fields, host: str = "server", port: str = "port") -> tuple[str, int]:
    """The address in its canonical form, and the port.

    Raises:
        LinkError, EndpointFault: there is none.
    """
    address = fields.text(host)
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    return endpoints.host(address), fields.number(port)


def kind(fields: Fields, *names: str) -> str:
    """A word that says what something is, in lower case."""
    return fields.text(*names).lower()


def reader(fields: Fields, key: str, readers: Mapping[str, Reader]) -> Reader:
    """Who reads this kind of entry.

    Raises:
        LinkError: it is of no kind, or (Unsupported) of one that is not known here.
    """
    word = kind(fields, key)
    if not word:
        raise LinkError(key, "there is none")
    if word not in readers:
        raise unknown(key, word, "a protocol")
    return readers[word]


def unknown(part: str, word: str, what: str) -> Unsupported:
    """A word of which we do not know what it asks for. Shown if it can be nobody's secret."""
    shown = repr(word) if word.isascii() and word.isalnum() and len(word) <= 16 else "it"
    return Unsupported(part, f"{shown} is not supported as {what}")


def host_header(headers: Fields) -> tuple[str, ...]:
    """The values of ``Host`` among request headers.

    Raises:
        Unsupported: a header is there that a server may ask for.
    """
    found: list[str] = []
    for name in headers.names():
        if name.lower() == "host":
            found += headers.values(name)
        elif name.lower() in _FILLERS:
            headers.ignore(name)
        elif name in headers:
            raise Unsupported(headers.part(name), "is a request header that cannot be kept")
    return tuple(found)


def one_host(fields: Fields, headers: Fields) -> str:
    """``host`` of a transport, or else the one of its headers.

    Raises:
        LinkError: there are several.
    """
    found = dict.fromkeys(filter(None, (fields.text("host"), *host_header(headers))))
    if len(found) > 1:
        raise LinkError(fields.part("host"), "is given twice, with different values")
    return next(iter(found), "")


def websocket(path: str, host: str, early: int, header: str) -> WebSocket:
    """A WebSocket whose early data is said in numbers, as Xray's path says it.

    Raises:
        Unsupported: early data goes where Xray does not look for it.
    """
    if early and header != EARLY_DATA:
        raise Unsupported("early-data-header-name", f"only {EARLY_DATA} is supported")
    if early:
        path += f"{'&' if '?' in path else '?'}ed={early}"
    return WebSocket(path=path, host=host)
