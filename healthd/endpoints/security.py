"""How bytes are hidden: TLS over TCP, REALITY, and the TLS inside QUIC."""

import re
from dataclasses import dataclass, field

from healthd.endpoints.checks import check_list

_SHA256 = re.compile(r"([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}")


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
        check_list("alpn", self.alpn)
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
        check_list("alpn", self.alpn)
        object.__setattr__(self, "pinned_sha256", _pins(self.pinned_sha256))


Security = Tls | Reality | None


def is_pin(text: str) -> bool:
    """Whether a text is a certificate's SHA-256 in hex, with or without colons, in either case.

    The pattern's parts cannot overlap: it takes linear time.
    """
    return _SHA256.fullmatch(text) is not None


def _pins(text: str) -> str:
    """Hashes as plain lower-case hex; openssl writes AB:CD. What is no hash stays as it is."""
    pins = [pin.strip().lower() for pin in text.split(",")]
    if not all(map(is_pin, pins)):
        return text
    return ",".join(pin.replace(":", "") for pin in pins)
