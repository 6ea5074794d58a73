"""Shadowsocks, which brings its own encryption and needs neither transport nor security."""

from dataclasses import dataclass, field
from typing import ClassVar

from healthd.endpoints.checks import EndpointFault, check_choice, is_key
from healthd.endpoints.place import Place

SHADOWSOCKS_AEAD = (
    *("aes-128-gcm", "aes-256-gcm", "chacha20-ietf-poly1305", "xchacha20-ietf-poly1305"),
)
SHADOWSOCKS_2022 = {
    "2022-blake3-aes-128-gcm": 16,
    "2022-blake3-aes-256-gcm": 32,
    "2022-blake3-chacha20-poly1305": 32,
}
"""Methods of SIP022, and the bytes of each one's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowsocks(Place):
    """Shadowsocks with an AEAD method or one of SIP022's, without a plugin."""

    protocol: ClassVar[str] = "ss"

    method: str
    password: str = field(repr=False)
    """With a method of SIP022: base64 keys of its length, the server's first, ``:`` between."""

    def _check(self) -> None:
        methods = (*SHADOWSOCKS_AEAD, *SHADOWSOCKS_2022)
        check_choice("method", self.method, methods, quoted=False)
        if not self.password:
            raise EndpointFault("password", "is empty")
        if (length := SHADOWSOCKS_2022.get(self.method)) is not None:
            for key in self.password.split(":"):
                if not is_key(key, length):
                    raise EndpointFault("password", f"is not made of base64 keys of {length} bytes")

    def secrets(self) -> tuple[str, ...]:
        """Text that must never be shown to anybody; none of it empty."""
        keys = self.password.split(":") if self.method in SHADOWSOCKS_2022 else ()
        return (self.password, *keys) if len(keys) > 1 else (self.password,)
