"""The protocols over QUIC: Hysteria2 and TUIC."""

import re
from dataclasses import dataclass, field
from typing import ClassVar

from healthd.endpoints.addresses import first_port
from healthd.endpoints.checks import EndpointFault, check_choice
from healthd.endpoints.place import Place
from healthd.endpoints.security import QuicTls

CONGESTION = ("", "cubic", "new_reno", "bbr")
UDP_RELAY = ("", "native", "quic")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ORDINARY = QuicTls()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hysteria2(Place):
    """Hysteria2."""

    protocol: ClassVar[str] = "hysteria2"

    auth: str = field(default="", repr=False)
    hop: str = ""
    """Ports to hop over instead of ``port``, which is the first of them: "5000-6000,7000"."""
    obfs_password: str = field(default="", repr=False)
    """Password of the Salamander obfuscation; empty: none."""
    tls: QuicTls = _ORDINARY

    def _check(self) -> None:
        if self.hop and first_port(self.hop) != self.port:
            raise EndpointFault("port", "must be the first of the ports to hop over")

    def secrets(self) -> tuple[str, ...]:
        """Text that must never be shown to anybody; none of it empty."""
        return tuple(filter(None, (self.auth, self.obfs_password)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuic(Place):
    """TUIC, version 5."""

    protocol: ClassVar[str] = "tuic"

    user: str = field(repr=False)
    """A UUID."""
    password: str = field(default="", repr=False)
    congestion: str = ""
    udp_relay: str = ""
    zero_rtt: bool = False
    disable_sni: bool = False
    tls: QuicTls = _ORDINARY

    def _check(self) -> None:
        if not _UUID.fullmatch(self.user):
            raise EndpointFault("user", "is not a UUID")
        check_choice("congestion_control", self.congestion, CONGESTION)
        check_choice("udp_relay_mode", self.udp_relay, UDP_RELAY)

    def secrets(self) -> tuple[str, ...]:
        """Text that must never be shown to anybody; none of it empty."""
        return tuple(filter(None, (self.user, self.password)))


Quic = Hysteria2 | Tuic
