"""Outbounds of sing-box, as panels and people write them."""

from typing import Any

import pytest

from healthd.endpoints import (
    Grpc,
    HttpUpgrade,
    Hysteria2,
    QuicTls,
    RawHttp,
    Reality,
    Shadowsocks,
    Tls,
    Trojan,
    Tuic,
    Vless,
    Vmess,
    WebSocket,
)
from healthd.errors import LinkError, Unsupported
from healthd.fleet import singbox
from tests.fleet.subscription_corpus import KEY, UUID

PLACE: Any = {"address": "192.0.2.1", "port": 443}
SERVER = {"tag": "n", "server": "192.0.2.1", "server_port": 443}
VLESS = {"type": "vless", "uuid": UUID} | SERVER
VMESS = {"type": "vmess", "uuid": UUID} | SERVER
TROJAN = {"type": "trojan", "password": "pw"} | SERVER
SS = {"type": "shadowsocks", "method": "aes-128-gcm", "password": "pw"} | SERVER
TLS = {"tls": {"enabled": True}}
HY2 = {"type": "hysteria2", "password": "pw"} | SERVER | TLS
TUIC = {"type": "tuic", "uuid": UUID, "password": "pw"} | SERVER | TLS
PEM = ["-----BEGIN ECH CONFIGS-----", "AE", "k=", "-----END ECH CONFIGS-----"]


def tls(**settings):
    return {"tls": {"enabled": True} | settings}


def over(kind, **settings):
    return {"transport": {"type": kind} | settings}


def vless(**parts):
    return Vless(**PLACE, user=UUID, **parts)


@pytest.mark.parametrize(
    ("outbound", "endpoint"),
    [
        (VLESS, vless()),
        (VLESS | {"tls": {"enabled": False, "server_name": "x", "insecure": True}}, vless()),
        (
            VLESS | {"packet_encoding": "xudp", "multiplex": {"enabled": True}, "network": "tcp"},
            vless(),
        ),
        (
            VLESS | tls(server_name="a", alpn="h2,http/1.1", insecure=False),
            vless(security=Tls(server_name="a", alpn=("h2", "http/1.1"))),
        ),
        (
            VLESS | tls(alpn=["h2"], utls={"enabled": True, "fingerprint": "edge"}),
            vless(security=Tls(alpn=("h2",), fingerprint="edge")),
        ),
        (VLESS | tls(utls={"enabled": True}), vless(security=Tls(fingerprint="chrome"))),
        (VLESS | tls(utls={"enabled": False, "fingerprint": "edge"}), vless(security=Tls())),
        (VLESS | tls(ech={"enabled": True, "config": PEM}), vless(security=Tls(ech="AEk="))),
        (
            VLESS | tls(ech={"enabled": True, "config": ["\n".join(PEM)]}),
            vless(security=Tls(ech="AEk=")),
        ),
        (VLESS | tls(ech={"enabled": False}, record_fragment=True), vless(security=Tls())),
        (
            VLESS
            | {"flow": "xtls-rprx-vision"}
            | tls(server_name="a", reality={"enabled": True, "public_key": KEY, "short_id": "01"}),
            vless(
                flow="xtls-rprx-vision",
                security=Reality(public_key=KEY, server_name="a", short_id="01"),
            ),
        ),
        (
            VLESS | over("ws", path="/a", headers={"Host": ["h"]}),
            vless(transport=WebSocket(path="/a", host="h")),
        ),
        (
            VLESS | over("ws", path="/a", headers={"Host": "h,i"}),
            vless(transport=WebSocket(path="/a", host="h,i")),
        ),
        (
            VLESS | over("ws", max_early_data=5, early_data_header_name="Sec-WebSocket-Protocol"),
            vless(transport=WebSocket(path="?ed=5")),
        ),
        (
            VLESS | over("httpupgrade", path="/u", host="h", headers={"host": "h"}),
            vless(transport=HttpUpgrade(path="/u", host="h")),
        ),
        (
            VLESS | over("grpc", service_name="s", idle_timeout="15s"),
            vless(transport=Grpc(service="s")),
        ),
        (
            VMESS | {"security": "zero", "alter_id": 0} | over("http", host=["h"], path="/p"),
            Vmess(
                **PLACE, user=UUID, cipher="zero", transport=RawHttp(hosts=("h",), paths=("/p",))
            ),
        ),
        (
            VMESS | over("http", method="GET", headers={"Host": ["h"]}),
            Vmess(**PLACE, user=UUID, transport=RawHttp(hosts=("h",))),
        ),
        (VMESS | {"transport": {}}, Vmess(**PLACE, user=UUID)),
        (TROJAN | TLS, Trojan(**PLACE, password="pw", security=Tls())),
        (
            SS | {"udp_over_tcp": False, "plugin": ""},
            Shadowsocks(**PLACE, method="aes-128-gcm", password="pw"),
        ),
        (
            SS | {"udp_over_tcp": {"enabled": False, "version": 2}},
            Shadowsocks(**PLACE, method="aes-128-gcm", password="pw"),
        ),
        (HY2, Hysteria2(**PLACE, auth="pw")),
        (
            HY2 | tls(server_name="a", alpn=["h3"], insecure=True) | {"up_mbps": 10},
            Hysteria2(
                **PLACE, auth="pw", tls=QuicTls(server_name="a", alpn=("h3",), insecure=True)
            ),
        ),
        (
            HY2 | {"server_ports": ["5000:6000", "7000:7000", "8000"], "hop_interval": "30s"},
            Hysteria2(address="192.0.2.1", port=5000, auth="pw", hop="5000-6000,7000,8000"),
        ),
        (HY2 | {"server_ports": "443"}, Hysteria2(**PLACE, auth="pw", hop="443")),
        (
            HY2 | {"obfs": {"type": "salamander", "password": "ob"}},
            Hysteria2(**PLACE, auth="pw", obfs_password="ob"),
        ),
        (
            TUIC
            | {
                "congestion_control": "bbr",
                "udp_relay_mode": "native",
                "heartbeat": "10s",
                "zero_rtt_handshake": True,
            }
            | tls(disable_sni=True),
            Tuic(
                **PLACE,
                user=UUID,
                password="pw",
                congestion="bbr",
                udp_relay="native",
                zero_rtt=True,
                disable_sni=True,
            ),
        ),
    ],
)
def test_read(outbound, endpoint):
    """What can be expressed is read as it is meant; the tag is the name."""
    assert (endpoint, "n") == singbox.read(outbound)


