"""What a kind of server is, and what the kinds have in common."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from healthd.demo.materials import NODE_NAME, TARGET_NAME, Access
from healthd.endpoints import Endpoint, Reality, Tls

ADDRESS = "127.0.0.1"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of server."""

    inbound: Callable[[Access], Json]
    endpoint: Callable[[Access], Endpoint]
    engine: str = "xray"
    """The engine that serves it: "xray" or "sing-box"."""
    udp: bool = False
    certified: bool = False
    """Whether its clients must trust the fleet's certificate as an authority."""


def xray_inbound(access: Access, protocol: str, settings: Json, stream: Json) -> Json:
    """An inbound on loopback."""
    return {
        "listen": ADDRESS,
        "port": access.port,
        "protocol": protocol,
        "settings": settings,
        "streamSettings": stream,
    }


def reality_settings(access: Access) -> Json:
    """REALITY as the server is told of it."""
    settings = {
        "target": f"{ADDRESS}:{access.materials.target_port}",
        "serverNames": [TARGET_NAME],
        "privateKey": access.materials.reality.private,
        "shortIds": [access.short_id],
    }
    return {"security": "reality", "realitySettings": settings}


def reality(access: Access) -> Reality:
    """REALITY as its clients see it."""
    return Reality(
        public_key=access.materials.reality.public,
        server_name=TARGET_NAME,
        fingerprint="chrome",
        short_id=access.short_id,
    )


def tls_settings(access: Access, *alpn: str) -> Json:
    """TLS as the server is told of it."""
    certificate = access.materials.certificate
    files = {"certificateFile": str(certificate.path), "keyFile": str(certificate.key_path)}
    settings: Json = {"certificates": [files]}
    if alpn:
        settings["alpn"] = list(alpn)
    return {"security": "tls", "tlsSettings": settings}


def tls(_access: Access) -> Tls:
    """TLS as its clients see it."""
    return Tls(server_name=NODE_NAME, fingerprint="chrome")


def target_inbound(port: int, certificate: Json) -> Json:
    """The site whose handshake REALITY borrows: TLS, and behind it what nobody may use."""
    return {
        "listen": ADDRESS,
        "port": port,
        "protocol": "vless",
        "settings": {"clients": [{"id": str(uuid.uuid4())}], "decryption": "none"},
        "streamSettings": {
            "network": "tcp",
            "security": "tls",
            "tlsSettings": {"alpn": ["h2", "http/1.1"], "certificates": [certificate]},
        },
    }
