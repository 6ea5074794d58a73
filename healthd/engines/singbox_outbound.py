"""Endpoints as outbounds of a sing-box client. Pure.

Written for sing-box 1.14, which refuses keys it does not know. REALITY and imitated browsers need
a build with ``with_utls``.
"""

import re
from typing import Any, assert_never

from healthd.endpoints import (
    Endpoint,
    Grpc,
    HttpUpgrade,
    Hysteria2,
    Quic,
    QuicTls,
    Raw,
    RawHttp,
    Reality,
    Shadowsocks,
    Streamed,
    Tls,
    Trojan,
    Tuic,
    Vless,
    Vmess,
    WebSocket,
    Xhttp,
)
from healthd.engines import singbox_limits
from healthd.engines.singbox_limits import early_data
from healthd.engines.xray_outbound import port_ranges

BROWSERS = {
    *("chrome", "firefox", "edge", "safari", "360", "qq", "ios", "android"),
    *("random", "randomized"),
}
"""The TLS clients that sing-box can imitate."""


def why_not(endpoint: Endpoint) -> str | None:
    """Why sing-box cannot reach this endpoint, in short words; None when it can."""
    return next(singbox_limits.objections(endpoint), None)


def outbound(endpoint: Endpoint, tag: str) -> dict[str, Any]:
    """The outbound that reaches an endpoint to which :func:`why_not` has no objection."""
    match endpoint:
        case Hysteria2():
            kind, own = "hysteria2", _hysteria2(endpoint)
        case Tuic():
            kind, own = "tuic", _tuic(endpoint)
        case Shadowsocks(method=method, password=password):
            kind, own = "shadowsocks", {"method": method, "password": password}
        case _:
            kind, own = endpoint.protocol, _user(endpoint) | _stream(endpoint)
    place = {"server": endpoint.address, "server_port": endpoint.port}
    return {"type": kind, "tag": tag} | place | own


def _user(endpoint: Streamed) -> dict[str, Any]:
    match endpoint:
        case Vless(user=user, flow=flow):
            return {"uuid": _canonical(user), **_given(flow=flow.removesuffix("-udp443"))}
        case Vmess(user=user, cipher=cipher):
            return {"uuid": _canonical(user), "security": cipher}
        case Trojan(password=password):
            return {"password": password}
        case _:  # pragma: no cover - a protocol that is forgotten here does not pass mypy
            assert_never(endpoint)


def _canonical(user: str) -> str:
    """A UUID with its hyphens. What is none, both engines hash into one in the same way."""
    digits = user.replace("-", "")
    if not re.fullmatch(r"[0-9A-Fa-f]{32}", digits):
        return user
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _stream(endpoint: Streamed) -> dict[str, Any]:
    return _given(tls=_tls(endpoint), transport=_transport(endpoint))


def _transport(endpoint: Streamed) -> dict[str, Any]:
    match endpoint.transport:
        case Raw():
            return {}
        case RawHttp(hosts=hosts, paths=paths):
            path = paths[0] if paths else ""
            return {"type": "http", "method": "GET", **_given(host=list(hosts), path=path)}
        case WebSocket() as transport:
            return {"type": "ws"} | _websocket(transport, _server_name(endpoint))
        case HttpUpgrade(path=path, host=host):
            return {"type": "httpupgrade", **_given(path=early_data(path)[0], host=host)}
        case Grpc(service=service):
            return {"type": "grpc", **_given(service_name=service)}
        case Xhttp():
            raise ValueError(why_not(endpoint))
        case _ as forgotten:  # pragma: no cover - a forgotten transport does not pass mypy
            assert_never(forgotten)


def _websocket(transport: WebSocket, server_name: str) -> dict[str, Any]:
    path, early = early_data(transport.path)
    host = transport.host or server_name  # Xray's order; by itself sing-box sends the address
    return _given(
        path=path,
        headers={"Host": host} if host else None,
        max_early_data=early,
        early_data_header_name="Sec-WebSocket-Protocol" if early else None,
    )


def _server_name(endpoint: Streamed) -> str:
    return "" if endpoint.security is None else endpoint.security.server_name


def _tls(endpoint: Streamed) -> dict[str, Any]:
    match endpoint.security:
        case Reality() as reality:
            keys = _given(public_key=reality.public_key, short_id=reality.short_id)
            return {
                "enabled": True,
                **_given(server_name=reality.server_name),
                "utls": _imitate(reality.fingerprint) or _imitate("chrome"),
                "reality": {"enabled": True, **keys},
            }
        case Tls() as tls:
            return _common(tls) | _given(utls=_imitate(tls.fingerprint))
        case _:
            return {}


def _imitate(fingerprint: str) -> dict[str, Any]:
    """The browser to imitate: Xray's "hellochrome_120" is just Chrome here, "unsafe" is none."""
    name = fingerprint.lower().removeprefix("hello").partition("_")[0]
    if name in ("unsafe", "golang"):
        return {}
    return {"enabled": True, "fingerprint": name if name in BROWSERS else "chrome"}


def _common(tls: Tls | QuicTls) -> dict[str, Any]:
    lines = ["-----BEGIN ECH CONFIGS-----", tls.ech, "-----END ECH CONFIGS-----"]
    return {
        "enabled": True,
        **_given(
            server_name=tls.server_name,
            alpn=list(tls.alpn),
            ech={"enabled": True, "config": lines} if tls.ech else None,
        ),
    }


def _quic_tls(endpoint: Quic) -> dict[str, Any]:
    return {"tls": _common(endpoint.tls) | _given(insecure=endpoint.tls.insecure)}


def _hysteria2(endpoint: Hysteria2) -> dict[str, Any]:
    ports = [f"{low}:{high}" for low, high in port_ranges(endpoint.hop)] if endpoint.hop else []
    obfs = {"type": "salamander", "password": endpoint.obfs_password}
    return _quic_tls(endpoint) | _given(
        server_ports=ports,
        obfs=obfs if endpoint.obfs_password else None,
        password=endpoint.auth,
    )


def _tuic(endpoint: Tuic) -> dict[str, Any]:
    own = {"uuid": endpoint.user, "password": endpoint.password} | _quic_tls(endpoint)
    own["tls"] |= _given(disable_sni=endpoint.disable_sni)
    return own | _given(
        congestion_control=endpoint.congestion,
        udp_relay_mode=endpoint.udp_relay,
        zero_rtt_handshake=endpoint.zero_rtt,
    )


def _given(**settings: object) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if value}
