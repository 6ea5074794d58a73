"""Endpoints become outbounds of a sing-box client; the real sing-box takes them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthd.endpoints import (
    Grpc,
    HttpUpgrade,
    Hysteria2,
    QuicTls,
    Raw,
    RawHttp,
    Shadowsocks,
    Trojan,
    Tuic,
    Vmess,
    WebSocket,
    Xhttp,
)
from healthd.engines import singbox_outbound
from tests.builders import PUBLIC_KEY, SHORT_ID, USER, reality, tls, vless
from tests.engines import sane
from tests.strategies import any_endpoint

PLACE: dict[str, Any] = {"address": "192.0.2.10", "port": 443}
SERVER: dict[str, Any] = {"server": "192.0.2.10", "server_port": 443}
KEY_16 = "AAECAwQFBgcICQoLDA0ODw=="
KEY_32 = "AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKCwwNDg8="
CHROME = {"enabled": True, "fingerprint": "chrome"}


def out(endpoint):
    return singbox_outbound.outbound(endpoint, "n0")


def transport(endpoint):
    return out(endpoint).get("transport")


def plain(way):
    return vless(security=None, transport=way)


class TestStreamed:
    def test_reality(self):
        """REALITY is a part of TLS, and needs an imitated browser."""
        assert out(vless(flow="xtls-rprx-vision")) == {
            "type": "vless",
            "tag": "n0",
            **SERVER,
            "uuid": USER,
            "flow": "xtls-rprx-vision",
            "tls": {
                "enabled": True,
                "server_name": "www.example.com",
                "utls": CHROME,
                "reality": {"enabled": True, "public_key": PUBLIC_KEY, "short_id": SHORT_ID},
            },
        }

    def test_reality_with_the_least(self):
        """What is not given is left out, but for the browser: without one there is no REALITY."""
        bare = reality(server_name="", fingerprint="unsafe", short_id="")

        assert out(vless(security=bare))["tls"] == {
            "enabled": True,
            "utls": CHROME,
            "reality": {"enabled": True, "public_key": PUBLIC_KEY},
        }

    def test_vision_beside_port_443(self):
        """Only Xray parts UDP to port 443 from the rest: the same flow on the wire."""
        assert out(vless(flow="xtls-rprx-vision-udp443"))["flow"] == "xtls-rprx-vision"

    def test_tls(self):
        """ECH keys go into PEM, lists stay lists."""
        security = tls(alpn=("h2",), ech="AEX+", fingerprint="firefox")

        assert out(vless(security=security))["tls"] == {
            "enabled": True,
            "server_name": "node.example.com",
            "alpn": ["h2"],
            "utls": {"enabled": True, "fingerprint": "firefox"},
            "ech": {
                "enabled": True,
                "config": ["-----BEGIN ECH CONFIGS-----", "AEX+", "-----END ECH CONFIGS-----"],
            },
        }

    @pytest.mark.parametrize(
        ("fingerprint", "browser"),
        [
            ("", "chrome"),
            ("Safari", "safari"),
            ("hellofirefox_120", "firefox"),
            ("randomizednoalpn", "chrome"),
            ("unsafe", None),
            ("hellogolang", None),
        ],
    )
    def test_fingerprint(self, fingerprint, browser):
        """Xray's names become sing-box's: the browser without its version, Chrome for the rest."""
        found = out(vless(security=tls(fingerprint=fingerprint)))["tls"].get("utls")

        assert found == (None if browser is None else {"enabled": True, "fingerprint": browser})

    def test_plain(self):
        """Without security and transport nothing is said of them."""
        assert out(plain(Raw())) == {"type": "vless", "tag": "n0", **SERVER, "uuid": USER}

    @pytest.mark.parametrize(
        ("user", "uuid"),
        [
            (USER.replace("-", "").upper(), USER.upper()),
            ("b831381d6324-4d53ad4f8cda48b30811", USER),
            ("alice", "alice"),
        ],
    )
    def test_users(self, user, uuid):
        """A UUID is written in full, text is left to be hashed as Xray hashes it."""
        assert out(vless(user=user))["uuid"] == uuid
        assert out(Vmess(**PLACE, user=user))["uuid"] == uuid

    def test_vmess(self):
        """VMess names its cipher "security"."""
        assert out(Vmess(**PLACE, user=USER, cipher="zero")) == {
            "type": "vmess",
            "tag": "n0",
            **SERVER,
            "uuid": USER,
            "security": "zero",
        }

    def test_trojan(self):
        """Trojan knows a password only."""
        assert out(Trojan(**PLACE, password="pw", security=tls())) == {
            "type": "trojan",
            "tag": "n0",
            **SERVER,
            "password": "pw",
            "tls": {"enabled": True, "server_name": "node.example.com", "utls": CHROME},
        }


class TestTransports:
    @pytest.mark.parametrize(
        ("way", "expected"),
        [
            (WebSocket(), {"type": "ws"}),
            (
                WebSocket(path="/ws?ed=2048", host="h.test"),
                {
                    "type": "ws",
                    "path": "/ws",
                    "headers": {"Host": "h.test"},
                    "max_early_data": 2048,
                    "early_data_header_name": "Sec-WebSocket-Protocol",
                },
            ),
            (WebSocket(path="/ws?ed=x"), {"type": "ws", "path": "/ws"}),
            (HttpUpgrade(), {"type": "httpupgrade"}),
            (
                HttpUpgrade(path="/hu?ed=2048", host="h.test"),
                {"type": "httpupgrade", "path": "/hu", "host": "h.test"},
            ),
            (Grpc(service="svc", multi=True), {"type": "grpc", "service_name": "svc"}),
            (RawHttp(), {"type": "http", "method": "GET"}),
            (
                RawHttp(hosts=("a.test", "b.test"), paths=("/p", "/q")),
                {"type": "http", "method": "GET", "host": ["a.test", "b.test"], "path": "/p"},
            ),
        ],
    )
    def test_settings(self, way, expected):
        """Each transport under sing-box's names; early data as Xray's servers expect it."""
        assert singbox_outbound.why_not(plain(way)) is None
        assert transport(plain(way)) == expected

    def test_websocket_names_the_server(self):
        """Without a host of its own Xray sends the TLS server name; sing-box must be told to."""
        found = transport(vless(security=tls(), transport=WebSocket(path="/ws")))

        assert found == {"type": "ws", "path": "/ws", "headers": {"Host": "node.example.com"}}


class TestOthers:
    def test_shadowsocks(self):
        """Shadowsocks knows method and password."""
        endpoint = Shadowsocks(**PLACE, method="2022-blake3-aes-128-gcm", password=KEY_16)

        assert out(endpoint) == {
            "type": "shadowsocks",
            "tag": "n0",
            **SERVER,
            "method": "2022-blake3-aes-128-gcm",
            "password": KEY_16,
        }

    def test_hysteria2(self):
        """Ranges have colons, single ports too."""
        security = QuicTls(server_name="n.test", alpn=("h3",), insecure=True)
        endpoint = Hysteria2(
            **PLACE, auth="pw", hop="443,5000-6000", obfs_password="ob", tls=security
        )

        assert out(endpoint) == {
            "type": "hysteria2",
            "tag": "n0",
            **SERVER,
            "server_ports": ["443:443", "5000:6000"],
            "obfs": {"type": "salamander", "password": "ob"},
            "password": "pw",
            "tls": {"enabled": True, "server_name": "n.test", "alpn": ["h3"], "insecure": True},
        }

    def test_hysteria2_with_the_least(self):
        """What is not given is left out; TLS is always on."""
        assert out(Hysteria2(**PLACE)) == {
            "type": "hysteria2",
            "tag": "n0",
            **SERVER,
            "tls": {"enabled": True},
        }

    def test_tuic(self):
        """Each TUIC parameter under sing-box's own name."""
        endpoint = Tuic(
            **PLACE,
            user=USER,
            password="pw",
            congestion="bbr",
            udp_relay="native",
            zero_rtt=True,
            disable_sni=True,
            tls=QuicTls(server_name="n.test", alpn=("h3",)),
        )

        assert out(endpoint) == {
            "type": "tuic",
            "tag": "n0",
            **SERVER,
            "uuid": USER,
            "password": "pw",
            "congestion_control": "bbr",
            "udp_relay_mode": "native",
            "zero_rtt_handshake": True,
            "tls": {
                "enabled": True,
                "server_name": "n.test",
                "alpn": ["h3"],
                "disable_sni": True,
            },
        }

    def test_tuic_with_the_least(self):
        """What is not given is left out."""
        assert out(Tuic(**PLACE, user=USER)) == {
            "type": "tuic",
            "tag": "n0",
            **SERVER,
            "uuid": USER,
            "password": "",
            "tls": {"enabled": True},
        }


