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

import base64
import binascii
import hashlib
import ipaddress
import json
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar

FLOWS = ("", "xtls-rprx-vision", "xtls-rprx-vision-udp443")
VMESS_CIPHERS = ("auto", "aes-128-gcm", "chacha20-poly1305", "none", "zero")
SHADOWSOCKS_AEAD = (
    *("aes-128-gcm", "aes-256-gcm", "chacha20-ietf-poly1305", "xchacha20-ietf-poly1305"),
)
SHADOWSOCKS_2022 = {
    "2022-blake3-aes-128-gcm": 16,
    "2022-blake3-aes-256-gcm": 32,
    "2022-blake3-chacha20-poly1305": 32,
}
"""Methods of SIP022, and the bytes of each one's key."""
CONGESTION = ("", "cubic", "new_reno", "bbr")
UDP_RELAY = ("", "native", "quic")

MAX_BYTES = 8192
"""Of all the text in an endpoint, a byte between two pieces. The longest honest pieces are an
ML-DSA-65 key of 2.6 kB and an ML-KEM key of 1.6 kB."""

NO_HOST = "is neither a host name nor an IP address (IPv6 needs brackets)"
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


class EndpointFault(ValueError):
    """No server can be like that. ``part`` names the part, as share links call it.

    ``unsupported``: it is a choice that is not on our list, but may be on a newer one.
    """

    def __init__(self, part: str, why: str, *, unsupported: bool = False) -> None:
        self.part = part
        self.why = why
        self.unsupported = unsupported
        super().__init__(f"{part}: {why}")


@lru_cache(maxsize=65536)
def host(text: str) -> str:
    """The canonical form of a host name or IP address, without brackets.

    Raises:
        EndpointFault: it is neither.
    """
    if not text or len(text) > 253 or "%" in text:  # a zone names an interface of one machine
        raise EndpointFault("host", NO_HOST if text else "there is none")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if not _HOST_NAME.fullmatch(text):
        raise EndpointFault("host", NO_HOST)
    return text


def _list(part: str, texts: tuple[str, ...]) -> None:
    """Links join such a list by commas."""
    if any(not text or "," in text for text in texts):
        raise EndpointFault(part, "has an empty element, or one with a comma")


_SHA256 = re.compile(r"([0-9a-f]{2}:?){31}[0-9a-f]{2}")


def _pins(text: str) -> str:
    """Hashes as plain lower-case hex; openssl writes AB:CD. What is no hash stays as it is."""
    pins = [pin.strip().lower() for pin in text.split(",")]
    if not all(_SHA256.fullmatch(pin) for pin in pins):
        return text
    return ",".join(pin.replace(":", "") for pin in pins)


# ---------------------------------------------------------------------------- how bytes travel


@dataclass(frozen=True, slots=True)
class Raw:
    """The protocol straight over TCP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawHttp:
    """TCP that begins as an HTTP/1.1 request (``headerType=http``)."""

    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _list("host", self.hosts)
        _list("path", self.paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocket:
    """WebSocket. ``path`` may carry ``?ed=2048``: early data in the handshake, as Xray reads it."""

    path: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpUpgrade:
    """WebSocket's handshake without its framing."""

    path: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grpc:
    """gRPC over HTTP/2."""

    service: str = ""
    authority: str = ""
    multi: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Xhttp:
    """XHTTP (once "splithttp")."""

    path: str = ""
    host: str = ""
    mode: str = ""
    """auto, packet-up, stream-up or stream-one."""
    extra: str = field(default="", repr=False)
    """JSON for the engine's ``extra``, passed on as it is."""


Transport = Raw | RawHttp | WebSocket | HttpUpgrade | Grpc | Xhttp

XHTTP_MODES = ("", "auto", "packet-up", "stream-up", "stream-one")


