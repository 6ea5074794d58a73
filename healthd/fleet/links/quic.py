"""TLS in the parameters of Hysteria2 and TUIC links. Pure."""

from healthd.endpoints import QuicTls
from healthd.fleet.links.parameters import INSECURE, Parameters, flag, listed, take


def read(given: Parameters) -> QuicTls:
    """Take TLS out of a link's parameters.

    Raises:
        LinkError: a parameter contradicts itself.
    """
    return QuicTls(
        server_name=given.pop("sni", "") or given.pop("peer", ""),
        alpn=listed(given.pop("alpn", "")),
        ech=given.pop("ech", ""),
        pinned_sha256=take(given, "pinSHA256", "pcs"),
        insecure=flag(given, *INSECURE),
    )


def write(tls: QuicTls, insecure: str) -> list[tuple[str, str]]:
    """Its parameters, those that are empty as well; ``insecure`` is what the protocol calls it."""
    return [
        ("sni", tls.server_name),
        ("alpn", ",".join(tls.alpn)),
        ("ech", tls.ech),
        ("pinSHA256", tls.pinned_sha256),
        (insecure, "1" if tls.insecure else ""),
    ]
