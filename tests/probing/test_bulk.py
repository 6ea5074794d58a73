"""The bulk check: a small answer came, does a larger one? And whose fault is it if not?"""

import ssl
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from healthd.engines.client import Client
from healthd.engines.tunnels import Tunnels
from healthd.errors import EngineFailed
from healthd.model import Outcome, Reason, Result
from healthd.probing.bulk import ASIDE
from healthd.probing.check_tls import check_tls
from healthd.probing.prober import Prober
from tests import fakes
from tests.fakes import (
    GOOD,
    SHAKEN,
    FakeSocks,
    FakeTunnels,
    First,
    Play,
    by_host,
    clock_skipping_silence,
    make_node,
    open_socks,
    say,
    say_tls,
)

pytestmark = pytest.mark.usefixtures("no_descriptor_leaks")

DEADLINE = 8.0
MOST = 65536
CUT = 16384
NODE = make_node("a")
TLS = ssl.create_default_context()
SMALL = "http://small.test/204"
BULK = "http://bulk.test/file"

HEAD = SHAKEN + b"HTTP/1.1 200 OK\r\n"
SIZED = HEAD + b"Content-Length: 65536\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def chunk(size: int) -> bytes:
    """One chunk of so many bytes."""
    return b"%x\r\n%s\r\n" % (size, b"x" * size)


good = say(GOOD)
whole = say(SIZED + b"x" * MOST)
frozen = say(SIZED + b"x" * CUT)
unheard = say(SHAKEN)


async def slow(stream: trio.SocketStream, _: First) -> None:
    """An answer that flows all the time, too slowly."""
    await stream.send_all(SIZED)
    while True:
        await stream.send_all(b"x" * 100)
        await trio.sleep(DEADLINE / 10)


@pytest.fixture
def clock() -> MockClock:
    """Nobody sits out the deadlines of silent servers."""
    return clock_skipping_silence()


class Stage:
    """A prober, and who was asked: hosts, those past the node with "past " before them."""

    def __init__(self, fake: FakeSocks, client: Client, **given: Any) -> None:
        self.fake = fake
        self.told: list[tuple[bool, str]] = []
        settings: dict[str, Any] = {
            "urls": (SMALL,),
            "self_check_urls": ("http://self.test/204",),
            "expect_status": 204,
            "deadline": DEADLINE,
            "tls": TLS,
            "bulk_url": BULK,
            "bulk_bytes": MOST,
            "on_bulk_server": lambda ok, words: self.told.append((ok, words)),
        }
        tunnels = cast("Tunnels", FakeTunnels(fake.tunnel(client)))
        self._prober = Prober(tunnels, **(settings | given))

    async def probe(self, *, bulk: bool = True) -> Result:
        """Probe once."""
        with trio.fail_after(60):
            return await self._prober.probe(NODE, bulk=bulk)

    @property
    def asked(self) -> list[str]:
        """Every host that was asked."""
        return [
            f"past {first.host}" if first.user == "control" else first.host
            for first in self.fake.firsts
        ]


def server(node: Play, past: Play = whole, *, small: Play = good, line: Play = good) -> Play:
    """Play for the bulk URL through the node, past it, for the small one and for the line."""
    behind = {"small.test": small, "bulk.test": node, "localhost": node}
    control = {"self.test": line, "bulk.test": past, "localhost": past}

    async def straight(stream: trio.SocketStream, first: First) -> None:
        await control[first.host](stream, first)

    return by_host(behind, straight)


async def once(play: Play, **given: Any) -> tuple[Result, Stage]:
    """Probe once, with the bulk check."""
    client = Client([NODE])
    async with open_socks(play) as fake:
        stage = Stage(fake, client, **given)
        return await stage.probe(), stage


@pytest.mark.parametrize(
    "answer",
    [
        say(SIZED + b"x" * MOST),
        say(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * (MOST + 1)),
        say(CHUNKED + chunk(40000) * 2),
        say(CHUNKED + chunk(MOST) + b"0\r\n\r\n", then="close"),
        say(HEAD + b"\r\n" + b"x" * MOST, then="close"),
        say(HEAD + b"\r\n" + b"x" * MOST),
    ],
    ids=["exact", "larger", "chunks", "last chunk", "until the end", "without an end"],
)
async def test_enough_bytes_are_a_success(clock: MockClock, answer: Play) -> None:
    """As many bytes as are wanted are enough, in whatever shape they come; nobody else is asked."""
    result, stage = await once(server(answer))

    assert (result.outcome, result.reason) == (Outcome.SUCCESS, None)
    assert stage.asked == ["small.test", "bulk.test"]
    assert stage.told == [(True, "")]


