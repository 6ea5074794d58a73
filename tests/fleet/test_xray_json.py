"""Outbounds of Xray, as panels and people write them."""

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
    Vless,
    Vmess,
    WebSocket,
    Xhttp,
)
from healthd.errors import LinkError, Unsupported
from healthd.fleet import xray_json
from tests.fleet.subscription_corpus import KEY, PIN, UUID

PLACE: Any = {"address": "192.0.2.1", "port": 443}


def outbound(protocol, settings, **stream):
    return {"tag": "n", "protocol": protocol, "settings": settings, "streamSettings": stream}


def flat(**stream):
    return outbound("vless", PLACE | {"id": UUID, "encryption": "none"}, **stream)


def vless(**parts):
    return Vless(**PLACE, user=UUID, **parts)


def hysteria(mask=None, own=None, version=2, **tls):
    return outbound(
        "hysteria",
        PLACE | {"version": version},
        network="hysteria",
        hysteriaSettings={"version": 2, "auth": "pw"} | (own or {}),
        security="tls",
        tlsSettings=tls,
        finalmask=mask or {},
    )


HEADER = {
    "type": "http",
    "request": {
        "version": "1.1",
        "method": "GET",
        "path": ["/a"],
        "headers": {"Host": ["h"], "Pragma": "no-cache"},
    },
}


