"""Entries of a Clash configuration, as panels and people write them."""

import json
from typing import Any

import pytest

from healthd.endpoints import (
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
)
from healthd.errors import LinkError, Unsupported
from healthd.fleet import clash, documents
from tests.fleet.subscription_corpus import CLASH, KEY, PIN, UUID

PLACE: Any = {"address": "192.0.2.1", "port": 443}
VLESS = f"type: vless, server: 192.0.2.1, port: 443, uuid: {UUID}"
VMESS = f"type: vmess, server: 192.0.2.1, port: 443, uuid: {UUID}"
TROJAN = "type: trojan, server: 192.0.2.1, port: 443, password: pw"
SS = "type: ss, server: 192.0.2.1, port: 443, cipher: aes-128-gcm, password: pw"
HY2 = "type: hysteria2, server: 192.0.2.1, port: 443, password: pw"
TUIC = f"type: tuic, server: 192.0.2.1, port: 443, uuid: {UUID}, password: pw"
HASH = ":".join([PIN[:2].upper()] * 32)


def entry(text):
    (found,) = documents.proxies(f"proxies:\n- {{{text}}}\n")
    return found


def read(text):
    return clash.read(entry(text))[0]


def vless(**parts):
    return Vless(**PLACE, user=UUID, **parts)


