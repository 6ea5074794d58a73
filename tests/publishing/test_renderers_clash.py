"""clash.yaml: a whole configuration of mihomo that fails over on the device."""

import json
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import example, given

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
    Vmess,
    WebSocket,
    Xhttp,
)
from healthd.publishing import clash
from healthd.publishing.about import About
from healthd.publishing.clash_proxy import proxy
from tests.builders import PUBLIC_KEY, SHORT_ID, USER, node, reality, tls, vless
from tests.publishing.fleets import ABOUT, ENDPOINTS, PIN, PLACE, QUIC, SS_2022, VARIED
from tests.strategies import texts

FLEET = [
    node("de-1", name="Germany 🇩🇪"),
    node("nl-1", name="PROXY", endpoint=vless(address="192.0.2.11", security=tls())),
    node("fi-1", name="DIRECT", endpoint=vless(address="2001:db8::1", security=None)),
]
ADDRESS = vless().address


def config(fleet=FLEET, about=ABOUT):
    return yaml.safe_load(clash.render(fleet, about))


class TestDocument:
    def test_text(self):
        """Headers, and one line of JSON for each proxy and group: to the byte."""
        about = About(check_url="http://check.test/", title="T", client_refresh=7200.0)
        endpoint = Shadowsocks(address="a.test", port=1, method="aes-128-gcm", password="p")
        test = (
            '"proxies":["n"],"url":"http://check.test/","interval":60,"timeout":5000,'
            '"lazy":false,"expected-status":204,"max-failed-times":2}'
        )

        assert clash.render([node("n", endpoint=endpoint)], about).decode().split("\n") == [
            "#profile-title: T",
            "#profile-update-interval: 2",
            "mixed-port: 7890",
            "mode: rule",
            "proxies:",
            (
                '- {"name":"n","type":"ss","server":"a.test","port":1,"udp":true,'
                '"cipher":"aes-128-gcm","password":"p"}'
            ),
            "proxy-groups:",
            '- {"name":"PROXY","type":"select","proxies":["FAILOVER","FASTEST","n"]}',
            '- {"name":"FAILOVER","type":"fallback",' + test,
            '- {"name":"FASTEST","type":"url-test","tolerance":50,' + test,
            "rules:",
            "- MATCH,PROXY",
            "",
        ]

    def test_names(self):
        """Names are unique, and none is a group's or one of mihomo's own."""
        names = [each["name"] for each in config()["proxies"]]

        assert names == ["Germany 🇩🇪", "PROXY 2", "DIRECT 2"]

    def test_groups(self):
        """The failover order is the fallback's; both groups and each node can be chosen."""
        names = ["Germany 🇩🇪", "PROXY 2", "DIRECT 2"]
        select, fallback, fastest = config()["proxy-groups"]

        assert (select["type"], select["proxies"]) == ("select", ["FAILOVER", "FASTEST", *names])
        assert (fallback["type"], fallback["proxies"]) == ("fallback", names)
        assert (fastest["type"], fastest["proxies"]) == ("url-test", names)
        assert config()["rules"] == ["MATCH,PROXY"]

    def test_expected_status(self):
        """Another answer than 204 counts where the probes' own is another."""
        about = replace(ABOUT, expect_status=200)

        groups = config(about=about)["proxy-groups"][1:]
        assert [group["expected-status"] for group in groups] == [200, 200]

    @given(texts(min_size=1))
    @example("\x7f\x80\x85\x9f\u2028\u2029\ufeff\ufffe\uffff")
    @example("\\u0041 \" ' # : - & * ! | > % @ ` \t\r\n")
    def test_any_text_is_yaml(self, text):
        """What JSON may hold and YAML may not is escaped: every text reads back as it is."""
        trojan = Trojan(**PLACE, password=text, security=tls())
        document = clash.render([node("n", name=text, endpoint=trojan)], ABOUT)

        for loader in (yaml.SafeLoader, clash._Loader):
            (found,) = yaml.load(document, loader)["proxies"]  # noqa: S506 - safe, both
            assert (found["name"].removesuffix(" 2"), found["password"]) == (
                text.removesuffix(" 2"),
                text,
            )

    def test_is_deterministic(self):
        """Equal fleets give equal bytes, and another order gives others."""
        assert clash.render(FLEET, ABOUT) == clash.render(list(FLEET), ABOUT)
        assert clash.render(FLEET, ABOUT) != clash.render(FLEET[::-1], ABOUT)

    def test_all_of_a_varied_fleet_is_in_it(self):
        """Every usual kind can be expressed, and stands in the failover order."""
        document = clash.render(VARIED, ABOUT)

        clash.verify(document, VARIED)
        assert [clash.why_not(each.endpoint) for each in VARIED] == [None] * len(VARIED)
        assert config(VARIED)["proxy-groups"][1]["proxies"] == [each.name for each in VARIED]


