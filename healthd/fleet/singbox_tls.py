"""sing-box: ``tls`` of an outbound. Pure."""

from healthd.endpoints import QuicTls, Reality, Security, Tls
from healthd.errors import LinkError, Unsupported
from healthd.fleet import parts
from healthd.fleet.fields import Fields


def security(fields: Fields) -> Security:
    """What hides a connection over TCP.

    Raises:
        LinkError: it is malformed, or (Unsupported) not for us.
    """
    tls = fields.inner("tls")
    if not tls.flag("enabled"):
        return None
    if tls.flag("insecure"):
        raise Unsupported("tls.insecure", f"{parts.INSECURE} (in a share link: pcs=SHA256)")
    browser = _browser(tls.inner("utls"))
    reality = tls.inner("reality")
    found: Security
    if reality.flag("enabled"):
        tls.ignore("alpn")
        found = Reality(
            public_key=reality.text("public_key"),
            server_name=tls.text("server_name"),
            fingerprint=browser,
            short_id=reality.text("short_id"),
        )
        reality.end()
    else:
        found = Tls(
            server_name=tls.text("server_name"),
            fingerprint=browser,
            alpn=tls.texts("alpn"),
            ech=_ech(tls.inner("ech")),
        )
    _no_more(tls)
    return found


def _browser(utls: Fields) -> str:
    on, browser = utls.flag("enabled"), utls.text("fingerprint")
    utls.end()
    return (browser or "chrome") if on else ""


def quic_tls(tls: Fields) -> QuicTls:
    """What protects a connection over QUIC.

    Raises:
        LinkError: it is malformed, or (Unsupported) not for us.
    """
    if not tls.flag("enabled"):
        raise LinkError("tls", "must be enabled: QUIC has no other way")
    found = QuicTls(
        server_name=tls.text("server_name"),
        alpn=tls.texts("alpn"),
        ech=_ech(tls.inner("ech")),
        insecure=tls.flag("insecure"),
    )
    _no_more(tls)
    return found


def _no_more(tls: Fields) -> None:
    tls.ignore("record_fragment", "fragment", "fragment_fallback_delay")  # how hellos are sent
    tls.refuse(
        {
            "certificate_public_key_sha256": "is not supported: only certificates can be pinned",
            "certificate": "is not supported: set engines.ca_file instead",
            "certificate_path": "is not supported: set engines.ca_file instead",
        }
    )
    tls.end()


def _ech(fields: Fields) -> str:
    on, config = fields.flag("enabled"), fields.texts("config")
    if not on:
        return ""
    fields.ignore("pq_signature_schemes_enabled", "dynamic_record_sizing_disabled")
    fields.end()
    # PEM: one line an element, or all in one.
    lines = [line for text in config for line in text.splitlines() if not line.startswith("-----")]
    if not (found := "".join(lines)):
        raise Unsupported("tls.ech", "is supported with a config only, not by asking DNS")
    return found
