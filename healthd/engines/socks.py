"""SOCKS5 as an engine's client speaks it (RFC 1928, RFC 1929): the bytes, nothing else. Pure."""

from healthd.errors import TunnelError
from healthd.model import Reason

AUTHENTICATED = b"\x05\x02\x01\x00"
"""The engine took the user name and password."""


def authentication(user: str, password: str) -> bytes:
    """The greeting and the user name and password, ready to go out together."""
    name, secret = user.encode(), password.encode()
    return b"\x05\x01\x02\x01" + bytes([len(name)]) + name + bytes([len(secret)]) + secret


def connect(host: str, port: int) -> bytes:
    """A CONNECT request by name, so that the node resolves it and not the monitor."""
    name = host.encode("ascii")
    return b"\x05\x01\x00\x03" + bytes([len(name)]) + name + port.to_bytes(2, "big")


def reply_length(reply: bytes) -> int | None:
    """How many bytes of ``reply`` are the answers to authentication and CONNECT.

    Returns None while more bytes are needed.

    Raises:
        TunnelError: it is no client of ours that answers, or it refuses the request.
    """
    if not AUTHENTICATED.startswith(reply[:4]):
        # Also b"\x05\x02\x01\xff": another Xray, which does not know our password.
        raise TunnelError(Reason.FOREIGN_PORT, "the port does not answer as our client would")
    if len(reply) < 8:
        return None
    if reply[4] != 5:
        raise TunnelError(Reason.FOREIGN_PORT, "the port does not speak SOCKS5")
    if reply[5] != 0:
        raise TunnelError(Reason.AUTH_OR_RESET, f"SOCKS reply {reply[5]}")
    address = {1: 4, 4: 16, 3: 1 + reply[8] if len(reply) > 8 else 1}.get(reply[7])
    if address is None:
        raise TunnelError(Reason.FOREIGN_PORT, "the port does not speak SOCKS5")
    length = 4 + 4 + address + 2
    return length if len(reply) >= length else None
