"""SOCKS5 and HTTP through a tunnel, against a server that follows a script."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import h11
import httpx
import pytest
import trio

from healthd.engines import singbox
from healthd.engines.client import Client
from healthd.engines.tunnel import Tunnel
from healthd.errors import TunnelError
from healthd.model import Reason
from healthd.probing.check_tls import check_tls
from healthd.probing.transport import TunnelTransport
from tests import fakes
from tests.fakes import (
    AUTHENTICATED,
    GOOD,
    NO_CONTENT,
    SHAKEN,
    FakeSocks,
    First,
    Play,
    make_node,
    open_socks,
    say,
    say_tls,
    trickle,
)

pytestmark = pytest.mark.usefixtures("no_descriptor_leaks")

URL = "http://check.test/generate_204?x=1"
ANYBODY = ssl.create_default_context()

Found = tuple[int, bytes] | Reason


async def ask(fake: FakeSocks, url: str = URL, tls: ssl.SSLContext = ANYBODY) -> Found:
    """Status and body of the answer, or the reason that there was none."""
    with trio.fail_after(3):
        try:
            return await fakes.ask(TunnelTransport(tls), fake.tunnel(), url)
        except TunnelError as why:
            return why.reason


@dataclass(frozen=True)
class Row:
    """What a server does, and what must come of it."""

    name: str
    play: Play
    found: Found | set[Reason]


LONG_REPLY = b"\x05\x00\x00\x03\x09localhost\x00\x50"
"""A CONNECT reply whose address is a name: longer than the usual ten bytes."""
IPV6_REPLY = b"\x05\x00\x00\x04" + bytes(18)
HEAD = b"HTTP/1.1 200 OK\r\n"
CLOSED = Reason.AUTH_OR_RESET

ROWS = [
    Row("good", say(GOOD), (204, b"")),
    Row("good, then closed", say(GOOD, then="close"), (204, b"")),
    Row("good, byte by byte", trickle(GOOD), (204, b"")),
    Row("reply with a name", say(AUTHENTICATED + LONG_REPLY + NO_CONTENT), (204, b"")),
    Row("reply with IPv6", say(AUTHENTICATED + IPV6_REPLY + NO_CONTENT), (204, b"")),
    Row("reply with a name, slowly", trickle(AUTHENTICATED + LONG_REPLY + NO_CONTENT), (204, b"")),
    Row(
        "an informational answer first",
        say(SHAKEN + b"HTTP/1.1 103 Early Hints\r\n\r\n" + NO_CONTENT),
        (204, b""),
    ),
    Row("HTTP/1.0", say(SHAKEN + b"HTTP/1.0 204 No Content\r\n\r\n"), (204, b"")),
    Row("another Xray", say(b"\x05\x02\x01\xff", then="close"), Reason.FOREIGN_PORT),
    Row("sing-box refuses", say(b"\x05\x02\x01\x01", then="reset"), Reason.FOREIGN_PORT),
    Row("no acceptable method", say(b"\x05\xff", then="close"), Reason.FOREIGN_PORT),
    Row("not SOCKS", say(b"SSH-2.0-OpenSSH_9.6\r\n"), Reason.FOREIGN_PORT),
    Row("HTTP instead of SOCKS", say(NO_CONTENT, then="close"), Reason.FOREIGN_PORT),
    Row("garbage behind the login", say(AUTHENTICATED + b"HTTP/1.1"), Reason.FOREIGN_PORT),
    Row("unknown address kind", say(AUTHENTICATED + b"\x05\x00\x00\x09"), Reason.FOREIGN_PORT),
    Row("CONNECT refused", say(AUTHENTICATED + b"\x05\x05\x00\x01" + bytes(6)), CLOSED),
    Row("reset at once", say(b"", then="reset"), CLOSED),
    Row("reset behind the handshake", say(SHAKEN, then="reset"), CLOSED),
    *(
        Row(f"closed behind {length} bytes", say(GOOD[:length], then="close"), CLOSED)
        for length in (0, 1, 3, 4, 7, 8, 13, 14)
    ),
    Row(
        "closed within the head",
        say(GOOD[:30], then="close"),
        {Reason.AUTH_OR_RESET, Reason.HTTP_PROTOCOL},
    ),
    Row("not HTTP", say(SHAKEN + b"220 mail.test ESMTP\r\n\r\n"), Reason.HTTP_PROTOCOL),
    Row(
        "not HTTP, without an end",
        say(SHAKEN + b"SSH-2.0-OpenSSH_9.6\r\n", then="close"),
        Reason.HTTP_PROTOCOL,
    ),
    Row("binary garbage", say(SHAKEN + bytes(range(256)) * 200), Reason.HTTP_PROTOCOL),
    Row(
        "head too large",
        say(SHAKEN + HEAD + b"X-Filler: " + b"x" * 60000 + b"\r\n\r\n"),
        Reason.HTTP_PROTOCOL,
    ),
    Row("switching protocols", say(SHAKEN + b"HTTP/1.1 101 S\r\n\r\n"), Reason.HTTP_PROTOCOL),
    Row(
        "two lengths",
        say(SHAKEN + HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        Reason.HTTP_PROTOCOL,
    ),
    Row("a body", say(SHAKEN + HEAD + b"Content-Length: 5\r\n\r\nhello"), (200, b"hello")),
    Row(
        "a body, byte by byte",
        trickle(SHAKEN + HEAD + b"Content-Length: 5\r\n\r\nhello"),
        (200, b"hello"),
    ),
    Row(
        "a body in chunks",
        say(SHAKEN + HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        (200, b"hello"),
    ),
    Row("a body until the end", say(SHAKEN + HEAD + b"\r\nhello", then="close"), (200, b"hello")),
    Row(
        "a body cut short",
        say(SHAKEN + HEAD + b"Content-Length: 5\r\n\r\nhel", then="close"),
        Reason.HTTP_PROTOCOL,
    ),
    Row(
        "a body reset",
        say(SHAKEN + HEAD + b"Content-Length: 5\r\n\r\n", then="reset"),
        {Reason.AUTH_OR_RESET, Reason.HTTP_PROTOCOL},
    ),
    Row(
        "204 that announces a body",
        say(SHAKEN + b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"),
        (204, b""),
    ),
    Row("a redirect", say(SHAKEN + b"HTTP/1.1 302 F\r\nContent-Length: 0\r\n\r\n"), (302, b"")),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_every_shape_has_its_outcome(row: Row) -> None:
    """Whatever the server does, the outcome is a whole answer or one reason, and at once.

    Most of these servers never close: nothing may wait for the end of the connection.
    """
    async with open_socks(row.play) as fake:
        found = await ask(fake)

    assert found in row.found if isinstance(row.found, set) else found == row.found


async def test_handshake_and_request_leave_in_one_segment() -> None:
    """The first segment holds the login, the CONNECT by name, and the whole request."""
    async with open_socks(say(GOOD)) as fake:
        await ask(fake, "http://check.test:8080/generate_204?x=1")

    (first,) = fake.firsts
    server = h11.Connection(h11.SERVER)
    server.receive_data(first.rest)
    request = server.next_event()
    assert (first.user, first.host, first.port) == ("n0", "check.test", 8080)
    assert isinstance(request, h11.Request)
    assert (request.method, request.target) == (b"GET", b"/generate_204?x=1")
    assert dict(request.headers)[b"host"] == b"check.test:8080"
    assert isinstance(server.next_event(), h11.EndOfMessage)


async def test_international_host_name_goes_out_as_it_was_written() -> None:
    """A punycode host name is asked for in punycode: SOCKS5 and DNS carry nothing else."""
    async with open_socks(say(GOOD)) as fake:
        found = await ask(fake, "http://xn--e1afmkfd.example/generate_204")

    assert found == (204, b"")
    assert fake.firsts[0].host == "xn--e1afmkfd.example"


async def test_connection_is_closed_when_the_answer_is_complete() -> None:
    """The server sees the end right after its answer, not when somebody collects garbage."""
    ended = trio.Event()

    async def play(stream: trio.SocketStream, _: fakes.First) -> None:
        await stream.send_all(GOOD)
        assert await stream.receive_some(100) == b""
        ended.set()

    async with open_socks(play) as fake:
        await ask(fake)
        with trio.fail_after(1):
            await ended.wait()


@pytest.mark.parametrize("answer", [b"", AUTHENTICATED, SHAKEN, SHAKEN + HEAD])
async def test_cancelled_request_closes_its_socket(answer: bytes) -> None:
    """A deadline in any phase leaves no socket open: the server sees the end."""
    ended = trio.Event()

    async def play(stream: trio.SocketStream, _: fakes.First) -> None:
        await stream.send_all(answer)
        assert await stream.receive_some(100) == b""
        ended.set()

    async with open_socks(play) as fake:
        with trio.move_on_after(0.05) as deadline:
            await ask(fake)
        with trio.fail_after(1):
            await ended.wait()

    assert deadline.cancelled_caught


async def test_nobody_listening_is_the_clients_end() -> None:
    """A refused connection to the tunnel's port means that our client is gone."""
    async with open_socks(say(GOOD)) as fake:
        pass
    client = Client([make_node("a")])
    with pytest.raises(TunnelError) as caught:
        await fakes.ask(
            TunnelTransport(ANYBODY), Tunnel(fake.port, "n0", client.password, client), URL
        )

    assert caught.value.reason is Reason.ENGINE_EXIT


