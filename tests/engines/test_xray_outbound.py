"""Endpoints become outbounds of an Xray client; the real Xray takes them."""

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
    RawHttp,
    Shadowsocks,
    Trojan,
    Tuic,
    Vmess,
    WebSocket,
    Xhttp,
)
from healthd.engines import xray_outbound
from tests.builders import PUBLIC_KEY, SHORT_ID, USER, reality, tls, vless
from tests.engines import sane
from tests.strategies import any_endpoint

PLACE: dict[str, Any] = {"address": "192.0.2.10", "port": 443}
KEY_16 = "AAECAwQFBgcICQoLDA0ODw=="
KEY_32 = "AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKCwwNDg8="


def trojan(**changes):
    return Trojan(**PLACE, password="pw", **changes)


def shadowsocks(method, password):
    return Shadowsocks(**PLACE, method=method, password=password)


def hysteria2(**changes):
    return Hysteria2(**PLACE, auth="pw", **changes)


def tuic(**changes):
    return Tuic(**PLACE, user=USER, password="pw", **changes)


def stream(endpoint):
    return xray_outbound.outbound(endpoint, "n0")["streamSettings"]


class TestVless:
    def test_reality(self):
        """REALITY with Vision, in the dialect that v26.3.27 and later take."""
        endpoint = vless(
            flow="xtls-rprx-vision", security=reality(spider_x="/", mldsa65_verify="mldsa")
        )

        assert xray_outbound.outbound(endpoint, "n0") == {
            "tag": "n0",
            "protocol": "vless",
            "settings": {**PLACE, "id": USER, "encryption": "none", "flow": "xtls-rprx-vision"},
            "streamSettings": {
                "network": "tcp",
                "security": "reality",
                "realitySettings": {
                    "serverName": "www.example.com",
                    "fingerprint": "chrome",
                    "publicKey": PUBLIC_KEY,
                    "shortId": SHORT_ID,
                    "spiderX": "/",
                    "mldsa65Verify": "mldsa",
                },
            },
        }

    def test_tls(self):
        """Each TLS parameter under Xray's own name; lists where Xray wants lists."""
        security = tls(
            alpn=("h2", "http/1.1"), ech="AEX+", verify_names="a,b", pinned_sha256="00,ff"
        )

        assert stream(vless(security=security)) == {
            "network": "tcp",
            "security": "tls",
            "tlsSettings": {
                "serverName": "node.example.com",
                "fingerprint": "chrome",
                "alpn": ["h2", "http/1.1"],
                "echConfigList": "AEX+",
                "verifyPeerCertByName": "a,b",
                "pinnedPeerCertSha256": "00,ff",
            },
        }

    def test_plain(self):
        """Without security nothing is said of it, and no flow when there is none."""
        found = xray_outbound.outbound(vless(security=None, encryption="mlkem"), "n0")

        assert found["streamSettings"] == {"network": "tcp"}
        assert found["settings"] == {**PLACE, "id": USER, "encryption": "mlkem"}

    @pytest.mark.parametrize(
        ("security", "name"),
        [
            (reality(fingerprint="", short_id="", server_name=""), "realitySettings"),
            (tls(fingerprint="", server_name=""), "tlsSettings"),
        ],
    )
    def test_chrome_unless_told_otherwise(self, security, name):
        """Only Chrome's hello satisfies every server; what is not given is left out."""
        found = stream(vless(security=security))[name]

        assert {k: v for k, v in found.items() if k != "publicKey"} == {"fingerprint": "chrome"}

    def test_finalmask(self):
        """``fm`` is passed on as it is."""
        found = stream(vless(finalmask='{"tcp": [{"type": "x"}]}'))

        assert found["finalmask"] == {"tcp": [{"type": "x"}]}