def trojan(**parts):
    return Trojan(**PLACE, password="pw", **{"security": Tls()} | parts)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        (VLESS, vless()),
        (f"{VLESS}, tls: false, servername: x, alpn: [h2], encryption: none", vless()),
        (f"{VLESS}, flow: '', network: tcp, tls: 'no'", vless()),
        (f"{VLESS}, tls: true, skip-cert-verify: false", vless(security=Tls())),
        (f"{VLESS}, tls: true, sni: a, servername: a", vless(security=Tls(server_name="a"))),
        (
            (
                f"{VLESS}, tls: True, servername: a, alpn: [h2, http/1.1], client-fingerprint: "
                f"edge, fingerprint: '{HASH}', ech-opts: {{enable: true, config: AEk=}},"
                " name-cert-verify: b"
            ),
            vless(
                security=Tls(
                    server_name="a",
                    alpn=("h2", "http/1.1"),
                    fingerprint="edge",
                    ech="AEk=",
                    verify_names="b",
                    pinned_sha256=PIN,
                )
            ),
        ),
        (f"{VLESS}, tls: true, ech-opts: {{enable: false, config: x}}", vless(security=Tls())),
        (
            (
                f"{VLESS}, tls: true, alpn: [h2], skip-cert-verify: true, servername: a, "
                f"reality-opts: {{public-key: {KEY}, short-id: 0123, support-x25519mlkem768: true}}"
            ),
            vless(security=Reality(public_key=KEY, server_name="a", short_id="0123")),
        ),
        (
            f"{VLESS}, tls: true, reality-opts: {{public-key: {KEY}, short-id: 1e5}}",
            vless(security=Reality(public_key=KEY, short_id="1e5")),
        ),
        (f"{VLESS}, tls: true, reality-opts: {{}}", vless(security=Tls())),
        (f"{VLESS}, encryption: mlkem768x25519plus.native.0rtt.x", None),
        (
            f"{VLESS}, network: xhttp, xhttp-opts: {{path: /x, host: h, mode: stream-up}}",
            vless(transport=Xhttp(path="/x", host="h", mode="stream-up")),
        ),
        (
            f"{VLESS}, network: xhttp, xhttp-opts: {{reuse-settings: {{max-concurrency: 1}}}}",
            vless(transport=Xhttp()),
        ),
        (
            f"{VLESS}, network: grpc, grpc-opts: {{grpc-service-name: s, ping-interval: 5}}",
            vless(transport=Grpc(service="s")),
        ),
        (f"{VLESS}, quux: '', quuux: false", vless()),
        (
            f"{VLESS}, network: ws, ws-opts: {{headers: {{X-Token: ''}}}}",
            vless(transport=WebSocket()),
        ),
        (f"{VLESS}, network: ws", vless(transport=WebSocket())),
        (
            f"{VLESS}, network: ws, h2-opts: {{path: /x}}, smux: {{enabled: true}}",
            vless(transport=WebSocket()),
        ),
        (
            f"{VLESS}, network: ws, ws-opts: {{path: '/a?ed=20', headers: {{HOST: h, Accept: x}}}}",
            vless(transport=WebSocket(path="/a?ed=20", host="h")),
        ),
        (
            (
                f"{VLESS}, network: ws, ws-opts: {{path: /a, max-early-data: 5, "
                "early-data-header-name: Sec-WebSocket-Protocol}"
            ),
            vless(transport=WebSocket(path="/a?ed=5")),
        ),
        (
            (
                f"{VLESS}, network: ws, ws-opts: {{path: '/a?b=c', max-early-data: '5', "
                "early-data-header-name: Sec-WebSocket-Protocol}"
            ),
            vless(transport=WebSocket(path="/a?b=c&ed=5")),
        ),
        (
            (
                f"{VLESS}, network: ws, ws-opts: {{path: /u, v2ray-http-upgrade: true, "
                "v2ray-http-upgrade-fast-open: true, headers: {Host: h}}"
            ),
            vless(transport=HttpUpgrade(path="/u", host="h")),
        ),
        # mihomo asks for a WebSocket's host when it is told no name.
        (
            f"{VLESS}, network: ws, tls: true, ws-opts: {{headers: {{Host: h}}}}",
            vless(transport=WebSocket(host="h"), security=Tls(server_name="h")),
        ),
        (
            f"{VLESS}, network: ws, tls: true, ws-opts: {{path: /}}",
            vless(transport=WebSocket(path="/"), security=Tls()),
        ),
        (
            f"{VLESS}, network: ws, tls: true, ws-opts: ~",
            vless(transport=WebSocket(), security=Tls()),
        ),
        (f"{VMESS}, alterId: 0, cipher: auto", Vmess(**PLACE, user=UUID)),
        (f"{VMESS}, alterId: '0', cipher: none", Vmess(**PLACE, user=UUID, cipher="none")),
        (f"{VMESS}, network: http", Vmess(**PLACE, user=UUID, transport=RawHttp())),
        (
            (
                f"{VMESS}, network: http, http-opts: {{method: GET, path: [/a, /b], "
                "headers: {Host: [h, i], Connection: [keep-alive]}}"
            ),
            Vmess(**PLACE, user=UUID, transport=RawHttp(hosts=("h", "i"), paths=("/a", "/b"))),
        ),
        (TROJAN, trojan()),
        (
            f"{TROJAN}, sni: a, ss-opts: {{enabled: false}}, udp: true",
            trojan(security=Tls(server_name="a")),
        ),
        (f"{TROJAN}, network: grpc, tls: true", trojan(transport=Grpc())),
        (f"{SS}, udp: true, plugin: ''", Shadowsocks(**PLACE, method="aes-128-gcm", password="pw")),
        (SS.replace("pw", "0123"), Shadowsocks(**PLACE, method="aes-128-gcm", password="0123")),
        (SS.replace("aes", "AES"), Shadowsocks(**PLACE, method="aes-128-gcm", password="pw")),
        (HY2, Hysteria2(**PLACE, auth="pw")),
        (
            f"{HY2}, up: '30 Mbps', down: 200, hop-interval: 30, initial-stream-receive-window: 8",
            Hysteria2(**PLACE, auth="pw"),
        ),
        (
            f"{HY2}, sni: a, alpn: h3, skip-cert-verify: true, fingerprint: {PIN}",
            Hysteria2(
                **PLACE,
                auth="pw",
                tls=QuicTls(server_name="a", alpn=("h3",), pinned_sha256=PIN, insecure=True),
            ),
        ),
        (
            f"{HY2}, ports: 5000-6000/7000, obfs: salamander, obfs-password: ob",
            Hysteria2(
                address="192.0.2.1", port=5000, auth="pw", hop="5000-6000,7000", obfs_password="ob"
            ),
        ),
        ("type: hy2, server: 192.0.2.1, ports: 443", Hysteria2(**PLACE, hop="443")),
        (TUIC, Tuic(**PLACE, user=UUID, password="pw")),
        (
            (
                f"{TUIC}, congestion-controller: bbr, udp-relay-mode: quic, reduce-rtt: true, "
                "disable-sni: true, heartbeat-interval: 10000, fast-open: true"
            ),
            Tuic(
                **PLACE,
                user=UUID,
                password="pw",
                congestion="bbr",
                udp_relay="quic",
                zero_rtt=True,
                disable_sni=True,
            ),
        ),
        (
            VLESS.replace("192.0.2.1", "'[2001:DB8::1]'"),
            Vless(address="2001:db8::1", port=443, user=UUID),
        ),
    ],
)
def test_read(text, endpoint):
    """What can be expressed is read as it is meant."""
    if endpoint is None:
        endpoint = vless(encryption="mlkem768x25519plus.native.0rtt.x")
    assert endpoint == read(text)


