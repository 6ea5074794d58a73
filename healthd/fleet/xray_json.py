"""Xray: an outbound of a configuration becomes an endpoint. Pure.

Flat settings and the older ``vnext`` and ``servers`` are read alike. Xray itself ignores keys that
it does not know; we cannot tell those from the ones that we do not know.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from healthd.endpoints import (
    Endpoint,
    Hysteria2,
    QuicTls,
    Raw,
    Shadowsocks,
    Trojan,
    Vless,
    Vmess,
    first_port,
)
from healthd.errors import LinkError, Unsupported
from healthd.fleet import parts
from healthd.fleet.fields import Fields, Json
from healthd.fleet.reading import Candidate
from healthd.fleet.xray_stream import ech, finalmask, security, transport

_NO_PROXIES = {"freedom", "direct", "blackhole", "block", "dns", "loopback"}


def candidates(configs: Sequence[Json], *, listed: bool) -> Iterator[Candidate]:
    """Every outbound that leads to a node, in all configurations.

    Those with a single node come first: ``remarks`` is its name, while the tags in a configuration
    that balances between several nodes say little, and its nodes mostly come again by themselves.
    """
    found = [
        _in_config(config, f"[{number}]." if listed else "")
        for number, config in enumerate(configs)
    ]
    for several in (False, True):
        for outbounds in found:
            if (len(outbounds) > 1) is several:
                yield from outbounds


def _in_config(config: Json, prefix: str) -> list[Candidate]:
    if not isinstance(config, dict):
        return [(f"{prefix}config", partial(read, config, ""))]
    outbounds, remarks = config.get("outbounds"), config.get("remarks")
    if not isinstance(outbounds, list):
        return [(f"{prefix}outbounds", partial(read, outbounds, ""))]
    found = [(number, each) for number, each in enumerate(outbounds) if _leads_to_a_node(each)]
    name = remarks if isinstance(remarks, str) and len(found) == 1 else ""
    return [(f"{prefix}outbounds[{number}]", partial(read, each, name)) for number, each in found]


def _leads_to_a_node(outbound: Json) -> bool:
    kind = outbound.get("protocol") if isinstance(outbound, dict) else None
    return not isinstance(kind, str) or kind.lower() not in _NO_PROXIES


def read(outbound: Json, name: str = "") -> tuple[Endpoint, str]:
    """The endpoint of one outbound, and its name: the tag, unless it has a better one.

    Raises:
        LinkError, EndpointFault: it is malformed, or (Unsupported) not for us.
    """
    fields = Fields(outbound)
    reader, tag = parts.reader(fields, "protocol", _READERS), fields.text("tag")
    if fields.inner("proxySettings").text("tag"):
        raise Unsupported("proxySettings", parts.CHAINED)
    # The client's own line, and its choice: a server takes connections without mux as well.
    fields.ignore("sendThrough", "targetStrategy", "mux")
    endpoint = reader(fields.inner("settings"), fields.inner("streamSettings"))
    fields.end()
    return endpoint, name or tag


def _user(settings: Fields, group: str) -> tuple[Fields, tuple[str, int]]:
    """Where the user's settings are, and the place: flat, or the one element of a group."""
    server = settings.single(group) if group in settings else settings
    address = parts.place(server, "address")
    user = server.single("users") if "users" in server else server
    for fields in (settings, server, user):
        fields.ignore("email", "level")
        if fields is not user:
            fields.end()
    return user, address


def _vless(settings: Fields, stream: Fields) -> Vless:
    user, (address, port) = _user(settings, "vnext")
    endpoint = Vless(
        address=address,
        port=port,
        user=user.text("id"),
        flow=user.text("flow"),
        encryption=user.text("encryption") or "none",
        transport=transport(stream),
        security=security(stream),
        finalmask=finalmask(stream),
    )
    user.ignore("security", "alterId")  # v2rayN writes one shape of user for both protocols
    user.end()
    stream.end()
    return endpoint


