"""Share links as panels and clients write them, protocol by protocol, and what they mean."""

import base64
import json
from typing import Any

from healthd.endpoints import (
    Endpoint,
    Grpc,
    HttpUpgrade,
    Hysteria2,
    QuicTls,
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
from tests.builders import PUBLIC_KEY, SHORT_ID, USER, reality, tls

HERE: dict[str, Any] = {"address": "192.0.2.10", "port": 443}
AT = "192.0.2.10:443"
HASH = "2f5c" * 16
COLONS = ":".join(["2F", "5C"] * 16)
KEYS = "AAECAwQFBgcICQoLDA0ODw==:EBESExQVFhcYGRobHB0eHw=="


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def vmess(**keys: Any) -> str:
    """A link of v2rayN's JSON."""
    return "vmess://" + b64(json.dumps(keys))


V2RAYN = {
    "v": "2",
    "ps": "DE 1",
    "add": "192.0.2.10",
    "port": "443",
    "id": USER,
    "aid": "0",
    "scy": "auto",
    "net": "ws",
    "type": "none",
    "host": "a.example",
    "path": "/vm?ed=2048",
    "tls": "tls",
    "sni": "a.example",
    "alpn": "http/1.1",
    "fp": "chrome",
}
VMESS_WS = Vmess(
    **HERE,
    user=USER,
    transport=WebSocket(path="/vm?ed=2048", host="a.example"),
    security=tls(server_name="a.example", alpn=("http/1.1",)),
)

# What a link reads as, and how it is written again ("" = as it was).
LINKS: dict[str, tuple[str, Endpoint, str]] = {
    # ------------------------------------------------------------------------------------- vless
    "vless reality vision": (
        (
            f"vless://{USER}@{AT}?type=tcp&encryption=none&flow=xtls-rprx-vision&security=reality"
            f"&sni=www.example.com&fp=chrome&pbk={PUBLIC_KEY}&sid={SHORT_ID}&spx=%2F#DE%201"
        ),
        Vless(**HERE, user=USER, flow="xtls-rprx-vision", security=reality(spider_x="/")),
        "",
    ),
    "vless ws, as 3x-ui writes it": (
        (
            f"vless://{USER}@a.example:443?alpn=h2%2Chttp%2F1.1&encryption=none&fp=chrome&host=a.example"
            "&path=%2Fws%3Fed%3D2560&security=tls&sni=a.example&type=ws#DE%201"
        ),
        Vless(
            address="a.example",
            port=443,
            user=USER,
            transport=WebSocket(path="/ws?ed=2560", host="a.example"),
            security=tls(server_name="a.example", alpn=("h2", "http/1.1")),
        ),
        (
            f"vless://{USER}@a.example:443?type=ws&host=a.example&path=%2Fws%3Fed%3D2560"
            "&encryption=none&security=tls&sni=a.example&fp=chrome&alpn=h2%2Chttp%2F1.1#DE%201"
        ),
    ),
    "vless httpupgrade": (
        (
            f"vless://{USER}@{AT}?type=httpupgrade&host=a.example&path=%2Fhu&encryption=none"
            "&security=tls&sni=a.example#DE%201"
        ),
        Vless(
            **HERE,
            user=USER,
            transport=HttpUpgrade(path="/hu", host="a.example"),
            security=Tls(server_name="a.example"),
        ),
        "",
    ),
    "vless reality grpc": (
        (
            f"vless://{USER}@{AT}?type=grpc&authority=b.example&serviceName=gsvc&mode=multi"
            f"&encryption=none&security=reality&pbk={PUBLIC_KEY}#DE%201"
        ),
        Vless(
            **HERE,
            user=USER,
            transport=Grpc(service="gsvc", authority="b.example", multi=True),
            security=Reality(public_key=PUBLIC_KEY),
        ),
        "",
    ),
    "vless reality xhttp with extra": (
        (
            f"vless://{USER}@{AT}?type=xhttp&host=a.example&path=%2Fx&mode=stream-one"
            "&extra=%7B%22noGRPCHeader%22%3Atrue%7D&encryption=none&security=reality"
            f"&pbk={PUBLIC_KEY}&pqv=cXF2#DE%201"
        ),
        Vless(
            **HERE,
            user=USER,
            transport=Xhttp(
                path="/x", host="a.example", mode="stream-one", extra='{"noGRPCHeader":true}'
            ),
            security=Reality(public_key=PUBLIC_KEY, mldsa65_verify="cXF2"),
        ),
        "",
    ),
    "vless encryption without tls": (
        (
            f"vless://{USER}@{AT}?type=tcp&encryption=mlkem768x25519plus.native.0rtt.{PUBLIC_KEY}"
            "&security=none&fm=%7B%22tcp%22%3A%5B%5D%7D#DE%201"
        ),
        Vless(
            **HERE,
            user=USER,
            encryption=f"mlkem768x25519plus.native.0rtt.{PUBLIC_KEY}",
            finalmask='{"tcp":[]}',
        ),
        "",
    ),
    "vless tcp disguised as http": (
        (
            f"vless://{USER}@{AT}?type=tcp&headerType=http&host=a.example%2Cb.example&path=%2F"
            "&encryption=none&security=none#DE%201"
        ),
        Vless(**HERE, user=USER, transport=RawHttp(hosts=("a.example", "b.example"), paths=("/",))),
        "",
    ),
    # ------------------------------------------------------------------------------------- vmess
    "vmess ws tls, as v2rayN writes it": (vmess(**V2RAYN), VMESS_WS, vmess(**V2RAYN)),
    "vmess tcp http, numbers as numbers": (
        vmess(**V2RAYN | {"v": 2, "port": 443, "aid": 0, "net": "tcp", "type": "http", "tls": ""}),
        Vmess(
            **HERE,
            user=USER,
            transport=RawHttp(hosts=("a.example",), paths=("/vm?ed=2048",)),
            extra=(("sni", "a.example"), ("alpn", "http/1.1"), ("fp", "chrome")),
        ),
        vmess(**V2RAYN | {"net": "tcp", "type": "http", "tls": ""}),
    ),
    "vmess grpc": (
        vmess(**V2RAYN | {"net": "grpc", "type": "multi", "path": "gsvc", "host": "b.example"}),
        Vmess(
            **HERE,
            user=USER,
            transport=Grpc(service="gsvc", authority="b.example", multi=True),
            security=VMESS_WS.security,
        ),
        vmess(**V2RAYN | {"net": "grpc", "type": "multi", "path": "gsvc", "host": "b.example"}),
    ),
    "vmess xhttp, pinned, as v2rayNG writes it": (
        vmess(**V2RAYN | {"net": "xhttp", "type": "auto", "vcn": "c.example", "pcs": COLONS}),
        Vmess(
            **HERE,
            user=USER,
            transport=Xhttp(path="/vm?ed=2048", host="a.example", mode="auto"),
            security=tls(
                server_name="a.example",
                alpn=("http/1.1",),
                verify_names="c.example",
                pinned_sha256=HASH,
            ),
        ),
        vmess(**V2RAYN | {"net": "xhttp", "type": "auto", "vcn": "c.example", "pcs": HASH}),
    ),
    "vmess of few words, as SSPanel writes it": (
        vmess(ps="DE 1", add="192.0.2.10", port="443", id=USER, net="tcp", verify_cert=True),
        Vmess(**HERE, user=USER, extra=(("verify_cert", "true"),)),
        vmess(
            **V2RAYN
            | {"net": "tcp", "host": "", "path": "", "tls": "", "sni": "", "alpn": "", "fp": ""},
            verify_cert="true",
        ),
    ),
    "vmess reality, as Marzban writes it": (
        vmess(
            **V2RAYN
            | {"net": "grpc", "type": "gun", "path": "gsvc", "host": "", "tls": "reality"}
            | {"pbk": PUBLIC_KEY, "sid": SHORT_ID, "spx": "", "alpn": ""}
        ),
        Vmess(
            **HERE,
            user=USER,
            transport=Grpc(service="gsvc"),
            security=reality(server_name="a.example"),
        ),
        (
            f"vmess://{USER}@{AT}?type=grpc&serviceName=gsvc&mode=gun&encryption=auto&security=reality"
            f"&sni=a.example&fp=chrome&pbk={PUBLIC_KEY}&sid={SHORT_ID}#DE%201"
        ),
    ),
    "vmess in the usual form, with ech": (
        (
            f"vmess://{USER}@{AT}?type=ws&host=a.example&path=%2Fvm&encryption=aes-128-gcm"
            "&security=tls&sni=a.example&ech=AEX%2B#DE%201"
        ),
        Vmess(
            **HERE,
            user=USER,
            cipher="aes-128-gcm",
            transport=WebSocket(path="/vm", host="a.example"),
            security=Tls(server_name="a.example", ech="AEX+"),
        ),
        "",
    ),
    # ------------------------------------------------------------------------------------ trojan
    "trojan": (
        (
            f"trojan://p%40ss%3Aw%2Frd@{AT}?type=tcp&security=tls&sni=a.example&fp=chrome&alpn=h2"
            "#DE%201"
        ),
        Trojan(
            **HERE,
            password="p@ss:w/rd",
            security=tls(server_name="a.example", alpn=("h2",)),
        ),
        "",
    ),
    "trojan of few words": (
        f"trojan://pw@{AT}?peer=a.example#DE%201",
        Trojan(**HERE, password="pw", security=Tls(server_name="a.example")),
        f"trojan://pw@{AT}?type=tcp&security=tls&sni=a.example#DE%201",
    ),
    "trojan without tls": (
        f"trojan://pw@{AT}?type=ws&path=%2Ft&security=none#DE%201",
        Trojan(**HERE, password="pw", transport=WebSocket(path="/t")),
        "",
    ),
    # --------------------------------------------------------------------------------------- ss
    "ss with base64, as SIP002 has it": (
        "ss://Y2hhY2hhMjAtaWV0Zi1wb2x5MTMwNTpwYTpzcw@192.0.2.10:443#DE%201",
        Shadowsocks(**HERE, method="chacha20-ietf-poly1305", password="pa:ss"),
        "",
    ),
    "ss of SIP022, percent-encoded": (
        f"ss://2022-blake3-aes-128-gcm:{KEYS.replace('=', '%3D').replace(':', '%3A')}@{AT}#DE%201",
        Shadowsocks(**HERE, method="2022-blake3-aes-128-gcm", password=KEYS),
        "",
    ),
    "ss of SIP022 in base64, as Marzban writes it": (
        f"ss://{b64('2022-blake3-aes-128-gcm:' + KEYS)}@{AT}#DE%201",
        Shadowsocks(**HERE, method="2022-blake3-aes-128-gcm", password=KEYS),
        f"ss://2022-blake3-aes-128-gcm:{KEYS.replace('=', '%3D').replace(':', '%3A')}@{AT}#DE%201",
    ),
    "ss in the older form": (
        f"ss://{b64('aes-256-gcm:p@ss@192.0.2.10:443')}#DE%201",
        Shadowsocks(**HERE, method="aes-256-gcm", password="p@ss"),
        "ss://YWVzLTI1Ni1nY206cEBzcw@192.0.2.10:443#DE%201",
    ),
    "ss with a parameter that is not ours": (
        "ss://YWVzLTI1Ni1nY206cEBzcw@[2001:db8::1]:443/?plugin=&type=tcp#DE%201",
        Shadowsocks(
            address="2001:db8::1",
            port=443,
            method="aes-256-gcm",
            password="p@ss",
            extra=(("type", "tcp"),),
        ),
        "ss://YWVzLTI1Ni1nY206cEBzcw@[2001:db8::1]:443?type=tcp#DE%201",
    ),
    # -------------------------------------------------------------------------------- hysteria2
    "hysteria2, as Hysteria documents it": (
        (
            f"hysteria2://letmein@a.example/?insecure=1&obfs=salamander&obfs-password=gaw%23v"
            f"&pinSHA256={COLONS}&sni=real.example.com#DE%201"
        ),
        Hysteria2(
            address="a.example",
            port=443,
            auth="letmein",
            obfs_password="gaw#v",
            tls=QuicTls(server_name="real.example.com", pinned_sha256=HASH, insecure=True),
        ),
        (
            f"hysteria2://letmein@a.example:443?sni=real.example.com&pinSHA256={HASH}&insecure=1"
            "&obfs=salamander&obfs-password=gaw%23v#DE%201"
        ),
    ),
    "hy2 that hops, with user and password": (
        "hy2://user:pass@[2001:db8::1]:123,5000-6000/?sni=a.example#DE%201",
        Hysteria2(
            address="2001:db8::1",
            port=123,
            hop="123,5000-6000",
            auth="user:pass",
            tls=QuicTls(server_name="a.example"),
        ),
        "hysteria2://user%3Apass@[2001:db8::1]:123?sni=a.example&mport=123%2C5000-6000#DE%201",
    ),
    "hysteria2, as v2rayN writes it": (
        (
            f"hysteria2://pw@{AT}?sni=a.example&alpn=h3&insecure=0&allowInsecure=0"
            "&mport=20000%3A30000#DE%201"
        ),
        Hysteria2(
            address="192.0.2.10",
            port=20000,
            hop="20000-30000",
            auth="pw",
            tls=QuicTls(server_name="a.example", alpn=("h3",)),
        ),
        "hysteria2://pw@192.0.2.10:20000?sni=a.example&alpn=h3&mport=20000-30000#DE%201",
    ),
    "hysteria2 without anything": (
        "hysteria2://a.example#DE%201",
        Hysteria2(address="a.example", port=443),
        "hysteria2://@a.example:443#DE%201",
    ),
    "hysteria2, as v2rayNG writes it": (
        f"hysteria2://pw@{AT}?security=tls&sni=a.example&insecure=0&pcs={HASH}&upmbps=100#DE%201",
        Hysteria2(
            **HERE,
            auth="pw",
            tls=QuicTls(server_name="a.example", pinned_sha256=HASH),
            extra=(("security", "tls"), ("upmbps", "100")),
        ),
        f"hysteria2://pw@{AT}?sni=a.example&pinSHA256={HASH}&security=tls&upmbps=100#DE%201",
    ),
    # ------------------------------------------------------------------------------------- tuic
    "tuic, as Hiddify writes it": (
        (
            f"tuic://{USER}:p%3Aw@{AT}?congestion_control=bbr&udp_relay_mode=native&alpn=h3"
            "&sni=a.example&allow_insecure=0&disable_sni=0&reduce_rtt=1#DE%201"
        ),
        Tuic(
            **HERE,
            user=USER,
            password="p:w",
            congestion="bbr",
            udp_relay="native",
            zero_rtt=True,
            tls=QuicTls(server_name="a.example", alpn=("h3",)),
        ),
        (
            f"tuic://{USER}:p%3Aw@{AT}?congestion_control=bbr&udp_relay_mode=native&sni=a.example"
            "&alpn=h3&reduce_rtt=1#DE%201"
        ),
    ),
    "tuic, as v2rayN writes it": (
        (
            f"tuic://{USER}%3Apw@{AT}?sni=a.example&insecure=1&allowInsecure=1&congestion_control=cubic"
            "#DE%201"
        ),
        Tuic(
            **HERE,
            user=USER,
            password="pw",
            congestion="cubic",
            tls=QuicTls(server_name="a.example", insecure=True),
        ),
        f"tuic://{USER}:pw@{AT}?congestion_control=cubic&sni=a.example&allow_insecure=1#DE%201",
    ),
    "tuic without a name in the handshake": (
        f"tuic://{USER}:@{AT}?ech=AEX%2B&disable_sni=1#DE%201",
        Tuic(**HERE, user=USER, disable_sni=True, tls=QuicTls(ech="AEX+")),
        "",
    ),
}
