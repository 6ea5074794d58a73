"""A reserved port belongs to us until we give it back."""

import errno
import socket
import struct
from contextlib import ExitStack

import pytest

from healthd.engines.ports import reserve_port
from healthd.errors import EngineFailed
from healthd.model import Reason

pytestmark = pytest.mark.usefixtures("no_descriptor_leaks")

_LOCAL_PORT_RANGE = 51
"""IP_LOCAL_PORT_RANGE (Linux 6.3): what the kernel may choose for one socket."""


def choosing_only(port: int) -> socket.socket:
    """A socket for which the kernel can choose this one port only."""
    sock = socket.socket()
    try:
        sock.setsockopt(socket.IPPROTO_IP, _LOCAL_PORT_RANGE, struct.pack("=I", port | port << 16))
    except OSError as why:
        sock.close()
        pytest.skip(f"needs IP_LOCAL_PORT_RANGE: {why.strerror}")
    return sock


@pytest.mark.parametrize("options", [(), (socket.SO_REUSEADDR,)])
def test_reserved_port_is_never_given_out_again(options: tuple[int, ...]) -> None:
    """The kernel does not choose it for bind(0), even if it has no other port left."""
    with reserve_port() as held, choosing_only(held.getsockname()[1]) as other:
        for option in options:
            other.setsockopt(socket.SOL_SOCKET, option, 1)
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is asserted
            other.bind(("127.0.0.1", 0))

    assert caught.value.errno == errno.EADDRINUSE


def test_reserved_port_is_no_source_of_a_connection() -> None:
    """The kernel does not give it to a connection that goes out, either."""
    with ExitStack() as stack:
        held = stack.enter_context(reserve_port())
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        other = stack.enter_context(choosing_only(held.getsockname()[1]))
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is asserted
            other.connect(listener.getsockname())

    assert caught.value.errno in {errno.EADDRNOTAVAIL, errno.EADDRINUSE}


def test_many_reservations_are_all_different() -> None:
    """Ports reserved together never collide."""
    with ExitStack() as stack:
        ports = [stack.enter_context(reserve_port()).getsockname()[1] for _ in range(300)]

    assert len(set(ports)) == 300


def test_only_a_listener_with_reuseport_can_join() -> None:
    """Without SO_REUSEPORT the port is taken; with it (as Xray does) one can listen there."""
    with reserve_port() as held:
        where = held.getsockname()
        with socket.socket() as plain, pytest.raises(OSError, match="in use"):
            plain.bind(where)
        with socket.socket() as engine:
            engine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            engine.bind(where)
            engine.listen()
            with socket.create_connection(where, timeout=1) as ours:
                assert ours.getpeername() == where


def test_connecting_to_a_reserved_port_is_refused() -> None:
    """Nothing listens there: a connection is refused at once instead of hanging."""
    with reserve_port() as held, pytest.raises(ConnectionRefusedError):
        socket.create_connection(held.getsockname(), timeout=1)


def test_closed_reservation_gives_the_port_back() -> None:
    """After close anybody can have it."""
    with reserve_port() as held:
        where = held.getsockname()
    with socket.socket() as other:
        other.bind(where)

        assert other.getsockname() == where


def test_certain_port_that_is_taken_is_foreign() -> None:
    """Asking for a port that another listens on raises EngineFailed(FOREIGN_PORT)."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EngineFailed) as caught:
            reserve_port(port)

    assert caught.value.reason is Reason.FOREIGN_PORT


def test_child_processes_do_not_inherit_a_reservation() -> None:
    """A child that kept it open would keep the port from us for its whole life."""
    with reserve_port() as held:
        assert not held.get_inheritable()
