"""What no Xray may be given, though it is well-formed. Pure.

Xray refuses most of what it does not understand, and names the outbound: that costs one node. Some
values crash it instead, when it reads them or at the first connection, and with it go all the other
nodes of that client. Others reach for the machine it runs on. Both may come in a subscription.
Each rule was found in the source of v26.3.27 and then seen on the real engine.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from healthd.endpoints import SHADOWSOCKS_2022, Reality, Shadowsocks, Streamed, Tls, Vless, Xhttp

_LOCAL_KEYS = {"masterkeylog", "certificates", "sockopt", "echsockopt"}
"""Keys under which Xray writes or reads a file, or picks an interface or another outbound."""

_ENCRYPTION = re.compile(
    r"mlkem768x25519plus\.(native|xorpub|random)\.(1rtt|0rtt)(\.[^.]{1,19})*(\.[\w-]{20,})+",
    re.ASCII,
)
_SPIDER_PATH = re.compile(r"/(?!/)([^\x00-\x1f\x7f%]|%[0-9A-Fa-f]{2})*")
_URL_HOST = re.compile(r"([\w.~-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?", re.ASCII)
_URL_QUERY = re.compile(r"[^\x00-\x1f\x7f]*")
_METHOD = re.compile(r"[A-Za-z-]+")


def objections(endpoint: Streamed) -> Iterator[str]:
    """What is wrong with an endpoint, in short words that quote nothing of it."""
    if isinstance(endpoint, Vless):
        yield from _of_encryption(endpoint.encryption)
    if isinstance(endpoint.security, Reality):
        yield from _of_spider(endpoint.security.spider_x)
    if isinstance(endpoint.transport, Xhttp):
        yield from _of_xhttp(endpoint, endpoint.transport)
    if endpoint.finalmask:
        yield from _of_json("fm", json.loads(endpoint.finalmask))


def of_shadowsocks(endpoint: Shadowsocks) -> Iterator[str]:
    """The same for Shadowsocks. Both engines refuse this without naming the outbound."""
    several = endpoint.method in SHADOWSOCKS_2022 and ":" in endpoint.password
    if several and "aes" not in endpoint.method:
        yield "only the AES methods of Shadowsocks 2022 know several users"


def _of_encryption(encryption: str) -> Iterator[str]:
    # Without a key behind its padding, Xray cuts past the end of the text.
    if encryption != "none" and not _ENCRYPTION.fullmatch(encryption):
        yield 'its VLESS encryption is neither "none" nor a mlkem768x25519plus text with a key'


def _of_spider(path: str) -> Iterator[str]:
    # Xray asks a URL that could not be parsed for its query.
    if path and not _SPIDER_PATH.fullmatch(path):
        yield "its spiderX is not a path that begins with one slash"


def _of_xhttp(endpoint: Streamed, transport: Xhttp) -> Iterator[str]:
    # XHTTP makes a request from a URL that could not be parsed.
    name = endpoint.security.server_name if isinstance(endpoint.security, Tls | Reality) else ""
    if not _URL_HOST.fullmatch(transport.host or name or "address"):
        yield "its XHTTP host is not a host name (IPv6 needs brackets)"
    if not _URL_QUERY.fullmatch(transport.path):
        yield "its XHTTP path holds a control character"
    yield from _of_json("extra", json.loads(transport.extra or "{}"))


def _of_json(part: str, value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """What is wrong anywhere in JSON that is passed on. Xray reads keys in any case."""
    if isinstance(value, list):
        for each in value:
            yield from _of_json(part, each)
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _of_setting(part, key.casefold(), each)
            yield from _of_json(part, each)


def _of_setting(part: str, key: str, value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    if key in _LOCAL_KEYS:
        yield f"its {part} holds a setting that reaches for this machine"
    elif key == "downloadsettings" and not _has(value, "address", "port", "network"):
        yield f"the downloadSettings of its {part} need an address, a port and a network"
    elif key == "udphop" and not _has(value, "interval"):
        yield f"the udpHop of its {part} needs an interval"
    elif (expected := _SHAPES.get(key)) and not _is_like(expected, value):
        yield f"its {part} holds a value at which Xray would crash"


def _has(value: Any, *keys: str) -> bool:  # noqa: ANN401 - JSON
    """Whether a group of settings has these, or there is none at all."""
    return value is None or (isinstance(value, dict) and {*keys} <= {k.casefold() for k in value})


_SHAPES = {
    "host": _URL_HOST,
    "servername": _URL_HOST,
    "network": re.compile("(xhttp|splithttp)", re.IGNORECASE),
    "address": re.compile(r"[\w.:~-]+|\[[0-9A-Fa-f:.]+\]", re.ASCII),
    "path": _URL_QUERY,
    "uplinkhttpmethod": _METHOD,
    "scmaxeachpostbytes": re.compile(r"[1-9]\d{0,8}(-[1-9]\d{0,8})?", re.ASCII),
}
"""Settings by name, and what they must look like unless they are empty."""


def _is_like(expected: re.Pattern[str], value: Any) -> bool:  # noqa: ANN401 - JSON
    return not value or expected.fullmatch(str(value)) is not None
