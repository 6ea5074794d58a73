"""Outbounds of both engines against real servers: what a client is told is what servers expect."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import trio

from healthd.demo.fleet import Fleet, open_fleet
from healthd.demo.kind import ADDRESS, Json, Kind, tls, tls_settings, xray_inbound
from healthd.demo.kinds import KINDS
from healthd.demo.materials import NODE_NAME, Access
from healthd.demo.serving import serve
from healthd.endpoints import (
    SHADOWSOCKS_AEAD,
    VMESS_CIPHERS,
    Endpoint,
    Grpc,
    QuicTls,
    Raw,
    RawHttp,
    Shadowsocks,
    Tls,
    Transport,
    Vless,
    Vmess,
    WebSocket,
    Xhttp,
)
from healthd.engines import singbox_outbound, socks, xray_outbound
from healthd.engines.ports import reserve_port
from healthd.errors import TunnelError

PASSWORD = "x"


def _vless(stream: Json, transport: Transport, *, secure: bool = False, **given: Any) -> Kind:
    """A VLESS server with this transport."""

    def inbound(access: Access) -> Json:
        flow = given.get("flow", "").removesuffix("-udp443")
        client = {"id": given.get("user", access.user), "flow": flow}
        settings = {"clients": [client], "decryption": "none"}
        security = tls_settings(access) if secure else {}
        return xray_inbound(access, "vless", settings, stream | security)

    def endpoint(access: Access) -> Endpoint:
        own = {"user": access.user, "security": tls(access) if secure else None} | given
        return Vless(address=ADDRESS, port=access.port, transport=transport, **own)

    return Kind(inbound, endpoint, certified=secure)


def _changed(kind: Kind, change: Callable[[Any], Any]) -> Kind:
    """The same server, for clients that see it in another way."""
    seen = kind.endpoint
    return replace(kind, endpoint=lambda access: change(seen(access)), certified=True)


def _vmess(cipher: str) -> Kind:
    return Kind(
        lambda access: xray_inbound(access, "vmess", {"clients": [{"id": access.user}]}, {}),
        lambda access: Vmess(address=ADDRESS, port=access.port, user=access.user, cipher=cipher),
    )


def _shadowsocks(method: str) -> Kind:
    return Kind(
        lambda access: xray_inbound(
            access, "shadowsocks", {"method": method, "password": access.password}, {}
        ),
        lambda access: Shadowsocks(
            address=ADDRESS, port=access.port, method=method, password=access.password
        ),
    )


def _hopping(endpoint: Any) -> Any:
    tls_of_ca = QuicTls(server_name=NODE_NAME)
    return replace(endpoint, hop=f"{endpoint.port}-{endpoint.port}", tls=tls_of_ca)


_WS = {"network": "ws", "wsSettings": {"path": "/ws"}}
_GRPC = {"network": "grpc", "grpcSettings": {"serviceName": "a/b c"}}
_PATH = {"network": "grpc", "grpcSettings": {"serviceName": "/a/b/one|many"}}
_HTTP = {"network": "tcp", "tcpSettings": {"header": {"type": "http", "request": {"path": ["/p"]}}}}
_QUIC_ALPN = ("h3",)
MORE: Mapping[str, Kind] = {
    "text-for-uuid": _vless(_WS, WebSocket(path="/ws"), user="alice"),
    "early-data": _vless(_WS, WebSocket(path="/ws?ed=2560", host="h.test")),
    "grpc-multi": _vless(_GRPC, Grpc(service="a/b c", multi=True), secure=True),
    "grpc-plain": _vless(_GRPC, Grpc(service="a/b c")),
    "grpc-path": _vless(_PATH, Grpc(service="/a/b/one|many", multi=True), secure=True),
    "grpc-authority": _vless(_GRPC, Grpc(service="a/b c", authority="a.test"), secure=True),
    "http-header": _vless(_HTTP, RawHttp(hosts=("a.test", "b.test"), paths=("/p",))),
    "http-header-tls": _vless(_HTTP, RawHttp(hosts=("a.test",), paths=("/p",)), secure=True),
    "xhttp-plain": _vless(
        {"network": "xhttp", "xhttpSettings": {"path": "/x"}}, Xhttp(path="/x", mode="packet-up")
    ),
    "udp443": _vless({"network": "tcp"}, Raw(), secure=True, flow="xtls-rprx-vision-udp443"),
    "hysteria2-hopping": _changed(KINDS["hysteria2"], _hopping),
    "tuic-without-sni": _changed(
        KINDS["tuic"],
        lambda seen: replace(seen, disable_sni=True, zero_rtt=True, udp_relay="quic"),
    ),
    "tuic-insecure": _changed(
        KINDS["tuic"],
        lambda seen: replace(seen, tls=QuicTls(insecure=True, alpn=_QUIC_ALPN)),
    ),
    **{f"vmess-{cipher}": _vmess(cipher) for cipher in VMESS_CIPHERS},
    **{method: _shadowsocks(method) for method in SHADOWSOCKS_AEAD},
}
ALL = {**KINDS, **MORE}


def _xray_client(ways: Mapping[str, Endpoint], port: int) -> Json:
    accounts = [{"user": name, "pass": PASSWORD} for name in ways]
    return {
        "log": {"loglevel": "warning", "access": "none"},
        "inbounds": [
            {
                "listen": ADDRESS,
                "port": port,
                "protocol": "socks",
                "settings": {"auth": "password", "accounts": accounts},
            }
        ],
        "outbounds": [xray_outbound.outbound(way, name) for name, way in ways.items()],
        "routing": {"rules": [{"user": [name], "outboundTag": name} for name in ways]},
    }


def _singbox_client(ways: Mapping[str, Endpoint], port: int) -> Json:
    outbounds = [singbox_outbound.outbound(way, name) for name, way in ways.items()]
    for each in outbounds:
        each.get("tls", {}).pop("utls", None)  # the package's build imitates nobody
    return {
        "log": {"level": "info"},
        "inbounds": [
            {
                "type": "socks",
                "listen": ADDRESS,
                "listen_port": port,
                "users": [{"username": name, "password": PASSWORD} for name in ways],
            }
        ],
        "outbounds": outbounds,
        "route": {
            "rules": [{"auth_user": [name], "action": "route", "outbound": name} for name in ways]
        },
    }


async def _ask(port: int, user: str, check_port: int) -> bytes:
    """The first bytes of a check URL's answer, through this account; empty: there was none."""
    with trio.move_on_after(10):
        async with await trio.open_tcp_stream(ADDRESS, port) as stream:
            await stream.send_all(socks.authentication(user, PASSWORD))
            await stream.send_all(socks.connect("localhost", check_port))
            reply = b""
            while socks.reply_length(reply) is None:
                reply += await stream.receive_some() or b"\xff"
            await stream.send_all(b"GET /generate_204 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return bytes(await stream.receive_some())[:12]
    return b""


@pytest.mark.parametrize("engine", ["xray", "sing-box"])
async def test_every_server_answers_through_an_outbound(
    engine: str, xray: str, sing_box: str
) -> None:
    """A client with an outbound for each server that its engine can reach is answered by all.

    What is left out is left out for a reason: each engine's list of them is fixed.
    """
    rules = xray_outbound if engine == "xray" else singbox_outbound
    configure = _xray_client if engine == "xray" else _singbox_client
    with trio.fail_after(60):
        async with open_fleet(xray, list(ALL), sing_box=sing_box, kinds=ALL) as fleet:
            ways = {name: server.endpoint for name, server in fleet.servers.items()}
            left_out = {name for name, way in ways.items() if rules.why_not(way)}
            if engine == "sing-box":  # REALITY needs a build that imitates browsers
                left_out |= {name for name in ways if "reality" in name}
            for name in left_out:
                del ways[name]
            answers = await _answers(fleet, engine, configure, ways)

    assert answers == dict.fromkeys(ways, b"HTTP/1.1 204")
    assert left_out == LEFT_OUT[engine]


async def _answers(
    fleet: Fleet,
    engine: str,
    configure: Callable[[Mapping[str, Endpoint], int], Json],
    ways: Mapping[str, Endpoint],
) -> dict[str, bytes]:
    answers: dict[str, bytes] = {}
    with reserve_port() as held:
        port: int = held.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(
            partial(
                serve,
                engine,
                fleet.engines[engine],
                configure(ways, port),
                owner="test",
                environment={"SSL_CERT_FILE": str(fleet.ca_file)},
            )
        )
        for name in ways:
            answers[name] = await _ask(port, name, fleet.checks[0].port)
        nursery.cancel_scope.cancel()
    return answers


@pytest.mark.parametrize(
    "way",
    [
        Xhttp(host="a b"),
        Xhttp(path="/?\x01"),
        Xhttp(extra='{"downloadSettings": {"network": "xhttp"}}'),
        Xhttp(extra='{"downloadSettings": {"address": "127.0.0.1", "port": 1}}'),
        Xhttp(extra='{"scMaxEachPostBytes": -1}'),
        Xhttp(mode="stream-one", extra='{"uplinkHTTPMethod": "A B"}'),
    ],
)
async def test_what_is_refused_ends_a_client_at_the_first_connection(way: Xhttp, xray: str) -> None:
    """The rules are needed: Xray accepts such an outbound, and takes all nodes down with it."""
    endpoint = Vless(address=ADDRESS, port=1, user="alice", transport=way, security=Tls())
    assert xray_outbound.why_not(endpoint) is not None
    with reserve_port() as held:
        port: int = held.getsockname()[1]
    config = _xray_client({"bad": endpoint}, port)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:  # it ends when the client does
            await nursery.start(partial(serve, "xray", xray, config, owner="test"))
            with suppress(trio.BrokenResourceError, TunnelError):
                await _ask(port, "bad", 9)


LEFT_OUT = {
    "xray": {"tuic", "tuic-without-sni", "tuic-insecure"},
    "sing-box": {
        *("vless-reality-vision", "vless-reality-xhttp", "vless-reality-grpc"),
        *("vless-encryption", "hysteria2", "xhttp-plain"),
        *("grpc-path", "grpc-authority", "http-header-tls"),
    },
}
