"""What mihomo, the engine of Clash's heirs, cannot do of all that an endpoint may need. Pure.

mihomo refuses a whole configuration for the sake of one proxy that it cannot build. So whatever it
checks when it loads one is checked here first, and a node that it would refuse is left out. The
rules are those of mihomo 1.19.14, read in its source and asked of the program itself; XHTTP came
with a later 1.19, and an older one only fails to connect there.
"""

import base64
import binascii
import re

from healthd.endpoints import (
    Endpoint,
    Grpc,
    Hysteria2,
    QuicTls,
    RawHttp,
    Reality,
    Security,
    Shadowsocks,
    Streamed,
    Tls,
    Trojan,
    Tuic,
    Vless,
    Xhttp,
)

_RANGES = 28
"""mihomo takes no longer list of ports."""
_PIN = re.compile(r"[0-9a-fA-F]{64}")
_PUBLIC_KEY = re.compile(r"[A-Za-z0-9_-]{43}")
_SHORT_ID = re.compile(r"([0-9a-fA-F]{2}){0,8}")
_ENCRYPTION = re.compile(
    r"mlkem768x25519plus\.(native|xorpub|random)\.[01]rtt"
    r"(\.[0-9-]{1,19})*(\.([A-Za-z0-9_-]{43}|[A-Za-z0-9_-]{1579}))+"
)
"""Padding first, then keys: of X25519 (32 bytes) or ML-KEM-768 (1,184)."""


def why_not(endpoint: Endpoint) -> str | None:
    """Why mihomo cannot express an endpoint, in short words; None if it can."""
    match endpoint:
        case Shadowsocks():
            return _shadowsocks_fault(endpoint)
        case Hysteria2():
            if endpoint.hop.count(",") >= _RANGES:
                return f"mihomo takes at most {_RANGES} ranges of ports"
            return _trust_fault(endpoint.tls)
        case Tuic():
            if endpoint.disable_sni and not (endpoint.tls.insecure or endpoint.tls.pinned_sha256):
                return "mihomo verifies no certificate without SNI"
            return _trust_fault(endpoint.tls)
        case _:
            return _streamed_fault(endpoint)


def _shadowsocks_fault(endpoint: Shadowsocks) -> str | None:
    if endpoint.method == "2022-blake3-chacha20-poly1305" and ":" in endpoint.password:
        return "Shadowsocks 2022 has several keys with AES only"
    return None


def _streamed_fault(endpoint: Streamed) -> str | None:
    if endpoint.finalmask:
        return "mihomo knows no finalmask"
    if isinstance(endpoint, Vless) and not _encryption_known(endpoint.encryption):
        return "mihomo does not know this VLESS encryption"
    if isinstance(endpoint, Trojan) and endpoint.security is None:
        return "mihomo speaks Trojan over TLS only"
    return _transport_fault(endpoint) or _security_fault(endpoint.security)


def _encryption_known(encryption: str) -> bool:
    return encryption == "none" or _ENCRYPTION.fullmatch(encryption) is not None


def _transport_fault(endpoint: Streamed) -> str | None:
    match endpoint.transport:
        case Xhttp() if not isinstance(endpoint, Vless):
            return "mihomo knows XHTTP for VLESS only"
        case Xhttp(extra=extra) if extra:
            return "mihomo does not take XHTTP's extra as it is"
        case RawHttp() if isinstance(endpoint, Trojan):
            return "mihomo knows no HTTP header for Trojan"
        case Grpc(service=service) if service.startswith("/"):
            return "mihomo knows no gRPC path of one's own"
        case Grpc(authority=authority) if authority not in {"", server_name(endpoint)}:
            return "mihomo knows no gRPC authority of its own"
        case _:
            return None


def _security_fault(security: Security) -> str | None:
    match security:
        case Tls(verify_names=names) if names:
            return "mihomo verifies no other name than the one it asks for"
        case Tls():
            return _trust_fault(security)
        case Reality(mldsa65_verify=key) if key:
            return "mihomo verifies no ML-DSA-65 signature"
        case Reality() if not _PUBLIC_KEY.fullmatch(security.public_key):
            return "the REALITY public key is none"
        case Reality() if not _SHORT_ID.fullmatch(security.short_id):
            return "the REALITY short id is none"
        case _:
            return None


def _trust_fault(tls: Tls | QuicTls) -> str | None:
    if tls.pinned_sha256 and not _PIN.fullmatch(tls.pinned_sha256):
        return "mihomo pins one certificate by its SHA-256"
    if tls.ech and not _is_base64(tls.ech):
        return "mihomo takes ECH as base64 only"
    return None


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def server_name(endpoint: Streamed) -> str:
    """The name that the handshake asks for."""
    security = endpoint.security
    return (security.server_name if security else "") or endpoint.address
