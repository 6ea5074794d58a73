"""Where a node is and how a client reaches it: one class per protocol. Pure.

What a protocol does not have cannot be expressed: there is no flow for Trojan, no fingerprint for
QUIC, no REALITY over WebSocket. Every reader of foreign text (links, subscriptions) ends in one of
these classes, and every renderer and engine begins with one. They say themselves what cannot be:
making one that no server could have raises :class:`EndpointFault`, naming the part.

Empty text means: not given, the engine's default holds. What can be written in several ways is
brought into one on the way in (certificate pins, the name in a TLS handshake), so that equal
endpoints are equal, however they were written. Secrets are kept out of every ``repr``;
``secrets()`` lists them, so that foreign text (an engine's error, say) can be scrubbed.
"""

from healthd.endpoints.addresses import NO_HOST, first_port, host
from healthd.endpoints.checks import EndpointFault, is_json_object, is_key
from healthd.endpoints.identity import Endpoint, fingerprint
from healthd.endpoints.place import MAX_BYTES
from healthd.endpoints.quic import CONGESTION, UDP_RELAY, Hysteria2, Quic, Tuic
from healthd.endpoints.security import QuicTls, Reality, Security, Tls, is_pin
from healthd.endpoints.shadowsocks import SHADOWSOCKS_2022, SHADOWSOCKS_AEAD, Shadowsocks
from healthd.endpoints.streamed import FLOWS, VMESS_CIPHERS, Streamed, Trojan, Vless, Vmess
from healthd.endpoints.transports import (
    XHTTP_MODES,
    Grpc,
    HttpUpgrade,
    Raw,
    RawHttp,
    Transport,
    WebSocket,
    Xhttp,
    authority,
)

__all__ = [
    "CONGESTION",
    "FLOWS",
    "MAX_BYTES",
    "NO_HOST",
    "SHADOWSOCKS_2022",
    "SHADOWSOCKS_AEAD",
    "UDP_RELAY",
    "VMESS_CIPHERS",
    "XHTTP_MODES",
    "Endpoint",
    "EndpointFault",
    "Grpc",
    "HttpUpgrade",
    "Hysteria2",
    "Quic",
    "QuicTls",
    "Raw",
    "RawHttp",
    "Reality",
    "Security",
    "Shadowsocks",
    "Streamed",
    "Tls",
    "Transport",
    "Trojan",
    "Tuic",
    "Vless",
    "Vmess",
    "WebSocket",
    "Xhttp",
    "authority",
    "fingerprint",
    "first_port",
    "host",
    "is_json_object",
    "is_key",
    "is_pin",
]
