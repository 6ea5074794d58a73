"""Fetching one answer: whole and within its limits, or a reason in words that tell no secret."""

import gzip
import os
import ssl
import tracemalloc
import zlib

import pytest
import trio

from healthd.config import SourceConfig
from healthd.errors import SourceError
from healthd.sourcing.fetching import REDIRECTS, Answer, fetch, where
from tests.fakes import certificate
from tests.panels import answer, ok, open_panel

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
BODY = b"vless://one\nvless://two\n"


def config(panel, **changes):
    """A source at this panel."""
    return SourceConfig(**({"name": "panel", "url": panel.url} | changes))


async def refused(panel, etag="", **changes) -> str:
    """Why an answer was not taken; asserts that no secret is in the words."""
    with pytest.raises(SourceError) as why:
        await fetch(config(panel, **changes), TLS, etag)
    words = str(why.value)
    assert "SECRET" not in words
    return words.removeprefix("source 'panel': ")


class TestAnswers:
    async def test_body_and_etag(self):
        """A good answer is its body, and the server's name for it."""
        async with open_panel(ok(BODY, 'ETag: "one"')) as panel:
            assert await fetch(config(panel), TLS) == Answer(BODY, '"one"')

    async def test_gzip(self):
        """What was asked to be packed is unpacked."""
        packed = gzip.compress(BODY)
        async with open_panel(ok(packed, "Content-Encoding: gzip")) as panel:
            assert await fetch(config(panel), TLS) == Answer(BODY)

    async def test_not_modified(self):
        """304 says that we have it; the ETag of what we have was sent along."""
        async with open_panel(answer(304)) as panel:
            assert await fetch(config(panel), TLS, '"one"') is None
            assert panel.header("if-none-match") == ['"one"']

    async def test_not_modified_unasked(self):
        """304 to somebody who has nothing is no answer."""
        async with open_panel(answer(304)) as panel:
            assert await refused(panel) == "127.0.0.1: answers 304"
            assert panel.header("if-none-match") == [None]

    async def test_what_is_sent(self):
        """The source's user agent and its header; nothing of the surroundings."""
        async with open_panel(ok(BODY)) as panel:
            source = config(panel, user_agent="v2rayN/7.0", header="X-Key: SECRET")
            await fetch(source, TLS)
            assert panel.header("user-agent") == ["v2rayN/7.0"]
            assert panel.header("x-key") == ["SECRET"]
            assert panel.header("accept-encoding") == ["gzip"]

    async def test_proxy_of_the_surroundings(self, monkeypatch):
        """A proxy that the surroundings name has no say."""
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        async with open_panel(ok(BODY)) as panel:
            assert await fetch(config(panel), TLS) == Answer(BODY)

    @pytest.mark.parametrize("etag", ["tab\there", "ü", "x" * 2000])
    async def test_etag_that_cannot_be_sent_back(self, etag):
        """Such an ETag is left; the body is good all the same."""
        async with open_panel(answer(200, f"ETag: {etag}") + BODY) as panel:
            assert await fetch(config(panel), TLS) == Answer(BODY)


class TestStatus:
    @pytest.mark.parametrize(
        ("status", "words"),
        [
            (204, "answers 204"),
            (401, "answers 401: it wants other credentials; check the source's header"),
            (404, "answers 404: there is nothing at this URL; check the source's url"),
            (429, "answers 429: it was asked too often; raise the source's refresh"),
            (500, "answers 500"),
        ],
    )
    async def test_other_than_200(self, status, words):
        """Whatever such an answer holds, it is not taken for a subscription."""
        async with open_panel(answer(status) + (b"" if status == 204 else BODY)) as panel:
            assert await refused(panel) == f"127.0.0.1: {words}"


