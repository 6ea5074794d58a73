"""Share links of every protocol: read as clients read them, written in one way."""

import base64
import json
from typing import Any

import pytest

from healthd.endpoints import (
    Grpc,
    Hysteria2,
    QuicTls,
    Reality,
    Shadowsocks,
    Tls,
    Trojan,
    Tuic,
    Vmess,
    WebSocket,
    Xhttp,
)
from healthd.fleet import links
from tests.builders import PUBLIC_KEY, USER
from tests.fleet.link_examples import AT, HASH, HERE, LINKS, b64, vmess


@pytest.mark.parametrize(("link", "endpoint", "again"), LINKS.values(), ids=LINKS)
class TestBothWays:
    def test_reads(self, link, endpoint, again):
        """A link as others write it means the endpoint that they mean."""
        assert again is not None
        assert (endpoint, "DE 1") == links.parse(link)

    def test_writes(self, link, endpoint, again):
        """The endpoint is written in one way, whatever way it came, and that reads the same."""
        expected = again or link

        assert _plain(expected) == _plain(links.write(endpoint, "DE 1"))
        assert (endpoint, "DE 1") == links.parse(expected)


def _plain(link: str) -> Any:
    """JSON in base64 is compared as what it says, in its order."""
    scheme, _, rest = link.partition("://")
    if scheme == "vmess" and "@" not in rest:
        return list(json.loads(base64.b64decode(rest, validate=True)).items())
    return link


def test_a_protocol_each():
    """All six protocols have examples."""
    found = {endpoint.protocol for _, endpoint, _ in LINKS.values()}

    assert {"vless", "vmess", "trojan", "ss", "hysteria2", "tuic"} == found


VMESS_TCP = Vmess(**HERE, user=USER)
TROJAN_TLS = Trojan(**HERE, password="pw", security=Tls())
SS = Shadowsocks(**HERE, method="aes-256-gcm", password="p?>ss")
SS_USER = b64("aes-256-gcm:p?>ss")  # has a plus, a slash and padding
HY2 = Hysteria2(**HERE, auth="pw")
BARE = {"add": "192.0.2.10", "port": 443, "id": USER}
BARE64 = b64(json.dumps(BARE))


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (f"vmess://{BARE64.rstrip('=')}", VMESS_TCP),
        (f"vmess://{BARE64.replace('=', '%3D')}", VMESS_TCP),
        (f"vmess://{BARE64[:20]}\r\n{BARE64[20:40]}\n{BARE64[40:]}", VMESS_TCP),
        (f"vmess://{BARE64}/", VMESS_TCP),
        (f"VMESS://{BARE64}", VMESS_TCP),
        (vmess(**BARE, tls="none", scy="", net="", type="", aid=None), VMESS_TCP),
        (vmess(**BARE, tls=False, net="raw", aid=0, v="1"), VMESS_TCP),
        (
            vmess(**BARE | {"add": "[2001:DB8::1]"}),
            Vmess(**HERE | {"address": "2001:db8::1"}, user=USER),
        ),
        (vmess(**BARE, security="zero"), Vmess(**HERE, user=USER, cipher="zero")),
        (vmess(**BARE, tls=True), Vmess(**HERE, user=USER, security=Tls())),
        (
            vmess(**BARE, tls="tls", net="ws", host="a.example"),
            Vmess(
                **HERE,
                user=USER,
                transport=WebSocket(host="a.example"),
                security=Tls(server_name="a.example"),
            ),
        ),
        (
            vmess(**BARE, net="ws", type="http", x={"a": [1, None]}, y=1.5, z=""),
            Vmess(
                **HERE,
                user=USER,
                transport=WebSocket(),
                extra=(("headerType", "http"), ("x", '{"a": [1, null]}'), ("y", "1.5"), ("z", "")),
            ),
        ),
        (
            vmess(**BARE, net="splithttp", type="none", mode="auto"),
            Vmess(**HERE, user=USER, transport=Xhttp(mode="auto")),
        ),
        (f"vmess://{USER}@{AT}?alterId=0", Vmess(**HERE, user=USER, extra=(("alterId", "0"),))),
        (f"trojan://pw@{AT}", TROJAN_TLS),
        (f"trojan://pw@{AT}/?security=&type=raw&headerType=", TROJAN_TLS),
        (
            f"trojan://pw@{AT}?sni=a&peer=b",
            Trojan(**HERE, password="pw", security=Tls(server_name="a"), extra=(("peer", "b"),)),
        ),
        (
            f"trojan://pw@{AT}?type=ws&headerType=none&host=a.example&mode=x",
            Trojan(
                **HERE,
                password="pw",
                transport=WebSocket(host="a.example"),
                security=Tls(server_name="a.example"),
                extra=(("mode", "x"),),
            ),
        ),
        (
            f"trojan://pw@{AT}?type=grpc&mode=&authority=a.example",
            Trojan(
                **HERE,
                password="pw",
                transport=Grpc(authority="a.example"),
                security=Tls(server_name="a.example"),
            ),
        ),
        (
            f"trojan://pw@{AT}?security=none&allowInsecure=1",
            Trojan(**HERE, password="pw", extra=(("allowInsecure", "1"),)),
        ),
        (f"ss://{SS_USER}@{AT}", SS),
        (f"ss://{SS_USER.rstrip('=')}@{AT}/", SS),
        (f"ss://{SS_USER.replace('+', '-').replace('/', '_')}@{AT}/?", SS),
        (f"ss://{SS_USER.replace('=', '%3D').replace('/', '%2F')}@{AT}", SS),
        (f"ss://AES-256-GCM:p%3F%3Ess@{AT}", SS),
        (f"ss://aes-256-gcm%3Ap%3F%3Ess@{AT}", SS),
        (f"ss://{b64(f'aes-256-gcm:p?>ss@{AT}')[:30]}\n{b64(f'aes-256-gcm:p?>ss@{AT}')[30:]}/", SS),
        (
            f"ss://{b64('chacha20-poly1305:pw')}@{AT}",
            Shadowsocks(**HERE, method="chacha20-ietf-poly1305", password="pw"),
        ),
        (f"hy2://pw@{AT}?obfs=none&obfs-password=&mport=&insecure=&fm=", HY2),
        (
            f"hysteria2://pw@{AT},500?mport=443%2C500",
            Hysteria2(**HERE, auth="pw", hop="443,500"),
        ),
        (
            f"hysteria2://pw@{AT}?insecure=true&allowInsecure=1",
            Hysteria2(**HERE, auth="pw", tls=QuicTls(insecure=True)),
        ),
        (
            f"hysteria2://pw@{AT}?pinSHA256={HASH}&pcs={HASH}",
            Hysteria2(**HERE, auth="pw", tls=QuicTls(pinned_sha256=HASH)),
        ),
        (f"hysteria2://pw@{AT}?peer=a", Hysteria2(**HERE, auth="pw", tls=QuicTls(server_name="a"))),
        (
            f"tuic://{USER}@{AT}?congestion-control=bbr&zero_rtt=true",
            Tuic(**HERE, user=USER, congestion="bbr", zero_rtt=True),
        ),
    ],
)
def test_tolerance(link, expected):
    """What clients read is read, and means what it means to them."""
    assert expected == links.parse(link)[0]


