"""The kinds of VPN server that a fleet on loopback can have.

Each as its engine wants it configured, and as its clients see it. What a server is told is written
by hand, not derived from what a client is told: a mistake in an outbound shows as a server that
nobody reaches.
"""

from functools import partial

from healthd.demo.kind import (
    ADDRESS,
    Json,
    Kind,
    reality,
    reality_settings,
    tls,
    tls_settings,
    xray_inbound,
)
from healthd.demo.materials import NODE_NAME, Access
from healthd.endpoints import (
    Endpoint,
    Grpc,
    HttpUpgrade,
    Hysteria2,
    QuicTls,
    Raw,
    Shadowsocks,
    Transport,
    Trojan,
    Tuic,
    Vless,
    Vmess,
    WebSocket,
    Xhttp,
)

_VISION = "xtls-rprx-vision"


# ---------------------------------------------------------------------------- VLESS


def _vless(stream: Json, transport: Transport, *, borrowed: bool, flow: str = "") -> Kind:
    secure = reality_settings if borrowed else tls_settings

    def inbound(access: Access) -> Json:
        client = {"id": access.user, "email": "demo|probe", "flow": flow}
        settings = {"clients": [client], "decryption": "none"}
        return xray_inbound(access, "vless", settings, stream | secure(access))

    def endpoint(access: Access) -> Endpoint:
        return Vless(
            address=ADDRESS,
            port=access.port,
            user=access.user,
            flow=flow,
            transport=transport,
            security=reality(access) if borrowed else tls(access),
        )

    return Kind(inbound, endpoint, certified=not borrowed)


def _encrypted_inbound(access: Access) -> Json:
    client = {"id": access.user, "email": "demo|probe", "flow": _VISION}
    settings = {"clients": [client], "decryption": access.materials.encryption.private}
    return xray_inbound(access, "vless", settings, {"network": "tcp"})


def _encrypted(access: Access) -> Endpoint:
    return Vless(
        address=ADDRESS,
        port=access.port,
        user=access.user,
        flow=_VISION,
        encryption=access.materials.encryption.public,
    )


# ---------------------------------------------------------------------------- VMess and Trojan


def _vmess_inbound(access: Access) -> Json:
    settings = {"clients": [{"id": access.user, "email": "demo|probe"}]}
    stream = {"network": "ws", "wsSettings": {"path": "/vm"}} | tls_settings(access)
    return xray_inbound(access, "vmess", settings, stream)


def _vmess(access: Access) -> Endpoint:
    return Vmess(
        address=ADDRESS,
        port=access.port,
        user=access.user,
        transport=WebSocket(path="/vm", host=NODE_NAME),
        security=tls(access),
    )


def _trojan_inbound(access: Access) -> Json:
    settings = {"clients": [{"password": access.password, "email": "demo|probe"}]}
    stream = {"network": "tcp"} | tls_settings(access, "http/1.1")
    return xray_inbound(access, "trojan", settings, stream)


def _trojan(access: Access) -> Endpoint:
    return Trojan(address=ADDRESS, port=access.port, password=access.password, security=tls(access))


# ---------------------------------------------------------------------------- Shadowsocks

_METHOD_2022 = "2022-blake3-aes-128-gcm"
_METHOD_AEAD = "chacha20-ietf-poly1305"


def _shadowsocks_2022_inbound(access: Access) -> Json:
    users = [{"password": access.user_key, "email": "demo|probe"}]
    settings = {"method": _METHOD_2022, "password": access.server_key, "clients": users}
    return xray_inbound(access, "shadowsocks", settings, {})


def _shadowsocks_2022(access: Access) -> Endpoint:
    keys = f"{access.server_key}:{access.user_key}"
    return Shadowsocks(address=ADDRESS, port=access.port, method=_METHOD_2022, password=keys)


def _shadowsocks_inbound(access: Access) -> Json:
    settings = {"method": _METHOD_AEAD, "password": access.password}
    return xray_inbound(access, "shadowsocks", settings, {})


def _shadowsocks(access: Access) -> Endpoint:
    return Shadowsocks(
        address=ADDRESS, port=access.port, method=_METHOD_AEAD, password=access.password
    )


# ---------------------------------------------------------------------------- over QUIC


def _hysteria2_inbound(access: Access) -> Json:
    settings = {"version": 2, "clients": [{"auth": access.password, "email": "demo|probe"}]}
    stream = {
        "network": "hysteria",
        "hysteriaSettings": {"version": 2},
        "finalmask": {"udp": [{"type": "salamander", "settings": {"password": access.user}}]},
    }
    return xray_inbound(access, "hysteria", settings, stream | tls_settings(access, "h3"))


def _hysteria2(access: Access) -> Endpoint:
    pin = access.materials.certificate.sha256
    return Hysteria2(
        address=ADDRESS,
        port=access.port,
        auth=access.password,
        obfs_password=access.user,
        tls=QuicTls(server_name=NODE_NAME, alpn=("h3",), pinned_sha256=pin),
    )


def _tuic_inbound(access: Access) -> Json:
    certificate = access.materials.certificate
    return {
        "type": "tuic",
        "listen": ADDRESS,
        "listen_port": access.port,
        "users": [{"name": "probe", "uuid": access.user, "password": access.password}],
        "congestion_control": "bbr",
        "tls": {
            "enabled": True,
            "server_name": NODE_NAME,
            "alpn": ["h3"],
            "certificate_path": str(certificate.path),
            "key_path": str(certificate.key_path),
        },
    }


def _tuic(access: Access) -> Endpoint:
    return Tuic(
        address=ADDRESS,
        port=access.port,
        user=access.user,
        password=access.password,
        congestion="bbr",
        tls=QuicTls(server_name=NODE_NAME, alpn=("h3",)),
    )


_TCP = {"network": "tcp"}
_WS = {"network": "ws", "wsSettings": {"path": "/ws"}}
_UPGRADE = {"network": "httpupgrade", "httpupgradeSettings": {"path": "/hu"}}
_XHTTP = {"network": "xhttp", "xhttpSettings": {"path": "/xh"}}
_GRPC = {"network": "grpc", "grpcSettings": {"serviceName": "svc"}}
_certified = partial(Kind, certified=True)
KINDS: dict[str, Kind] = {
    "vless-reality-vision": _vless(_TCP, Raw(), borrowed=True, flow=_VISION),
    "vless-reality-xhttp": _vless(_XHTTP, Xhttp(path="/xh"), borrowed=True),
    "vless-reality-grpc": _vless(_GRPC, Grpc(service="svc"), borrowed=True),
    "vless-tls-vision": _vless(_TCP, Raw(), borrowed=False, flow=_VISION),
    "vless-tls-ws": _vless(_WS, WebSocket(path="/ws?ed=2048", host=NODE_NAME), borrowed=False),
    "vless-tls-httpupgrade": _vless(_UPGRADE, HttpUpgrade(path="/hu"), borrowed=False),
    "vless-encryption": Kind(_encrypted_inbound, _encrypted),
    "vmess-tls-ws": _certified(_vmess_inbound, _vmess),
    "trojan-tls": _certified(_trojan_inbound, _trojan),
    "ss-2022": Kind(_shadowsocks_2022_inbound, _shadowsocks_2022),
    "ss-aead": Kind(_shadowsocks_inbound, _shadowsocks),
    "hysteria2": Kind(_hysteria2_inbound, _hysteria2, udp=True),
    "tuic": _certified(_tuic_inbound, _tuic, engine="sing-box", udp=True),
}
"""Every kind by its name."""

DEFAULT = "vless-reality-vision"
"""What most nodes are."""
