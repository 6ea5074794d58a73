"""Hypothesis strategies for endpoints of every protocol: whatever the model can hold."""

import base64
import json
from typing import Any

from hypothesis import settings
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

# A busy machine must not make a property fail: its limit is the suite's, not each example's.
settings.register_profile("healthd", deadline=None)
settings.load_profile("healthd")


def texts(min_size: int = 0, max_size: int = 20, without: str = "") -> st.SearchStrategy[str]:
    """Any text that the model can hold: everything but NUL."""
    chars = st.characters(codec="utf-8", exclude_characters="\0" + without)
    return st.text(chars, min_size=min_size, max_size=max_size)


_host_names = st.from_regex(
    r"[a-z0-9_][A-Za-z0-9-]{0,20}(\.[A-Za-z0-9_-]{1,20}){0,3}", fullmatch=True
)
addresses = st.ip_addresses().map(str) | _host_names.filter(lambda name: not name.isdecimal())
ports = st.integers(1, 65535)
uuids = st.uuids().map(str)
_users = uuids | texts(min_size=1, max_size=9)
_json = st.dictionaries(texts(), st.none() | st.integers() | texts(), max_size=2).map(json.dumps)
_lists = st.lists(texts(min_size=1, without=","), max_size=3).map(tuple)
_alpn = st.lists(st.sampled_from(["h2", "http/1.1", "h3"]) | texts(1, without=","), max_size=3)

# No parameter of any of our links is called like this: they are what the model cannot hold.
extras = st.dictionaries(texts(min_size=1).map(lambda key: f"x-{key}"), texts(), max_size=3).map(
    lambda found: tuple(found.items())
)

_hashes = st.binary(min_size=32, max_size=32).flatmap(
    lambda raw: st.sampled_from([raw.hex(), raw.hex(":"), raw.hex(":").upper()])
)
_pins = texts() | st.lists(_hashes, max_size=2).map(",".join)

tls: st.SearchStrategy[Tls] = st.builds(
    Tls,
    server_name=texts(),
    fingerprint=texts(),
    alpn=_alpn.map(tuple),
    ech=texts(),
    verify_names=texts(),
    pinned_sha256=_pins,
)
realities: st.SearchStrategy[Reality] = st.builds(
    Reality,
    public_key=texts(min_size=1),
    server_name=texts(),
    fingerprint=texts(),
    short_id=texts(),
    spider_x=texts(),
    mldsa65_verify=texts(),
)
quic_tls: st.SearchStrategy[QuicTls] = st.builds(
    QuicTls,
    server_name=texts(),
    alpn=_alpn.map(tuple),
    ech=texts(),
    pinned_sha256=_pins,
    insecure=st.booleans(),
)
_grpc = st.builds(Grpc, service=texts(), authority=texts(), multi=st.booleans())
_xhttp = st.builds(
    Xhttp,
    path=texts(),
    host=texts(),
    mode=st.sampled_from(XHTTP_MODES),
    extra=st.just("") | _json,
)
transports: st.SearchStrategy[Transport] = st.one_of(
    st.just(Raw()),
    st.builds(RawHttp, hosts=_lists, paths=_lists),
    st.builds(WebSocket, path=texts(), host=texts()),
    st.builds(HttpUpgrade, path=texts(), host=texts()),
    _grpc,
    _xhttp,
)
_streams: st.SearchStrategy[tuple[Transport, Security]] = st.one_of(
    st.tuples(transports, st.none() | tls),
    st.tuples(st.one_of(st.just(Raw()), _grpc, _xhttp), realities),
)
_masks = st.just("") | _json


@st.composite
def _streamed(draw: st.DrawFn, kind: Any, own: dict[str, st.SearchStrategy[Any]]) -> Endpoint:
    transport, security = draw(_streams)
    made: Endpoint = kind(
        address=draw(addresses),
        port=draw(ports),
        extra=draw(extras),
        transport=transport,
        security=security,
        finalmask=draw(_masks),
        **{name: draw(value) for name, value in own.items()},
    )
    return made


any_vless = _streamed(
    Vless,
    {
        "user": _users,
        "flow": st.sampled_from(FLOWS),
        "encryption": st.just("none") | texts(min_size=1),
    },
)
any_vmess = _streamed(Vmess, {"user": _users, "cipher": st.sampled_from(VMESS_CIPHERS)})
any_trojan = _streamed(Trojan, {"password": texts(min_size=1)})


@st.composite
def _shadowsocks(draw: st.DrawFn) -> Shadowsocks:
    method = draw(st.sampled_from([*SHADOWSOCKS_AEAD, *SHADOWSOCKS_2022]))
    password = texts(min_size=1)
    if length := SHADOWSOCKS_2022.get(method):
        key = st.binary(min_size=length, max_size=length).map(
            lambda raw: base64.b64encode(raw).decode()
        )
        password = st.lists(key, min_size=1, max_size=2).map(":".join)
    return Shadowsocks(
        address=draw(addresses),
        port=draw(ports),
        extra=draw(extras),
        method=method,
        password=draw(password),
    )


any_shadowsocks = _shadowsocks()


@st.composite
def _hysteria2(draw: st.DrawFn) -> Hysteria2:
    port = draw(ports)
    high = draw(st.integers(port, 65535))
    return Hysteria2(
        address=draw(addresses),
        port=port,
        extra=draw(extras),
        auth=draw(texts()),
        hop=draw(st.sampled_from(["", f"{port}-{high}", f"{port},{high}", f"{port},1-9"])),
        obfs_password=draw(texts()),
        tls=draw(quic_tls),
    )


any_hysteria2 = _hysteria2()
any_tuic = st.builds(
    Tuic,
    address=addresses,
    port=ports,
    extra=extras,
    user=uuids,
    password=texts(),
    congestion=st.sampled_from(CONGESTION),
    udp_relay=st.sampled_from(UDP_RELAY),
    zero_rtt=st.booleans(),
    disable_sni=st.booleans(),
    tls=quic_tls,
)

any_endpoint: st.SearchStrategy[Endpoint] = st.one_of(
    any_vless, any_vmess, any_trojan, any_shadowsocks, any_hysteria2, any_tuic
)
"""Every endpoint that the model can hold."""
