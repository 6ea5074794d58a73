"""Readers through a real nginx see one complete generation or the next, and never a stale 304."""

import base64
import hashlib
import json
import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest
import trio

from healthd.config import PublishConfig
from healthd.endpoints import Reality, Vless, fingerprint
from healthd.engines.dialect import Engine, EngineName
from healthd.engines.ports import reserve_port
from healthd.engines.program import programs
from healthd.fleet import links
from healthd.model import Node
from healthd.publishing.formats import render_all
from healthd.publishing.publisher import Clocks, Outcome, Publication
from healthd.publishing.verifying import asker
from healthd.verdict.decision import Decision, Mode

GENERATIONS = 200
KEY = "acaeUm7I44nRB-Qy2LNGxaxX60fRDdyNbxNlXkvlHlc"

CONFIG = """
daemon off; master_process off; pid {root}/pid; error_log stderr; {user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {root}; proxy_temp_path {root}; fastcgi_temp_path {root};
    uwsgi_temp_path {root}; scgi_temp_path {root};
    server {{ listen 127.0.0.1:{port} reuseport; root {public}; }}
}}
"""


def make_node(number: int) -> Node:
    endpoint = Vless(
        address="192.0.2.10",
        port=10_000 + number,
        user="b831381d-6324-4d53-ad4f-8cda48b30811",
        flow="xtls-rprx-vision",
        security=Reality(public_key=KEY, server_name="www.example.com", short_id="01"),
    )
    name = f"node-{number:04d}"
    return Node(id=name, name=name, endpoint=endpoint, fingerprint=fingerprint(endpoint))


@pytest.fixture
def nginx(tmp_path):
    """A real nginx on the publication's directory; gives its base URL."""
    binary = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if binary is None:
        pytest.skip("nginx is not installed (Debian: nginx-light)")
    public = tmp_path / "public"
    public.mkdir()
    with reserve_port() as held:
        port = held.getsockname()[1]
        user = f"user {pwd.getpwuid(os.getuid()).pw_name};" if os.getuid() == 0 else ""
        config = tmp_path / "nginx.conf"
        config.write_text(CONFIG.format(root=tmp_path, public=public, port=port, user=user))
        server = subprocess.Popen([binary, "-c", str(config), "-p", str(tmp_path)])
        try:
            _wait_for(f"http://127.0.0.1:{port}/")
            yield f"http://127.0.0.1:{port}", public
        finally:
            server.terminate()
            server.wait(10)


def _wait_for(url: str) -> None:
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(url)


class Reader:
    """Polls like many clients would: all files, with If-None-Match, as fast as it can."""

    def __init__(self, base: str) -> None:
        self.client = httpx.AsyncClient(base_url=base, trust_env=False)
        self.generations: dict[str, int] = {}  # sha256 -> generation
        self.known: dict[str, tuple[str, bytes]] = {}  # path -> ETag, body
        self.statuses: dict[int, int] = {}
        self.polls = 0

    async def fetch(self, path: str) -> bytes:
        """The file's present bytes, revalidated."""
        etag, body = self.known.get(path, ("", b""))
        answer = await self.client.get(path, headers={"If-None-Match": etag} if etag else {})
        self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
        if answer.status_code == 304:
            return body
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        self.known[path] = (answer.headers["etag"], answer.content)
        return answer.content

    async def generation(self, path: str) -> int:
        """Which generation the file belongs to; asserts that it is whole."""
        body = await self.fetch(path)
        digest = hashlib.sha256(body).hexdigest()
        assert digest in self.generations, f"{path}: not the bytes of any generation"
        if path == "/links.txt":
            lines = base64.b64decode(body).decode().splitlines()
            found = [links.parse(line) for line in lines if not line.startswith("#")]
            assert len(found) == 5
        else:
            assert len(json.loads(body)) >= 2
        return self.generations[digest]

    async def poll(self, publication: Publication) -> None:
        """Poll for ever; the three reads in a row must never go back in time."""
        while True:
            first = await self.generation("/links.txt")
            between = await self.generation("/xray.json")
            last = await self.generation("/links.txt")
            assert first <= between <= last
            self.polls += 1


async def test_200_generations_under_a_reader(xray, nginx):
    """Every body complete and valid, both files of one generation, never a stale 304."""
    base, public = nginx
    nodes = [make_node(number) for number in range(GENERATIONS + 5)]

    ask = asker(programs({EngineName.XRAY: Engine(xray, "")}, owner="test"), None)
    publication = Publication(
        PublishConfig(name="users", directory=public),
        "http://c.test/",
        ask,
        Clocks(time.time, time.monotonic),
    )
    publication.directory.prepare()
    publication.load()
    reader, checker = Reader(base), Reader(base)
    checker.generations = reader.generations
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            for number in range(1, GENERATIONS + 1):
                # All of the same size: only the time of modification changes nginx's ETag.
                order = tuple(nodes[number : number + 5])
                made = render_all(order, publication.config.formats, publication.about, floor=1)
                for document in made.documents.values():
                    reader.generations[hashlib.sha256(document).hexdigest()] = number
                if number == 2:
                    nursery.start_soon(reader.poll, publication)
                outcome = await publication.publish(Decision(mode=Mode.NORMAL, nodes=order))
                assert outcome is Outcome.PUBLISHED
                assert publication.published is not None
                assert publication.published.generation == number
                # Not one stale 304: revalidating right after the flip gives the new bytes.
                for path in ("/links.txt", "/xray.json"):
                    assert await checker.generation(path) == number
            nursery.cancel_scope.cancel()
    assert reader.polls > GENERATIONS / 4
    assert set(reader.statuses) <= {200, 304}
    assert checker.statuses == {200: 2 * GENERATIONS}
    await reader.client.aclose()
    await checker.client.aclose()
    assert len(list((public / ".generations").iterdir())) == 10
    assert _leftovers(public) == []


def _leftovers(public: Path) -> list[str]:
    return [str(path) for path in public.rglob("*.tmp")]
