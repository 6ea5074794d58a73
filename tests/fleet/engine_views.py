"""What is left of an endpoint once it was written for an engine, and read again."""

from dataclasses import replace
from typing import Any

from healthd.endpoints import (
    Endpoint,
    Grpc,
    HttpUpgrade,
    Hysteria2,
    QuicTls,
    RawHttp,
    Reality,
    Shadowsocks,
    Trojan,
    Tuic,
    Vless,
    Vmess,
    WebSocket,
    Xhttp,
)
from healthd.engines.singbox_limits import early_data
from healthd.engines.xray_outbound import port_ranges

UUID = "b831381d-6324-4d53-ad4f-8cda48b30811"
PIN = "ab" * 32
KEY = "acaeUm7I44nRB-Qy2LNGxaxX60fRDdyNbxNlXkvlHlc"


def as_xray_keeps_it(endpoint: Endpoint) -> Endpoint:
    """Xray is always told a browser, QUIC's ALPN and ports without leading zeros."""
    endpoint = replace(endpoint, extra=())
    if isinstance(endpoint, Hysteria2):
        hop = ",".join(
            f"{low}-{high}" if low < high else str(low)
            for low, high in (port_ranges(endpoint.hop) if endpoint.hop else ())
        )
        tls = replace(endpoint.tls, alpn=endpoint.tls.alpn or ("h3",), insecure=False)
        return replace(endpoint, hop=hop, tls=tls)
    if isinstance(endpoint, Vless | Vmess | Trojan):
        transport = endpoint.transport
        if isinstance(transport, Xhttp) and transport.extra == "{}":
            transport = replace(transport, extra="")
        mask = "" if endpoint.finalmask == "{}" else endpoint.finalmask
        return _with_browser(replace(endpoint, transport=transport, finalmask=mask))
    return endpoint


def _with_browser(endpoint: Any) -> Any:
    if endpoint.security is None:
        return endpoint
    browser = endpoint.security.fingerprint or "chrome"
    return replace(endpoint, security=replace(endpoint.security, fingerprint=browser))


def without_choices(endpoint: Endpoint) -> Endpoint:
    """Without what a client may choose, or an engine says in its own way.

    Browsers have other names there, and defaults are spelled out; gRPC's multi mode, UDP beside
    Vision and REALITY's crawling are the client's own business.
    """
    endpoint = replace(endpoint, extra=())
    match endpoint:
        case Hysteria2():
            return as_xray_keeps_it(replace(endpoint, tls=_plain_tls(endpoint.tls)))
        case Tuic():
            return replace(endpoint, tls=_plain_tls(endpoint.tls))
        case Shadowsocks():
            return endpoint
        case Vless():
            endpoint = replace(endpoint, flow=endpoint.flow.removesuffix("-udp443"))
        case _:
            pass
    return replace(
        endpoint, security=_plain_security(endpoint), transport=_plain_transport(endpoint)
    )


def _plain_tls(tls: QuicTls) -> QuicTls:
    return replace(tls, insecure=False)


def _plain_security(endpoint: Any) -> Any:
    security = endpoint.security
    if security is None:
        return None
    name = security.server_name or endpoint.address
    if isinstance(security, Reality):
        return Reality(public_key=security.public_key, server_name=name, short_id=security.short_id)
    return replace(security, server_name=name, fingerprint="")


def _plain_transport(endpoint: Any) -> Any:
    transport, security = endpoint.transport, endpoint.security
    name = (security.server_name if security else "") or endpoint.address
    match transport:
        case WebSocket(path=path, host=host):
            way, early = early_data(path)
            return WebSocket(path=f"{way or '/'} {early}", host=host or name)
        case HttpUpgrade(path=path, host=host):
            return HttpUpgrade(path=early_data(path)[0] or "/", host=host or name)
        case Grpc():
            return Grpc(service=transport.service)
        case RawHttp(hosts=hosts, paths=paths):
            return RawHttp(hosts=hosts, paths=paths[:1] or ("/",))
        case Xhttp():
            return replace(transport, path=transport.path or "/", host=transport.host or name)
        case _:
            return transport
