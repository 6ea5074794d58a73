"""sing-box: an outbound becomes an endpoint. Pure.

sing-box refuses a key that it does not know, so that whatever stands there has a meaning.
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
from healthd.errors import LinkError
from healthd.fleet import parts
from healthd.fleet.fields import Fields, Json
from healthd.fleet.reading import Candidate
from healthd.fleet.singbox_tls import quic_tls, security
from healthd.fleet.singbox_transport import transport

_NO_PROXIES = {"direct", "block", "dns", "selector", "urltest"}

_OURS_ALONE = (
    *("bind_interface", "inet4_bind_address", "inet6_bind_address", "bind_address_no_port"),
    *("routing_mark", "reuse_addr", "netns", "connect_timeout", "tcp_fast_open"),
    *("tcp_multi_path", "disable_tcp_keep_alive", "tcp_keep_alive", "tcp_keep_alive_interval"),
    *("udp_fragment", "domain_resolver", "domain_strategy", "network_strategy", "network_type"),
    *("fallback_network_type", "fallback_delay", "network", "packet_encoding"),
    # The client's choice: a server takes connections without it as well.
    "multiplex",
)
"""Settings by which a client suits itself: how it dials, and which of its networks it takes."""


def candidates(outbounds: Iterable[Json]) -> Iterator[Candidate]:
    """Every outbound that leads to a node."""
    for number, outbound in enumerate(outbounds):
        kind = outbound.get("type") if isinstance(outbound, dict) else None
        if not isinstance(kind, str) or kind not in _NO_PROXIES:
            yield f"outbounds[{number}]", partial(read, outbound)


def read(outbound: Json) -> tuple[Endpoint, str]:
    """The endpoint and the tag of one outbound.

    Raises:
        LinkError, EndpointFault: it is malformed, or (Unsupported) not for us.
    """
    fields = Fields(outbound)
    reader, name = parts.reader(fields, "type", _READERS), fields.text("tag")
    fields.ignore(*_OURS_ALONE)
    fields.refuse({"detour": parts.CHAINED})
    endpoint = reader(fields)
    fields.end()
    return endpoint, name


def _vless(fields: Fields) -> Vless:
    address, port = parts.place(fields, port="server_port")
    return Vless(
        address=address,
        port=port,
        user=fields.text("uuid"),
        flow=fields.text("flow"),
        transport=transport(fields),  # looks at `tls`, which the next one takes out
        security=security(fields),
    )


def _vmess(fields: Fields) -> Vmess:
    address, port = parts.place(fields, port="server_port")
    fields.refuse({"alter_id": parts.LEGACY_VMESS})
    fields.ignore("global_padding")
    return Vmess(
        address=address,
        port=port,
        user=fields.text("uuid"),
        cipher=fields.text("security") or "auto",
        transport=transport(fields),
        security=security(fields),
    )


def _trojan(fields: Fields) -> Trojan:
    address, port = parts.place(fields, port="server_port")
    return Trojan(
        address=address,
        port=port,
        password=fields.text("password"),
        transport=transport(fields),
        security=security(fields),
    )


def _shadowsocks(fields: Fields) -> Shadowsocks:
    address, port = parts.place(fields, port="server_port")
    fields.refuse({"plugin": parts.PLUGIN})
    fields.ignore("plugin_opts")
    over_tcp = fields.peek("udp_over_tcp")
    if not isinstance(over_tcp, dict) or over_tcp.get("enabled"):
        fields.refuse({"udp_over_tcp": parts.OVER_TCP})
    fields.ignore("udp_over_tcp")
    return Shadowsocks(
        address=address,
        port=port,
        method=fields.text("method"),
        password=fields.text("password"),
    )


def _hysteria2(fields: Fields) -> Hysteria2:
    hop = ",".join(_ports(text) for text in fields.texts("server_ports"))
    address, port = parts.place(fields, port="server_port")
    fields.ignore("up_mbps", "down_mbps", "hop_interval", "hop_interval_max", "brutal_debug")
    return Hysteria2(
        address=address,
        port=first_port(hop) if hop else port,  # with `server_ports`, the port is not looked at
        hop=hop,
        auth=fields.text("password"),
        obfs_password=_obfs(fields.inner("obfs")),
        tls=quic_tls(fields.inner("tls")),
    )


def _ports(text: str) -> str:
    """sing-box's "5000:6000" as "5000-6000"; "7000:7000" is just one port."""
    low, _, high = text.partition(":")
    return low if high in ("", low) else f"{low}-{high}"


def _obfs(fields: Fields) -> str:
    kind, password = parts.kind(fields, "type"), fields.text("password")
    fields.end()
    if kind not in ("", "salamander"):
        raise parts.unknown("obfs", kind, "obfuscation")
    if kind and not password:
        raise LinkError("obfs.password", "is missing; salamander needs one")
    return password if kind else ""


def _tuic(fields: Fields) -> Tuic:
    address, port = parts.place(fields, port="server_port")
    fields.refuse({"udp_over_stream": parts.OVER_TCP})
    fields.ignore("heartbeat")
    tls = fields.inner("tls")
    return Tuic(
        address=address,
        port=port,
        user=fields.text("uuid"),
        password=fields.text("password"),
        congestion=fields.text("congestion_control"),
        udp_relay=fields.text("udp_relay_mode"),
        zero_rtt=fields.flag("zero_rtt_handshake"),
        disable_sni=tls.flag("disable_sni"),
        tls=quic_tls(tls),
    )


_READERS: dict[str, Callable[[Fields], Endpoint]] = {
    "vless": _vless,
    "vmess": _vmess,
    "trojan": _trojan,
    "shadowsocks": _shadowsocks,
    "hysteria2": _hysteria2,
    "tuic": _tuic,
}
