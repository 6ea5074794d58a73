"""A fleet of every kind for renderers, and what all of them are told."""

from typing import Any

from healthd.endpoints import (
    Endpoint,
    Grpc,
    HttpUpgrade,
    Hysteria2,
    QuicTls,
    RawHttp,
    Shadowsocks,
    Trojan,
    Tuic,
    Vmess,
    WebSocket,
    Xhttp,
)
from healthd.model import Node
from healthd.publishing.formats import About
from tests.builders import USER, node, tls, vless

ABOUT = About(check_url="https://www.example.com/generate_204", title="My fleet 🇩🇪")
PIN = "0123456789abcdef" * 4
QUIC = QuicTls(server_name="node.example.com", alpn=("h3",))
PLACE: Any = {"address": "node.example.com", "port": 443}
SS_2022 = "AAECAwQFBgcICQoLDA0ODw==:EBESExQVFhcYGRobHB0eHw=="

ENDPOINTS: dict[str, Endpoint] = {
    "vision": vless(flow="xtls-rprx-vision"),
    "reality-xhttp": vless(transport=Xhttp(path="/x", mode="auto")),
    "reality-grpc": vless(transport=Grpc(service="svc", multi=True)),
    "tls-vision": vless(security=tls(alpn=("h2", "http/1.1")), flow="xtls-rprx-vision-udp443"),
    "ws": vless(transport=WebSocket(path="/ws?ed=2048", host="cdn.test"), security=tls()),
    "upgrade": vless(transport=HttpUpgrade(path="/hu"), security=tls(pinned_sha256=PIN)),
    "http": vless(transport=RawHttp(hosts=("a.test",), paths=("/a", "/b")), security=None),
    "plain": vless(address="2001:db8::1", security=None),
    "vmess": Vmess(**PLACE, user=USER, transport=WebSocket(path="/vm"), security=tls()),
    "trojan": Trojan(**PLACE, password='it\'s a "secret": {no}', security=tls()),
    "ss": Shadowsocks(**PLACE, method="2022-blake3-aes-128-gcm", password=SS_2022),
    "hysteria2": Hysteria2(**PLACE, auth="pw", hop="443,5000-6000", obfs_password="ob", tls=QUIC),
    "tuic": Tuic(**PLACE, user=USER, password="pw", congestion="bbr", udp_relay="quic", tls=QUIC),
    "tuic-insecure": Tuic(**PLACE, user=USER, zero_rtt=True, tls=QuicTls(insecure=True)),
}
"""Sound ones, such as real servers have."""

VARIED: list[Node] = [node(name, endpoint=endpoint) for name, endpoint in ENDPOINTS.items()]