async def test_bytes_from_behind_the_tunnel_are_told() -> None:
    """Head and body count as they arrive; what the SOCKS server itself says does not."""
    heard: list[int] = []
    answer = HEAD + b"Content-Length: 5\r\n\r\nhello"
    async with open_socks(trickle(SHAKEN + answer)) as fake:
        transport = TunnelTransport(ANYBODY)
        about = {"tunnel": fake.tunnel(), "max_body": 100, "on_received": heard.append}
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            await client.get(URL, headers={"Connection": "close"}, extensions=about)

    assert heard == [1] * len(answer)


def test_hello_is_the_same_before_and_after_httpx_used_the_context() -> None:
    """Httpx sets ALPN on the context it is given; ours has the same from the start."""
    bare, used = check_tls(None), check_tls(None)
    used.set_alpn_protocols(["http/1.1"])

    assert b"\x08http/1.1" in hello(bare)
    assert len(hello(bare)) == len(hello(used))


def hello(context: ssl.SSLContext) -> bytes:
    """The ClientHello that this context sends."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="check.test").do_handshake()
    return outgoing.read()


# --- https ------------------------------------------------------------------------------------

SECURE = "https://localhost/generate_204"


@pytest.fixture(scope="module")
def made(xray: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server's context for localhost, and the certificate to trust it by."""
    return fakes.certificate(xray, tmp_path_factory.mktemp("localhost"))


