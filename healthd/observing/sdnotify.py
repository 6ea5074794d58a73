"""sd_notify(3): telling systemd that we are ready, alive, reloading or stopping.

By hand: the protocol is one datagram, and the library on PyPI hides every error and leaves the
variable to our children.
"""

import os
import socket
import time

import structlog

log = structlog.get_logger()


class SystemdNotifier:
    """Sends messages to systemd, or to nobody when it did not start us.

    Args:
        environment: Where NOTIFY_SOCKET and WATCHDOG_USEC are taken (out) from.
    """

    def __init__(self, environment: dict[str, str] | os._Environ[str] = os.environ) -> None:
        path = environment.pop("NOTIFY_SOCKET", "")
        watchdog = environment.pop("WATCHDOG_USEC", "")
        for_us = environment.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._failed = False
        self._path = "\0" + path[1:] if path.startswith("@") else path
        self.watchdog = int(watchdog) / 1e6 if watchdog.isdecimal() and for_us else None
        """Seconds within which systemd wants a sign of life; None: it does not ask."""

    def ready(self) -> None:
        """The daemon works."""
        self._send("READY=1")

    def alive(self) -> None:
        """The daemon still works."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """The daemon reads its configuration again; `ready` must follow."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """The daemon is on its way out."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def _send(self, message: str) -> None:
        if not self._path:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                # systemd not reading its socket must not stop the loop.
                sock.sendto(message.encode(), socket.MSG_DONTWAIT, self._path)
        except OSError as why:
            if not self._failed:
                log.warning("sd_notify_failed", why=why.strerror)
            self._failed = True
        else:
            self._failed = False
