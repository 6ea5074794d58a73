"""The direct check: our own line, without any engine."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from healthd.demo import checkurl
from healthd.demo.checkurl import CheckUrl
from healthd.probing.check_tls import check_tls
from healthd.probing.direct import DirectCheck
from tests import fakes

pytestmark = pytest.mark.usefixtures("no_descriptor_leaks")

TLS = check_tls(None)
DEADLINE = 0.2


@asynccontextmanager
async def open_servers(
    *answers: bytes | None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[list[CheckUrl]]:
    """A check-URL server for each answer."""
    async with trio.open_nursery() as nursery:
        servers = [CheckUrl(nursery, tls, answer) for answer in answers]
        for server in servers:
            await server.start()
        yield servers
        nursery.cancel_scope.cancel()


async def ask(
    *urls: str, expect: int = 204, tls: ssl.SSLContext = TLS, deadline: float = DEADLINE
) -> str | None:
    """Make the check."""
    with trio.fail_after(3):
        return await DirectCheck(urls, expect, deadline, tls)()


async def test_good_answer_is_good() -> None:
    """The expected status and nothing else: the line is there; the request is an ordinary one."""
    async with open_servers(checkurl.NO_CONTENT) as [server]:
        assert await ask(server.url, deadline=3) is None

    assert server.requests == 1


@pytest.mark.parametrize(
    ("answer", "expect", "words"),
    [
        (checkurl.OK_WITH_BODY, 204, "localhost answered 200"),
        (checkurl.REDIRECT, 204, "localhost answered 302"),
        (checkurl.LYING_BODY, 204, "localhost announced a body"),
        (checkurl.OK_WITH_BODY, 200, "localhost announced a body"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", 200, "localhost answered with a body"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            200,
            "localhost answered with a body",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 204, "localhost: "),
        (b"HTTP/1.1 204", 204, "localhost: "),
        (None, 204, "localhost: Server disconnected"),
    ],
)
async def test_everything_else_is_bad(answer: bytes | None, expect: int, words: str) -> None:
    """A portal's 200, redirect or body, or no HTTP at all, is as bad as none, and told in words."""
    async with open_servers(answer) as [server]:
        wrong = await ask(server.url, expect=expect, deadline=3)

    assert wrong is not None
    assert words in wrong
    assert "/generate_204" not in wrong


async def test_other_expected_status_is_good() -> None:
    """What counts is what the configuration expects."""
    async with open_servers(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as [server]:
        assert await ask(server.url, expect=200, deadline=3) is None


async def test_nobody_listening_is_bad() -> None:
    """A refused connection is told at once."""
    async with open_servers(checkurl.NO_CONTENT) as [server]:
        pass
    began = trio.current_time()
    wrong = await ask(server.url, deadline=3)

    assert wrong is not None
    assert wrong.startswith("localhost: ")
    assert trio.current_time() < began + 1


async def test_silence_is_bad_after_the_deadline() -> None:
    """The check ends with a probe's deadline, and leaves no connection open."""
    async with open_servers(checkurl.NO_CONTENT) as [server]:
        server.delay = 60
        began = trio.current_time()
        wrong = await ask(server.url)

    assert wrong == "localhost: no answer in 0.2 s"
    assert trio.current_time() - began == pytest.approx(DEADLINE, abs=DEADLINE / 2)


async def test_one_good_answer_is_enough() -> None:
    """The line is good when any URL answers, however dead or silent the others are."""
    async with open_servers(None, checkurl.NO_CONTENT, checkurl.NO_CONTENT) as servers:
        servers[1].delay = 60
        began = trio.current_time()
        assert await ask(*(server.url for server in servers), deadline=3) is None

    assert trio.current_time() < began + 1


async def test_all_that_is_wrong_is_told() -> None:
    """When all fail, each is named with what was wrong, in the order of the configuration."""
    async with open_servers(checkurl.REDIRECT, checkurl.OK_WITH_BODY) as servers:
        wrong = await ask(*(server.url for server in servers), deadline=3)

    assert wrong == "localhost answered 302; localhost answered 200"


async def test_nothing_secret_is_told() -> None:
    """A token in a URL's path or query stays there."""
    wrong = await ask("http://127.0.0.1:1/hidden/path?token=hidden")

    assert wrong is not None
    assert "hidden" not in wrong


async def test_proxy_of_the_host_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxies would make it a check of something else."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with open_servers(checkurl.NO_CONTENT) as [server]:
        assert await ask(server.url, deadline=3) is None


async def test_cancelled_check_leaves_nothing_open() -> None:
    """A reload or the end of the daemon may come at any moment."""
    async with open_servers(checkurl.NO_CONTENT) as [server]:
        server.delay = 60
        with trio.move_on_after(0.05) as scope:
            await ask(server.url, deadline=3)

    assert scope.cancelled_caught


@pytest.fixture(scope="module")
def made(xray: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server's context for localhost, and the certificate to trust it by."""
    return fakes.certificate(xray, tmp_path_factory.mktemp("localhost"))


async def test_https_is_verified(made: tuple[ssl.SSLContext, Path]) -> None:
    """With its own CA the answer counts, without it the certificate is told to be wrong."""
    context, trusted = made
    async with open_servers(checkurl.NO_CONTENT, tls=context) as [server]:
        assert await ask(server.url, tls=check_tls(trusted), deadline=3) is None
        wrong = await ask(server.url, deadline=3)

    assert wrong is not None
    assert "CERTIFICATE_VERIFY_FAILED" in wrong