async def test_latency_is_the_small_answers(clock: MockClock) -> None:
    """What the bulk answer takes does not make a node look slow."""

    async def late(stream: trio.SocketStream, first: First) -> None:
        await trio.sleep(DEADLINE / 2)
        await whole(stream, first)

    result, _ = await once(server(late))

    assert result.latency is not None
    assert result.latency < DEADLINE / 4


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (frozen, "16384 of 65536 bytes, then silence"),
        (say(SIZED + b"x" * CUT, then="close"), "16384 of 65536 bytes, then closed within"),
        (say(CHUNKED + chunk(CUT), then="close"), "16384 of 65536 bytes, then closed within"),
        (say(HEAD + b"\r\n" + b"x" * CUT, then="close"), "16384 of 65536 bytes, then closed"),
        (say(HEAD + b"Content-Length: 999999\r\n\r\n" + b"x" * CUT), "then silence"),
        (say(SIZED + b"x" * CUT, then="reset"), " of 65536 bytes, then Connection reset by peer"),
        (say(CHUNKED + chunk(CUT) + b"nonsense\r\n"), "16384 of 65536 bytes, then illegal chunk"),
        (say(SIZED), "0 of 65536 bytes, then silence"),
        (say(HEAD), "0 of 65536 bytes, then silence"),
        (say(HEAD, then="close"), "0 of 65536 bytes, then closed within the head"),
        (say(SHAKEN + b"SSH-2.0-OpenSSH\r\n\r\n"), "0 of 65536 bytes, then illegal"),
        (slow, f" of 65536 bytes in {DEADLINE:.1f} s"),
    ],
    ids=[
        *("silence", "end", "end in chunks", "end without length", "silence in a larger one"),
        *("reset", "broken chunk", "silence behind the head", "silence within the head"),
        *("end within the head", "not HTTP", "a trickle"),
    ],
)
async def test_cut_through_the_node_only_is_truncated(
    clock: MockClock, node: Play, words: str
) -> None:
    """The server began to talk, then the connection was cut; past the node all of it comes."""
    result, stage = await once(server(node))

    assert (result.outcome, result.reason) == (Outcome.FAILURE, Reason.TRUNCATED)
    assert words in result.detail
    assert stage.asked == ["small.test", "bulk.test", "past bulk.test"]
    assert stage.told == [(True, "")]


@pytest.mark.parametrize(
    "node",
    [
        say(SHAKEN + b"HTTP/1.1 404 No\r\nContent-Length: 5\r\n\r\nhello"),
        say(SHAKEN + b"HTTP/1.1 302 F\r\nLocation: http://portal.test/\r\n\r\n", then="close"),
        say(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000),
        say(CHUNKED + chunk(1000) + b"0\r\n\r\n"),
        say(HEAD + b"Content-Length: 0\r\n\r\n"),
        say(SHAKEN, then="close"),
        say(SHAKEN, then="reset"),
        unheard,
    ],
    ids=["404", "302", "short", "short in chunks", "empty", "closed", "reset", "silent"],
)
async def test_other_answers_are_never_the_nodes_fault(clock: MockClock, node: Play) -> None:
    """A complete answer, whatever it is, was not cut; nor was one of which nothing came at all.

    The server may not like the node's address: a dead destination must not condemn a node.
    """
    result, stage = await once(server(node))

    assert (result.outcome, result.reason) == (Outcome.SUCCESS, None)
    assert stage.asked == ["small.test", "bulk.test", "past bulk.test"]
    assert stage.told == [(True, "")]


async def test_pull_that_began_late_proves_nothing(clock: MockClock) -> None:
    """When the small answer took most of the deadline, the rest is no fair time for a large one."""

    async def late(stream: trio.SocketStream, first: First) -> None:
        await trio.sleep(DEADLINE * 0.7)
        await good(stream, first)

    result, stage = await once(server(frozen, small=late))

    assert result.outcome is Outcome.SUCCESS
    assert "bulk.test" in stage.asked


@pytest.mark.parametrize(
    ("past", "words"),
    [
        (frozen, "16384 of 65536 bytes, then silence"),
        (say(SHAKEN, then="close"), "0 of 65536 bytes, then closed without an answer"),
        (unheard, "0 of 65536 bytes, then silence"),
        (say(SHAKEN + b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), "answered 404"),
        (
            say(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000),
            "has 1000 bytes only; 65536 are wanted",
        ),
    ],
    ids=["frozen", "closed", "silent", "404", "short"],
)
@pytest.mark.parametrize("node", [frozen, unheard, say(SHAKEN, then="close")])
async def test_bad_server_is_nobodys_fault(
    clock: MockClock, node: Play, past: Play, words: str
) -> None:
    """When the bulk URL is no better past the node, the small answer stands, and we are told."""
    result, stage = await once(server(node, past))

    assert (result.outcome, result.reason) == (Outcome.SUCCESS, None)
    assert stage.asked[-2:] == ["past bulk.test", "past self.test"]
    assert stage.told == [(False, f"bulk.test: {words}")]


