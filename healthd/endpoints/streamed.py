"""The protocols over one of the TCP transports: VLESS, VMess and Trojan."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from healthd.endpoints.checks import EndpointFault, check_choice, check_json_object
from healthd.endpoints.place import Place
from healthd.endpoints.security import Reality, Security, Tls
from healthd.endpoints.transports import XHTTP_MODES, Grpc, Raw, Transport, Xhttp, authority

FLOWS = ("", "xtls-rprx-vision", "xtls-rprx-vision-udp443")
VMESS_CIPHERS = ("auto", "aes-128-gcm", "chacha20-poly1305", "none", "zero")
_STRAIGHT = Raw()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Streamed(Place):
    """A protocol over one of the TCP transports, hidden or not."""

    transport: Transport = _STRAIGHT
    security: Security = None
    finalmask: str = field(default="", repr=False)
    """``fm``: JSON for the engine's ``finalmask``, passed on as it is."""

    def __post_init__(self) -> None:
        # Without a name for the handshake, Xray and sing-box take the address; v2rayN, v2rayNG and
        # mihomo take the transport's host. With both, only saying it means the same to all.
        security = self.security
        if isinstance(security, Tls) and not security.server_name and authority(self.transport):
            object.__setattr__(self, "security", replace(security, server_name=self.address))
        Place.__post_init__(self)  # not super(): slots make another class of this one

    def _check_stream(self) -> None:
        if isinstance(self.security, Reality):
            if not self.security.public_key:
                raise EndpointFault("pbk", "is missing; REALITY needs the server's public key")
            if not isinstance(self.transport, Raw | Xhttp | Grpc):
                why = "REALITY goes over tcp, xhttp and grpc only"
                raise EndpointFault("security", why, unsupported=True)
        if isinstance(self.transport, Xhttp):
            check_choice("mode", self.transport.mode, XHTTP_MODES)
            check_json_object("extra", self.transport.extra)
        check_json_object("fm", self.finalmask)

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
        check_choice("flow", self.flow, FLOWS)
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
        check_choice("cipher", self.cipher, VMESS_CIPHERS)
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


Streamed = Vless | Vmess | Trojan
