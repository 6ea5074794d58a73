"""How bytes travel over TCP: one class per transport."""

from dataclasses import dataclass, field

from healthd.endpoints.checks import check_list

XHTTP_MODES = ("", "auto", "packet-up", "stream-up", "stream-one")


@dataclass(frozen=True, slots=True)
class Raw:
    """The protocol straight over TCP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawHttp:
    """TCP that begins as an HTTP/1.1 request (``headerType=http``)."""

    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_list("host", self.hosts)
        check_list("path", self.paths)


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
