"""Endpoints whose every value an engine accepts, of every kind; and the engines' own judgement."""

import base64
import subprocess
from typing import Any

from hypothesis import strategies as st

from healthd.endpoints import (
    CONGESTION,
    FLOWS,
    SHADOWSOCKS_2022,
    SHADOWSOCKS_AEAD,
    UDP_RELAY,
    VMESS_CIPHERS,
    XHTTP_MODES,
    Endpoint,
    Grpc,
    HttpUpgrade,
    Hysteria2,
    QuicTls,
    Raw,
    RawHttp,
    Reality,
    Security,
    Shadowsocks,
    Tls,
    Transport,
    Trojan,
    Tuic,
    Vless,
    Vmess,
    WebSocket,
    Xhttp,
)
from tests.strategies import addresses, ports, texts, uuids


def _or_none(value: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.just("") | value


def _base64url(size: int) -> st.SearchStrategy[str]:
    return st.binary(min_size=size, max_size=size).map(
        lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    )


_names = st.sampled_from(["node.example.com", "a.test", "xn--bcher-kva.example", "192.0.2.7"])
_browsers = st.sampled_from(["", "chrome", "firefox", "safari", "random", "hellochrome_120"])
_alpn = st.lists(st.sampled_from(["h2", "http/1.1", "h3"]), unique=True).map(tuple)
_ech = _or_none(st.binary(min_size=1, max_size=40).map(lambda raw: base64.b64encode(raw).decode()))
_pins = _or_none(
    st.lists(st.binary(min_size=32, max_size=32).map(bytes.hex), min_size=1, max_size=2).map(
        ",".join
    )
)
_paths = _or_none(
    st.sampled_from(["/", "/ws", "ws", "/ws?ed=2048", "/a?ed=1&b=c", "/a?b=c", "/%2F", "/ü"])
)
_hosts = _or_none(st.sampled_from(["cdn.example.com", "cdn.example.com:8443", "[2001:db8::1]"]))
_shorts = st.integers(0, 8).flatmap(lambda size: st.binary(min_size=size, max_size=size))
_extras = st.sampled_from(
    [
        "",
        '{"xPaddingBytes": "100-1000", "headers": {"X-A": "b"}, "uplinkHTTPMethod": "PUT"}',
        '{"xmux": {"maxConcurrency": "16-32"}, "scMaxEachPostBytes": 1000000}',
        '{"downloadSettings": {"address": "192.0.2.9", "port": 443, "network": "xhttp"}}',
        '{"DOWNLOADSETTINGS": {"Address": "b", "Port": 1, "network": "splithttp"}}',
    ]
)
_masks = st.sampled_from(
    [
        "",
        '{"tcp": [{"type": "fragment", "settings": {"packets": "tlshello", "length": "10-20"}}]}',
    ]
)

tls = st.builds(
    Tls,
    server_name=_or_none(_names),
    fingerprint=_browsers,
    alpn=_alpn,
    ech=_ech,
    verify_names=_or_none(_names),
    pinned_sha256=_pins,
)
reality = st.builds(
    Reality,
    public_key=_base64url(32),
    server_name=_or_none(_names),
    fingerprint=_browsers,
    short_id=_shorts.map(bytes.hex),
    spider_x=_or_none(st.sampled_from(["/", "/a%20b?p=1-2#f"])),
    mldsa65_verify=_or_none(_base64url(1952)),
)
quic_tls = st.builds(
    QuicTls,
    server_name=_or_none(_names),
    alpn=st.sampled_from([(), ("h3",)]),
    ech=_ech,
    pinned_sha256=_pins,
    insecure=st.booleans(),
)
_grpc = st.builds(
    Grpc,
    service=_or_none(st.sampled_from(["svc", "a/b", "/own/path|multi", "ü"])),
    authority=_or_none(_names),
    multi=st.booleans(),
)
_xhttp = st.builds(
    Xhttp,
    path=_paths,
    host=_hosts,
    # `downloadSettings` and stream-one exclude each other.
    mode=st.sampled_from([mode for mode in XHTTP_MODES if mode != "stream-one"]),
    extra=_extras,
)
_raw_http = st.builds(
    RawHttp,
    hosts=st.lists(_names, max_size=2).map(tuple),
    paths=st.lists(st.sampled_from(["/", "/a"]), max_size=2).map(tuple),
)
_hidden: st.SearchStrategy[tuple[Transport, Security]] = st.one_of(
    st.tuples(
        st.one_of(
            st.just(Raw()),
            _raw_http,
            st.builds(WebSocket, path=_paths, host=_hosts),
            st.builds(HttpUpgrade, path=_paths, host=_hosts),
            _grpc,
            _xhttp,
        ),
        st.none() | tls,
    ),
    st.tuples(st.one_of(st.just(Raw()), _grpc, _xhttp), reality),
)
_users = uuids | st.sampled_from(["alice", "b831381d63244d53ad4f8cda48b30811"])
_encryptions = st.just("none") | st.builds(
    "mlkem768x25519plus.{}.{}.{}{}".format,
    st.sampled_from(["native", "xorpub", "random"]),
    st.sampled_from(["0rtt", "1rtt"]),
    st.sampled_from(["", "100-111-1111."]),
    _base64url(32),
)


@st.composite
def _streamed(draw: st.DrawFn) -> Endpoint:
    transport, security = draw(_hidden)
    common: dict[str, Any] = {
        "address": draw(addresses),
        "port": draw(ports),
        "transport": transport,
        "security": security,
        "finalmask": draw(_masks),
    }
    match draw(st.sampled_from(["vless", "vmess", "trojan"])):
        case "vless":
            flow, encryption = draw(st.sampled_from(FLOWS)), draw(_encryptions)
            return Vless(user=draw(_users), flow=flow, encryption=encryption, **common)
        case "vmess":
            return Vmess(user=draw(_users), cipher=draw(st.sampled_from(VMESS_CIPHERS)), **common)
        case _:
            return Trojan(password=draw(texts(min_size=1)), **common)


@st.composite
def _shadowsocks(draw: st.DrawFn) -> Shadowsocks:
    method = draw(st.sampled_from([*SHADOWSOCKS_AEAD, *SHADOWSOCKS_2022]))
    password = texts(min_size=1)
    if size := SHADOWSOCKS_2022.get(method):
        key = st.binary(min_size=size, max_size=size)
        keys = st.lists(key, min_size=1, max_size=2 if "aes" in method else 1)
        password = keys.map(lambda them: ":".join(base64.b64encode(raw).decode() for raw in them))
    return Shadowsocks(
        address=draw(addresses), port=draw(ports), method=method, password=draw(password)
    )


@st.composite
def _hysteria2(draw: st.DrawFn) -> Hysteria2:
    port = draw(st.integers(1, 65000))
    hops = ["", f"{port}", f"{port}-{port + 100}", f"{port},0{port:04},1-9"]
    return Hysteria2(
        address=draw(addresses),
        port=port,
        auth=draw(texts()),
        hop=draw(st.sampled_from(hops).filter(lambda hop: len(hop) < 13 or port < 10000)),
        obfs_password=draw(texts()),
        tls=draw(quic_tls),
    )


_tuic = st.builds(
    Tuic,
    address=addresses,
    port=ports,
    user=uuids,
    password=texts(),
    congestion=st.sampled_from(CONGESTION),
    udp_relay=st.sampled_from(UDP_RELAY),
    zero_rtt=st.booleans(),
    disable_sni=st.booleans(),
    tls=quic_tls,
)

endpoints: st.SearchStrategy[Endpoint] = st.one_of(
    _streamed(), _streamed(), _shadowsocks(), _hysteria2(), _tuic
)
"""Endpoints of every kind, none of whose values an engine has a reason to refuse."""


def run(argv: list[str], document: bytes) -> str | None:
    """What an engine says to a configuration; None when it accepts it."""
    done = subprocess.run(argv, input=document, capture_output=True, timeout=60, check=False)
    return None if done.returncode == 0 else (done.stdout + done.stderr).decode(errors="replace")
