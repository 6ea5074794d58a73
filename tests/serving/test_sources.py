"""Sources on the API and on the command line, over real sockets."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click.testing
import httpx
import pytest
import trio

from healthd import startup
from healthd.cli import cli
from healthd.errors import SourceError
from healthd.serving.control import Control
from healthd.serving.server import serve
from healthd.serving.sources import routes, shown
from healthd.sourcing.status import Fetch, LeftOut, Status
from tests.test_overriding import Stage

BAD = Status(
    name="panel",
    where="panel.example.com",
    why="the answer is an HTML page",
    last_success=1_800_000_000.0,
    nodes=2,
    entries={"taken": 2, "malformed": 1},
    left_out=(LeftOut("line 3", "port: is missing"),),
    fetches={Fetch.REFUSED: 1},
    acceptable=True,
)
SHOWN = {
    "name": "panel",
    "where": "panel.example.com",
    "ok": False,
    "why": "the answer is an HTML page",
    "nodes": 2,
    "last_success": "2027-01-15T08:00:00Z",
    "entries": {"taken": 2, "malformed": 1},
    "problems": [{"where": "line 3", "why": "port: is missing"}],
    "fetches": {"refused": 1},
    "acceptable": True,
}


def test_shown():
    """All that people need, and nothing secret."""
    assert shown(BAD) == SHOWN
    never = shown(Status(name="new", where="x"))
    assert (never["ok"], never["last_success"], never["problems"]) == (True, None, [])


@pytest.fixture
def config(tmp_path) -> Path:
    """A configuration whose control socket lies in a folder of the test's own."""
    path = tmp_path / "config.toml"
    path.write_text(
        f'[control]\nsocket = "{tmp_path}/control.sock"\n'
        '[[sources]]\nname = "panel"\nurl = "http://127.0.0.1:9/SECRET"\n'
        f'[[publish]]\nname = "users"\ndirectory = "{tmp_path}/public"\n'
    )
    return path


@asynccontextmanager
async def served(config: Path, accept) -> AsyncIterator[Path]:
    """A control socket as the daemon serves it."""
    path = startup.read_config(config).control.socket
    with startup.bind_control(path) as listener:
        async with trio.open_nursery() as nursery:
            control = Control(Stage().overriding, more=routes(accept))
            await nursery.start(serve, control.application(), listener)
            yield path
            nursery.cancel_scope.cancel()


async def say(config: Path, *words: str) -> click.testing.Result:
    """Run a command beside the socket's server."""
    arguments = [*words, "-c", str(config)]
    runner = click.testing.CliRunner()
    return await trio.to_thread.run_sync(lambda: runner.invoke(cli, arguments))


class TestAccept:
    async def test_taken(self, config, monkeypatch):
        """The answer is taken in the name of who says so; told are the nodes before and now."""
        monkeypatch.setenv("SUDO_USER", "alice")
        asked = []

        async def accept(name, author):
            asked.append((name, author))
            return 8, 4

        async with served(config, accept):
            plain = await say(config, "source", "accept", "panel")
            as_json = await say(config, "source", "accept", "panel", "--json")

        assert (plain.exit_code, plain.stdout) == (0, "panel: 4 nodes, 8 before\n")
        assert json.loads(as_json.stdout) == {"name": "panel", "nodes_before": 8, "nodes": 4}
        assert asked == [("panel", "alice")] * 2

    async def test_nothing_to_take(self, config):
        """Why it cannot be is told in words, with exit code 1."""

        async def accept(name, author):
            raise SourceError(name, "the answer is an HTML page: there is nothing to accept")

        async with served(config, accept):
            said = await say(config, "source", "accept", "panel")

        words = "the answer is an HTML page: there is nothing to accept"
        assert (said.exit_code, said.stderr) == (1, f"healthd: source 'panel': {words}\n")

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b'{"name": "panel"}', "author: Field required"),
            (b'{"name": "panel", "author": "a", "force": true}', "force: Extra inputs"),
            (b"nonsense", "Expecting value"),
        ],
    )
    async def test_other_requests(self, config, body, words):
        """What no command of ours would send is refused with words."""

        async def accept(name, author):
            raise AssertionError("never asked")

        async with served(config, accept) as path:
            transport = httpx.AsyncHTTPTransport(uds=str(path))
            async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
                url = "http://healthd/api/v1/sources/accept"
                answer = await client.post(url, content=body)

        assert answer.status_code == 400
        assert words in answer.json()["error"]