# ---------------------------------------------------------------------------- how they are hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS over TCP."""

    server_name: str = ""
    fingerprint: str = ""
    alpn: tuple[str, ...] = ()
    ech: str = ""
    verify_names: str = ""
    """``vcn``: names the certificate may carry instead of ``server_name``, comma-joined."""
    pinned_sha256: str = ""
    """``pcs``: SHA-256 of certificates to accept, plain lower-case hex, comma-joined."""

    def __post_init__(self) -> None:
        _list("alpn", self.alpn)
        object.__setattr__(self, "pinned_sha256", _pins(self.pinned_sha256))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reality:
    """REALITY: TLS that borrows another site's handshake."""

    public_key: str = field(repr=False)
    server_name: str = ""
    fingerprint: str = ""
    short_id: str = field(default="", repr=False)
    spider_x: str = ""
    mldsa65_verify: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuicTls:
    """TLS inside QUIC: no client is imitated, so there is no fingerprint."""

    server_name: str = ""
    alpn: tuple[str, ...] = ()
    ech: str = ""
    pinned_sha256: str = ""
    """SHA-256 of certificates to accept, as in :class:`Tls`; no authority is asked then."""
    insecure: bool = False
    """Take any certificate. Only sing-box and mihomo still can; with a pin, the pin decides."""

    def __post_init__(self) -> None:
        _list("alpn", self.alpn)
        object.__setattr__(self, "pinned_sha256", _pins(self.pinned_sha256))


Security = Tls | Reality | None


def authority(transport: Transport) -> str:
    """The host name that a transport's own requests carry; empty if it names none."""
    match transport:
        case WebSocket() | HttpUpgrade() | Xhttp():
            return transport.host
        case Grpc():
            return transport.authority
        case RawHttp():
            return "".join(transport.hosts[:1])
        case _:
            return ""