async def test_bad_server_is_left_alone_for_a_while(clock: MockClock) -> None:
    """A dead bulk server does not double the load; it is told once, and once when it is well."""
    plays = [unheard, unheard, unheard, unheard, whole, whole]

    async def bulk(stream: trio.SocketStream, first: First) -> None:
        await plays.pop(0)(stream, first)

    async with open_socks(server(bulk, bulk)) as fake:
        stage = Stage(fake, Client([NODE]))
        for _ in range(3):
            assert (await stage.probe()).outcome is Outcome.SUCCESS
        assert stage.asked.count("bulk.test") == 1, "asked by the first, not by those behind it"
        await trio.sleep(ASIDE)
        assert (await stage.probe()).outcome is Outcome.SUCCESS
        assert stage.told == [(False, "bulk.test: 0 of 65536 bytes, then silence")]
        await trio.sleep(ASIDE)
        for _ in range(2):
            assert (await stage.probe()).outcome is Outcome.SUCCESS

    assert plays == []
    assert [ok for ok, _ in stage.told] == [False, True]


async def test_cuts_of_one_client_share_the_request_past_them(clock: MockClock) -> None:
    """When a censor cuts all nodes at once, their clients do not fetch as much again for each."""
    async with open_socks(server(say(SIZED + b"x" * CUT, then="close"))) as fake:
        stage = Stage(fake, Client([NODE]))
        results = []

        async def one() -> None:
            results.append(await stage.probe())

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(one)

    assert [result.reason for result in results] == [Reason.TRUNCATED] * 10
    assert stage.asked.count("bulk.test") == 10
    assert stage.asked.count("past bulk.test") == 1


@pytest.mark.parametrize("line", [unheard, say(SHAKEN, then="close")])
async def test_our_own_line_blames_neither_node_nor_server(clock: MockClock, line: Play) -> None:
    """With our line broken, a cut says nothing at all, and the server is not called bad."""
    result, stage = await once(server(frozen, unheard, line=line))

    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.CONTROL_FAILED)
    assert stage.told == []


async def test_client_that_died_blames_nobody(clock: MockClock) -> None:
    """A client that ended under the bulk answer is our own trouble."""
    client = Client([NODE])

    async def die(stream: trio.SocketStream, _: First) -> None:
        await stream.send_all(SIZED + b"x" * CUT)
        client.ended = EngineFailed(Reason.ENGINE_EXIT, "killed")

    async with open_socks(server(die)) as fake:
        result = await Stage(fake, client).probe()

    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.ENGINE_EXIT)


async def test_stranger_on_our_port_blames_nobody(clock: MockClock) -> None:
    """Somebody else answers where our client did: neither node nor server is judged by that."""
    result, stage = await once(server(say(b"SSH-2.0-OpenSSH_9.6\r\n", then="close")))

    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.FOREIGN_PORT)
    assert stage.asked == ["small.test", "bulk.test"]


async def test_stranger_past_the_node_does_not_make_the_server_bad(clock: MockClock) -> None:
    """What fails on our own machine past the node says nothing about the bulk server."""
    stranger = say(b"SSH-2.0-OpenSSH_9.6\r\n", then="close")
    result, stage = await once(server(frozen, stranger, line=stranger))

    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.CONTROL_FAILED)
    assert stage.told == []


async def test_our_own_stall_blames_nobody(clock: MockClock) -> None:
    """A cut that was seen while our loop stood still does not count."""
    result, _ = await once(server(frozen), loop_late=lambda _: True)

    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.LOOP_LAG)


async def test_no_bulk_behind_a_failing_small_answer(clock: MockClock) -> None:
    """What fails already is not asked for more."""
    result, stage = await once(server(whole, small=say(SHAKEN, then="close")))

    assert (result.outcome, result.reason) == (Outcome.FAILURE, Reason.AUTH_OR_RESET)
    assert stage.asked == ["small.test", "past self.test"]


@pytest.mark.parametrize(("wanted", "url"), [(False, BULK), (True, None)])
async def test_bulk_is_asked_only_when_wanted(
    clock: MockClock, wanted: bool, url: str | None
) -> None:
    """An ordinary slot stays small, and so does every slot without a bulk URL."""
    async with open_socks(server(frozen)) as fake:
        stage = Stage(fake, Client([NODE]), bulk_url=url)
        result = await stage.probe(bulk=wanted)

    assert result.outcome is Outcome.SUCCESS
    assert stage.asked == ["small.test"]


