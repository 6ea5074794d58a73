"""Transport and security in a link's parameters: VLESS, VMess and Trojan share them. Pure.

    type=ws&host=a.example&path=%2Fws&security=tls&sni=a.example&fp=chrome

What means nothing beside the transport or the security that was chosen is left alone.
"""

from typing import NamedTuple

from healthd.endpoints import (
    Grpc,
    HttpUpgrade,
    Raw,
    RawHttp,
    Reality,
    Security,
    Streamed,
    Tls,
    Transport,
    WebSocket,
    Xhttp,
    authority,
)
from healthd.errors import Unsupported
from healthd.fleet.links.parameters import INSECURE, OFF, Parameters, listed, one_of

_TYPES = {
    "": "tcp",
    "tcp": "tcp",
    "raw": "tcp",
    "ws": "ws",
    "httpupgrade": "httpupgrade",
    "grpc": "grpc",
    "xhttp": "xhttp",
    "splithttp": "xhttp",
}
_SECURITIES = {"none": "none", "tls": "tls", "reality": "reality"}


class Stream(NamedTuple):
    """What a link says about the way from the client to the node."""

    transport: Transport
    security: Security
    finalmask: str


def read(given: Parameters, *, default_security: str = "none") -> Stream:
    """Take the stream out of a link's parameters.

    Raises:
        Unsupported: an unknown transport or security, or one that no engine honours.
    """
    transport = _transport(given)
    return Stream(transport, _security(given, transport, default_security), given.pop("fm", ""))


def write(endpoint: Streamed) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The parameters of the transport, and those of the security; those that are empty as well."""
    return (
        _transport_parameters(endpoint.transport),
        [*_security_parameters(endpoint.security), ("fm", endpoint.finalmask)],
    )


def _transport(given: Parameters) -> Transport:
    kind = one_of(given, "type", _TYPES)
    if kind == "tcp":
        return _raw(given)
    if given.get("headerType") in {"", "none"}:  # means nothing here, and says nothing
        del given["headerType"]
    if kind == "grpc":
        multi = one_of(given, "mode", {"": "gun", "gun": "gun", "multi": "multi"}) == "multi"
        service, host = given.pop("serviceName", ""), given.pop("authority", "")
        return Grpc(service=service, authority=host, multi=multi)
    path, host = given.pop("path", ""), given.pop("host", "")
    if kind == "ws":
        return WebSocket(path=path, host=host)
    if kind == "httpupgrade":
        return HttpUpgrade(path=path, host=host)
    mode, extra = given.pop("mode", ""), given.pop("extra", "")
    return Xhttp(path=path, host=host, mode=mode, extra=extra)


def _raw(given: Parameters) -> Raw | RawHttp:
    if one_of(given, "headerType", {"": "none", "none": "none", "http": "http"}) == "none":
        return Raw()
    hosts, paths = given.pop("host", ""), given.pop("path", "")
    return RawHttp(hosts=listed(hosts), paths=listed(paths))


def _security(given: Parameters, transport: Transport, default: str) -> Security:
    kind = one_of(given, "security", {**_SECURITIES, "": default})
    if kind == "tls":
        return _tls(given, transport)
    if kind == "reality":
        return Reality(
            public_key=given.pop("pbk", ""),
            server_name=given.pop("sni", ""),
            fingerprint=given.pop("fp", ""),
            short_id=given.pop("sid", ""),
            spider_x=given.pop("spx", ""),
            mldsa65_verify=given.pop("pqv", ""),
        )
    return None


def _tls(given: Parameters, transport: Transport) -> Tls:
    for key in INSECURE:
        if given.get(key, "") not in OFF:
            raise Unsupported(
                key,
                "cannot be honoured by current Xray; pin the certificate instead (pcs=SHA256)",
            )
    # `peer` is Shadowrocket's name for it. Clients take the transport's host where it is missing.
    name = given.pop("sni", "") or given.pop("peer", "") or authority(transport)
    return Tls(
        server_name=name,
        fingerprint=given.pop("fp", ""),
        alpn=listed(given.pop("alpn", "")),
        ech=given.pop("ech", ""),
        verify_names=given.pop("vcn", ""),
        pinned_sha256=given.pop("pcs", ""),
    )


def _transport_parameters(transport: Transport) -> list[tuple[str, str]]:
    match transport:
        case Raw():
            return [("type", "tcp")]
        case RawHttp():
            hosts, paths = ",".join(transport.hosts), ",".join(transport.paths)
            return [("type", "tcp"), ("headerType", "http"), ("host", hosts), ("path", paths)]
        case Grpc():
            return [
                ("type", "grpc"),
                ("authority", transport.authority),
                ("serviceName", transport.service),
                ("mode", "multi" if transport.multi else "gun"),
            ]
        case WebSocket():
            kind = "ws"
        case HttpUpgrade():
            kind = "httpupgrade"
        case _:
            kind = "xhttp"
    shared = [("type", kind), ("host", transport.host), ("path", transport.path)]
    if isinstance(transport, Xhttp):
        shared += [("mode", transport.mode), ("extra", transport.extra)]
    return shared


def _security_parameters(security: Security) -> list[tuple[str, str]]:
    """In the order v2rayN writes them."""
    match security:
        case None:
            return [("security", "none")]
        case Tls():
            return [
                ("security", "tls"),
                ("sni", security.server_name),
                ("fp", security.fingerprint),
                ("alpn", ",".join(security.alpn)),
                ("ech", security.ech),
                ("vcn", security.verify_names),
                ("pcs", security.pinned_sha256),
            ]
        case _:
            return [
                ("security", "reality"),
                ("sni", security.server_name),
                ("fp", security.fingerprint),
                ("pbk", security.public_key),
                ("sid", security.short_id),
                ("spx", security.spider_x),
                ("pqv", security.mldsa65_verify),
            ]
