"""What sing-box cannot do, of all that an endpoint may need. Pure.

Where a client merely may choose (gRPC's multi mode, UDP to port 443 beside Vision, HTTPUpgrade's
early data), there is no objection: every server serves both.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlencode

from healthd.endpoints import (
    Endpoint,
    Grpc,
    Hysteria2,
    QuicTls,
    Raw,
    RawHttp,
    Reality,
    Shadowsocks,
    Streamed,
    Tls,
    Tuic,
    Vless,
    Xhttp,
)
from healthd.engines.xray_limits import of_shadowsocks


def objections(endpoint: Endpoint) -> Iterator[str]:
    """All that sing-box cannot do of what this endpoint needs, in short words."""
    match endpoint:
        case Shadowsocks():
            yield from of_shadowsocks(endpoint)
        case Hysteria2() | Tuic():
            yield from _to_tls(endpoint.tls)
        case _:
            if isinstance(endpoint, Vless) and endpoint.encryption != "none":
                yield "sing-box knows no VLESS encryption"
            if endpoint.finalmask:
                yield "sing-box knows no finalmask"
            yield from _to_transport(endpoint)
            yield from _to_security(endpoint)


def _to_transport(endpoint: Streamed) -> Iterator[str]:
    match endpoint.transport:
        case Raw():
            return
        case Xhttp():
            yield "sing-box knows no XHTTP"
        case Grpc(service=service, authority=authority):
            if service.startswith("/"):
                yield "sing-box knows no gRPC path of one's own, only a service name"
            if authority:
                yield "sing-box knows no gRPC authority"
        case RawHttp(paths=paths):
            if endpoint.security is not None:
                yield "sing-box disguises as HTTP/1.1 only without TLS"
            yield from _to_path(paths[0] if paths else "")
        case way:  # WebSocket and HTTPUpgrade
            yield from _to_path(early_data(way.path)[0])


_PATH = re.compile(r"([^?%]|%[0-9A-Fa-f]{2})*", re.DOTALL)


def _to_path(path: str) -> Iterator[str]:
    if not _PATH.fullmatch(path):
        yield "sing-box knows no query in a path, and no loose per cent sign"


def _to_security(endpoint: Streamed) -> Iterator[str]:
    match endpoint.security:
        case Reality(mldsa65_verify=key):
            if key:
                yield "sing-box cannot verify ML-DSA-65"
        case Tls() as tls:
            if tls.verify_names:
                yield "sing-box cannot accept other names in a certificate"
            yield from _to_tls(tls)
        case _:
            return


def _to_tls(tls: Tls | QuicTls) -> Iterator[str]:
    if tls.pinned_sha256:
        yield "sing-box cannot pin a certificate, only a public key"
    if tls.ech and not _is_base64(tls.ech):
        yield "sing-box cannot ask a DNS server of one's own for ECH keys"


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def early_data(path: str) -> tuple[str, int]:
    """A path without ``ed=``, and the bytes of early data that it asks for."""
    way, _, query = path.partition("?")
    parts = parse_qsl(query, keep_blank_values=True)
    sizes = [value for key, value in parts if key == "ed" and value]
    if not sizes:
        return path, 0
    rest = urlencode([(key, value) for key, value in parts if key != "ed"])
    size = int(sizes[0]) if re.fullmatch(r"[0-9]{1,9}", sizes[0]) else 0
    return f"{way}?{rest}" if rest else way, size