class TestRedirects:
    async def test_followed(self):
        """A redirect is followed, relative ones too."""

        async def say(stream, head):
            moved = answer(302, "Location: /moved", "Content-Length: 0")
            await stream.send_all(ok(BODY) if head.startswith("GET /moved ") else moved)

        async with open_panel(say) as panel:
            assert await fetch(config(panel, header="X-Key: SECRET"), TLS) == Answer(BODY)
            assert panel.header("x-key") == ["SECRET", "SECRET"]

    async def test_other_host_learns_no_header(self):
        """Another server gets neither the operator's header nor the first one's URL."""
        async with open_panel(ok(BODY)) as other, open_panel() as panel:
            panel.says = answer(301, f"Location: http://localhost:{other.port}/x")
            source = config(panel, header="X-Key: SECRET")
            assert await fetch(source, TLS) == Answer(BODY)
            assert other.header("x-key") == [None]
            assert "SECRET" not in other.asked[0]

    async def test_no_end(self):
        """Those that lead in a circle end."""
        async with open_panel(answer(302, "Location: /again")) as panel:
            assert await refused(panel) == f"127.0.0.1: more than {REDIRECTS} redirects"
            assert len(panel.asked) == REDIRECTS + 1

    async def test_behind_one(self):
        """What is wrong behind a redirect is told as that; the other host is not named."""
        async with open_panel(answer(500)) as other, open_panel() as panel:
            panel.says = answer(302, f"Location: http://localhost:{other.port}/SECRET")
            assert await refused(panel) == "127.0.0.1: behind its redirect: answers 500"

    @pytest.mark.parametrize(
        "to",
        ["mailto:SECRET", "https:SECRET", "x:y:z", "http://xn--SECRET.example/", "//xn--zz-99/"],
    )
    async def test_to_what_httpx_cannot_read(self, to):
        """Whatever the Location says, it is a failure of this source, told without quoting it."""
        async with open_panel(answer(302, f"Location: {to}", "Content-Length: 0")) as panel:
            why = await refused(panel)

        assert why == "127.0.0.1: the answer leads to a URL that cannot be used"

    @pytest.mark.parametrize("to", ["ftp://127.0.0.1/SECRET", "file:///etc/passwd"])
    async def test_other_scheme(self, to):
        """Only http and https are asked."""
        async with open_panel(answer(302, f"Location: {to}")) as panel:
            words = "leads to an unencrypted or foreign URL, which is not followed"
            assert await refused(panel) == f"127.0.0.1: {words}"

    @pytest.mark.parametrize(
        "to",
        [
            "http://[SECRET",
            "http://127.0.0.1:99999/SECRET",
            "http://SECRET:SECRET@127.0.0.1/",
            "http://127.0.0.1:port/",
        ],
    )
    async def test_no_url(self, to):
        """What is no URL is not followed, and not quoted."""
        async with open_panel(answer(302, f"Location: {to}")) as panel:
            assert (await refused(panel)).endswith("leads to a URL that cannot be used")
            assert len(panel.asked) == 1


class TestTls:
    async def test_never_back_to_http(self, xray, tmp_path):
        """From https no redirect leads to an unencrypted URL; https itself is verified."""
        server, trusted = certificate(xray, tmp_path)

        async def serve(stream):
            secure = trio.SSLStream(stream, server, server_side=True, https_compatible=True)
            try:
                await secure.receive_some(65536)
                await secure.send_all(answer(302, "Location: http://localhost:1/SECRET"))
                await secure.aclose()
            except (trio.BrokenResourceError, ssl.SSLError):
                pass  # it does not trust us

        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, serve, listeners)
            port = listeners[0].socket.getsockname()[1]
            source = SourceConfig(name="panel", url=f"https://localhost:{port}/SECRET")
            for tls, words in (
                (
                    ssl.create_default_context(cafile=str(trusted)),
                    "leads to an unencrypted or foreign URL, which is not followed",
                ),
                (TLS, "the certificate does not verify: self-signed certificate"),
            ):
                with pytest.raises(SourceError) as why:
                    await fetch(source, tls)
                assert why.value.why == f"localhost: {words}"
            nursery.cancel_scope.cancel()


class TestLimits:
    TOO_LARGE = "127.0.0.1: the answer is larger than max_bytes = 20000; raise it if that is meant"

    async def test_announced(self):
        """An answer that announces too much is not even read."""

        async def say(stream, _):
            await stream.send_all(answer(200, "Content-Length: 50000000"))
            await trio.sleep_forever()

        async with open_panel(say) as panel:
            assert await refused(panel, max_bytes=20_000) == self.TOO_LARGE

    async def test_unannounced(self):
        """One that does not say how long it is ends at the limit: 50 MB are never held."""
        sent = 0

        async def say(stream, _):
            nonlocal sent
            await stream.send_all(answer(200))
            for _ in range(800):
                await stream.send_all(b"x" * 65536)
                sent += 65536

        async with open_panel(say) as panel:
            assert await refused(panel, max_bytes=20_000) == self.TOO_LARGE
        assert sent < 50_000_000

    @pytest.mark.parametrize("layers", [1, 2])
    async def test_gzip_bomb(self, layers):
        """50 MB in 50 kB are never unpacked; layers within each other are not even begun."""
        bomb = gzip.compress(b"0" * 50_000_000)
        for _ in range(layers - 1):
            bomb = gzip.compress(bomb)
        encoding = ", ".join(["gzip"] * layers)
        async with open_panel(ok(bomb, f"Content-Encoding: {encoding}")) as panel:
            tracemalloc.start()
            try:
                words = await refused(panel, max_bytes=200_000)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
        if layers == 1:
            assert words == self.TOO_LARGE.replace("20000", "200000")
        else:
            assert "packed in a way that was not asked for" in words
        assert peak < 2_000_000

    async def test_exactly_the_limit(self):
        """So much is allowed, packed or not."""
        body = os.urandom(512).hex().encode() * 2
        assert len(body) == 2048
        async with open_panel(ok(body)) as panel:
            assert await fetch(config(panel, max_bytes=2048), TLS) == Answer(body)
            panel.says = ok(gzip.compress(body), "Content-Encoding: gzip")
            assert await fetch(config(panel, max_bytes=2048), TLS) == Answer(body)