async def test_request_asks_for_plain_bytes(clock: MockClock) -> None:
    """Compressed, a large file may be a small answer; otherwise the request is an ordinary one."""
    _, stage = await once(server(whole))

    head = stage.fake.firsts[1].rest.decode().lower()
    assert head.startswith("get /file http/1.1\r\n")
    assert "accept-encoding: identity\r\n" in head
    assert "user-agent: mozilla/5.0\r\n" in head


async def test_reading_stops_when_there_is_enough(clock: MockClock) -> None:
    """Of an endless answer no more is read than is wanted, and the connection is closed."""
    ended = trio.Event()

    async def endless(stream: trio.SocketStream, _: First) -> None:
        await stream.send_all(HEAD + b"\r\n")
        try:
            while True:
                await stream.send_all(b"x" * 4096)
        except trio.BrokenResourceError:
            ended.set()

    async with open_socks(server(endless)) as fake:
        result = await Stage(fake, Client([NODE])).probe()
        with trio.fail_after(1):
            await ended.wait()

    assert result.outcome is Outcome.SUCCESS


# --- https ------------------------------------------------------------------------------------

SECURE = "https://localhost/file"


@pytest.fixture(scope="module")
def made(xray: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server's context for localhost, and the certificate to trust it by."""
    return fakes.certificate(xray, tmp_path_factory.mktemp("localhost"))


@pytest.fixture(scope="module")
def other(xray: str, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """The context of somebody who is not trusted."""
    return fakes.certificate(xray, tmp_path_factory.mktemp("other"))[0]


def tls_answer(size: int) -> bytes:
    """What a server says behind the handshake, cut after so many bytes."""
    return SIZED.removeprefix(SHAKEN) + b"x" * size


async def test_https_comes_whole(clock: MockClock, made: tuple[ssl.SSLContext, Path]) -> None:
    """An https bulk URL is verified and read like any other."""
    play = server(say_tls(made[0], tls_answer(MOST)))
    result, stage = await once(play, bulk_url=SECURE, tls=check_tls(made[1]))

    assert result.outcome is Outcome.SUCCESS
    assert stage.told == [(True, "")]


@pytest.mark.parametrize("then", ["hold", "close"])
async def test_https_cut_is_truncated(
    clock: MockClock, made: tuple[ssl.SSLContext, Path], then: str
) -> None:
    """Within TLS a cut looks the same."""
    play = server(say_tls(made[0], tls_answer(CUT), then=then), say_tls(made[0], tls_answer(MOST)))
    result, _ = await once(play, bulk_url=SECURE, tls=check_tls(made[1]))

    assert (result.outcome, result.reason) == (Outcome.FAILURE, Reason.TRUNCATED)
    assert "16384 of 65536 bytes, then " in result.detail


async def test_https_cut_within_the_handshake_is_truncated(
    clock: MockClock,
    made: tuple[ssl.SSLContext, Path],
) -> None:
    """The server's first bytes came, so it is there; its certificate did not: that is a cut."""
    play = server(
        say(SHAKEN + b"\x16\x03\x03\x00\x7a\x02", then="close"),
        say_tls(made[0], tls_answer(MOST)),
    )
    result, _ = await once(play, bulk_url=SECURE, tls=check_tls(made[1]))

    assert (result.outcome, result.reason) == (Outcome.FAILURE, Reason.TRUNCATED)
    assert result.detail == "0 of 65536 bytes, then closed within TLS"


async def test_certificate_of_another_is_no_cut(
    clock: MockClock, made: tuple[ssl.SSLContext, Path], other: ssl.SSLContext
) -> None:
    """A block page behind the node is not the bulk server's answer, but it is no cut either."""
    play = server(say_tls(other, tls_answer(MOST)), say_tls(made[0], tls_answer(MOST)))
    result, _ = await once(play, bulk_url=SECURE, tls=check_tls(made[1]))

    assert result.outcome is Outcome.SUCCESS


async def test_server_with_a_wrong_certificate_is_told(
    clock: MockClock, made: tuple[ssl.SSLContext, Path], other: ssl.SSLContext
) -> None:
    """A bulk server whose certificate does not verify past the node either is unfit."""
    play = server(say_tls(other, tls_answer(MOST)), say_tls(other, tls_answer(MOST)))
    result, stage = await once(play, bulk_url=SECURE, tls=check_tls(made[1]))

    assert result.outcome is Outcome.SUCCESS
    assert [ok for ok, _ in stage.told] == [False]
    assert "certificate" in stage.told[0][1] or "self" in stage.told[0][1]
