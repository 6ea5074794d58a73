"""The engines' words become reasons."""

import pytest

from healthd.engines.reasons import classify
from healthd.model import Reason

LOOKUP = "lookup node.example: "


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # QUIC, as Xray (Hysteria2) and sing-box (Hysteria2, TUIC) tell it.
        ("RoundTrip err > timeout: no recent network activity", Reason.TIMEOUT),
        ("timeout: handshake did not complete in time", Reason.TIMEOUT),
        ("open connection: sendmsg: connection refused", Reason.REFUSED),
        (
            "quic: transport closed: read udp 127.0.0.1:5->127.0.0.1:6: read: connection refused",
            Reason.REFUSED,
        ),
        (
            (
                "CRYPTO_ERROR 0x12a (local): tls: failed to verify certificate: x509: certificate "
                "is valid for node.test, not other.test"
            ),
            Reason.TLS,
        ),
        ("CRYPTO_ERROR 0x178 (remote): tls: no application protocol", Reason.TLS),
        (
            (
                "CRYPTO_ERROR 0x12a (local): transport/internet/tls: peer cert is unrecognized "
                "(against pinnedPeerCertSha256)"
            ),
            Reason.TLS,
        ),
        ("transport/internet/hysteria: auth failed", Reason.AUTH_OR_RESET),
        ("authentication failed, status code: 404", Reason.AUTH_OR_RESET),
        # sing-box asks the resolver itself.
        (f"{LOOKUP}(exchange6: NXDOMAIN | exchange4: NXDOMAIN)", Reason.DNS),
        (f"{LOOKUP}empty result", Reason.DNS),
        (f"{LOOKUP}(exchange4: SERVFAIL | exchange6: SERVFAIL)", Reason.RESOLVER),
        (f"{LOOKUP}(exchange4: REFUSED | exchange6: REFUSED)", Reason.RESOLVER),
        (
            (
                f"{LOOKUP}(exchange4: context deadline exceeded | exchange6: context deadline "
                "exceeded)"
            ),
            Reason.RESOLVER,
        ),
        (
            f"{LOOKUP}(exchange4: read udp 127.0.0.1:5->127.0.0.1:53: read: connection refused)",
            Reason.RESOLVER,
        ),
    ],
)
def test_words(words, expected):
    """Measured lines: a fault of the resolver is never one of the node."""
    assert expected is classify(words)
