"""Clash and mihomo: TLS and REALITY of an entry. Pure."""

from healthd.endpoints import QuicTls, Reality, Security, Tls, is_pin
from healthd.errors import LinkError, Unsupported
from healthd.fleet import parts
from healthd.fleet.fields import Fields


def security(fields: Fields, *, on: bool) -> Security:
    """What hides a connection over TCP; TLS and REALITY have to be ``on``.

    Raises:
        LinkError: it is malformed, or (Unsupported) not for us.
    """
    reality = fields.inner("reality-opts")
    names = ("alpn", "client-fingerprint", "servername", "sni", "name-cert-verify")
    if not on:
        if "public-key" in reality:
            raise LinkError("reality-opts", "is given, but tls is not switched on")
        fields.ignore(*names, "skip-cert-verify", "fingerprint", "ech-opts")
        return None
    if fields.flag("skip-cert-verify") and "public-key" not in reality:
        raise Unsupported("skip-cert-verify", f"{parts.INSECURE} (fingerprint: SHA256)")
    server_name = fields.text("servername", "sni")
    browser = fields.text("client-fingerprint")
    if reality.names():
        return _reality(fields, reality, server_name, browser)
    return Tls(
        server_name=server_name or _websocket_host(fields),
        fingerprint=browser,
        alpn=fields.texts("alpn"),
        ech=_ech(fields),
        verify_names=fields.text("name-cert-verify"),
        pinned_sha256=_pin(fields),
    )


def _reality(fields: Fields, reality: Fields, server_name: str, browser: str) -> Reality:
    # The handshake that is borrowed has its own ALPN and its own certificate.
    fields.ignore("alpn", "fingerprint")
    found = Reality(
        public_key=reality.text("public-key"),
        server_name=server_name,
        fingerprint=browser,
        short_id=reality.text("short-id"),
    )
    reality.ignore("support-x25519mlkem768")
    reality.end()
    return found


def quic_tls(fields: Fields) -> QuicTls:
    """What protects a connection over QUIC.

    Raises:
        LinkError: it is malformed, or (Unsupported) not for us.
    """
    return QuicTls(
        server_name=fields.text("sni", "servername"),
        alpn=fields.texts("alpn"),
        ech=_ech(fields),
        pinned_sha256=_pin(fields),
        insecure=fields.flag("skip-cert-verify"),
    )


def _ech(fields: Fields) -> str:
    options = fields.inner("ech-opts")
    on, config = options.flag("enable"), options.text("config")
    if not on:
        return ""
    options.end()
    if not config:
        raise Unsupported("ech-opts", "is supported with a config only, not by asking DNS")
    return config


def _pin(fields: Fields) -> str:
    """``fingerprint`` is the certificate's; some still write the browser's, as once was right."""
    pin = fields.text("fingerprint")
    if pin and not is_pin(pin):
        why = "must be the SHA-256 of a certificate; a browser goes into client-fingerprint"
        raise LinkError("fingerprint", why)
    return pin


def _websocket_host(fields: Fields) -> str:
    """What mihomo asks for if a WebSocket is given no name: its ``Host``."""
    options = fields.peek("ws-opts") if fields.peek("network") == "ws" else None
    headers = options.get("headers") if isinstance(options, dict) else None
    hosts = parts.host_header(Fields(headers)) if isinstance(headers, dict) else ()
    return "".join(hosts[:1])