class TestTransports:
    @pytest.mark.parametrize(
        ("transport", "expected"),
        [
            (WebSocket(), {"network": "ws", "wsSettings": {}}),
            (
                WebSocket(path="/ws?ed=2048", host="h.test"),
                {"network": "ws", "wsSettings": {"path": "/ws?ed=2048", "host": "h.test"}},
            ),
            (
                HttpUpgrade(path="/hu", host="h.test"),
                {
                    "network": "httpupgrade",
                    "httpupgradeSettings": {"path": "/hu", "host": "h.test"},
                },
            ),
            (
                Grpc(service="svc", authority="a.test", multi=True),
                {
                    "network": "grpc",
                    "grpcSettings": {
                        "serviceName": "svc",
                        "authority": "a.test",
                        "multiMode": True,
                    },
                },
            ),
            (Grpc(), {"network": "grpc", "grpcSettings": {}}),
            (
                Xhttp(path="/x", host="h.test", mode="packet-up", extra='{"xmux": {}}'),
                {
                    "network": "xhttp",
                    "xhttpSettings": {
                        "path": "/x",
                        "host": "h.test",
                        "mode": "packet-up",
                        "extra": {"xmux": {}},
                    },
                },
            ),
            (Xhttp(), {"network": "xhttp", "xhttpSettings": {}}),
            (RawHttp(), {"network": "tcp", "tcpSettings": {"header": {"type": "http"}}}),
            (
                RawHttp(paths=("/a", "/b")),
                {
                    "network": "tcp",
                    "tcpSettings": {"header": {"type": "http", "request": {"path": ["/a", "/b"]}}},
                },
            ),
        ],
    )
    def test_settings(self, transport, expected):
        """Each transport under its own name; nothing is said of what is not given."""
        assert stream(vless(security=None, transport=transport)) == expected

    def test_a_disguised_request_is_whole(self):
        """With a host of its own Xray adds no header: the request must look like a browser's."""
        transport = RawHttp(hosts=("a.test", "b.test"), paths=("/p",))
        request = stream(vless(security=None, transport=transport))["tcpSettings"]["header"][
            "request"
        ]

        assert request["path"] == ["/p"]
        assert request["headers"]["Host"] == ["a.test", "b.test"]
        assert "Mozilla" in request["headers"]["User-Agent"][0]
        assert request["headers"]["Connection"] == ["keep-alive"]

    def test_transport_and_security_stand_beside_each_other(self):
        """REALITY over XHTTP has the settings of both."""
        found = stream(vless(transport=Xhttp(path="/x")))

        assert (found["network"], found["security"]) == ("xhttp", "reality")
        assert {"xhttpSettings", "realitySettings"} <= found.keys()


class TestOtherProtocols:
    def test_vmess(self):
        """VMess names its cipher "security"; there is no alterId any more."""
        found = xray_outbound.outbound(Vmess(**PLACE, user=USER, cipher="zero"), "n0")

        assert found == {
            "tag": "n0",
            "protocol": "vmess",
            "settings": {**PLACE, "id": USER, "security": "zero"},
            "streamSettings": {"network": "tcp"},
        }

    def test_trojan(self):
        """Trojan knows a password only."""
        found = xray_outbound.outbound(trojan(security=tls()), "n0")

        assert (found["protocol"], found["settings"]) == ("trojan", {**PLACE, "password": "pw"})
        assert found["streamSettings"]["security"] == "tls"

    def test_shadowsocks(self):
        """Shadowsocks knows method and password, whatever the method."""
        found = xray_outbound.outbound(shadowsocks("2022-blake3-aes-128-gcm", KEY_16), "n0")

        assert found == {
            "tag": "n0",
            "protocol": "shadowsocks",
            "settings": {**PLACE, "method": "2022-blake3-aes-128-gcm", "password": KEY_16},
            "streamSettings": {"network": "tcp"},
        }

    def test_hysteria2(self):
        """Version 2 in both places, the password with the transport, ALPN h3."""
        assert xray_outbound.outbound(hysteria2(), "n0") == {
            "tag": "n0",
            "protocol": "hysteria",
            "settings": {**PLACE, "version": 2},
            "streamSettings": {
                "network": "hysteria",
                "hysteriaSettings": {"version": 2, "auth": "pw"},
                "security": "tls",
                "tlsSettings": {"alpn": ["h3"]},
            },
        }

    def test_hysteria2_with_everything(self):
        """Obfuscation and hopping are a mask; ports lose leading zeros, and get an interval.

        With a leading zero Xray forgets all ports; without an interval it crashes.
        """
        security = QuicTls(server_name="n.test", alpn=("h3",), ech="AEX+", pinned_sha256="00")
        endpoint = hysteria2(hop="443,05000-06000", obfs_password="ob", tls=security)

        found = stream(endpoint)

        assert found["tlsSettings"] == {
            "serverName": "n.test",
            "alpn": ["h3"],
            "echConfigList": "AEX+",
            "pinnedPeerCertSha256": "00",
        }
        assert found["finalmask"] == {
            "udp": [{"type": "salamander", "settings": {"password": "ob"}}],
            "quicParams": {"udpHop": {"ports": "443-443,5000-6000", "interval": 30}},
        }


