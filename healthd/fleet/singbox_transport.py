"""sing-box: ``transport`` becomes a transport. Pure."""

from collections.abc import Callable

from healthd.endpoints import Grpc, HttpUpgrade, Raw, RawHttp, Transport, WebSocket
from healthd.errors import Unsupported
from healthd.fleet import parts
from healthd.fleet.fields import Fields, Json


def transport(fields: Fields) -> Transport:
    """The transport of an outbound.

    Raises:
        LinkError: it is malformed, or (Unsupported) not for us.
    """
    tls = fields.peek("tls")
    options = fields.inner("transport")
    kind = parts.kind(options, "type")
    if kind == "http" and _is_on(tls):
        why = "HTTP/2 is not supported: Xray has XHTTP instead"
        raise Unsupported("transport", why)
    if kind not in _READERS:
        raise parts.unknown("transport.type", kind, "a transport")
    found = _READERS[kind](options)
    options.end()
    return found


def _is_on(tls: Json) -> bool:
    return isinstance(tls, dict) and bool(tls.get("enabled"))


def _raw(_options: Fields) -> Raw:
    return Raw()


def _websocket(options: Fields) -> WebSocket:
    return parts.websocket(
        options.text("path"),
        parts.one_host(options, options.inner("headers")),
        options.number("max_early_data"),
        options.text("early_data_header_name"),
    )


def _httpupgrade(options: Fields) -> HttpUpgrade:
    return HttpUpgrade(
        path=options.text("path"), host=parts.one_host(options, options.inner("headers"))
    )


def _http(options: Fields) -> RawHttp:
    if (method := options.text("method")).upper() not in ("", "GET"):
        raise parts.unknown("transport.method", method, "a method")
    path = options.text("path")
    header = parts.host_header(options.inner("headers"))
    options.ignore("idle_timeout", "ping_timeout")
    return RawHttp(hosts=options.values("host") or header, paths=(path,) if path else ())


def _grpc(options: Fields) -> Grpc:
    options.ignore("idle_timeout", "ping_timeout", "permit_without_stream")
    return Grpc(service=options.text("service_name"))


_READERS: dict[str, Callable[[Fields], Transport]] = {
    "": _raw,
    "ws": _websocket,
    "httpupgrade": _httpupgrade,
    "http": _http,
    "grpc": _grpc,
}
