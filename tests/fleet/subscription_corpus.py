"""One subscription of every form, with nodes of every protocol: what tests and fuzzers begin with.

All of it is made up; addresses are those of RFC 5737.
"""

import base64
import json
from typing import Any

UUID = "b831381d-6324-4d53-ad4f-8cda48b30811"
PIN = "ab" * 32
KEY = "acaeUm7I44nRB-Qy2LNGxaxX60fRDdyNbxNlXkvlHlc"
KEYS_2022 = "AAECAwQFBgcICQoLDA0ODw==:EBESExQVFhcYGRobHB0eHw=="

LINKS = [
    (
        f"vless://{UUID}@192.0.2.1:443?type=tcp&security=reality&sni=www.example.com&fp=chrome"
        f"&pbk={KEY}&sid=0123456789abcdef&flow=xtls-rprx-vision#DE-1"
    ),
    "trojan://secret@192.0.2.2:443?type=ws&security=tls&path=%2Fws&host=cdn.example.com#NL-1",
    f"ss://2022-blake3-aes-128-gcm:{KEYS_2022.replace(':', '%3A')}@192.0.2.3:8388#FI-1",
    f"hysteria2://pw@192.0.2.4:443/?sni=node.example.com&pinSHA256={PIN}#SE-1",
    f"tuic://{UUID}:pw@192.0.2.5:443?congestion_control=bbr&alpn=h3&sni=node.example.com#NO-1",
]

CLASH = f"""\
# made by a panel
mixed-port: 7890
mode: rule
dns: &dns
  enable: true
proxies:
  - {{name: DE-1, type: vless, server: 192.0.2.1, port: 443, uuid: {UUID}, udp: true, tls: true,
     network: tcp, flow: xtls-rprx-vision, servername: www.example.com, client-fingerprint: chrome,
     reality-opts: {{public-key: {KEY}, short-id: 0123456789012345}}}}
  - name: "NL-1"
    type: trojan
    server: 192.0.2.2
    port: "443"
    password: 123456
    sni: node.example.com
    skip-cert-verify: false
    network: ws
    ws-opts:
      path: /ws
      headers: {{Host: cdn.example.com}}
      max-early-data: 2048
      early-data-header-name: Sec-WebSocket-Protocol
  - {{name: FI-1, type: ss, server: 192.0.2.3, port: 8388, cipher: aes-128-gcm, password: "pw"}}
  - {{name: SE-1, type: hysteria2, server: 192.0.2.4, port: 443, ports: 5000-6000, password: pw,
     sni: node.example.com, obfs: salamander, obfs-password: ob, fingerprint: "{PIN}"}}
  - {{name: NO-1, type: tuic, server: 192.0.2.5, port: 443, uuid: {UUID}, password: pw,
     alpn: [h3], congestion-controller: bbr, udp-relay-mode: native, reduce-rtt: true}}
  - {{name: IS-1, type: vmess, server: 192.0.2.6, port: 80, uuid: {UUID}, alterId: 0, cipher: auto,
     network: http, http-opts: {{method: GET, path: [/a, /b], headers: {{Host: [x.example.com]}}}}}}
proxy-groups:
  - {{name: PROXY, type: select, proxies: [DE-1, NL-1], dns: *dns}}
rules:
  - MATCH,PROXY
"""

SING_BOX = {
    "log": {"level": "info"},
    "outbounds": [
        {"type": "selector", "tag": "proxy", "outbounds": ["auto", "de-1"]},
        {"type": "urltest", "tag": "auto", "outbounds": ["de-1"]},
        {
            "type": "vless",
            "tag": "de-1",
            "server": "192.0.2.1",
            "server_port": 443,
            "uuid": UUID,
            "flow": "xtls-rprx-vision",
            "tls": {
                "enabled": True,
                "server_name": "www.example.com",
                "utls": {"enabled": True, "fingerprint": "chrome"},
                "reality": {"enabled": True, "public_key": KEY, "short_id": "01"},
            },
        },
        {
            "type": "hysteria2",
            "tag": "se-1",
            "server": "192.0.2.4",
            "server_ports": ["5000:6000", "7000:7000"],
            "password": "pw",
            "obfs": {"type": "salamander", "password": "ob"},
            "tls": {"enabled": True, "server_name": "node.example.com", "alpn": "h3"},
        },
        {"type": "direct", "tag": "direct"},
    ],
}

_VNEXT = {
    "tag": "proxy",
    "protocol": "vmess",
    "settings": {
        "vnext": [
            {
                "address": "192.0.2.6",
                "port": 443,
                "users": [{"id": UUID, "alterId": 0, "security": "auto", "level": 8}],
            }
        ]
    },
    "streamSettings": {
        "network": "ws",
        "security": "tls",
        "tlsSettings": {"serverName": "node.example.com", "allowInsecure": False},
        "wsSettings": {"path": "/vm", "headers": {"Host": "node.example.com"}},
    },
    "mux": {"enabled": False, "concurrency": -1},
}
_FLAT = {
    "tag": "n-01",
    "protocol": "vless",
    "settings": {"address": "192.0.2.1", "port": 443, "id": UUID, "encryption": "none"},
    "streamSettings": {
        "network": "xhttp",
        "security": "reality",
        "realitySettings": {"serverName": "www.example.com", "publicKey": KEY, "shortId": "01"},
        "xhttpSettings": {"path": "/x", "mode": "auto", "extra": {"xPaddingBytes": "100-1000"}},
    },
}
_NOWHERE = [{"tag": "direct", "protocol": "freedom"}, {"tag": "block", "protocol": "blackhole"}]
XRAY = [
    {"remarks": "Automatic", "outbounds": [_FLAT, {**_VNEXT, "tag": "n-02"}, *_NOWHERE]},
    {"remarks": "DE-1", "outbounds": [{**_FLAT, "tag": "proxy"}, *_NOWHERE]},
    {"remarks": "IS-1", "outbounds": [_VNEXT, *_NOWHERE]},
]

SIP008: dict[str, Any] = {
    "version": 1,
    "servers": [
        {
            "id": "27b8a625-4f4b-4428-9f0f-8a2317db7c79",
            "remarks": "FI-1",
            "server": "192.0.2.3",
            "server_port": 8388,
            "password": "pw",
            "method": "chacha20-ietf-poly1305",
            "plugin": "",
            "plugin_opts": "",
        }
    ],
    "bytes_used": 274877906944,
    "bytes_remaining": 824633720832,
}


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


PLAIN = "\n".join(["#profile-title: Fleet", "", *LINKS, ""]).encode()

CORPUS: list[bytes] = [
    PLAIN,
    base64.b64encode(PLAIN),
    CLASH.encode(),
    _json(SING_BOX),
    _json(XRAY),
    _json(XRAY[1]),
    _json(SIP008),
]
"""Bodies that can all be read."""