@pytest.fixture(scope="module")
def other(xray: str, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """The context of somebody who is not trusted."""
    return fakes.certificate(xray, tmp_path_factory.mktemp("other"))[0]


async def test_https_is_verified_and_answered(made: tuple[ssl.SSLContext, Path]) -> None:
    """With its own CA the answer comes; the ClientHello was in the first segment."""
    async with open_socks(say_tls(made[0], NO_CONTENT)) as fake:
        found = await ask(fake, SECURE, check_tls(made[1]))

    assert found == (204, b"")
    assert (fake.firsts[0].host, fake.firsts[0].port) == ("localhost", 443)
    assert fake.firsts[0].rest[:3] == b"\x16\x03\x01"


async def test_https_body_comes_whole(made: tuple[ssl.SSLContext, Path]) -> None:
    """An answer larger than one TLS record is read to its end."""
    body = b"x" * 100_000
    answer = HEAD + b"Content-Length: 100000\r\n\r\n" + body
    async with open_socks(say_tls(made[0], answer)) as fake:
        found = await ask(fake, SECURE, check_tls(made[1]))

    assert found == (200, body)


async def test_certificate_of_another_is_check_tls(
    made: tuple[ssl.SSLContext, Path], other: ssl.SSLContext
) -> None:
    """A certificate that does not verify is a middleman: CHECK_TLS."""
    async with open_socks(say_tls(other, NO_CONTENT)) as fake:
        found = await ask(fake, SECURE, check_tls(made[1]))

    assert found is Reason.CHECK_TLS


async def test_certificate_for_another_name_is_check_tls(
    made: tuple[ssl.SSLContext, Path],
) -> None:
    """A trusted certificate that names another host is CHECK_TLS."""
    async with open_socks(say_tls(made[0], NO_CONTENT)) as fake:
        found = await ask(fake, "https://elsewhere.test/generate_204", check_tls(made[1]))

    assert found is Reason.CHECK_TLS


@pytest.mark.parametrize(
    ("play", "reason"),
    [
        (say(SHAKEN, then="close"), Reason.AUTH_OR_RESET),
        (say(SHAKEN + b"\x16\x03\x03\x00", then="close"), Reason.AUTH_OR_RESET),
        (say(SHAKEN, then="reset"), Reason.AUTH_OR_RESET),
        (say(SHAKEN + NO_CONTENT), Reason.CHECK_TLS),
        (say(SHAKEN + b"\x15\x03\x03\x00\x02\x02\x28"), Reason.CHECK_TLS),
    ],
    ids=["closed", "closed within a record", "reset", "plain HTTP", "alert"],
)
async def test_broken_tls_handshake_has_its_reason(play: Play, reason: Reason) -> None:
    """Closed within the handshake is a closed connection; wrong TLS is CHECK_TLS."""
    async with open_socks(play) as fake:
        found = await ask(fake, SECURE)

    assert found is reason


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 204 No"])
async def test_https_closed_without_an_answer(
    made: tuple[ssl.SSLContext, Path], answer: bytes
) -> None:
    """The end behind the handshake, with or without a TLS farewell, is a closed connection."""
    async with open_socks(say_tls(made[0], answer, then="close")) as fake:
        found = await ask(fake, SECURE, check_tls(made[1]))

    assert found in {Reason.AUTH_OR_RESET, Reason.HTTP_PROTOCOL}


# --- an engine that loses what follows the handshake -------------------------------------------


def patient(fake: FakeSocks) -> Tunnel:
    """A lease on this server, as if it were sing-box."""
    return fake.tunnel(Client([make_node("a")], singbox.DIALECT))


async def ask_patiently(fake: FakeSocks, url: str = URL, tls: ssl.SSLContext = ANYBODY) -> Found:
    """Status and body of the answer, or the reason that there was none."""
    with trio.fail_after(3):
        try:
            return await fakes.ask(TunnelTransport(tls), patient(fake), url)
        except TunnelError as why:
            return why.reason


def answer_the_request(shaken: bytes, answer: bytes = NO_CONTENT) -> Play:
    """Shake hands, and answer what is asked after that."""

    async def play(stream: trio.SocketStream, first: First) -> None:
        assert first.rest == b""
        await stream.send_all(shaken)
        assert (await stream.receive_some(4096)).startswith(b"GET /generate_204?x=1 HTTP/1.1\r\n")
        await stream.send_all(answer)

    return play


@pytest.mark.parametrize("shaken", [SHAKEN, AUTHENTICATED + LONG_REPLY, AUTHENTICATED + IPV6_REPLY])
async def test_request_waits_for_the_reply(shaken: bytes) -> None:
    """The handshake goes alone, in one segment; the request comes when all of it is answered."""
    async with open_socks(answer_the_request(shaken)) as fake:
        found = await ask_patiently(fake)

    assert found == (204, b"")
    assert [first.host for first in fake.firsts] == ["check.test"]


async def test_reply_in_pieces_is_awaited_whole() -> None:
    """Byte by byte or at once: nothing is sent before the last byte."""

    async def play(stream: trio.SocketStream, first: First) -> None:
        await trickle(SHAKEN)(stream, first)
        await answer_the_request(b"")(stream, first)

    async with open_socks(play) as fake:
        assert await ask_patiently(fake) == (204, b"")


async def test_what_comes_along_with_the_reply_is_not_lost() -> None:
    """A server that speaks at once is heard: its bytes may share a segment with the reply."""
    async with open_socks(say(SHAKEN + NO_CONTENT)) as fake:
        assert await ask_patiently(fake) == (204, b"")


@pytest.mark.parametrize(
    ("play", "reason"),
    [
        (say(AUTHENTICATED + b"\x05\x05\x00\x01" + bytes(6)), Reason.AUTH_OR_RESET),
        (say(b"\x05\x02\x01\x01", then="reset"), Reason.FOREIGN_PORT),
        (say(SHAKEN[:7], then="close"), Reason.AUTH_OR_RESET),
        (say(b"", then="reset"), Reason.AUTH_OR_RESET),
        (say(SHAKEN, then="close"), Reason.AUTH_OR_RESET),
    ],
    ids=["refused", "not our password", "closed within", "reset", "closed behind"],
)
async def test_failed_handshake_has_its_reason(play: Play, reason: Reason) -> None:
    """As with an engine that takes all in one write."""
    async with open_socks(play) as fake:
        assert await ask_patiently(fake) is reason


async def test_https_waits_as_well(made: tuple[ssl.SSLContext, Path]) -> None:
    """The ClientHello comes behind the reply; what is received is counted from there on."""
    heard: list[int] = []

    async def play(stream: trio.SocketStream, first: First) -> None:
        assert first.rest == b""
        await stream.send_all(SHAKEN)
        tls = trio.SSLStream(stream, made[0], server_side=True, https_compatible=True)
        await tls.receive_some(65536)
        await tls.send_all(NO_CONTENT)

    async with open_socks(play) as fake:
        transport = TunnelTransport(check_tls(made[1]))
        about = {"tunnel": patient(fake), "max_body": 1, "on_received": heard.append}
        with trio.fail_after(3):
            async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
                answer = await client.get(SECURE, extensions=about)

    assert answer.status_code == 204
    assert sum(heard) > len(NO_CONTENT)
