"""Share links: read as clients read them, written without loss, refused without being quoted."""

from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from healthd.endpoints import Vless, fingerprint
from healthd.errors import LinkError
from healthd.fleet import links
from tests.builders import (
    PUBLIC_KEY,
    SHORT_ID,
    USER,
    any_vless,
    reality,
    texts,
    tls,
    vless,
)

REALITY_LINK = (
    f"vless://{USER}@192.0.2.10:443?encryption=none&flow=xtls-rprx-vision&security=reality"
    f"&sni=www.example.com&fp=chrome&pbk={PUBLIC_KEY}&sid={SHORT_ID}&spx=%2F"
    "&type=tcp&headerType=none#DE-1"
)


class TestExamples:
    def test_reality(self):
        """The link of XTLS's proposal, with each parameter in its place."""
        expected = vless(flow="xtls-rprx-vision", security=reality(spider_x="/"))

        assert (expected, "DE-1") == links.parse(REALITY_LINK)

    def test_tls(self):
        """Lists are comma-joined, and everything may be percent-encoded."""
        link = (
            f"vless://{USER}@node.example.com:8443?security=tls&sni=node.example.com&fp=chrome"
            "&alpn=h2%2Chttp%2F1.1&ech=AEX%2B&vcn=a.example%2Cb.example&pcs=00ff#%F0%9F%87%A9%20DE"
        )
        security = tls(
            alpn=("h2", "http/1.1"),
            ech="AEX+",
            verify_names="a.example,b.example",
            pinned_sha256="00ff",
        )
        expected = vless(address="node.example.com", port=8443, security=security)

        assert (expected, "🇩 DE") == links.parse(link)

    def test_written_as_v2rayn_does(self):
        """Parameters come in v2rayN's order, empty ones are left out, values are encoded."""
        endpoint = vless(
            flow="xtls-rprx-vision",
            security=reality(spider_x="/"),
            finalmask='{"tcp":[]}',
            extra=(("no/te", "a b/&c=d"),),
        )
        expected = (
            f"vless://{USER}@192.0.2.10:443?type=tcp&encryption=none&flow=xtls-rprx-vision"
            f"&security=reality&sni=www.example.com&fp=chrome&pbk={PUBLIC_KEY}&sid={SHORT_ID}"
            "&spx=%2F&fm=%7B%22tcp%22%3A%5B%5D%7D&no%2Fte=a%20b%2F%26c%3Dd#DE%201"
        )

        assert expected == links.write(endpoint, "DE 1")

    def test_query_is_never_empty(self):
        """V2rayNG refuses a link without parameters: even a bare endpoint has some."""
        expected = f"vless://{USER}@[2001:db8::1]:443?type=tcp&encryption=none&security=none#"

        assert expected == links.write(vless(address="2001:db8::1", security=None))