def test_name_and_types():
    """Names are text, even those that look like numbers or YAML's words."""
    names = [clash.read(proxy)[1] for proxy in documents.proxies(CLASH)]
    assert names == ["DE-1", "NL-1", "FI-1", "SE-1", "NO-1", "IS-1"]
    assert clash.read(entry(f"{VLESS}, name: 0x10"))[1] == "0x10"
    assert clash.read(entry(f"{VLESS}, name: 'null'"))[1] == "null"
    assert clash.read(entry(f"{VLESS}, name: null"))[1] == ""


def test_not_counted():
    """Entries that lead nowhere of their own are no proxies."""
    kinds = ["direct", "DNS", "reject", "vless", ""]
    proxies: list[Any] = [{"type": kind} for kind in kinds] + [1, {}]

    assert [f"proxies[{at}]" for at in (3, 4, 5, 6)] == [
        where for where, _ in clash.candidates(proxies)
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("type: wireguard", "type: 'wireguard' is not supported as a protocol"),
        (f"type: '{UUID}'", "type: it is not supported as a protocol"),
        (
            f"{VLESS}, tls: true, skip-cert-verify: true",
            (
                "skip-cert-verify: cannot be honoured by current Xray; pin the certificate instead "
                "(fingerprint: SHA256)"
            ),
        ),
        (
            f"{TROJAN}, skip-cert-verify: 1",
            (
                "skip-cert-verify: cannot be honoured by current Xray; pin the certificate instead "
                "(fingerprint: SHA256)"
            ),
        ),
        (f"{VLESS}, network: h2", "network: HTTP/2 (h2) is not supported: Xray has XHTTP instead"),
        (f"{VLESS}, network: mkcp", "network: 'mkcp' is not supported as a transport"),
        (
            f"{VLESS}, dialer-proxy: other",
            "dialer-proxy: is not supported: the node is reached through another one",
        ),
        (f"{VLESS}, quux: 1", "quux: is not known here, and might matter"),
        (f"{VLESS}, tls: true, certificate: x", "certificate: is not known here, and might matter"),
        (
            f"{VLESS}, network: ws, ws-opts: {{quux: 1}}",
            "ws-opts.quux: is not known here, and might matter",
        ),
        (
            f"{VLESS}, network: ws, ws-opts: {{headers: {{X-Token: secret}}}}",
            "ws-opts.headers.X-Token: is a request header that cannot be kept",
        ),
        (
            f"{VLESS}, network: ws, ws-opts: {{max-early-data: 5}}",
            "early-data-header-name: only Sec-WebSocket-Protocol is supported",
        ),
        (
            f"{VLESS}, network: xhttp, xhttp-opts: {{no-grpc-header: true}}",
            "xhttp-opts.no-grpc-header: is not known here, and might matter",
        ),
        (
            f"{VMESS}, alterId: 64",
            "alterId: only 0 is supported: VMess without AEAD is gone from every engine",
        ),
        (
            f"{VMESS}, network: http, http-opts: {{method: POST}}",
            "http-opts.method: 'POST' is not supported as a method",
        ),
        (
            f"{TROJAN}, ss-opts: {{enabled: true}}",
            "ss-opts: Shadowsocks inside Trojan is not supported",
        ),
        (
            f"{TROJAN}, ech-opts: {{enable: true}}",
            "ech-opts: is supported with a config only, not by asking DNS",
        ),
        (f"{SS}, plugin: obfs", "plugin: no plugin of Shadowsocks is supported"),
        (f"{SS}, udp-over-tcp: true", "udp-over-tcp: is not supported: UDP would go another way"),
        (f"{HY2}, obfs: gecko", "obfs: is not supported as obfuscation, only salamander"),
        (f"{TUIC}, token: x", "token: only TUIC version 5 is supported, with uuid and password"),
        (f"{TUIC}, ip: 192.0.2.2", "ip: is not supported: an address that differs from server"),
        (f"{VLESS}, ws-opts: *a, network: ws", "ws-opts: is a YAML alias, which is not followed"),
        ("<<: *a, type: vless", "a setting: is not known here, and might matter"),
    ],
)
def test_unsupported(text, why):
    """What matters and cannot be kept is refused, not dropped."""
    proxy = entry(f"x: &a {{}}, {text}") if "*a" in text else entry(text)
    proxy.pop("x", None)
    if "<<" in text:
        proxy |= {"server": "192.0.2.1", "port": "1", "uuid": UUID}
        proxy["<<"] = {"port": "2"}

    with pytest.raises(Unsupported) as caught:
        clash.read(proxy)
    assert str(caught.value) == why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("type: ''", "type: there is none"),
        ("name: x", "type: there is none"),
        (f"{VLESS}, tls: maybe", "tls: must be true or false"),
        (f"{VLESS}, tls: []", "tls: must be true or false"),
        (f"{VLESS}, flow: {{}}", "flow: must be text"),
        (f"{VLESS}, network: ws, ws-opts: 1", "ws-opts: must be a group of settings"),
        (f"{VLESS}, tls: true, alpn: {{}}", "alpn: must be a list of text"),
        (f"{VLESS}, tls: true, alpn: [[]]", "alpn: must be a list of text"),
        (
            f"{VLESS}, servername: a, sni: b, tls: true",
            "servername: is given twice, with different values",
        ),
        (
            f"{VLESS}, reality-opts: {{public-key: x}}",
            "reality-opts: is given, but tls is not switched on",
        ),
        (
            f"{VLESS}, tls: true, fingerprint: chrome",
            (
                "fingerprint: must be the SHA-256 of a certificate; a browser goes into "
                "client-fingerprint"
            ),
        ),
        (f"{HY2}, obfs: salamander", "obfs-password: is missing; salamander needs one"),
        (VLESS.replace("443", "443.0"), "port: must be a whole number"),
        (VLESS.replace("443", "0x1bb"), "port: must be a whole number"),
        (VLESS.replace("443", "1234567890"), "port: must be a whole number"),
    ],
)
def test_malformed(text, why):
    """What is no setting of its kind is refused; the words name the place, and quote nothing."""
    with pytest.raises(LinkError) as caught:
        read(text)
    assert str(caught.value) == why
    assert not isinstance(caught.value, Unsupported)


