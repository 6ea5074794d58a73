"""Endpoints as outbounds of an Xray client. Pure.

They speak the dialect that every Xray from v26.3.27 to v26.7.28 takes: `network`, flat outbounds,
`publicKey`. Later names (`method`, `raw`, `password`) came after v26.3.27.
"""

import json
from collections.abc import Iterator
from typing import Any, assert_never

from healthd.endpoints import (
    Endpoint,
    Grpc,
    HttpUpgrade,
    Hysteria2,
    QuicTls,
    Raw,
    RawHttp,
    Reality,
    Security,
    Shadowsocks,
    Streamed,
    Tls,
    Transport,
    Trojan,
    Tuic,
    Vless,
    Vmess,
    WebSocket,
    Xhttp,
)
from healthd.engines import xray_limits

_BROWSER = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36"
)
"""What a disguised request calls itself: with headers of our own, Xray adds none of its own."""


def why_not(endpoint: Endpoint) -> str | None:
    """Why no Xray can reach this endpoint, in short words; None when it can."""
    return next(_objections(endpoint), None)


def outbound(endpoint: Endpoint, tag: str) -> dict[str, Any]:
    """The outbound that reaches an endpoint to which :func:`why_not` has no objection."""
    place = {"address": endpoint.address, "port": endpoint.port}
    stream: dict[str, Any]
    match endpoint:
        case Tuic():
            raise ValueError(why_not(endpoint))
        case Hysteria2():
            protocol, user, stream = "hysteria", {"version": 2}, _quic_stream(endpoint)
        case Shadowsocks():
            protocol, user, stream = "shadowsocks", _shadowsocks_user(endpoint), {"network": "tcp"}
        case _:
            protocol, user, stream = endpoint.protocol, _user(endpoint), _stream(endpoint)
    return {
        "tag": tag,
        "protocol": protocol,
        "settings": place | user,
        "streamSettings": stream,
    }


def _objections(endpoint: Endpoint) -> Iterator[str]:
    match endpoint:
        case Tuic():
            yield "Xray knows no TUIC"
        case Hysteria2(tls=tls):
            if tls.insecure and not tls.pinned_sha256:
                yield "Xray always verifies certificates: give the server's pinSHA256 instead"
        case Shadowsocks():
            yield from xray_limits.of_shadowsocks(endpoint)
        case _:
            yield from xray_limits.objections(endpoint)


def _shadowsocks_user(endpoint: Shadowsocks) -> dict[str, Any]:
    return {"method": endpoint.method, "password": endpoint.password}


def _user(endpoint: Streamed) -> dict[str, Any]:
    match endpoint:
        case Vless(user=user, encryption=encryption, flow=flow):
            return {"id": user, "encryption": encryption, **_given(flow=flow)}
        case Vmess(user=user, cipher=cipher):
            return {"id": user, "security": cipher}
        case Trojan(password=password):
            return {"password": password}
        case _:  # pragma: no cover - a protocol that is forgotten here does not pass mypy
            assert_never(endpoint)


def _stream(endpoint: Streamed) -> dict[str, Any]:
    stream = _transport(endpoint.transport) | _security(endpoint.security)
    if endpoint.finalmask:
        stream["finalmask"] = json.loads(endpoint.finalmask)
    return stream


def _transport(transport: Transport) -> dict[str, Any]:
    match transport:
        case Raw():
            return {"network": "tcp"}
        case RawHttp():
            return {"network": "tcp", "tcpSettings": {"header": _http_header(transport)}}
        case WebSocket(path=path, host=host):
            return {"network": "ws", "wsSettings": _given(path=path, host=host)}
        case HttpUpgrade(path=path, host=host):
            return {"network": "httpupgrade", "httpupgradeSettings": _given(path=path, host=host)}
        case Grpc():
            return {"network": "grpc", "grpcSettings": _grpc(transport)}
        case Xhttp():
            return {"network": "xhttp", "xhttpSettings": _xhttp(transport)}
        case _:  # pragma: no cover - a transport that is forgotten here does not pass mypy
            assert_never(transport)


def _http_header(transport: RawHttp) -> dict[str, Any]:
    request = _given(path=list(transport.paths))
    if transport.hosts:
        request["headers"] = {
            "Host": list(transport.hosts),
            "User-Agent": [_BROWSER],
            "Accept-Encoding": ["gzip, deflate"],
            "Connection": ["keep-alive"],
            "Pragma": ["no-cache"],
        }
    return {"type": "http", **_given(request=request)}


def _grpc(transport: Grpc) -> dict[str, Any]:
    return _given(
        serviceName=transport.service, authority=transport.authority, multiMode=transport.multi
    )


def _xhttp(transport: Xhttp) -> dict[str, Any]:
    return _given(
        path=transport.path,
        host=transport.host,
        mode=transport.mode,
        extra=json.loads(transport.extra or "{}"),
    )


def _security(security: Security) -> dict[str, Any]:
    match security:
        case Reality():
            return {"security": "reality", "realitySettings": _reality(security)}
        case Tls():
            return {"security": "tls", "tlsSettings": _tls(security)}
        case _:
            return {}


def _reality(reality: Reality) -> dict[str, Any]:
    return _given(
        serverName=reality.server_name,
        # Only Chrome's hello still satisfies every server (X25519MLKEM768 first).
        fingerprint=reality.fingerprint or "chrome",
        publicKey=reality.public_key,
        shortId=reality.short_id,
        spiderX=reality.spider_x,
        mldsa65Verify=reality.mldsa65_verify,
    )


def _tls(tls: Tls) -> dict[str, Any]:
    return _given(
        serverName=tls.server_name,
        fingerprint=tls.fingerprint or "chrome",
        alpn=list(tls.alpn),
        echConfigList=tls.ech,
        verifyPeerCertByName=tls.verify_names,
        pinnedPeerCertSha256=tls.pinned_sha256,
    )


def _quic_stream(endpoint: Hysteria2) -> dict[str, Any]:
    obfs = [{"type": "salamander", "settings": {"password": endpoint.obfs_password}}]
    mask = _given(
        udp=obfs if endpoint.obfs_password else None,
        quicParams={"udpHop": _hop(endpoint.hop)} if endpoint.hop else None,
    )
    return {
        "network": "hysteria",
        "hysteriaSettings": {"version": 2, "auth": endpoint.auth},
        "security": "tls",
        "tlsSettings": _quic_tls(endpoint.tls),
        **_given(finalmask=mask),
    }


HOP_INTERVAL = 30
"""Seconds on one port; Hysteria2's own default. Xray v26.3.27 crashes when it is not told."""


def _hop(hop: str) -> dict[str, Any]:
    """Where to hop. Xray forgets all ports, silently, when one has a leading zero."""
    ports = [f"{low}-{high}" for low, high in port_ranges(hop)]
    return {"ports": ",".join(ports), "interval": HOP_INTERVAL}


def _quic_tls(tls: QuicTls) -> dict[str, Any]:
    return _given(
        serverName=tls.server_name,
        alpn=list(tls.alpn) or ["h3"],
        echConfigList=tls.ech,
        pinnedPeerCertSha256=tls.pinned_sha256,
    )


def port_ranges(hop: str) -> list[tuple[int, int]]:
    """First and last port of each part of a list such as "5000-6000,7000"."""
    pairs = (part.partition("-") for part in hop.split(","))
    return [(int(low), int(high or low)) for low, _, high in pairs]


def _given(**settings: object) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if value}