class TestTolerance:
    @pytest.mark.parametrize(
        ("link", "endpoint", "name"),
        [
            (f"  vless://{USER}@h:1?a=b\n", {"extra": (("a", "b"),)}, ""),
            (f"VLESS://{USER}@h:1", {}, ""),
            (f"VlEsS://{USER}@h:1#n", {}, "n"),
            (f"vless://{USER}@h:1/?#n", {}, "n"),
            (f"vless://{USER}@h:1?#", {}, ""),
            (f"vless://{USER}@h:1?&&flow=&", {}, ""),
            (f"vless://{USER}@h:1?flow=none&security=&type=&headerType=", {}, ""),
            (f"vless://{USER}@h:1?type=raw&headerType=none&encryption=", {}, ""),
            (f"vless://{USER}@h:1?type=tcp&type=tcp", {}, ""),
            (f"vless://{USER}@h:1?t%79pe=r%61w", {}, ""),
            (f"vless://{USER}@h:1?security=none&sni=x", {"extra": (("sni", "x"),)}, ""),
            (f"vless://{USER}@h:1?allowInsecure=0", {"extra": (("allowInsecure", "0"),)}, ""),
            (f"vless://{USER}@h:1?a=1+1&b", {"extra": (("a", "1+1"), ("b", ""))}, ""),
            (f"vless://{USER}@h:1?a=b=c", {"extra": (("a", "b=c"),)}, ""),
            (f"vless://{quote(USER, safe='').replace('-', '%2D')}@h:1", {}, ""),
            ("vless://my%40id@h:1", {"user": "my@id"}, ""),
            ("vless://my@id@h:1", {"user": "my@id"}, ""),
            (f"vless://{USER}@h:1#a#b", {}, "a#b"),
            (f"vless://{USER}@h:1#a%23%0Ab", {}, "a#\nb"),
            (f"vless://{USER}@h:00443", {"port": 443}, ""),
            (f"vless://{USER}@h:65535", {"port": 65535}, ""),
            (f"vless://{USER}@Node_1.Example.com.:1", {"address": "Node_1.Example.com."}, ""),
            (f"vless://{USER}@[2001:DB8::0:1]:1", {"address": "2001:db8::1"}, ""),
            (f"vless://{USER}@xn--e1afmkfd.xn--p1ai:1", {"address": "xn--e1afmkfd.xn--p1ai"}, ""),
        ],
        ids=[
            "blanks around",
            "upper-case scheme",
            "mixed-case scheme",
            "slash behind the port",
            "nothing behind the marks",
            "empty pairs",
            "empty values",
            "raw is tcp",
            "same value twice",
            "encoded key and value",
            "sni without tls is kept",
            "insecure but off",
            "a plus is a plus",
            "an equals sign in a value",
            "encoded dash in the user",
            "encoded at sign in the user",
            "bare at sign in the user",
            "hash in the name",
            "encoded name",
            "leading zeros",
            "highest port",
            "host name as it is",
            "IPv6 in its short form",
            "punycode",
        ],
    )
    def test_reads(self, link, endpoint, name):
        """What clients accept is accepted, and means what it means to them."""
        expected = vless(**({"address": "h", "port": 1, "security": None} | endpoint))

        assert (expected, name) == links.parse(link)