def reasons(*extras):
    return [vless(security=None, transport=Xhttp(extra=json.dumps(extra))) for extra in extras]


REFUSED = {
    "knows no TUIC": [tuic()],
    "pinSHA256": [hysteria2(tls=QuicTls(insecure=True))],
    "only the AES methods": [
        shadowsocks("2022-blake3-chacha20-poly1305", f"{KEY_32}:{KEY_32}"),
    ],
    "VLESS encryption": [
        vless(encryption=text)
        for text in (
            "mlkem768x25519plus.native.0rtt.abc",
            "mlkem768x25519plus.native.2rtt." + "a" * 43,
            "aes",
        )
    ],
    "spiderX": [vless(security=reality(spider_x=path)) for path in ("/%zz", "//[", "a", "/\n")],
    "XHTTP host": [
        vless(security=tls(), transport=Xhttp(host="a b")),
        vless(security=tls(server_name="2001:db8::1"), transport=Xhttp()),
    ],
    "control character": [vless(security=None, transport=Xhttp(path="/a?\x01"))],
    "downloadSettings": reasons(
        {"downloadSettings": {}},
        {"DownloadSettings": {"address": "a.test"}},
        {"downloadSettings": {"address": "a.test", "port": 1}},
        {"downloadSettings": "text"},
        {"a": [{"downloadSettings": {"port": 1}}]},
    ),
    "udpHop": [vless(finalmask='{"quicParams": {"udpHop": {"ports": "1-2"}}}')],
    "reaches for this machine": [
        *reasons(
            *(
                {
                    "downloadSettings": {
                        "address": "a",
                        "port": 1,
                        "network": "xhttp",
                        "tlsSettings": {key: "/a"},
                    }
                }
                # Go takes these two for s and k.
                for key in ("masterKeyLog", "ma\u017fter\u212aeyLog", "CERTIFICATES", "echSockopt")
            )
        ),
        vless(finalmask='{"sockopt": {}}'),
    ],
    "would crash": reasons(
        {"scMaxEachPostBytes": -1},
        {"downloadSettings": {"address": "a", "port": 1, "network": "tcp"}},
        {"scMaxEachPostBytes": "0-5"},
        {"uplinkHTTPMethod": "A B"},
        {"downloadSettings": {"address": "a/b", "port": 1, "network": "xhttp"}},
        {
            "downloadSettings": {
                "address": "a",
                "port": 1,
                "network": "xhttp",
                "xhttpSettings": {"host": "a b"},
            }
        },
        {
            "downloadSettings": {
                "address": "a",
                "port": 1,
                "network": "xhttp",
                "xhttpSettings": {"path": "?\n"},
            }
        },
        {
            "downloadSettings": {
                "address": "a",
                "port": 1,
                "network": "xhttp",
                "tlsSettings": {"serverName": "::1"},
            }
        },
    ),
}
ALLOWED = [
    hysteria2(tls=QuicTls(insecure=True, pinned_sha256="00" * 32)),
    shadowsocks("2022-blake3-aes-128-gcm", f"{KEY_16}:{KEY_16}"),
    shadowsocks("2022-blake3-chacha20-poly1305", KEY_32),
    vless(encryption=f"mlkem768x25519plus.random.1rtt.100-111.{PUBLIC_KEY}"),
    vless(security=reality(spider_x="/a b/%20?p=1#f")),
    vless(security=tls(server_name="::1"), transport=Xhttp(host="[2001:db8::1]:443")),
    vless(finalmask='{"quicParams": {"udpHop": {"ports": "1-2", "interval": 5}}}'),
    *reasons(
        {"downloadSettings": None},
        {"downloadSettings": {"Address": "2001:db8::1", "port": 1, "network": "XHTTP"}},
        {"scMaxEachPostBytes": 0, "host": "", "uplinkHTTPMethod": "PUT"},
        {"scMaxEachPostBytes": "5-10", "headers": {"a": ["b"]}},
    ),
]