class TestVerify:
    @pytest.mark.parametrize(
        "other",
        [
            FLEET[:2],
            FLEET[::-1],
            [*FLEET[:2], node("fi-1", name="DIRECT")],
            [node("de-1", name="x"), *FLEET[1:]],
        ],
        ids=["one missing", "other order", "other endpoint", "other name"],
    )
    def test_other_nodes(self, other):
        """A document of other nodes must not go live."""
        with pytest.raises(ValueError, match="does not read back"):
            clash.verify(clash.render(other, ABOUT), FLEET)

    @pytest.mark.parametrize("group", [0, 1, 2])
    def test_node_missing_in_a_group(self, group):
        """A node that no group offers would be there for nothing."""
        found = config()
        found["proxy-groups"][group]["proxies"].pop()

        with pytest.raises(ValueError, match="lacks a node in one of its groups"):
            clash.verify(json.dumps(found, ensure_ascii=False).encode(), FLEET)

    @pytest.mark.parametrize(
        "document",
        [b"", b"- 1", b"proxies: 1", b"proxies: []", b"proxies: [1]", b"\x00", b"a: [", b"\xff"],
    )
    def test_no_such_document(self, document):
        """Anything but a configuration of mihomo is a ValueError."""
        with pytest.raises(ValueError, match=r"clash\.yaml is not a configuration"):
            clash.verify(document, FLEET)


def seen(endpoint) -> dict[str, Any]:
    """A proxy without what all have in common."""
    made = proxy(endpoint, "n")
    assert (made.pop("name"), made.pop("udp")) == ("n", True)
    assert (made.pop("server"), made.pop("port")) == (endpoint.address, endpoint.port)
    return made


TLS_BLOCK = {"tls": True, "servername": "node.example.com", "client-fingerprint": "chrome"}
REALITY_BLOCK = {
    "tls": True,
    "servername": "www.example.com",
    "client-fingerprint": "chrome",
    "reality-opts": {"public-key": PUBLIC_KEY, "short-id": SHORT_ID},
}
VLESS = {"type": "vless", "uuid": USER}
COLONS = ":".join(["01", "23", "45", "67", "89", "AB", "CD", "EF"] * 4)