BAD_LINKS = [
    ("", "scheme", "there is none; a link begins with vless://"),
    (f"{USER}@h:1", "scheme", "there is none; a link begins with vless://"),
    (f"://{USER}@h:1", "scheme", "there is none; a link begins with vless://"),
    (f"v l://{USER}@h:1", "scheme", "there is none; a link begins with vless://"),
    (f"trojan://{USER}@h:1", "scheme", "trojan:// is not supported, only vless://"),
    (f"vless://{USER}@h:1#a\nb", "link", "holds a line break or another control character"),
    (f"vless://{USER}\0@h:1", "link", "holds a line break or another control character"),
    (f"vless://{USER}@h\x7f:1", "link", "holds a line break or another control character"),
    (f"vless://{USER}@h:1#{'n' * 32768}", "link", "longer than 32768 characters"),
    ("vless://h:1", "user", "there is none; a link reads vless://USER@HOST:PORT?…"),
    (f"vless://h:1#{USER}@h:1", "user", "there is none; a link reads vless://USER@HOST:PORT?…"),
    ("vless://@h:1", "user", "is empty"),
    (f"vless://{USER}x@h:1", "user", "is longer than a UUID"),
    (f"vless://{'%C3%A9' * 19}@h:1", "user", "is longer than a UUID"),
    (f"vless://{USER}%FF@h:1", "user", "is not UTF-8 behind its percent-encoding"),
    (f"vless://{USER}%00@h:1", "user", "holds a NUL character"),
    (f"vless://{USER}@", "host", "there is none; a link reads vless://USER@HOST:PORT?…"),
    (f"vless://{USER}@h", "host", "there is none; a link reads vless://USER@HOST:PORT?…"),
    (f"vless://{USER}@:1", "host", "there is none; a link reads vless://USER@HOST:PORT?…"),
    (f"vless://{USER}@[]:1", "host", "there is none; a link reads vless://USER@HOST:PORT?…"),
    (f"vless://{USER}@[::1:1", "host", "the IPv6 address has no closing bracket"),
    *(
        (
            f"vless://{USER}@{host}:1",
            "host",
            "is neither a host name nor an IP address (IPv6 needs brackets)",
        )
        for host in (
            "a b",
            "a..b",
            "-a",
            "exämple.com",
            "h/x",
            "2001:db8::1",
            "[fe80::1%eth0]",
            "[fe80::1%a b]",
            "a" * 64,
            "a." * 126 + "aa",
        )
    ),
    *(
        (f"vless://{USER}@h:{port}", "port", "must be a number from 1 to 65535")
        for port in ("", "0", "65536", "-1", "1.5", "99999999", "x", "٣", "²", "1,2-3")
    ),
    (f"vless://{USER}@[::1]", "port", "must be a number from 1 to 65535"),
    (f"vless://{USER}@[::1]443", "port", "must be a number from 1 to 65535"),
    (f"vless://{USER}@h:1?=x", "parameters", "one has no name"),
    (f"vless://{USER}@h:1?%FF=x", "parameters", "is not UTF-8 behind its percent-encoding"),
    (f"vless://{USER}@h:1?sni=%C3", "sni", "is not UTF-8 behind its percent-encoding"),
    (f"vless://{USER}@h:1?sni=%00", "sni", "holds a NUL character"),
    (f"vless://{USER}@h:1#%FF", "name", "is not UTF-8 behind its percent-encoding"),
    (f"vless://{USER}@h:1#%00", "name", "holds a NUL character"),
    (f"vless://{USER}@h:1?sni=a&sni=b", "sni", "is given twice, with different values"),
    (f"vless://{USER}@h:1?sni=a&sni=", "sni", "is given twice, with different values"),
    (f"vless://{USER}@h:1?type=ws", "type", "'ws' is not supported, only tcp"),
    (f"vless://{USER}@h:1?type=TCP", "type", "'TCP' is not supported, only tcp"),
    (f"vless://{USER}@h:1?headerType=http", "headerType", "'http' is not supported, only none"),
    (
        f"vless://{USER}@h:1?flow=xtls-rprx-direct",
        "flow",
        "'xtls-rprx-direct' is not supported, only xtls-rprx-vision, xtls-rprx-vision-udp443",
    ),
    (
        f"vless://{USER}@h:1?security=xtls",
        "security",
        "'xtls' is not supported, only none, tls, reality",
    ),
    (
        f"vless://{USER}@h:1?security=reality",
        "pbk",
        "is missing; REALITY needs the server's public key",
    ),
    (
        f"vless://{USER}@h:1?security=reality&pbk=",
        "pbk",
        "is missing; REALITY needs the server's public key",
    ),
    *(
        (
            f"vless://{USER}@h:1?security=tls&{key}={value}",
            key,
            "cannot be honoured by current Xray; pin the certificate instead (pcs=SHA256)",
        )
        for key, value in (("allowInsecure", "1"), ("allow_insecure", "true"), ("insecure", "yes"))
    ),
    (f"vless://{USER}@h:1?fm={{", "fm", "is not JSON"),
    (f"vless://{USER}@h:1?fm={'[' * 7000}", "fm", "is not JSON"),
    (f"vless://{USER}@h:1?fm=[]", "fm", "must be a JSON object"),
    (f'vless://{USER}@h:1?fm={{"a":NaN}}', "fm", "is not JSON"),
    (f'vless://{USER}@h:1?fm={{"a":"\\ud800"}}', "fm", "is not JSON"),
]