REFUSED = {
    "XHTTP": [plain(Xhttp())],
    "VLESS encryption": [vless(encryption="mlkem768x25519plus.native.0rtt.x")],
    "finalmask": [vless(finalmask='{"tcp": []}')],
    "pin a certificate": [
        vless(security=tls(pinned_sha256="00")),
        Tuic(**PLACE, user=USER, tls=QuicTls(pinned_sha256="00")),
        Hysteria2(**PLACE, tls=QuicTls(pinned_sha256="00", insecure=True)),
    ],
    "other names": [vless(security=tls(verify_names="a.test"))],
    "ML-DSA-65": [vless(security=reality(mldsa65_verify="x"))],
    "ECH": [
        vless(security=tls(ech="a.test+https://192.0.2.1/dns-query")),
        Hysteria2(**PLACE, tls=QuicTls(ech="\u00fc")),
    ],
    "gRPC path": [plain(Grpc(service="/own/path"))],
    "gRPC authority": [plain(Grpc(authority="a.test"))],
    "only without TLS": [vless(security=tls(), transport=RawHttp())],
    "query": [
        plain(WebSocket(path="/ws?ed=1&a=b")),
        plain(HttpUpgrade(path="/hu?a=b")),
        plain(RawHttp(paths=("/%zz",))),
    ],
    "only the AES methods": [
        Shadowsocks(**PLACE, method="2022-blake3-chacha20-poly1305", password=f"{KEY_32}:{KEY_32}"),
    ],
}


