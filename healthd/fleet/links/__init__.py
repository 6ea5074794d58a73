"""Share links of every protocol: parse and write, losslessly.

    vless://<user>@<host>:<port>?<parameters>#<name>

Tolerant where clients are (percent-encoding in any part, every kind of base64, IPv6 in brackets,
empty parameters), strict where a guess would publish something broken (a repeated parameter with
two values, an unknown transport, ``allowInsecure``). Parameters that mean nothing here are kept in
``extra`` and written back, so that a link survives a round trip with all that it carried.

By hand, because every parser on PyPI drops parameters or breaks on encoded values. No error quotes
the link: it is a credential. Pure: text in, values out; all of it takes time linear in the link.

The parameter names are those of XTLS's VMessAEAD / VLESS sharing proposal, of SIP002 and of
Hysteria's URI scheme, as v2rayN writes them; each protocol's module says what it adds.
"""

from collections.abc import Callable

from healthd.endpoints import (
    Endpoint,
    EndpointFault,
    Hysteria2,
    Shadowsocks,
    Trojan,
    Vless,
    Vmess,
)
from healthd.errors import LinkError, Unsupported
from healthd.fleet.links import hysteria2, shadowsocks, trojan, tuic, vless, vmess
from healthd.fleet.links.encoding import checked
from healthd.fleet.links.form import MAX_LENGTH, split_scheme

__all__ = ["MAX_LENGTH", "MAX_NAME", "SCHEMES", "parse", "write"]

MAX_NAME = 2048
"""Bytes: with it, and with all that an endpoint may say, a link is no longer than it may be."""

_READERS: dict[str, Callable[[str], tuple[Endpoint, str]]] = {
    "vless": vless.read,
    "vmess": vmess.read,
    "trojan": trojan.read,
    "ss": shadowsocks.read,
    "hysteria2": hysteria2.read,
    "hy2": hysteria2.read,
    "tuic": tuic.read,
}
SCHEMES = tuple(_READERS)
"""What a link that can be read begins with, before the ``://``."""


def parse(link: str) -> tuple[Endpoint, str]:
    """Return the endpoint and the name that a share link carries.

    Raises:
        LinkError: it is malformed; names the part that is wrong and the mend.
        Unsupported: it may be sound, but asks for what nothing here can honour.
    """
    scheme, rest = split_scheme(link)
    if scheme not in _READERS:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise Unsupported("scheme", f"{scheme[:32]}:// is not supported, only {known}")
    try:
        endpoint, name = _READERS[scheme](rest)
    except EndpointFault as fault:
        kind = Unsupported if fault.unsupported else LinkError
        raise kind(fault.part, fault.why) from None
    if len(checked("name", name).encode()) > MAX_NAME:
        raise LinkError("name", f"is longer than {MAX_NAME} bytes")
    return endpoint, name


def write(endpoint: Endpoint, name: str = "") -> str:
    """Return the share link of an endpoint. ``parse(write(e, n)) == (e, n)``.

    Every value is percent-encoded: v2rayNG splits pairs at ``=``.
    """
    match endpoint:
        case Vless():
            return vless.write(endpoint, name)
        case Vmess():
            return vmess.write(endpoint, name)
        case Trojan():
            return trojan.write(endpoint, name)
        case Shadowsocks():
            return shadowsocks.write(endpoint, name)
        case Hysteria2():
            return hysteria2.write(endpoint, name)
        case _:
            return tuic.write(endpoint, name)