def test_not_counted():
    """Outbounds that lead nowhere, or only choose, are no nodes."""
    outbounds: list[Any] = [
        {"type": kind} for kind in ("direct", "selector", "vless", "urltest")
    ] + [1, {}]

    assert [f"outbounds[{at}]" for at in (2, 4, 5)] == [
        where for where, _ in singbox.candidates(outbounds)
    ]


@pytest.mark.parametrize(
    ("outbound", "why"),
    [
        ({"type": "anytls"}, "type: 'anytls' is not supported as a protocol"),
        (
            VLESS | {"detour": "x"},
            "detour: is not supported: the node is reached through another one",
        ),
        (VLESS | {"quux": 1}, "quux: is not known here, and might matter"),
        (
            VLESS | tls(insecure=True),
            (
                "tls.insecure: cannot be honoured by current Xray; pin the certificate instead "
                "(in a share link: pcs=SHA256)"
            ),
        ),
        (VLESS | tls(disable_sni=True), "tls.disable_sni: is not known here, and might matter"),
        (HY2 | tls(disable_sni=True), "tls.disable_sni: is not known here, and might matter"),
        (
            VLESS | tls(certificate="x"),
            "tls.certificate: is not supported: set engines.ca_file instead",
        ),
        (
            VLESS | tls(ech={"enabled": True}),
            "tls.ech: is supported with a config only, not by asking DNS",
        ),
        (VLESS | over("quic"), "transport.type: 'quic' is not supported as a transport"),
        (VLESS | TLS | over("http"), "transport: HTTP/2 is not supported: Xray has XHTTP instead"),
        (
            VLESS | over("http", method="PUT"),
            "transport.method: 'PUT' is not supported as a method",
        ),
        (
            VLESS | over("ws", max_early_data=5),
            "early-data-header-name: only Sec-WebSocket-Protocol is supported",
        ),
        (
            VMESS | {"alter_id": 1},
            "alter_id: only 0 is supported: VMess without AEAD is gone from every engine",
        ),
        (SS | {"plugin": "obfs-local"}, "plugin: no plugin of Shadowsocks is supported"),
        (SS | {"udp_over_tcp": True}, "udp_over_tcp: is not supported: UDP would go another way"),
        (
            SS | {"udp_over_tcp": {"enabled": True}},
            "udp_over_tcp: is not supported: UDP would go another way",
        ),
        (
            TUIC | {"udp_over_stream": True},
            "udp_over_stream: is not supported: UDP would go another way",
        ),
        (
            HY2 | {"obfs": {"type": "gecko", "password": "x"}},
            "obfs: 'gecko' is not supported as obfuscation",
        ),
    ],
)
def test_unsupported(outbound, why):
    """What matters and cannot be kept is refused, not dropped."""
    with pytest.raises(Unsupported) as caught:
        singbox.read(outbound)
    assert str(caught.value) == why


@pytest.mark.parametrize(
    ("outbound", "why"),
    [
        (1, "entry: must be a group of settings"),
        ({"tag": "x"}, "type: there is none"),
        (VLESS | {"uuid": True}, "uuid: must be text"),
        (VLESS | {"server_port": 443.0}, "server_port: must be text"),
        (VLESS | {"server_port": -1}, "server_port: must be a whole number"),
        (
            VLESS | over("ws", host="a", headers={"Host": "b"}),
            "transport.host: is given twice, with different values",
        ),
        (HY2 | {"tls": {"enabled": False}}, "tls: must be enabled: QUIC has no other way"),
        (TUIC | {"tls": None}, "tls: must be enabled: QUIC has no other way"),
        (HY2 | {"obfs": {"type": "salamander"}}, "obfs.password: is missing; salamander needs one"),
    ],
)
def test_malformed(outbound, why):
    """What is no setting of its kind is refused; the words name the place, and quote nothing."""
    with pytest.raises(LinkError) as caught:
        singbox.read(outbound)
    assert str(caught.value) == why
    assert not isinstance(caught.value, Unsupported)
