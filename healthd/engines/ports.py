"""Reserving a loopback port for a process that will listen on it.

Binding to port 0 and closing again is a race. Instead the socket stays bound, without listening,
for as long as the port is needed: the kernel then gives the port to nobody else, neither to a
`bind` nor as the source of a connection. Xray sets SO_REUSEPORT on every listener, so it can
listen beside our bound socket; a process of another user cannot. A port that already belongs to a
SO_REUSEPORT listener is never chosen for `bind(0)` (`inet_csk_find_open_port` looks with
`reuseport_ok = false`).
"""

import errno
import socket

from healthd.errors import EngineFailed
from healthd.model import Reason


def reserve_port(port: int = 0) -> socket.socket:
    """Return a socket that holds a port of 127.0.0.1; close it to give the port back.

    Args:
        port: A certain port, or 0 for the kernel's choice.

    Raises:
        EngineFailed: the port is taken, or no port or descriptor is left.
    """
    try:
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    except OSError as why:
        raise EngineFailed(Reason.RESOURCES, f"no socket: {why.strerror}") from why
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", port))
    except OSError as why:
        held.close()
        taken = why.errno == errno.EADDRINUSE and port
        reason = Reason.FOREIGN_PORT if taken else Reason.RESOURCES
        raise EngineFailed(reason, f"no port: {why.strerror}") from why
    return held
