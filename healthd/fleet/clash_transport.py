"""Clash and mihomo: ``network`` and its options become a transport. Pure."""

from collections.abc import Callable

from healthd.endpoints import Grpc, HttpUpgrade, Raw, RawHttp, Transport, WebSocket, Xhttp
from healthd.errors import Unsupported
from healthd.fleet import parts
from healthd.fleet.fields import Fields

_OPTIONS = ("ws-opts", "http-opts", "h2-opts", "grpc-opts", "xhttp-opts", "kcp-opts", "mkcp-opts")


def transport(fields: Fields) -> Transport:
    """The transport of an entry; the options of other ones say nothing.

    Raises:
        LinkError: it is malformed, or (Unsupported) not for us.
    """
    network = parts.kind(fields, "network")
    if network not in _READERS:
        raise parts.unknown("network", network, "a transport")
    found = _READERS[network](fields)
    fields.ignore(*_OPTIONS)
    return found


def _raw(_fields: Fields) -> Raw:
    return Raw()


def _websocket(fields: Fields) -> WebSocket | HttpUpgrade:
    options = fields.inner("ws-opts")
    path = options.text("path")
    host = "".join(parts.host_header(options.inner("headers"))[:1])
    early, header = options.number("max-early-data"), options.text("early-data-header-name")
    upgrade = options.flag("v2ray-http-upgrade")
    options.ignore("v2ray-http-upgrade-fast-open")  # the client's choice, as Xray's `ed` there
    options.end()
    if upgrade:
        return HttpUpgrade(path=path, host=host)
    return parts.websocket(path, host, early, header)


def _http(fields: Fields) -> RawHttp:
    options = fields.inner("http-opts")
    if (method := options.text("method")).upper() not in ("", "GET"):
        raise parts.unknown("http-opts.method", method, "a method")
    paths = options.texts("path")
    found = RawHttp(hosts=parts.host_header(options.inner("headers")), paths=paths)
    options.end()
    return found


def _grpc(fields: Fields) -> Grpc:
    options = fields.inner("grpc-opts")
    service = options.text("grpc-service-name")
    # How the client calls itself and shares connections.
    options.ignore("grpc-user-agent", "ping-interval", "max-connections", "min-streams")
    options.ignore("max-streams")
    options.end()
    return Grpc(service=service)


def _xhttp(fields: Fields) -> Xhttp:
    options = fields.inner("xhttp-opts")
    found = Xhttp(path=options.text("path"), host=options.text("host"), mode=options.text("mode"))
    # How the client shares connections; Xray's own defaults hold.
    options.ignore("reuse-settings")
    options.end()
    return found


def _gone(fields: Fields) -> Transport:
    raise Unsupported("network", "HTTP/2 (h2) is not supported: Xray has XHTTP instead")


_READERS: dict[str, Callable[[Fields], Transport]] = {
    "": _raw,
    "tcp": _raw,
    "raw": _raw,
    "ws": _websocket,
    "http": _http,
    "h2": _gone,
    "grpc": _grpc,
    "xhttp": _xhttp,
}