@pytest.mark.parametrize(
    ("document", "endpoint"),
    [
        (flat(), vless()),
        (
            flat() | {"mux": {"enabled": True}, "sendThrough": "0.0.0.0", "streamSettings": None},
            vless(),
        ),
        (flat(network="raw", security="none", sockopt={"mark": 255}), vless()),
        (
            flat(network="tcp", tcpSettings={"header": {"type": "none"}}, wsSettings={"path": "/"}),
            vless(),
        ),
        (
            flat(rawSettings={"header": HEADER, "acceptProxyProtocol": False}),
            vless(transport=RawHttp(hosts=("h",), paths=("/a",))),
        ),
        (
            flat(
                method="websocket",
                wsSettings={
                    "path": "/?ed=5",
                    "host": "h",
                    "headers": {"Host": "h"},
                    "heartbeatPeriod": 10,
                },
            ),
            vless(transport=WebSocket(path="/?ed=5", host="h")),
        ),
        (
            flat(network="httpupgrade", httpupgradeSettings={"path": "/u", "host": "h"}),
            vless(transport=HttpUpgrade(path="/u", host="h")),
        ),
        (
            flat(
                network="grpc",
                grpcSettings={
                    "serviceName": "s",
                    "authority": "a",
                    "multiMode": True,
                    "idle_timeout": 60,
                },
            ),
            vless(transport=Grpc(service="s", authority="a", multi=True)),
        ),
        (
            flat(
                network="splithttp", splithttpSettings={"path": "/x", "host": "h", "mode": "auto"}
            ),
            vless(transport=Xhttp(path="/x", host="h", mode="auto")),
        ),
        (
            flat(network="xhttp", xhttpSettings={"extra": {"a": [1, {"b": None}]}, "xmux": {}}),
            vless(transport=Xhttp(extra='{"a": [1, {"b": null}]}')),
        ),
        # Without `extra`, what stands beside it means the same.
        (
            flat(
                network="xhttp", xhttpSettings={"noGRPCHeader": True, "headers": {}, "xmux": None}
            ),
            vless(transport=Xhttp(extra='{"noGRPCHeader": true}')),
        ),
        (
            flat(
                security="tls",
                tlsSettings={
                    "serverName": "a",
                    "fingerprint": "chrome",
                    "alpn": "h2,http/1.1",
                    "allowInsecure": False,
                    "verifyPeerCertByName": "b",
                    "pinnedPeerCertSha256": PIN,
                    "echConfigList": "AEk=",
                    "show": False,
                },
            ),
            vless(
                security=Tls(
                    server_name="a",
                    fingerprint="chrome",
                    alpn=("h2", "http/1.1"),
                    verify_names="b",
                    pinned_sha256=PIN,
                    ech="AEk=",
                )
            ),
        ),
        (
            flat(
                security="reality",
                realitySettings={
                    "serverName": "a",
                    "fingerprint": "chrome",
                    "password": KEY,
                    "shortId": "01",
                    "spiderX": "/",
                    "mldsa65Verify": "m",
                    "show": False,
                },
                tlsSettings={"x": 1},
            ),
            vless(
                security=Reality(
                    public_key=KEY,
                    server_name="a",
                    fingerprint="chrome",
                    short_id="01",
                    spider_x="/",
                    mldsa65_verify="m",
                )
            ),
        ),
        (flat(finalmask={"tcp": [{"type": "x"}]}), vless(finalmask='{"tcp": [{"type": "x"}]}')),
        (
            outbound(
                "vless",
                {
                    "vnext": [
                        PLACE
                        | {
                            "users": [
                                {
                                    "id": UUID,
                                    "encryption": "none",
                                    "flow": "xtls-rprx-vision",
                                    "level": 8,
                                    "email": "x",
                                    "security": "auto",
                                    "alterId": 0,
                                }
                            ]
                        }
                    ]
                },
            ),
            vless(flow="xtls-rprx-vision"),
        ),
        (
            outbound(
                "vmess",
                {
                    "vnext": [
                        PLACE
                        | {
                            "users": [
                                {"id": UUID, "alterId": 0, "security": "zero", "encryption": "none"}
                            ]
                        }
                    ]
                },
            ),
            Vmess(**PLACE, user=UUID, cipher="zero"),
        ),
        (outbound("vmess", PLACE | {"id": UUID}), Vmess(**PLACE, user=UUID)),
        (
            outbound("trojan", {"servers": [PLACE | {"password": "pw", "level": 8}]}),
            Trojan(**PLACE, password="pw"),
        ),
        (
            outbound(
                "shadowsocks",
                {
                    "servers": [
                        PLACE
                        | {"method": "aes-128-gcm", "password": "pw", "uot": False, "ota": False}
                    ]
                },
                network="tcp",
            ),
            Shadowsocks(**PLACE, method="aes-128-gcm", password="pw"),
        ),
        (hysteria(), Hysteria2(**PLACE, auth="pw")),
        (
            hysteria(
                serverName="a",
                alpn=["h3"],
                pinnedPeerCertSha256=PIN,
                allowInsecure=True,
                fingerprint="chrome",
            ),
            Hysteria2(
                **PLACE,
                auth="pw",
                tls=QuicTls(server_name="a", alpn=("h3",), pinned_sha256=PIN, insecure=True),
            ),
        ),
        (
            hysteria(
                {
                    "udp": [{"type": "salamander", "settings": {"password": "ob"}}],
                    "quicParams": {
                        "udpHop": {"ports": "5000-6000", "interval": 30},
                        "congestion": "bbr",
                    },
                }
            ),
            Hysteria2(
                address="192.0.2.1", port=5000, hop="5000-6000", auth="pw", obfs_password="ob"
            ),
        ),
    ],
)
def test_read(document, endpoint):
    """What can be expressed is read as it is meant; the tag is the name, for want of a better."""
    assert (endpoint, "n") == xray_json.read(document)
    assert (endpoint, "DE-1") == xray_json.read(document, "DE-1")