class TestNames:
    def test_vmess_prefers_its_own(self):
        """The name of v2rayN's JSON is in it; what follows it counts if there is none."""
        assert links.parse(vmess(**BARE, ps="a b#c") + "#d")[1] == "a b#c"
        assert links.parse(vmess(**BARE) + "#d%20e")[1] == "d e"

    @pytest.mark.parametrize(("_", "endpoint", "again"), LINKS.values(), ids=LINKS)
    def test_any_letters(self, _, endpoint, again):
        """A name may hold whatever a person likes to read."""
        name = "🇩🇪 «a» #1 /?&=% +\n"

        assert again is not None
        assert links.parse(links.write(endpoint, name))[1] == name


class TestVmessForms:
    @pytest.mark.parametrize(
        "change",
        [
            {"security": Reality(public_key=PUBLIC_KEY)},
            {"security": Tls(ech="AEX+")},
            {"finalmask": "{}"},
            {"transport": Xhttp(extra="{}")},
            *({"extra": ((key, "x"),)} for key in ("v", "ps", "add", "port", "id", "net", "scy")),
            {"extra": (("sni", ""),)},
            {"transport": Grpc(), "extra": (("path", "x"),)},
        ],
    )
    def test_what_json_cannot_hold(self, change):
        """What no client looks for in the JSON goes the usual way, and comes back."""
        endpoint = Vmess(**HERE, user=USER, **change)
        link = links.write(endpoint, "n")

        assert "@" in link
        assert (endpoint, "n") == links.parse(link)

    def test_keeps_what_means_nothing_in_its_order(self):
        """Keys of v2rayN's that mean nothing to this node are kept, in their order."""
        endpoint = Vmess(**HERE, user=USER, extra=(("z", "1"), ("sni", "x"), ("host", "y")))
        link = links.write(endpoint, "n")

        assert "@" not in link
        assert (endpoint, "n") == links.parse(link)

    def test_json_that_would_be_too_long(self):
        """Where JSON's escapes would not fit a link, percent-encoding does."""
        endpoint = Vmess(**HERE, user=USER, extra=(("x", "\1" * 7000),))
        link = links.write(endpoint, "n")

        assert "@" in link
        assert (endpoint, "n") == links.parse(link)
