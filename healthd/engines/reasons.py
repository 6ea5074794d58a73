"""The words in which engines say why a connection failed become reasons. Pure.

Both engines are written in Go and pass on what its network, TLS and QUIC libraries say.
"""

import re

from healthd.model import Reason

# Host names may hold any word: phrases that no name can contain come first, and the marks of TLS
# and REALITY carry their colon.
_CLUES: tuple[tuple[str, Reason], ...] = (
    ("connection refused", Reason.REFUSED),
    ("network is unreachable", Reason.UNREACHABLE),
    ("no route to host", Reason.UNREACHABLE),
    ("no such host", Reason.DNS),
    ("failed to lookup", Reason.DNS),
    ("server misbehaving", Reason.RESOLVER),
    ("i/o timeout", Reason.TIMEOUT),
    ("deadline exceeded", Reason.TIMEOUT),
    # A QUIC handshake without an answer. Xray says it of a closed UDP port as well.
    ("no recent network activity", Reason.TIMEOUT),
    ("handshake did not complete in time", Reason.TIMEOUT),
    ("reality: ", Reason.REALITY),
    ("received real certificate", Reason.REALITY),
    ("x509: ", Reason.TLS),
    ("peer cert is unrecognized", Reason.TLS),
    ("tls: ", Reason.TLS),
)

_RESOLVER_TIMEOUT = re.compile(r"lookup [^ ]+( on [^ ]+)?: .*(i/o timeout|deadline exceeded)")
"""The resolver was silent, not the node."""

_OWN_LOOKUP = re.compile(r"lookup [^ ]+: (\(exchange|empty result)")
"""sing-box asks the resolver itself, for both families, and tells what came of each."""


def classify(words: str) -> Reason:
    """The reason in an engine's words. What is not recognised is a closed connection."""
    lowered = words.lower()
    if _OWN_LOOKUP.search(lowered):
        # Anything else (SERVFAIL, REFUSED, silence, a closed port) is the resolver's trouble.
        unknown = "nxdomain" in lowered or "empty result" in lowered
        return Reason.DNS if unknown else Reason.RESOLVER
    if _RESOLVER_TIMEOUT.search(lowered):
        return Reason.RESOLVER
    for clue, reason in _CLUES:
        if clue in lowered:
            return reason
    return Reason.AUTH_OR_RESET
