"""Xray: ``streamSettings`` become a transport and what hides it. Pure."""

from collections.abc import Callable

from healthd.endpoints import (
    Grpc,
    HttpUpgrade,
    Raw,
    RawHttp,
    Reality,
    Security,
    Tls,
    Transport,
    WebSocket,
    Xhttp,
)
from healthd.errors import Unsupported
from healthd.fleet import parts
from healthd.fleet.fields import Fields, is_nothing

_ALL_SETTINGS = (
    *("tcpSettings", "rawSettings", "wsSettings", "httpupgradeSettings", "grpcSettings"),
    *("xhttpSettings", "splithttpSettings", "kcpSettings", "httpSettings", "quicSettings"),
    *("hysteriaSettings", "dsSettings", "gunSettings"),
)


def transport(stream: Fields) -> Transport:
    """The transport; the settings of other ones say nothing.

    Raises:
        LinkError: it is malformed, or (Unsupported) not for us.
    """
    network = parts.kind(stream, "method", "network")
    if network not in _READERS:
        raise parts.unknown("network", network, "a transport")
    sockopt = stream.inner("sockopt")
    if sockopt.text("dialerProxy"):
        raise Unsupported("sockopt.dialerProxy", parts.CHAINED)
    names, read = _READERS[network]
    settings = stream.inner(*names)
    found = read(settings)
    settings.ignore("acceptProxyProtocol")  # a server's
    settings.end()
    stream.ignore(*_ALL_SETTINGS)
    return found


def _raw(settings: Fields) -> Raw | RawHttp:
    header = settings.inner("header")
    if (kind := parts.kind(header, "type")) not in ("", "none", "http"):
        raise parts.unknown("header.type", kind, "a header")
    if kind != "http":
        return Raw()
    header.ignore("response")  # a server's
    request = header.inner("request")
    request.ignore("version")
    if (method := request.text("method")).upper() not in ("", "GET"):
        raise parts.unknown("header.request.method", method, "a method")
    paths = request.texts("path")
    found = RawHttp(hosts=parts.host_header(request.inner("headers")), paths=paths)
    request.end()
    header.end()
    return found


def _websocket(settings: Fields) -> WebSocket:
    settings.ignore("heartbeatPeriod")
    host = parts.one_host(settings, settings.inner("headers"))
    return WebSocket(path=settings.text("path"), host=host)


def _httpupgrade(settings: Fields) -> HttpUpgrade:
    host = parts.one_host(settings, settings.inner("headers"))
    return HttpUpgrade(path=settings.text("path"), host=host)


def _grpc(settings: Fields) -> Grpc:
    # How the client keeps its connection, and calls itself.
    settings.ignore("idle_timeout", "health_check_timeout", "permit_without_stream")
    settings.ignore("initial_windows_size", "user_agent")
    return Grpc(
        service=settings.text("serviceName"),
        authority=settings.text("authority"),
        multi=settings.flag("multiMode"),
    )


def _xhttp(settings: Fields) -> Xhttp:
    found = {name: settings.text(name) for name in ("path", "host", "mode")}
    extra = settings.document("extra")
    rest = {name: value for name, value in settings.rest().items() if not is_nothing(value)}
    beside = Fields({"extra": rest}).document("extra")
    return Xhttp(**found, extra=extra or beside)  # Xray itself prefers `extra` to what is beside it


def security(stream: Fields) -> Security:
    """What hides it.

    Raises:
        LinkError: it is malformed, or (Unsupported) not for us.
    """
    kind = parts.kind(stream, "security")
    tls, reality = stream.inner("tlsSettings"), stream.inner("realitySettings")
    if kind in ("", "none"):
        return None
    if kind == "tls":
        return _tls(tls)
    if kind == "reality":
        return _reality(reality)
    raise parts.unknown("security", kind, "security")


def _tls(tls: Fields) -> Tls:
    if tls.flag("allowInsecure"):
        why = f"{parts.INSECURE} (pinnedPeerCertSha256)"
        raise Unsupported("tlsSettings.allowInsecure", why)
    found = Tls(
        server_name=tls.text("serverName"),
        fingerprint=tls.text("fingerprint"),
        alpn=tls.texts("alpn"),
        ech=ech(tls),
        verify_names=tls.text("verifyPeerCertByName"),
        pinned_sha256=tls.text("pinnedPeerCertSha256"),
    )
    tls.ignore("show", "rejectUnknownSni", "enableSessionResumption", "masterKeyLog")
    tls.end()
    return found


def ech(tls: Fields) -> str:
    """Keys for an encrypted hello, or where to ask for them."""
    tls.ignore("echSockopt")
    return tls.text("echConfigList")


def _reality(reality: Fields) -> Reality:
    found = Reality(
        public_key=reality.text("publicKey", "password"),
        server_name=reality.text("serverName"),
        fingerprint=reality.text("fingerprint"),
        short_id=reality.text("shortId"),
        spider_x=reality.text("spiderX"),
        mldsa65_verify=reality.text("mldsa65Verify"),
    )
    reality.ignore("show", "masterKeyLog")
    reality.end()
    return found


def finalmask(stream: Fields) -> str:
    """``finalmask``, passed on as it is."""
    return stream.document("finalmask")


_RAW = (("rawSettings", "tcpSettings"), _raw)
_WEBSOCKET = (("wsSettings",), _websocket)
_XHTTP = (("xhttpSettings", "splithttpSettings"), _xhttp)
_READERS: dict[str, tuple[tuple[str, ...], Callable[[Fields], Transport]]] = {
    "": _RAW,
    "tcp": _RAW,
    "raw": _RAW,
    "ws": _WEBSOCKET,
    "websocket": _WEBSOCKET,
    "httpupgrade": (("httpupgradeSettings",), _httpupgrade),
    "grpc": (("grpcSettings",), _grpc),
    "xhttp": _XHTTP,
    "splithttp": _XHTTP,
}