class TestConfigurations:
    def test_order(self):
        """Configurations with one node come first: those have names."""
        configs: list[Any] = [
            {"remarks": "both", "outbounds": [flat(), flat()]},
            {"remarks": "DE-1", "outbounds": [{"protocol": "freedom"}, flat()]},
            {"remarks": 1, "outbounds": [flat()]},
            {"outbounds": []},
        ]

        found = list(xray_json.candidates(configs, listed=True))
        assert [(where, ask()[1]) for where, ask in found] == [
            ("[1].outbounds[1]", "DE-1"),
            ("[2].outbounds[0]", "n"),
            ("[0].outbounds[0]", "n"),
            ("[0].outbounds[1]", "n"),
        ]

    @pytest.mark.parametrize(
        ("config", "where"),
        [
            ("text", "[0].config"),
            ({"outbounds": "text"}, "[0].outbounds"),
            ({"outbounds": ["text"]}, "[0].outbounds[0]"),
            ({"outbounds": [{"protocol": 1}]}, "[0].outbounds[0]"),
        ],
    )
    def test_damaged(self, config, where):
        """What is no configuration is counted, as one malformed entry."""
        ((found, ask),) = xray_json.candidates([config], listed=True)

        assert where == found
        with pytest.raises(LinkError):
            ask()


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (outbound("socks", {}), "protocol: 'socks' is not supported as a protocol"),
        (
            flat() | {"proxySettings": {"tag": "x"}},
            "proxySettings: is not supported: the node is reached through another one",
        ),
        (
            flat(sockopt={"dialerProxy": "x"}),
            "sockopt.dialerProxy: is not supported: the node is reached through another one",
        ),
        (flat() | {"quux": 1}, "quux: is not known here, and might matter"),
        (flat(quux=1), "streamSettings.quux: is not known here, and might matter"),
        (flat(network="kcp"), "network: 'kcp' is not supported as a transport"),
        (flat(security="xtls"), "security: 'xtls' is not supported as security"),
        (
            flat(security="tls", tlsSettings={"allowInsecure": True}),
            (
                "tlsSettings.allowInsecure: cannot be honoured by current Xray; pin the "
                "certificate instead (pinnedPeerCertSha256)"
            ),
        ),
        (
            flat(security="tls", tlsSettings={"minVersion": "1.3"}),
            "streamSettings.tlsSettings.minVersion: is not known here, and might matter",
        ),
        (
            flat(tcpSettings={"header": {"type": "srtp"}}),
            "header.type: 'srtp' is not supported as a header",
        ),
        (
            flat(tcpSettings={"header": {"type": "http", "request": {"method": "PUT"}}}),
            "header.request.method: 'PUT' is not supported as a method",
        ),
        (
            outbound("vless", {"vnext": [PLACE, PLACE]}),
            "settings.vnext: has several elements; only one is supported",
        ),
        (
            outbound("vmess", PLACE | {"id": UUID, "alterId": 4}),
            "settings.alterId: only 0 is supported: VMess without AEAD is gone from every engine",
        ),
        (
            outbound(
                "shadowsocks", PLACE | {"method": "aes-128-gcm", "password": "pw", "uot": True}
            ),
            "settings.uot: is not supported: UDP would go another way",
        ),
        (
            outbound(
                "shadowsocks", PLACE | {"method": "aes-128-gcm", "password": "pw"}, network="ws"
            ),
            "streamSettings: Shadowsocks goes over plain TCP and UDP only",
        ),
        (hysteria(version=1), "version: only version 2 of Hysteria is supported"),
        (
            hysteria({"udp": [{"type": "mkcp"}]}),
            "finalmask.udp.type: 'mkcp' is not supported as obfuscation",
        ),
    ],
)
def test_unsupported(document, why):
    """What matters and cannot be kept is refused, not dropped."""
    with pytest.raises(Unsupported) as caught:
        xray_json.read(document)
    assert str(caught.value) == why


DEEP: dict[str, object] = {}
for _ in range(70):
    DEEP = {"a": DEEP, "b": 1}


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"tag": "n"}, "protocol: there is none"),
        (outbound("vless", {"vnext": "text"}), "settings.vnext: must be a list"),
        (outbound("vless", {"vnext": ["text"]}), "settings.vnext: must be a group of settings"),
        (
            outbound("vless", {"vnext": [PLACE | {"users": [1]}]}),
            "settings.vnext.users: must be a group of settings",
        ),
        (flat(finalmask="text"), "streamSettings.finalmask: must be a JSON object"),
        (flat(finalmask=DEEP), "streamSettings.finalmask: must be a JSON object"),
        (hysteria() | {"streamSettings": {}}, "security: must be tls: QUIC has no other way"),
    ],
)
def test_malformed(document, why):
    """What is no setting of its kind is refused; the words name the place, and quote nothing."""
    with pytest.raises(LinkError) as caught:
        xray_json.read(document)
    assert str(caught.value) == why
    assert not isinstance(caught.value, Unsupported)
