"""Endpoints as proxies of mihomo, the engine of Clash's heirs. Pure."""

import re
from typing import Any, assert_never

from healthd.endpoints import (
    Endpoint,
    Grpc,
    HttpUpgrade,
    Hysteria2,
    Quic,
    QuicTls,
    RawHttp,
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
from healthd.publishing.clash_limits import server_name

_FINGERPRINTS = frozenset(
    {"chrome", "firefox", "safari", "ios", "android", "edge", "360", "qq", "random", "randomized"}
)

_BYTE = re.compile("..")


def proxy(endpoint: Endpoint, name: str) -> dict[str, Any]:
    """The entry of ``proxies`` that reaches an endpoint which mihomo can express."""
    known = {
        "name": name,
        "type": endpoint.protocol,
        "server": endpoint.address,
        "port": endpoint.port,
        "udp": True,
    }
    match endpoint:
        case Shadowsocks():
            return known | {"cipher": endpoint.method, "password": endpoint.password}
        case Hysteria2():
            return known | _hysteria2(endpoint) | _quic(endpoint)
        case Tuic():
            return known | _tuic(endpoint) | _quic(endpoint)
        case Vless():
            return known | _vless(endpoint) | _stream(endpoint)
        case Vmess():
            own = {"uuid": endpoint.user, "alterId": 0, "cipher": endpoint.cipher}
            return known | own | _stream(endpoint)
        case Trojan():
            return known | {"password": endpoint.password} | _stream(endpoint)
        case _:  # pragma: no cover - a protocol that is forgotten here does not pass mypy
            assert_never(endpoint)


def _vless(endpoint: Vless) -> dict[str, Any]:
    known: dict[str, Any] = {"uuid": endpoint.user}
    if endpoint.flow:
        # mihomo's own flow lets UDP to port 443 pass, as Xray's with "-udp443" behind it.
        known["flow"] = "xtls-rprx-vision"
    if endpoint.encryption != "none":
        known["encryption"] = endpoint.encryption
    return known


def _hysteria2(endpoint: Hysteria2) -> dict[str, Any]:
    obfs = {"obfs": "salamander", "obfs-password": endpoint.obfs_password}
    return {
        **_given({"password": endpoint.auth, "ports": endpoint.hop}),
        **(obfs if endpoint.obfs_password else {}),
    }


def _tuic(endpoint: Tuic) -> dict[str, Any]:
    return {
        "uuid": endpoint.user,
        "password": endpoint.password,
        **_given(
            {
                "congestion-controller": endpoint.congestion,
                "udp-relay-mode": endpoint.udp_relay,
                "reduce-rtt": endpoint.zero_rtt,
                "disable-sni": endpoint.disable_sni,
            }
        ),
    }


def _quic(endpoint: Quic) -> dict[str, Any]:
    tls = endpoint.tls
    given = {"sni": tls.server_name, "skip-cert-verify": tls.insecure}
    return _given(given) | _trust(tls)


def _stream(endpoint: Streamed) -> dict[str, Any]:
    known = _transport(endpoint.transport, server_name(endpoint))
    security = endpoint.security
    if security is None:
        return known
    if not isinstance(endpoint, Trojan):  # which has no other way
        known["tls"] = True
    # Said even where it is the address: mihomo would take a WebSocket's host before that.
    known["sni" if isinstance(endpoint, Trojan) else "servername"] = server_name(endpoint)
    if security.fingerprint != "unsafe":  # Xray's word for Go's own hello
        named = security.fingerprint
        known["client-fingerprint"] = named if named in _FINGERPRINTS else "chrome"
    if isinstance(security, Tls):
        return known | _trust(security)
    options = {"public-key": security.public_key}
    known["reality-opts"] = options | _given({"short-id": security.short_id})
    return known


def _trust(tls: Tls | QuicTls) -> dict[str, Any]:
    ech = {"enable": True, "config": tls.ech} if tls.ech else None
    # As openssl prints it: what JSON schemas for editors ask for, though mihomo does not mind.
    pin = ":".join(_BYTE.findall(tls.pinned_sha256)).upper()
    return _given({"alpn": list(tls.alpn), "fingerprint": pin, "ech-opts": ech})


def _transport(transport: Transport, name: str) -> dict[str, Any]:
    match transport:
        case RawHttp():
            options: dict[str, Any] = {"method": "GET", "path": list(transport.paths) or ["/"]}
            if transport.hosts:
                options["headers"] = {"Host": list(transport.hosts)}
            return {"network": "http", "http-opts": options}
        case WebSocket():
            return {"network": "ws", "ws-opts": _web_socket(transport, name)}
        case HttpUpgrade():
            upgrade = {"v2ray-http-upgrade": True}
            return {"network": "ws", "ws-opts": _web_socket(transport, name) | upgrade}
        case Grpc():
            # A server that offers "multi" offers the plain form as well.
            return {"network": "grpc", "grpc-opts": {"grpc-service-name": transport.service}}
        case Xhttp():
            host = transport.host or name
            given = {"path": transport.path, "host": host, "mode": transport.mode}
            return {"network": "xhttp", "xhttp-opts": _given(given)}
        case _:
            return {"network": "tcp"}


_EARLY_DATA = re.compile(r"([^?]*)\?ed=([1-9][0-9]{0,4})")
"""As Xray's links have it. mihomo reads it as well, others of Clash's heirs read the options."""


def _web_socket(transport: WebSocket | HttpUpgrade, name: str) -> dict[str, Any]:
    # Without a host mihomo names the address, or even some host of its own choice.
    known: dict[str, Any] = {
        "path": transport.path or "/",
        "headers": {"Host": transport.host or name},
    }
    if isinstance(transport, WebSocket) and (early := _EARLY_DATA.fullmatch(transport.path)):
        known["path"] = early[1] or "/"
        known["max-early-data"] = int(early[2])
        known["early-data-header-name"] = "Sec-WebSocket-Protocol"
    return known


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if value}