class TestStrictness:
    @pytest.mark.parametrize(
        ("link", "part", "why"),
        BAD_LINKS,
        ids=[f"{part}-{number}" for number, (_, part, _) in enumerate(BAD_LINKS)],
    )
    def test_refuses(self, link, part, why):
        """A wrong link is refused by the name of its part, in words, and is not quoted."""
        with pytest.raises(LinkError) as refused:
            links.parse(link)

        assert (part, why) == (refused.value.part, refused.value.why)
        assert f"{part}: {why}" == str(refused.value)
        assert USER not in str(refused.value)
        assert not link or link not in str(refused.value)

    @pytest.mark.parametrize(
        "link",
        [
            f"{'a' * 8000}://{USER}@h:1",
            f"vless://{USER}@h:1?{'k' * 4000}=1&{'k' * 4000}=2",
            f"vless://{USER}@h:1?{'k' * 4000}=%FF",
            f"vless://{USER}@h:1?type={'t' * 4000}",
            f"vless://{'u' * 4000}@h:1",
            f"vless://{USER}@{'h' * 4000}:1",
        ],
        ids=["scheme", "key twice", "key", "type", "user", "host"],
    )
    def test_message_is_short(self, link):
        """However long the garbage is, the message fits a line of a log."""
        with pytest.raises(LinkError) as refused:
            links.parse(link)

        assert len(str(refused.value)) < 200

    @given(st.text(st.characters(), max_size=60))
    @example(f"vless://{USER[:8]}\udcff@h:1")
    @example(f"vless://{USER}@h:1?sni=\udcff&security=tls")
    @example(f"vless://{USER}@h:1#\udcff")
    def test_any_text(self, text):
        """Text is either refused with a LinkError, or can be written and read again."""
        for link in (text, f"vless://{text}", f"vless://{USER}@h:1?{text}"):
            try:
                endpoint, name = links.parse(link)
            except LinkError as refused:
                assert refused.part
                assert USER not in str(refused)
            else:
                assert (endpoint, name) == links.parse(links.write(endpoint, name))

    @given(st.text("vles:/@?#&=%[]0fF.a ", max_size=60))
    def test_any_text_of_the_grammar(self, text):
        """Garbage made of a link's own marks is refused with a LinkError or read."""
        try:
            endpoint, _ = links.parse(f"vless://{text}")
        except LinkError as refused:
            assert refused.why
        else:
            assert 1 <= endpoint.port <= 65535
            assert endpoint.secrets()
            assert endpoint.address


@given(any_vless, texts())
def test_round_trip(endpoint: Vless, name: str):
    """Nothing is lost on the way through a link: parse(write(e, n)) == (e, n)."""
    link = links.write(endpoint, name)

    assert (endpoint, name) == links.parse(link)
    assert link.isascii()
    assert len(link.split()) == 1


class TestFingerprint:
    def test_ignores_the_name_and_the_extra(self):
        """What changes nothing about a connection does not change the fingerprint."""
        before, _ = links.parse(REALITY_LINK)
        after, _ = links.parse(REALITY_LINK.replace("#DE-1", "&new=1#Germany"))

        assert before != after
        assert fingerprint(before) == fingerprint(after)

    def test_ignores_how_the_link_is_written(self):
        """Order and encoding of the link do not matter."""
        endpoint, _ = links.parse(REALITY_LINK)
        again, _ = links.parse(links.write(endpoint, "other"))

        assert fingerprint(endpoint) == fingerprint(again)

    def test_is_short(self):
        """It fits a log line and a column."""
        assert len(fingerprint(vless())) == 16

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            *(
                (vless(), vless(**change))
                for change in (
                    {"address": "192.0.2.11"},
                    {"port": 444},
                    {"user": USER[:-1] + "2"},
                    {"flow": "xtls-rprx-vision"},
                    {"encryption": "mlkem"},
                    {"finalmask": "{}"},
                    {"security": None},
                    {"security": tls()},
                )
            ),
            *(
                (vless(), vless(security=reality(**{key: "z"})))
                for key in (
                    *("public_key", "server_name", "fingerprint"),
                    *("short_id", "spider_x", "mldsa65_verify"),
                )
            ),
            *(
                (vless(security=tls()), vless(security=tls(**{key: value})))
                for key, value in (
                    ("server_name", "z"),
                    ("fingerprint", "z"),
                    ("alpn", ("h2",)),
                    ("ech", "z"),
                    ("verify_names", "z"),
                    ("pinned_sha256", "z"),
                )
            ),
            (
                vless(security=tls(server_name="a", fingerprint="b")),
                vless(security=tls(server_name="a\nfp=b", fingerprint="")),
            ),
        ],
    )
    def test_changes(self, before, after):
        """Each part of the endpoint that matters to a connection changes the fingerprint."""
        assert fingerprint(before) != fingerprint(after)

    @given(any_vless, any_vless)
    def test_is_one_to_one(self, one, other):
        """Endpoints have the same fingerprint exactly when they differ in their extra only."""
        same = replace(one, extra=()) == replace(other, extra=())

        assert same == (fingerprint(one) == fingerprint(other))
        assert fingerprint(one) == fingerprint(replace(one, extra=other.extra))
