"""The TLS context that verifies https check URLs."""

import ssl
from pathlib import Path


def check_tls(ca_file: Path | None) -> ssl.SSLContext:
    """Return a verifying client context.

    Args:
        ca_file: PEM certificates to trust instead of the system's.

    Raises:
        OSError: the file cannot be read, or holds no certificate (``ssl.SSLError``).
    """
    context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    # httpx sets the same on any context it is given: without this line the probes' ClientHello
    # would change when the direct check is made for the first time.
    context.set_alpn_protocols(["http/1.1"])
    return context
