"""Share links: read as clients read them, written without loss, refused without being quoted."""

from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from healthd.endpoints import Endpoint, Raw, Vmess
from healthd.errors import LinkError
from healthd.fleet import links
from tests.builders import PUBLIC_KEY, SHORT_ID, USER, reality, tls, vless
from tests.strategies import any_endpoint, texts

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


@given(any_endpoint, texts())
def test_round_trip(endpoint: Endpoint, name: str):
    """Nothing is lost on the way through a link: parse(write(e, n)) == (e, n)."""
    link = links.write(endpoint, name)

    assert (endpoint, name) == links.parse(link)
    assert link.isascii()
    assert len(link.split()) == 1
    assert len(link) <= links.MAX_LENGTH


# Parameters of other protocols, transports and forms: what means nothing is kept.
_FOREIGN = ("sni", "host", "path", "mode", "fp", "aid", "ps", "tls", "net", "v", "obfs", "plugin")
_foreign = st.dictionaries(st.sampled_from(_FOREIGN), st.just("") | texts(), max_size=4)


@given(_foreign, st.sampled_from(["none", "tls"]), st.sampled_from(["tcp", "ws", "grpc", "xhttp"]))
def test_what_means_nothing_here_is_kept(given_too: dict[str, str], security: str, kind: str):
    """A link that was read and written once is not changed by doing it again, in either form."""
    query = "".join(f"&{quote(key)}={quote(value, safe='')}" for key, value in given_too.items())
    for scheme in ("vless", "vmess", "trojan", "hysteria2", "ss"):
        user = "aes-256-gcm:pw" if scheme == "ss" else USER
        try:
            read = links.parse(f"{scheme}://{user}@h:1?type={kind}&security={security}{query}#n")
        except LinkError as refused:
            assert refused.part in {"mode", "aid", "obfs", "plugin"}
            continue
        link = links.write(*read)

        assert read == links.parse(link)
        assert link == links.write(*links.parse(link))


class TestAnyText:
    @given(st.text(st.characters(), max_size=60), st.sampled_from(links.SCHEMES))
    @example(f"{USER[:8]}\udcff@h:1", "vless")
    @example(f"{USER}@h:1?sni=\udcff&security=tls", "vless")
    @example(f"{USER}@h:1#\udcff", "vless")
    def test_of_any_letters(self, text, scheme):
        """Text is either refused with a LinkError, or can be written and read again."""
        for link in (text, f"{scheme}://{text}", f"{scheme}://{USER}@h:1?{text}"):
            try:
                read = links.parse(link)
            except LinkError as refused:
                assert refused.part
                assert USER not in str(refused)
            else:
                assert read == links.parse(links.write(*read))

    @given(st.text("vles:/@?#&=%[]0fF.a ", max_size=60), st.sampled_from(links.SCHEMES))
    def test_of_the_grammar(self, text, scheme):
        """Garbage made of a link's own marks is refused with a LinkError or read."""
        try:
            endpoint, _ = links.parse(f"{scheme}://{text}")
        except LinkError as refused:
            assert refused.why
        else:
            assert 1 <= endpoint.port <= 65535
            assert endpoint.address


@pytest.mark.parametrize("letter", ["a", "é", "\1"])
def test_the_longest_link_can_be_read(letter):
    """The longest endpoint with the longest name fits a link, whatever they are made of."""
    size = len(letter.encode())
    extra = (("x", letter * (8100 // size)),)
    for made in (vless(security=None), Vmess(address="h", port=1, user=USER)):
        read = (replace(made, extra=extra), letter * (links.MAX_NAME // size))

        assert read == links.parse(links.write(*read))


@given(st.integers(1, 65535))
def test_a_bare_vmess_endpoint_is_json(port):
    """What JSON can hold is written as JSON: it is the form that every client reads."""
    link = links.write(Vmess(address="h", port=port, user=USER, transport=Raw()))

    assert "@" not in link
    assert links.parse(link)[0].port == port