# ---------------------------------------------------------------------------- protocols


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What every protocol has."""

    protocol: ClassVar[str]

    address: str
    """A host name, or an IP address without brackets, as :func:`host` gives it."""
    port: int
    extra: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Parameters of the link that mean nothing to us; kept, and written back."""

    def __post_init__(self) -> None:
        if host(self.address) != self.address:
            raise EndpointFault("host", "is not in its canonical form")
        if not 1 <= self.port <= 65535:
            raise EndpointFault("port", "must be a number from 1 to 65535")
        text = "\n".join(_texts(self))
        if "\0" in text:
            raise EndpointFault("link", "holds a NUL character")
        if not text.isascii() and not _encodable(text):
            raise EndpointFault("link", "is not UTF-8 text")
        if len(text.encode()) > MAX_BYTES:
            raise EndpointFault("link", f"says more than {MAX_BYTES} bytes about one node")
        self._check()

    def _check(self) -> None:
        """Raise what is wrong with this protocol's own parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Streamed(_Place):
    """A protocol over one of the TCP transports, hidden or not."""

    transport: Transport = Raw()
    security: Security = None
    finalmask: str = field(default="", repr=False)
    """``fm``: JSON for the engine's ``finalmask``, passed on as it is."""

    def __post_init__(self) -> None:
        # Without a name for the handshake, Xray and sing-box take the address; v2rayN, v2rayNG and
        # mihomo take the transport's host. With both, only saying it means the same to all.
        security = self.security
        if isinstance(security, Tls) and not security.server_name and authority(self.transport):
            object.__setattr__(self, "security", replace(security, server_name=self.address))
        _Place.__post_init__(self)  # not super(): slots make another class of this one

    def _check_stream(self) -> None:
        if isinstance(self.security, Reality):
            if not self.security.public_key:
                raise EndpointFault("pbk", "is missing; REALITY needs the server's public key")
            if not isinstance(self.transport, Raw | Xhttp | Grpc):
                why = "REALITY goes over tcp, xhttp and grpc only"
                raise EndpointFault("security", why, unsupported=True)
        if isinstance(self.transport, Xhttp):
            _one_of("mode", self.transport.mode, XHTTP_MODES)
            _json_object("extra", self.transport.extra)
        _json_object("fm", self.finalmask)

    def _stream_secrets(self) -> tuple[str, ...]:
        known = [self.finalmask]
        if isinstance(self.security, Reality):
            reality = self.security
            known += [reality.public_key, reality.short_id, reality.mldsa65_verify]
        if isinstance(self.transport, Xhttp):
            known.append(self.transport.extra)
        return tuple(known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vless(_Streamed):
    """VLESS."""

    protocol: ClassVar[str] = "vless"

    user: str = field(repr=False)
    """A UUID, or up to 30 bytes of text that the engine turns into one."""
    flow: str = ""
    encryption: str = field(default="none", repr=False)

    def _check(self) -> None:
        if not self.user:
            raise EndpointFault("user", "is empty")
        if len(self.user.encode()) > 36:
            raise EndpointFault("user", "is longer than a UUID")
        if not self.encryption:
            raise EndpointFault("encryption", 'is "none" if there is none')
        _one_of("flow", self.flow, FLOWS)
        self._check_stream()

    def secrets(self) -> tuple[str, ...]:
        """Text that must never be shown to anybody; none of it empty."""
        encryption = "" if self.encryption == "none" else self.encryption
        return tuple(filter(None, (self.user, encryption, *self._stream_secrets())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Vmess(_Streamed):
    """VMess with AEAD headers; the older form (``aid`` above 0) is gone from every engine."""

    protocol: ClassVar[str] = "vmess"

    user: str = field(repr=False)
    cipher: str = "auto"

    def _check(self) -> None:
        if not self.user:
            raise EndpointFault("user", "is empty")
        if len(self.user.encode()) > 36:
            raise EndpointFault("user", "is longer than a UUID")
        _one_of("cipher", self.cipher, VMESS_CIPHERS)
        self._check_stream()

    def secrets(self) -> tuple[str, ...]:
        """Text that must never be shown to anybody; none of it empty."""
        return tuple(filter(None, (self.user, *self._stream_secrets())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trojan(_Streamed):
    """Trojan."""

    protocol: ClassVar[str] = "trojan"

    password: str = field(repr=False)

    def _check(self) -> None:
        if not self.password:
            raise EndpointFault("password", "is empty")
        self._check_stream()

    def secrets(self) -> tuple[str, ...]:
        """Text that must never be shown to anybody; none of it empty."""
        return tuple(filter(None, (self.password, *self._stream_secrets())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowsocks(_Place):
    """Shadowsocks with an AEAD method or one of SIP022's, without a plugin."""

    protocol: ClassVar[str] = "ss"

    method: str
    password: str = field(repr=False)
    """With a method of SIP022: base64 keys of its length, the server's first, ``:`` between."""

    def _check(self) -> None:
        _one_of("method", self.method, (*SHADOWSOCKS_AEAD, *SHADOWSOCKS_2022))
        if not self.password:
            raise EndpointFault("password", "is empty")
        if (length := SHADOWSOCKS_2022.get(self.method)) is not None:
            for key in self.password.split(":"):
                if not _is_key(key, length):
                    raise EndpointFault("password", f"is not made of base64 keys of {length} bytes")

    def secrets(self) -> tuple[str, ...]:
        """Text that must never be shown to anybody; none of it empty."""
        keys = self.password.split(":") if self.method in SHADOWSOCKS_2022 else ()
        return (self.password, *keys) if len(keys) > 1 else (self.password,)


_HOP = re.compile(r"\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hysteria2(_Place):
    """Hysteria2."""

    protocol: ClassVar[str] = "hysteria2"

    auth: str = field(default="", repr=False)
    hop: str = ""
    """Ports to hop over instead of ``port``, which is the first of them: "5000-6000,7000"."""
    obfs_password: str = field(default="", repr=False)
    """Password of the Salamander obfuscation; empty: none."""
    tls: QuicTls = QuicTls()

    def _check(self) -> None:
        if self.hop and first_port(self.hop) != self.port:
            raise EndpointFault("port", "must be the first of the ports to hop over")

    def secrets(self) -> tuple[str, ...]:
        """Text that must never be shown to anybody; none of it empty."""
        return tuple(filter(None, (self.auth, self.obfs_password)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuic(_Place):
    """TUIC, version 5."""

    protocol: ClassVar[str] = "tuic"

    user: str = field(repr=False)
    """A UUID."""
    password: str = field(default="", repr=False)
    congestion: str = ""
    udp_relay: str = ""
    zero_rtt: bool = False
    disable_sni: bool = False
    tls: QuicTls = QuicTls()

    def _check(self) -> None:
        if not _UUID.fullmatch(self.user):
            raise EndpointFault("user", "is not a UUID")
        _one_of("congestion_control", self.congestion, CONGESTION)
        _one_of("udp_relay_mode", self.udp_relay, UDP_RELAY)

    def secrets(self) -> tuple[str, ...]:
        """Text that must never be shown to anybody; none of it empty."""
        return tuple(filter(None, (self.user, self.password)))


_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

Streamed = Vless | Vmess | Trojan
Quic = Hysteria2 | Tuic
Endpoint = Vless | Vmess | Trojan | Shadowsocks | Hysteria2 | Tuic


def fingerprint(endpoint: Endpoint) -> str:
    """A short hash of all that matters to a connection; the node's name does not.

    The ``extra`` parameters are left out: they change nothing about the connection, and a panel
    that adds one must not make every node of the fleet start again from UNKNOWN.
    """
    text = json.dumps([endpoint.protocol, _plain(endpoint)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def first_port(hop: str) -> int:
    """The first port of a list such as "5000-6000,7000".

    Raises:
        EndpointFault: it is no such list, or a port is out of range.
    """
    if not _HOP.fullmatch(hop):
        raise EndpointFault("port", 'must be ports, such as "443" or "443,5000-6000"')
    for part in hop.split(","):
        low, _, high = part.partition("-")
        if not 1 <= int(low) <= int(high or low) <= 65535:
            raise EndpointFault("port", "must be ports from 1 to 65535, the lower one first")
    return int(hop.split(",", 1)[0].split("-", 1)[0])


def is_json_object(text: str) -> bool:
    """Whether a text is a JSON object that can be passed on."""
    try:
        parsed = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return False
    return isinstance(parsed, dict) and _encodable(json.dumps(parsed, ensure_ascii=False))


def _json_object(part: str, text: str) -> None:
    if text and not is_json_object(text):
        raise EndpointFault(part, "must be a JSON object")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is JavaScript, not JSON")


def _one_of(part: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        known = ", ".join(filter(None, allowed))
        why = f"{value[:32]!r} is not supported, only {known}"
        raise EndpointFault(part, why, unsupported=True)


def _is_key(text: str, length: int) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == length
    except (binascii.Error, ValueError):
        return False


def _encodable(text: str) -> bool:
    """Whether it can be written as UTF-8: half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _texts(value: Any) -> list[str]:  # noqa: ANN401 - any part of an endpoint
    """Every text in an endpoint."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple):
        return [text for part in value for text in _texts(part)]
    if value is None or isinstance(value, int):
        return []
    return [text for name in value.__dataclass_fields__ for text in _texts(getattr(value, name))]


def _plain(value: Any) -> Any:  # noqa: ANN401 - any part of an endpoint
    """An endpoint's parts as JSON knows them, each class by its name."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    known = {
        name: _plain(getattr(value, name)) for name in value.__dataclass_fields__ if name != "extra"
    }
    if isinstance(value, Xhttp):  # its `extra` is the engine's, not the link's
        known["extra"] = value.extra
    return [type(value).__name__, known]
