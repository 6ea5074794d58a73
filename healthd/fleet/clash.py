"""Clash and mihomo: an entry of ``proxies`` becomes an endpoint. Pure.

The names and defaults are those of mihomo's documentation. What mihomo calls Vision lets UDP to
port 443 pass and what its users call a fingerprint may be a certificate's: such things are noted
where they are read.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from healthd.endpoints import (
    Endpoint,
    Hysteria2,
    Shadowsocks,
    Trojan,
    Tuic,
    Vless,
    Vmess,
    first_port,
)
from healthd.errors import LinkError, Unsupported
from healthd.fleet import parts
from healthd.fleet.clash_tls import quic_tls, security
from healthd.fleet.clash_transport import transport
from healthd.fleet.fields import Fields, Json
from healthd.fleet.reading import Candidate

_NO_PROXIES = {"direct", "dns", "reject", "reject-drop", "pass", "compatible", "rematch"}
"""Types that lead nowhere of their own."""

_OURS_ALONE = (
    *("udp", "tfo", "mptcp", "ip-version", "interface-name", "routing-mark", "xudp"),
    # Multiplexing is the client's choice: a server takes connections without it as well.
    *("packet-encoding", "smux", "benchmark-url"),
)
"""Settings by which a client suits itself."""


def candidates(proxies: Iterable[Json]) -> Iterator[Candidate]:
    """Every entry of ``proxies`` that leads to a node."""
    for number, proxy in enumerate(proxies):
        kind = proxy.get("type") if isinstance(proxy, dict) else None
        if not isinstance(kind, str) or kind.lower() not in _NO_PROXIES:
            yield f"proxies[{number}]", partial(read, proxy)


def read(proxy: Json) -> tuple[Endpoint, str]:
    """The endpoint and the name of one entry.

    Raises:
        LinkError, EndpointFault: it is malformed, or (Unsupported) not for us.
    """
    fields = Fields(proxy)
    reader, name = parts.reader(fields, "type", _READERS), fields.text("name")
    fields.ignore(*_OURS_ALONE)
    fields.refuse({"dialer-proxy": parts.CHAINED, "underlying-proxy": parts.CHAINED})
    endpoint = reader(fields)
    fields.end()
    return endpoint, name


def _vless(fields: Fields) -> Vless:
    address, port = parts.place(fields)
    hidden = security(fields, on=fields.flag("tls"))
    encryption = fields.text("encryption")
    return Vless(
        address=address,
        port=port,
        user=fields.text("uuid"),
        flow=fields.text("flow"),
        encryption=encryption or "none",
        security=hidden,
        transport=transport(fields),
    )


def _vmess(fields: Fields) -> Vmess:
    address, port = parts.place(fields)
    fields.refuse({"alterId": parts.LEGACY_VMESS})
    fields.ignore("global-padding")  # what Xray's clients do anyhow
    hidden = security(fields, on=fields.flag("tls"))
    return Vmess(
        address=address,
        port=port,
        user=fields.text("uuid"),
        cipher=fields.text("cipher") or "auto",
        security=hidden,
        transport=transport(fields),
    )


def _trojan(fields: Fields) -> Trojan:
    address, port = parts.place(fields)
    fields.ignore("tls")  # it is always on
    if fields.inner("ss-opts").flag("enabled"):
        raise Unsupported("ss-opts", "Shadowsocks inside Trojan is not supported")
    hidden = security(fields, on=True)
    return Trojan(
        address=address,
        port=port,
        password=fields.text("password"),
        security=hidden,
        transport=transport(fields),
    )


def _shadowsocks(fields: Fields) -> Shadowsocks:
    address, port = parts.place(fields)
    fields.refuse({"plugin": parts.PLUGIN, "udp-over-tcp": parts.OVER_TCP})
    fields.ignore("plugin-opts", "udp-over-tcp-version", "client-fingerprint")
    return Shadowsocks(
        address=address,
        port=port,
        method=fields.text("cipher").lower(),
        password=fields.text("password"),
    )


def _hysteria2(fields: Fields) -> Hysteria2:
    hop = fields.text("ports").replace("/", ",").replace(" ", "")
    address, port = parts.place(fields)
    if (obfs := parts.kind(fields, "obfs")) not in ("", "salamander"):
        # Not quoted: Hysteria's first version has a password there.
        raise Unsupported("obfs", "is not supported as obfuscation, only salamander")
    password = fields.text("obfs-password")
    if obfs and not password:
        raise LinkError("obfs-password", "is missing; salamander needs one")
    # Speeds and windows: the client's own line.
    fields.ignore("up", "down", "hop-interval", "cwnd", "udp-mtu", "fast-open")
    fields.ignore(*(name for name in fields.names() if name.endswith("receive-window")))
    return Hysteria2(
        address=address,
        port=first_port(hop) if hop else port,  # with `ports`, mihomo does not look at `port`
        hop=hop,
        auth=fields.text("password"),
        obfs_password=password if obfs else "",
        tls=quic_tls(fields),
    )


_TUIC_TUNING = (
    *("heartbeat-interval", "request-timeout", "max-udp-relay-packet-size", "fast-open", "cwnd"),
    *("max-open-streams", "max-datagram-frame-size", "recv-window", "recv-window-conn"),
    *("disable-mtu-discovery", "bbr-profile"),
)


def _tuic(fields: Fields) -> Tuic:
    address, port = parts.place(fields)
    fields.refuse(
        {
            "token": "only TUIC version 5 is supported, with uuid and password",
            "ip": "is not supported: an address that differs from server",
            "udp-over-stream": parts.OVER_TCP,
        }
    )
    fields.ignore("udp-over-stream-version", *_TUIC_TUNING)
    return Tuic(
        address=address,
        port=port,
        user=fields.text("uuid"),
        password=fields.text("password"),
        congestion=fields.text("congestion-controller"),
        udp_relay=fields.text("udp-relay-mode"),
        zero_rtt=fields.flag("reduce-rtt"),
        disable_sni=fields.flag("disable-sni"),
        tls=quic_tls(fields),
    )


_READERS: dict[str, Callable[[Fields], Endpoint]] = {
    "vless": _vless,
    "vmess": _vmess,
    "trojan": _trojan,
    "ss": _shadowsocks,
    "hysteria2": _hysteria2,
    "hy2": _hysteria2,
    "tuic": _tuic,
}