PROXIES = [
    (
        ENDPOINTS["vision"],
        VLESS | {"flow": "xtls-rprx-vision", "network": "tcp"} | REALITY_BLOCK,
    ),
    (
        ENDPOINTS["reality-xhttp"],
        VLESS
        | {"network": "xhttp"}
        | {"xhttp-opts": {"path": "/x", "host": "www.example.com", "mode": "auto"}}
        | REALITY_BLOCK,
    ),
    (
        ENDPOINTS["reality-grpc"],
        VLESS | {"network": "grpc", "grpc-opts": {"grpc-service-name": "svc"}} | REALITY_BLOCK,
    ),
    (
        ENDPOINTS["tls-vision"],
        VLESS
        | {"flow": "xtls-rprx-vision", "network": "tcp", "alpn": ["h2", "http/1.1"]}
        | TLS_BLOCK,
    ),
    (
        ENDPOINTS["ws"],
        VLESS
        | {
            "network": "ws",
            "ws-opts": {
                "path": "/ws",
                "headers": {"Host": "cdn.test"},
                "max-early-data": 2048,
                "early-data-header-name": "Sec-WebSocket-Protocol",
            },
        }
        | TLS_BLOCK,
    ),
    (
        ENDPOINTS["upgrade"],
        VLESS
        | {
            "network": "ws",
            "ws-opts": {
                "path": "/hu",
                "headers": {"Host": "node.example.com"},
                "v2ray-http-upgrade": True,
            },
            "fingerprint": COLONS,
        }
        | TLS_BLOCK,
    ),
    (
        ENDPOINTS["http"],
        VLESS
        | {
            "network": "http",
            "http-opts": {"method": "GET", "path": ["/a", "/b"], "headers": {"Host": ["a.test"]}},
        },
    ),
    (
        vless(transport=RawHttp(), security=None),
        VLESS | {"network": "http", "http-opts": {"method": "GET", "path": ["/"]}},
    ),
    (
        vless(transport=WebSocket(path="?ed=1"), security=None),
        VLESS
        | {
            "network": "ws",
            "ws-opts": {
                "path": "/",
                "headers": {"Host": ADDRESS},
                "max-early-data": 1,
                "early-data-header-name": "Sec-WebSocket-Protocol",
            },
        },
    ),
    (
        vless(transport=WebSocket(path="/a?ed=1&b=2"), security=None),
        VLESS | {"network": "ws", "ws-opts": {"path": "/a?ed=1&b=2", "headers": {"Host": ADDRESS}}},
    ),
    (
        vless(encryption=f"mlkem768x25519plus.native.0rtt.{PUBLIC_KEY}", security=None),
        VLESS | {"encryption": f"mlkem768x25519plus.native.0rtt.{PUBLIC_KEY}", "network": "tcp"},
    ),
    (
        vless(security=tls(ech="AEn+", server_name="")),
        VLESS
        | TLS_BLOCK
        | {
            "network": "tcp",
            "servername": ADDRESS,
            "ech-opts": {"enable": True, "config": "AEn+"},
        },
    ),
    (
        vless(security=reality(short_id="", fingerprint="")),
        VLESS | REALITY_BLOCK | {"network": "tcp", "reality-opts": {"public-key": PUBLIC_KEY}},
    ),
    (
        ENDPOINTS["vmess"],
        {"type": "vmess", "uuid": USER, "alterId": 0, "cipher": "auto", "network": "ws"}
        | {"ws-opts": {"path": "/vm", "headers": {"Host": "node.example.com"}}}
        | TLS_BLOCK,
    ),
    (
        ENDPOINTS["trojan"],
        {"type": "trojan", "password": 'it\'s a "secret": {no}', "network": "tcp"}
        | {"sni": "node.example.com", "client-fingerprint": "chrome"},
    ),
    (
        ENDPOINTS["ss"],
        {"type": "ss", "cipher": "2022-blake3-aes-128-gcm", "password": SS_2022},
    ),
    (
        ENDPOINTS["hysteria2"],
        {"type": "hysteria2", "password": "pw", "ports": "443,5000-6000", "obfs": "salamander"}
        | {"obfs-password": "ob", "sni": "node.example.com", "alpn": ["h3"]},
    ),
    (
        Hysteria2(**PLACE, tls=QuicTls(pinned_sha256=PIN)),
        {"type": "hysteria2", "fingerprint": COLONS},
    ),
    (
        ENDPOINTS["tuic"],
        {"type": "tuic", "uuid": USER, "password": "pw", "congestion-controller": "bbr"}
        | {"udp-relay-mode": "quic", "sni": "node.example.com", "alpn": ["h3"]},
    ),
    (
        ENDPOINTS["tuic-insecure"],
        {"type": "tuic", "uuid": USER, "password": "", "reduce-rtt": True}
        | {"skip-cert-verify": True},
    ),
    (
        Tuic(**PLACE, user=USER, disable_sni=True, tls=QuicTls(pinned_sha256=PIN)),
        {"type": "tuic", "uuid": USER, "password": "", "disable-sni": True, "fingerprint": COLONS},
    ),
]