class TestWhyNot:
    @pytest.mark.parametrize(
        ("words", "endpoint"),
        [(words, endpoint) for words, them in REFUSED.items() for endpoint in them],
    )
    def test_refused(self, words, endpoint):
        """What Xray cannot do, or must not be given, is refused in words that quote no value."""
        found = xray_outbound.why_not(endpoint)

        assert found is not None
        assert words in found
        assert not any(secret in found for secret in endpoint.secrets() if len(secret) > 2)

    @pytest.mark.parametrize("endpoint", ALLOWED)
    def test_allowed(self, endpoint):
        """What stands right beside it is taken."""
        assert xray_outbound.why_not(endpoint) is None

    def test_an_outbound_for_tuic_is_a_mistake(self):
        """Who did not ask first gets no half outbound."""
        with pytest.raises(ValueError, match="Xray knows no TUIC"):
            xray_outbound.outbound(tuic(), "n0")

    @given(any_endpoint)
    def test_any_endpoint(self, endpoint):
        """Every endpoint is either refused in words, or becomes an outbound that is JSON."""
        if xray_outbound.why_not(endpoint) is None:
            found = json.loads(json.dumps(xray_outbound.outbound(endpoint, "t")))

            assert (found["tag"], found["settings"]["address"]) == ("t", endpoint.address)


def judge(xray, endpoints):
    """What the real Xray says to these endpoints; None when it takes them all."""
    outbounds = [xray_outbound.outbound(each, f"n{at}") for at, each in enumerate(endpoints)]
    document = json.dumps({"outbounds": outbounds or [{"protocol": "freedom"}]}).encode()
    return sane.run([xray, "run", "-test", "-c", "stdin:"], document)


class TestRealXray:
    @settings(max_examples=15)
    @given(st.lists(sane.endpoints, min_size=10, max_size=40))
    def test_takes_every_outbound(self, xray, endpoints):
        """Whatever has sane values and no objection is accepted by the real engine."""
        assert judge(xray, [e for e in endpoints if xray_outbound.why_not(e) is None]) is None

    @pytest.mark.parametrize(
        "endpoint", [*REFUSED["VLESS encryption"][:1], *REFUSED["spiderX"][:2]]
    )
    def test_crashes_at_what_is_refused(self, xray, endpoint):
        """The rule is needed: Xray does not name the outbound, it falls over."""
        said = judge(xray, [vless(), endpoint])

        assert said is not None
        assert "panic: " in said

    def test_names_no_outbound_for_shadowsocks_with_too_many_keys(self, xray):
        """The rule is needed: the other nodes of the client would fall with it."""
        said = judge(xray, [vless(), *REFUSED["only the AES methods"]])

        assert said is not None
        assert "invalid argument" in said
        assert "n1" not in said
