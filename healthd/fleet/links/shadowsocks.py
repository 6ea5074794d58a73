"""``ss://``: SIP002, and the older form in which everything is base64. Pure.

ss://base64(METHOD:PASSWORD)@HOST:PORT#NAME
ss://METHOD:PASSWORD@HOST:PORT#NAME            percent-encoded, as SIP022's methods are written
ss://base64(METHOD:PASSWORD@HOST:PORT)#NAME    the older form
"""

import base64

from healthd.endpoints import SHADOWSOCKS_2022, SHADOWSOCKS_AEAD, Shadowsocks
from healthd.errors import LinkError, Unsupported
from healthd.fleet.links import encoding, form, parameters

SCHEME = "ss"
_METHODS = (*SHADOWSOCKS_AEAD, *SHADOWSOCKS_2022)
_ALIASES = {
    "chacha20-poly1305": "chacha20-ietf-poly1305",
    "xchacha20-poly1305": "xchacha20-ietf-poly1305",
}


def read(rest: str) -> tuple[Shadowsocks, str]:
    """The endpoint and the name in what follows ``ss://``.

    Raises:
        LinkError, EndpointFault: it is malformed.
    """
    link = form.split(SCHEME, encoding.unfold(rest), anonymous=True)
    given = parameters.read(link.query)
    if given.pop("plugin", ""):
        raise Unsupported("plugin", "no plugin of Shadowsocks is supported")
    user, location = _user(link.user), link.location
    if not link.user:
        text = encoding.decode_base64("link", encoding.decode("link", location))
        user, _, location = text.rpartition("@")
    method, colon, password = user.partition(":")
    if not colon:
        raise LinkError("user", "must be METHOD:PASSWORD")
    host, port = form.split_location(SCHEME, location)
    endpoint = Shadowsocks(
        address=host,
        port=form.port_number(port),
        method=_method(method),
        password=password,
        extra=tuple(given.items()),
    )
    return endpoint, link.name


def write(endpoint: Shadowsocks, name: str) -> str:
    """The link, as SIP002 has it."""
    method, password = endpoint.method, endpoint.password
    if method in SHADOWSOCKS_2022:
        user = f"{method}:{encoding.encode(password)}"
    else:
        user = base64.urlsafe_b64encode(f"{method}:{password}".encode()).decode().rstrip("=")
    return form.join(SCHEME, user, (endpoint.address, endpoint.port), endpoint.extra, name)


def _user(text: str) -> str:
    """``METHOD:PASSWORD`` out of SIP002's place for it: no base64 holds a colon."""
    plain = encoding.decode("user", text)
    return plain if ":" in plain else encoding.decode_base64("user", plain)


def _method(text: str) -> str:
    method = _ALIASES.get(text.lower(), text.lower())
    if method not in _METHODS:  # not quoted: where two parts are swapped, it is the password
        raise Unsupported("method", f"is not supported, only {', '.join(_METHODS)}")
    return method
