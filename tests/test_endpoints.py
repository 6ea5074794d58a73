"""The model of an endpoint: what cannot be, what is one and the same, and what is secret."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from healthd import endpoints
from healthd.endpoints import (
    NO_HOST,
    Endpoint,
    EndpointFault,
    Grpc,
    HttpUpgrade,
    Hysteria2,
    QuicTls,
    Raw,
    RawHttp,
    Reality,
    Shadowsocks,
    Tls,
    Trojan,
    Tuic,
    Vless,
    Vmess,
    WebSocket,
    Xhttp,
    authority,
    fingerprint,
)
from tests.builders import USER, reality, tls, vless
from tests.strategies import any_endpoint

HERE: dict[str, Any] = {"address": "192.0.2.10", "port": 443}
HASH = "2f5c" * 16
COLONS = ":".join(["2F", "5C"] * 16)
KEY_16, KEY_32 = "AAECAwQFBgcICQoLDA0ODw==", "AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKCwwNDg8="
BY_NAME: dict[str, Any] = {"address": "b.example", "port": 443}
NO_JSON = "must be a JSON object"
NO_PORTS = 'must be ports, such as "443" or "443,5000-6000"'
PORTS_WRONG = "must be ports from 1 to 65535, the lower one first"


class TestHost:
    @pytest.mark.parametrize(
        ("text", "canonical"),
        [
            ("192.0.2.10", "192.0.2.10"),
            ("2001:DB8::0:1", "2001:db8::1"),
            ("Node_1.Example.com.", "Node_1.Example.com."),
            ("xn--e1afmkfd.xn--p1ai", "xn--e1afmkfd.xn--p1ai"),
        ],
    )
    def test_canonical(self, text, canonical):
        """Addresses have one form; names stay as they are."""
        assert canonical == endpoints.host(text)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("", "there is none"),
            *((text, NO_HOST) for text in ("a b", "-a", "a..b", "fe80::1%eth0", "[::1]", "a" * 64)),
            ("a." * 126 + "aa", NO_HOST),
        ],
    )
    def test_refuses(self, text, why):
        """Neither a name nor an address: no server is there."""
        with pytest.raises(EndpointFault) as refused:
            endpoints.host(text)

        assert ("host", why) == (refused.value.part, refused.value.why)


@pytest.mark.parametrize(
    ("make", "part", "why"),
    [
        (lambda: Vless(address="::0001", port=1, user="u"), "host", "is not in its canonical form"),
        *(
            (
                lambda port=port: Vless(address="h", port=port, user="u"),
                "port",
                "must be a number from 1 to 65535",
            )
            for port in (0, 65536, -1)
        ),
        (lambda: Vless(**HERE, user="a\0"), "link", "holds a NUL character"),
        (lambda: Vless(**HERE, user="\ud800"), "link", "is not UTF-8 text"),
        (
            lambda: Vless(**HERE, user="u", extra=(("é" * 4096, ""),)),
            "link",
            "says more than 8192 bytes about one node",
        ),
        (lambda: Vless(**HERE, user=""), "user", "is empty"),
        (lambda: Vless(**HERE, user="é" * 19), "user", "is longer than a UUID"),
        (
            lambda: Vless(**HERE, user="u", encryption=""),
            "encryption",
            'is "none" if there is none',
        ),
        (
            lambda: Vless(**HERE, user="u", flow="x" * 99),
            "flow",
            f"{'x' * 32!r} is not supported, only xtls-rprx-vision, xtls-rprx-vision-udp443",
        ),
        (
            lambda: Vless(**HERE, user="u", security=Reality(public_key="")),
            "pbk",
            "is missing; REALITY needs the server's public key",
        ),
        *(
            (
                lambda way=way: Vless(**HERE, user="u", transport=way, security=reality()),
                "security",
                "REALITY goes over tcp, xhttp and grpc only",
            )
            for way in (WebSocket(), HttpUpgrade(), RawHttp())
        ),
        *(
            (lambda text=text: Trojan(**HERE, password="p", finalmask=text), "fm", NO_JSON)
            for text in ("{", "[]", '{"a":NaN}', '{"a":"\\ud800"}', "[" * 8000, "1" * 5000)
        ),
        (
            lambda: Trojan(**HERE, password="p", transport=Xhttp(extra="[]")),
            "extra",
            NO_JSON,
        ),
        (
            lambda: Trojan(**HERE, password="p", transport=Xhttp(mode="x")),
            "mode",
            "'x' is not supported, only auto, packet-up, stream-up, stream-one",
        ),
        (lambda: Trojan(**HERE, password=""), "password", "is empty"),
        (lambda: Vmess(**HERE, user=""), "user", "is empty"),
        (lambda: Vmess(**HERE, user="u" * 37), "user", "is longer than a UUID"),
        (
            lambda: Vmess(**HERE, user="u", cipher=""),
            "cipher",
            "'' is not supported, only auto, aes-128-gcm, chacha20-poly1305, none, zero",
        ),
        (lambda: Shadowsocks(**HERE, method="aes-128-gcm", password=""), "password", "is empty"),
        *(
            (
                lambda password=password: Shadowsocks(
                    **HERE, method="2022-blake3-aes-128-gcm", password=password
                ),
                "password",
                "is not made of base64 keys of 16 bytes",
            )
            for password in ("pw", "é", KEY_32, f"{KEY_16}:", f"{KEY_16}:x")
        ),
        (
            lambda: Hysteria2(**HERE, hop="1-2"),
            "port",
            "must be the first of the ports to hop over",
        ),
        *(
            (lambda hop=hop: Hysteria2(**HERE, hop=hop), "port", NO_PORTS)
            for hop in ("443,", "443-", "x", "٣", "443-500-600", " 443")
        ),
        *(
            (lambda hop=hop: Hysteria2(**HERE, hop=hop), "port", PORTS_WRONG)
            for hop in ("443-99999", "443,0", "443,9-8")
        ),
        (lambda: Tuic(**HERE, user="u"), "user", "is not a UUID"),
        (
            lambda: Tuic(**HERE, user=USER, congestion="x"),
            "congestion_control",
            "'x' is not supported, only cubic, new_reno, bbr",
        ),
        (
            lambda: Tuic(**HERE, user=USER, udp_relay="x"),
            "udp_relay_mode",
            "'x' is not supported, only native, quic",
        ),
        *(
            (make, part, "has an empty element, or one with a comma")
            for make, part in (
                (lambda: Tls(alpn=("",)), "alpn"),
                (lambda: QuicTls(alpn=("h3", "a,b")), "alpn"),
                (lambda: RawHttp(hosts=("a,b",)), "host"),
                (lambda: RawHttp(paths=("/", "")), "path"),
            )
        ),
    ],
)
def test_what_cannot_be(make, part, why):
    """What no server could be cannot be made: the part is named, with the mend."""
    with pytest.raises(EndpointFault) as refused:
        make()

    assert (part, why) == (refused.value.part, refused.value.why)
    assert f"{part}: {why}" == str(refused.value)


class TestOneAndTheSame:
    @pytest.mark.parametrize("kind", [Tls, QuicTls])
    @pytest.mark.parametrize(
        ("written", "kept"),
        [
            (COLONS, HASH),
            (HASH.upper(), HASH),
            (f"{COLONS}, {HASH}", f"{HASH},{HASH}"),
            ("", ""),
            ("00:FF", "00:FF"),
            (f"{COLONS},x", f"{COLONS},x"),
            (f"{COLONS},", f"{COLONS},"),
        ],
    )
    def test_pins(self, kind, written, kept):
        """Hashes are plain lower-case hex, however they came; what is none is not touched."""
        assert kind(pinned_sha256=written).pinned_sha256 == kept

    @pytest.mark.parametrize(
        ("transport", "name"),
        [
            (Raw(), ""),
            (RawHttp(), ""),
            (RawHttp(hosts=("a.example", "c.example")), "a.example"),
            (WebSocket(), ""),
            (WebSocket(host="a.example"), "a.example"),
            (HttpUpgrade(host="a.example"), "a.example"),
            (Xhttp(host="a.example"), "a.example"),
            (Grpc(), ""),
            (Grpc(authority="a.example"), "a.example"),
        ],
    )
    def test_name_in_the_handshake(self, transport, name):
        """Beside a host, clients disagree about the name that is not given: it is said."""
        assert name == authority(transport)
        bare = Trojan(**BY_NAME, password="p", transport=transport, security=Tls())
        named = Trojan(**BY_NAME, password="p", transport=transport, security=tls())

        assert bare.security == Tls(server_name="b.example" if name else "")
        assert named.security == tls()


class TestSecrets:
    @given(any_endpoint)
    def test_are_kept_from_repr(self, endpoint: Endpoint):
        """What must not be shown is not in the text that a traceback would show."""
        shown = repr(endpoint)

        assert "" not in endpoint.secrets()
        assert not [s for s in endpoint.secrets() if len(s) > 8 and s in shown]

    @pytest.mark.parametrize(
        ("endpoint", "secrets"),
        [
            (
                vless(encryption="mlkem", security=None, finalmask='{"a":1}'),
                (USER, "mlkem", '{"a":1}'),
            ),
            (
                vless(security=reality(mldsa65_verify="verify"), transport=Xhttp(extra='{"b":1}')),
                (USER, reality().public_key, reality().short_id, "verify", '{"b":1}'),
            ),
            (Vmess(**HERE, user=USER), (USER,)),
            (Trojan(**HERE, password="pw"), ("pw",)),
            (Shadowsocks(**HERE, method="aes-128-gcm", password=":p:"), (":p:",)),
            (
                Shadowsocks(
                    **HERE, method="2022-blake3-aes-128-gcm", password=f"{KEY_16}:{KEY_16}"
                ),
                (f"{KEY_16}:{KEY_16}", KEY_16, KEY_16),
            ),
            (
                Shadowsocks(**HERE, method="2022-blake3-aes-256-gcm", password=KEY_32),
                (KEY_32,),
            ),
            (Hysteria2(**HERE), ()),
            (Hysteria2(**HERE, auth="pw", obfs_password="ob"), ("pw", "ob")),
            (Tuic(**HERE, user=USER, password="pw"), (USER, "pw")),
        ],
    )
    def test_are_named(self, endpoint, secrets):
        """All that gives access, or tells a censor what to look for, is named a secret."""
        assert secrets == endpoint.secrets()


class TestFingerprint:
    def test_ignores_the_extra(self):
        """What changes nothing about a connection does not change the fingerprint."""
        before, after = vless(), vless(extra=(("new", "1"),))

        assert before != after
        assert fingerprint(before) == fingerprint(after)

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
            (Trojan(**HERE, password=USER), Vless(**HERE, user=USER)),
            (
                Vless(**HERE, user=USER, transport=WebSocket(path="/")),
                Vless(**HERE, user=USER, transport=HttpUpgrade(path="/")),
            ),
            (
                Vless(**HERE, user=USER, transport=Xhttp()),
                Vless(**HERE, user=USER, transport=Xhttp(extra="{}")),
            ),
        ],
    )
    def test_changes(self, before, after):
        """Each part of the endpoint that matters to a connection changes the fingerprint."""
        assert fingerprint(before) != fingerprint(after)

    @given(any_endpoint, any_endpoint)
    def test_is_one_to_one(self, one, other):
        """Endpoints have the same fingerprint exactly when they differ in their extra only."""
        same = replace(one, extra=()) == replace(other, extra=())

        assert same == (fingerprint(one) == fingerprint(other))
        assert fingerprint(one) == fingerprint(replace(one, extra=other.extra))