def _vmess(settings: Fields, stream: Fields) -> Vmess:
    user, (address, port) = _user(settings, "vnext")
    user.refuse({"alterId": parts.LEGACY_VMESS})
    endpoint = Vmess(
        address=address,
        port=port,
        user=user.text("id"),
        cipher=user.text("security") or "auto",
        transport=transport(stream),
        security=security(stream),
        finalmask=finalmask(stream),
    )
    user.ignore("encryption")
    user.end()
    stream.end()
    return endpoint


def _trojan(settings: Fields, stream: Fields) -> Trojan:
    user, (address, port) = _user(settings, "servers")
    endpoint = Trojan(
        address=address,
        port=port,
        password=user.text("password"),
        transport=transport(stream),
        security=security(stream),
        finalmask=finalmask(stream),
    )
    user.end()
    stream.end()
    return endpoint


def _shadowsocks(settings: Fields, stream: Fields) -> Shadowsocks:
    user, (address, port) = _user(settings, "servers")
    user.refuse({"uot": parts.OVER_TCP})
    user.ignore("uotVersion", "ivCheck", "ota")
    endpoint = Shadowsocks(
        address=address, port=port, method=user.text("method"), password=user.text("password")
    )
    user.end()
    if transport(stream) != Raw() or security(stream) is not None or finalmask(stream):
        raise Unsupported("streamSettings", "Shadowsocks goes over plain TCP and UDP only")
    stream.end()
    return endpoint


def _hysteria2(settings: Fields, stream: Fields) -> Hysteria2:
    own = stream.inner("hysteriaSettings")
    for fields in (settings, own):
        if fields.number("version") not in (0, 2):
            raise Unsupported("version", "only version 2 of Hysteria is supported")
    address, port = parts.place(settings, "address")
    settings.end()
    obfs_password, hop = _mask(stream.inner("finalmask"))
    stream.ignore("network", "sockopt")
    own.ignore("udpIdleTimeout", "congestion", "up", "down")
    endpoint = Hysteria2(
        address=address,
        port=first_port(hop) if hop else port,
        hop=hop,
        auth=own.text("auth"),
        obfs_password=obfs_password,
        tls=_quic_tls(stream),
    )
    own.end()
    stream.end()
    return endpoint


def _mask(mask: Fields) -> tuple[str, str]:
    """The password of the obfuscation, and the ports to hop over."""
    password = ""
    if "udp" in mask:
        obfs = mask.single("udp")
        if (kind := parts.kind(obfs, "type")) != "salamander":
            raise parts.unknown("finalmask.udp.type", kind, "obfuscation")
        password = obfs.inner("settings").text("password")
        obfs.end()
    quic = mask.inner("quicParams")
    hop = quic.inner("udpHop")
    ports = hop.text("ports")
    hop.ignore("interval")
    hop.end()
    quic.ignore("congestion", "brutalUp", "brutalDown", "keepAlivePeriod", "maxIdleTimeout")
    quic.end()
    mask.end()
    return password, ports


def _quic_tls(stream: Fields) -> QuicTls:
    if parts.kind(stream, "security") != "tls":
        raise LinkError("security", "must be tls: QUIC has no other way")
    tls = stream.inner("tlsSettings")
    found = QuicTls(
        server_name=tls.text("serverName"),
        alpn=tls.texts("alpn"),
        ech=ech(tls),
        pinned_sha256=tls.text("pinnedPeerCertSha256"),
        insecure=tls.flag("allowInsecure"),
    )
    tls.ignore("fingerprint", "show")  # there is none in QUIC
    tls.end()
    return found


_READERS: dict[str, Callable[[Fields, Fields], Endpoint]] = {
    "vless": _vless,
    "vmess": _vmess,
    "trojan": _trojan,
    "shadowsocks": _shadowsocks,
    "hysteria": _hysteria2,
    "hysteria2": _hysteria2,
}