class TestBroken:
    async def test_drip(self):
        """A drip that is never silent for long ends at the deadline for the whole."""

        async def say(stream, _):
            await stream.send_all(answer(200, "Content-Length: 10000"))
            while True:
                await stream.send_all(b"x")
                await trio.sleep(0.05)

        async with open_panel(say) as panel:
            began = trio.current_time()
            words = await refused(panel, timeout="300ms")
            assert words == "127.0.0.1: no whole answer in 0.3 s"
            assert trio.current_time() - began < 3

    async def test_short(self):
        """Less than was announced is not the whole."""
        async with open_panel(answer(200, "Content-Length: 100") + BODY) as panel:
            assert await refused(panel) == "127.0.0.1: the answer ended early"

    @pytest.mark.parametrize("cut", [1, 9, 30])
    async def test_short_gzip(self, cut):
        """Nor is something packed that has no end, even if its length is unknown."""
        packed = gzip.compress(BODY * 50)[:-cut]
        async with open_panel(answer(200, "Content-Encoding: gzip") + packed) as panel:
            assert await refused(panel) == "127.0.0.1: the answer ended early"

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (BODY, "the answer cannot be unpacked"),
            (zlib.compress(BODY), "the answer cannot be unpacked"),
            (gzip.compress(BODY) + BODY, "the answer holds something behind its end"),
        ],
    )
    async def test_unsound_gzip(self, body, words):
        """What is not what it says it is is not taken."""
        async with open_panel(ok(body, "Content-Encoding: gzip")) as panel:
            assert await refused(panel) == f"127.0.0.1: {words}"

    @pytest.mark.parametrize(
        ("says", "words"),
        [
            (b"", "the connection was closed without an answer"),
            (b"SSH-2.0-SECRET\r\n\r\n", "the answer is not sound HTTP"),
            (b"HTTP/1.1 200 OK\r\nSECRET\r\n\r\n", "the answer is not sound HTTP"),
            (ok(BODY, "Content-Encoding: br"), "packed in a way that was not asked for"),
        ],
    )
    async def test_not_http(self, says, words):
        """What cannot be understood is told in our words, not in its own."""
        async with open_panel(says) as panel:
            assert words in await refused(panel)

    async def test_nobody_there(self):
        """A refused connection is told as the system tells it."""
        async with open_panel() as panel:
            pass
        assert await refused(panel) == "127.0.0.1: Connection refused"

    async def test_no_descriptor_leaks(self, no_descriptor_leaks):
        """Whatever goes wrong, nothing stays open."""
        async with open_panel(answer(200, "Content-Length: 100") + BODY) as panel:
            await refused(panel)
            panel.says = answer(200) + b"x" * 100_000
            await refused(panel, max_bytes=20_000)


class TestFiles:
    def source(self, path, **changes):
        """A source that is a file."""
        return SourceConfig(**({"name": "file", "file": path, "max_bytes": 2048} | changes))

    async def test_read(self, tmp_path):
        """A file is an answer as it is."""
        path = tmp_path / "nodes.txt"
        path.write_bytes(BODY)
        assert await fetch(self.source(path), TLS) == Answer(BODY)
        assert where(self.source(path)) == str(path)

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda path: None, "No such file or directory"),
            (lambda path: path.mkdir(), "is no regular file"),
            (os.mkfifo, "is no regular file"),
            (
                lambda path: path.write_bytes(b"x" * 2049),
                "is larger than max_bytes = 2048; raise it if that is meant",
            ),
        ],
    )
    async def test_unusable(self, tmp_path, make, words):
        """Whatever else lies there is told; a pipe without a writer holds nobody up."""
        path = tmp_path / "nodes.txt"
        make(path)
        with trio.fail_after(10), pytest.raises(SourceError) as why:
            await fetch(self.source(path), TLS)
        assert why.value.why == f"{path}: {words}"