@pytest.mark.parametrize(
    "text",
    [
        VLESS.replace("443", "65536"),
        VLESS.replace("port: 443", "x: ''"),
        VLESS.replace("192.0.2.1", "a/b"),
        VLESS.replace(UUID, "''"),
        f"{VLESS}, tls: true, reality-opts: {{short-id: x}}",
        f"{HY2}, ports: x",
        TUIC.replace(UUID, "x"),
    ],
)
def test_faults_of_endpoints(text):
    """What no server could be, the model itself says."""
    with pytest.raises(EndpointFault):
        read(text)


def test_alias_instead_of_an_entry():
    """An entry that is an alias is named as that."""
    (_, proxy) = documents.proxies(f"proxies:\n- &a {{{VLESS}}}\n- *a\n")

    with pytest.raises(Unsupported, match=r"entry: is a YAML alias, which is not followed"):
        clash.read(proxy)


def test_no_mapping():
    """An entry that is no group of settings is malformed."""
    with pytest.raises(LinkError, match=r"entry: must be a group of settings"):
        clash.read("text")


def test_raw_is_the_default():
    """Without a network, the protocol goes straight over TCP."""
    assert read(f"{VLESS}, ws-opts: {{path: /}}") == vless(transport=Raw())
    assert json.dumps(entry(f"{VLESS}, a: ~, b: null, c: '~'")).endswith(
        '"a": null, "b": null, "c": "~"}'
    )