@pytest.mark.parametrize(("endpoint", "expected"), PROXIES)
def test_proxy(endpoint, expected):
    """Each kind in mihomo's words."""
    assert clash.why_not(endpoint) is None
    assert seen(endpoint) == expected


@pytest.mark.parametrize(
    ("wanted", "written"),
    [
        *[("", "chrome"), ("firefox", "firefox"), ("hellochrome_120", "chrome")],
        *[("randomizednoalpn", "chrome"), ("unsafe", None)],
    ],
)
def test_fingerprint(wanted, written):
    """A hello that mihomo does not know is Chrome's; none at all is possible as well."""
    assert seen(vless(security=tls(fingerprint=wanted))).get("client-fingerprint") == written


LIMITS = [
    (vless(finalmask="{}"), "mihomo knows no finalmask"),
    (vless(encryption="new"), "mihomo does not know this VLESS encryption"),
    (
        vless(encryption="mlkem768x25519plus.native.0rtt.short"),
        "mihomo does not know this VLESS encryption",
    ),
    (Trojan(**PLACE, password="p"), "mihomo speaks Trojan over TLS only"),
    (
        Trojan(**PLACE, password="p", transport=RawHttp(), security=tls()),
        "mihomo knows no HTTP header for Trojan",
    ),
    (Vmess(**PLACE, user=USER, transport=Xhttp()), "mihomo knows XHTTP for VLESS only"),
    (vless(transport=Xhttp(extra="{}")), "mihomo does not take XHTTP's extra as it is"),
    (vless(transport=Grpc(service="/a/b")), "mihomo knows no gRPC path of one's own"),
    (vless(transport=Grpc(authority="x")), "mihomo knows no gRPC authority of its own"),
    (vless(transport=Grpc(authority="www.example.com")), None),
    (
        vless(security=Tls(verify_names="a.test")),
        "mihomo verifies no other name than the one it asks for",
    ),
    (
        vless(security=Tls(pinned_sha256=f"{PIN},{PIN}")),
        "mihomo pins one certificate by its SHA-256",
    ),
    (vless(security=Tls(ech="a+https://b")), "mihomo takes ECH as base64 only"),
    (vless(security=Tls(ech="ü")), "mihomo takes ECH as base64 only"),
    (vless(security=reality(mldsa65_verify="k")), "mihomo verifies no ML-DSA-65 signature"),
    (vless(security=Reality(public_key="short")), "the REALITY public key is none"),
    (vless(security=reality(short_id="abc")), "the REALITY short id is none"),
    (
        Shadowsocks(
            **PLACE, method="2022-blake3-chacha20-poly1305", password=":".join([f"{'A' * 43}="] * 2)
        ),
        "Shadowsocks 2022 has several keys with AES only",
    ),
    (
        Hysteria2(**PLACE, hop=",".join(["443"] * 29), tls=QUIC),
        "mihomo takes at most 28 ranges of ports",
    ),
    (Hysteria2(**PLACE, hop=",".join(["443"] * 28), tls=QUIC), None),
    (
        Hysteria2(**PLACE, tls=QuicTls(pinned_sha256="?")),
        "mihomo pins one certificate by its SHA-256",
    ),
    (Tuic(**PLACE, user=USER, disable_sni=True), "mihomo verifies no certificate without SNI"),
    (Tuic(**PLACE, user=USER, disable_sni=True, tls=QuicTls(insecure=True)), None),
    (
        vless(transport=HttpUpgrade(), security=Tls(verify_names="x")),
        "mihomo verifies no other name than the one it asks for",
    ),
]


@pytest.mark.parametrize(("endpoint", "why"), LIMITS)
def test_why_not(endpoint, why):
    """What mihomo would refuse, or do otherwise than it should, is left out; in short words."""
    assert clash.why_not(endpoint) == why