class TestWhyNot:
    @pytest.mark.parametrize(
        ("words", "endpoint"),
        [(words, endpoint) for words, them in REFUSED.items() for endpoint in them],
    )
    def test_refused(self, words, endpoint):
        """What sing-box cannot do is refused in short words."""
        found = singbox_outbound.why_not(endpoint)

        assert found is not None
        assert words in found

    def test_an_outbound_for_xhttp_is_a_mistake(self):
        """Who did not ask first gets no half outbound."""
        with pytest.raises(ValueError, match="sing-box knows no XHTTP"):
            out(plain(Xhttp()))

    @given(any_endpoint)
    def test_any_endpoint(self, endpoint):
        """Every endpoint is either refused in words, or becomes an outbound that is JSON."""
        if singbox_outbound.why_not(endpoint) is None:
            found = json.loads(json.dumps(singbox_outbound.outbound(endpoint, "t")))

            assert (found["tag"], found["server"]) == ("t", endpoint.address)


def without_browsers(outbound):
    """The same for a build without ``with_utls``: REALITY and the browsers are left out."""
    kept = {k: v for k, v in outbound.get("tls", {}).items() if k not in ("utls", "reality")}
    return outbound | ({"tls": kept} if kept else {})


def judge(sing_box, endpoints):
    """What the real sing-box says to these endpoints; None when it takes them all."""
    outbounds = [
        without_browsers(singbox_outbound.outbound(endpoint, f"n{at}"))
        for at, endpoint in enumerate(endpoints)
    ]
    document = {
        "dns": {"servers": [{"type": "local", "tag": "local"}]},
        "outbounds": outbounds,
        "route": {"default_domain_resolver": "local"},
    }
    return sane.run([sing_box, "check", "-c", "stdin"], json.dumps(document).encode())


class TestRealSingBox:
    @settings(max_examples=15)
    @given(st.lists(sane.endpoints, min_size=10, max_size=40))
    def test_takes_every_outbound(self, sing_box, endpoints):
        """Whatever has sane values and no objection is accepted by the real engine."""
        assert (
            judge(sing_box, [e for e in endpoints if singbox_outbound.why_not(e) is None]) is None
        )

    def test_refuses_what_it_does_not_know(self, sing_box):
        """Its check reads every key: that it accepts an outbound says something."""
        argv = [sing_box, "check", "-c", "stdin"]
        document = {"outbounds": [out(plain(Raw())) | {"strange": 1}]}

        assert "strange" in (sane.run(argv, json.dumps(document).encode()) or "")
