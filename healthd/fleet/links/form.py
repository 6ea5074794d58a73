"""A link's parts, ``SCHEME://USER@HOST:PORT?PARAMETERS#NAME``: cut and joined. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from healthd import endpoints
from healthd.endpoints import NO_HOST
from healthd.errors import LinkError
from healthd.fleet.links.encoding import checked, decode, encode

MAX_LENGTH = 32768
"""Characters. An endpoint holds at most 8192 bytes of text, which may become three times as long
when all of it is percent-encoded; a name is short."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*")


@dataclass(frozen=True, slots=True)
class Parts:
    """A link's parts behind the scheme; all but the name still percent-encoded."""

    user: str
    location: str
    query: str
    name: str


def split_scheme(link: str) -> tuple[str, str]:
    """The scheme in lower case, and what follows its ``://``.

    Raises:
        LinkError: there is none, or this is no text that a link could be.
    """
    link = link.strip()
    if len(link) > MAX_LENGTH:
        raise LinkError("link", f"longer than {MAX_LENGTH} characters")
    checked("link", link)
    scheme, separator, rest = link.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        raise LinkError("scheme", "there is none; a link begins with vless://, for example")
    return scheme.lower(), rest


def _one_line(text: str) -> str:
    """A link's text, which must hold no control character: it was cut or joined somewhere.

    Raises:
        LinkError: it does.
    """
    if _CONTROL.search(text):
        raise LinkError("link", "holds a line break or another control character")
    return text


def split(scheme: str, rest: str, *, anonymous: bool = False) -> Parts:
    """Cut a link of the usual form, ``USER@HOST:PORT?PARAMETERS#NAME``.

    Raises:
        LinkError: there is no user, unless it may be ``anonymous``.
    """
    rest, _, name = _one_line(rest).partition("#")
    rest, _, query = rest.partition("?")
    user, at, location = rest.rpartition("@")
    if not at and not anonymous:
        raise LinkError("user", f"there is none; a link reads {scheme}://USER@HOST:PORT?…")
    return Parts(user, location.rstrip("/"), query, decode("name", name))


def pair(part: str, text: str) -> tuple[str, str]:
    """``USER:PASSWORD``, each percent-encoded, or all of it."""
    if ":" not in text:
        text, _, rest = decode(part, text).partition(":")
        return text, rest
    user, _, password = text.partition(":")
    return decode(part, user), decode("password", password)


def split_location(scheme: str, location: str, default_port: str = "") -> tuple[str, str]:
    """The host in its canonical form, and the text of the port.

    Raises:
        LinkError: where the host ends would be a guess, or there is none.
        EndpointFault: it is no host.
    """
    if location.startswith("["):
        host, bracket, rest = location[1:].partition("]")
        if not bracket:
            raise LinkError("host", "the IPv6 address has no closing bracket")
        colon, port = rest[:1], rest[1:]
        if rest and colon != ":":
            raise LinkError("port", "must be a number from 1 to 65535")
    else:
        host, colon, port = location.rpartition(":")
        if not colon and default_port:
            host, port = port, ""
        if ":" in host:  # where the address ends and the port begins would be a guess
            raise LinkError("host", NO_HOST)
    if not host:
        raise LinkError("host", f"there is none; a link reads {scheme}://USER@HOST:PORT?…")
    return endpoints.host(host), port if colon else default_port


def port_number(text: str) -> int:
    """A port as a number; whether it is in range is the endpoint's to say.

    Raises:
        LinkError: it is no number.
    """
    # `isdecimal` alone would let other scripts' digits pass.
    if not (text.isascii() and text.isdecimal() and len(text) <= 5):
        raise LinkError("port", "must be a number from 1 to 65535")
    return int(text)


def join(
    scheme: str, user: str, place: tuple[str, int], given: Iterable[tuple[str, str]], name: str
) -> str:
    """A link of the usual form. ``user`` is already encoded; the rest is not."""
    address, port = place
    host = f"[{address}]" if ":" in address else address
    query = "&".join(f"{encode(key)}={encode(value)}" for key, value in given)
    mark = "?" if query else ""
    return f"{scheme}://{user}@{host}:{port}{mark}{query}#{encode(name)}"
