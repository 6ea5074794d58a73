"""sd_notify(3) over a real socket."""

import os
import socket

import pytest

from healthd.observing.sdnotify import SystemdNotifier


@pytest.fixture
def systemd(tmp_path):
    """What systemd listens on; gives the socket and its path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(2)
        yield sock, str(tmp_path / "notify")


def test_messages(systemd):
    """Each message is one datagram in systemd's words."""
    sock, path = systemd
    notifier = SystemdNotifier({"NOTIFY_SOCKET": path})
    for send, expected in (
        (notifier.ready, "READY=1"),
        (notifier.alive, "WATCHDOG=1"),
        (notifier.stopping, "STOPPING=1"),
        (lambda: notifier.status("2 of 4"), "STATUS=2 of 4"),
    ):
        send()
        assert sock.recv(100).decode() == expected
    notifier.reloading()
    first, _, second = sock.recv(100).decode().partition("\n")
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdecimal()


def test_abstract_socket():
    """A leading @ means an abstract address."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        name = f"healthd-test-{os.getpid()}"
        sock.bind("\0" + name)
        sock.settimeout(2)
        SystemdNotifier({"NOTIFY_SOCKET": "@" + name}).ready()
        assert sock.recv(100) == b"READY=1"


def test_variables_are_taken_out():
    """Our children must not speak for us: the variables are gone once read."""
    environment = {
        "NOTIFY_SOCKET": "/x",
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": "1",
        "A": "b",
    }
    SystemdNotifier(environment)
    assert environment == {"A": "b"}


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_watchdog(environment, seconds):
    """How long systemd waits for a sign of life, if it asks us at all."""
    assert SystemdNotifier(environment).watchdog == seconds


def test_nobody_listens(tmp_path):
    """Without systemd nothing is sent; a dead socket is no reason to die."""
    SystemdNotifier({}).ready()
    SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert list(tmp_path.iterdir()) == []
