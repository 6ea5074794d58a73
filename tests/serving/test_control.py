"""The control socket and the commands that use it: over a real socket, by the real command line."""

import json
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import click.testing
import httpx
import pytest
import structlog
import trio

from healthd import startup
from healthd.cli import cli
from healthd.errors import StartupError
from healthd.model import AdminMode
from healthd.serving.control import Control
from healthd.serving.server import serve
from healthd.serving.words import MOST
from tests.fakes import as_nobody
from tests.test_overriding import Stage

LINK = "vless://b831381d-6324-4d53-ad4f-8cda48b30811@192.0.2.10:443?security=none"


@pytest.fixture
def config(tmp_path) -> Path:
    """A configuration whose control socket lies in a folder of the test's own."""
    path = tmp_path / "config.toml"
    path.write_text(
        f'[control]\nsocket = "{tmp_path}/run/control.sock"\n'
        f'[[nodes]]\nid = "hk-1"\nlink = "{LINK}"\n'
        f'[[publish]]\nname = "users"\ndirectory = "{tmp_path}/public"\n'
    )
    return path


@asynccontextmanager
async def served(config: Path, stage: Stage) -> AsyncIterator[Path]:
    """The control socket of a stage, as the daemon serves it."""
    path = startup.read_config(config).control.socket
    with startup.bind_control(path) as listener, structlog.testing.capture_logs():
        async with trio.open_nursery() as nursery:
            application = Control(stage.overriding, stage.wall).application()
            await nursery.start(serve, application, listener)
            yield path
            nursery.cancel_scope.cancel()


async def say(config: Path, *words: str) -> click.testing.Result:
    """Run a command beside the socket's server."""
    runner = click.testing.CliRunner()
    arguments = [words[0], "-c", str(config), *words[1:]]
    return await trio.to_thread.run_sync(lambda: runner.invoke(cli, arguments))


async def ask(path: Path, what: str, body: bytes) -> httpx.Response:
    """Send a request as no command of ours would."""
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        return await client.post(f"http://healthd/api/v1/{what}", content=body)


class TestCommands:
    async def test_drain_and_resume(self, config):
        """What was said holds at once, and the answer tells for which nodes."""
        stage = Stage()
        async with served(config, stage):
            drained = await say(config, "drain", "hk-*", "--reason", "moving")
            modes = stage.modes()
            resumed = await say(config, "resume", "hk-1", "--reason", "moved")

        assert (drained.exit_code, drained.stdout) == (0, "drain: hk-1, hk-2\n")
        assert modes == {"hk-1": AdminMode.DRAIN, "hk-2": AdminMode.DRAIN}
        assert (resumed.exit_code, resumed.stdout) == (0, "enabled: hk-1\n")
        assert stage.modes() == {"hk-2": AdminMode.DRAIN}

    @pytest.mark.parametrize(
        ("command", "mode"),
        [
            ("drain", AdminMode.DRAIN),
            ("maintain", AdminMode.MAINTENANCE),
            ("force-up", AdminMode.FORCE_UP),
            ("force-down", AdminMode.FORCE_DOWN),
        ],
    )
    async def test_every_mode(self, config, command, mode, monkeypatch):
        """Each command has its mode; the one behind sudo is its author."""
        monkeypatch.setenv("SUDO_USER", "alice")
        stage = Stage()
        async with served(config, stage):
            said = await say(config, command, "hk-1", "--for", "2h", "--reason", "r", "--json")

        told = json.loads(said.stdout)
        assert (said.exit_code, told["nodes"], told["kept"]) == (0, ["hk-1"], True)
        (laid,) = stage.overriding.laid
        assert (laid.mode, laid.author, laid.reason) == (mode, "alice", "r")
        assert laid.expires is not None
        assert laid.expires - laid.created == pytest.approx(7200.0, abs=5)

    async def test_several_nodes(self, config):
        """Several patterns in one command are as many overrides."""
        stage = Stage()
        async with served(config, stage):
            said = await say(config, "drain", "hk-1", "jp-1", "--reason", "r")

        assert said.exit_code == 0
        assert set(stage.modes()) == {"hk-1", "jp-1"}

    async def test_default_times(self, config):
        """A drain stays until it is resumed, everything else ends after four hours."""
        stage = Stage()
        async with served(config, stage):
            await say(config, "drain", "hk-1", "--reason", "r")
            await say(config, "force-up", "hk-2", "--reason", "r")

        drain, force = stage.overriding.laid
        assert drain.expires is None
        assert force.expires == pytest.approx(force.created + 4 * 3600)

    async def test_below_the_floor(self, config):
        """Refused with exit code 1 and the way to insist; insisting works."""
        stage = Stage()
        async with served(config, stage):
            refused = await say(config, "drain", "*", "--reason", "r")
            modes = stage.modes()
            insisted = await say(config, "drain", "*", "--reason", "r", "--allow-below-floor")

        assert refused.exit_code == 1
        assert "below its floor of 2; use --allow-below-floor to insist" in refused.stderr
        assert (modes, insisted.exit_code) == ({}, 0)
        assert len(stage.modes()) == 4

    async def test_unknown_node(self, config):
        """Exit code 2, and near names."""
        async with served(config, Stage()):
            said = await say(config, "drain", "hk1", "--reason", "r")

        assert said.exit_code == 2
        assert "no node matches 'hk1'; did you mean hk-1" in said.stderr

    async def test_store_that_does_not_work(self, config):
        """The operator is told that a restart would forget it."""
        stage = Stage()
        stage.keeps = False
        async with served(config, stage):
            said = await say(config, "drain", "hk-1", "--reason", "r")

        assert said.exit_code == 0
        assert "not kept: the store does not work; a restart forgets it" in said.stderr

    async def test_too_long(self, config):
        """A week is the most; the words say so."""
        async with served(config, Stage()):
            said = await say(config, "force-down", "hk-1", "--for", "8d", "--reason", "r")

        assert said.exit_code == 2
        assert "at most 7 days" in said.stderr

    @pytest.mark.parametrize("words", [("drain", "hk-1"), ("drain", "--reason", "r")])
    async def test_usage(self, config, words):
        """No reason, or no node: a usage error before anybody is asked."""
        said = await say(config, *words)

        assert said.exit_code == 2
        assert "Usage:" in said.stderr

    async def test_bad_duration(self, config):
        """A slip in --for is told with an example."""
        said = await say(config, "drain", "hk-1", "--for", "2 hours", "--reason", "r")

        assert said.exit_code == 2
        assert 'such as "30s", "250ms" or "1h30m"' in said.stderr

    async def test_daemon_not_running(self, config):
        """No socket: said so, with its path."""
        said = await say(config, "drain", "hk-1", "--reason", "r")

        assert said.exit_code == 2
        assert "healthd is not running with this configuration: there is no" in said.stderr

    async def test_daemon_that_died(self, config):
        """A socket that a killed daemon left: somebody should look."""
        startup.bind_control(startup.read_config(config).control.socket).close()
        said = await say(config, "drain", "hk-1", "--reason", "r")

        assert said.exit_code == 2
        assert "healthd has died: nobody listens on" in said.stderr


class TestRequests:
    @pytest.mark.parametrize(
        ("what", "body", "words"),
        [
            ("overrides", b"no json", "Expecting value"),
            ("overrides", b"[]", "valid dictionary"),
            ("overrides", b'{"pattern": "a", "author": "x"}', "mode: Field required"),
            ("overrides", b'{"pattern": "a", "author": "x", "mode": "up"}', "mode: Input should"),
            ("resume", b'{"pattern": "", "author": "x"}', "pattern: String should have at least"),
            ("resume", b'{"pattern": "a", "author": "x", "extra": 1}', "extra: Extra inputs"),
            ("resume", b"\xff", "'utf-8' codec can't decode"),
            ("resume", b" " * (MOST + 1), f"of at most {MOST} bytes"),
        ],
    )
    async def test_bad_ones(self, config, what, body, words):
        """Whatever is sent, the answer is 400 with what is wrong, and nothing changes."""
        stage = Stage()
        async with served(config, stage) as path:
            answer = await ask(path, what, body)

        assert answer.status_code == 400
        assert words in answer.json()["error"]
        assert stage.overriding.laid == ()

    async def test_list(self, config):
        """What is in force can be read there as well."""
        stage = Stage()
        async with served(config, stage) as path:
            await say(config, "drain", "hk-1", "--reason", "moving")
            transport = httpx.AsyncHTTPTransport(uds=str(path))
            async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
                (shown,) = (await client.get("http://healthd/api/v1/overrides")).json()

        assert (shown["pattern"], shown["mode"], shown["reason"]) == ("hk-1", "drain", "moving")
        assert shown["created"].endswith("Z")
        assert shown["expires"] is None


class TestSocket:
    def test_mode(self, tmp_path):
        """For the user and the group, from the first moment on."""
        with startup.bind_control(tmp_path / "run" / "c.sock"):
            mode = stat.S_IMODE((tmp_path / "run" / "c.sock").stat().st_mode)

        assert mode == 0o660

    def test_stale_one_gives_way(self, tmp_path):
        """What a killed daemon left is in nobody's way."""
        path = tmp_path / "c.sock"
        startup.bind_control(path).close()
        assert path.is_socket()

        startup.bind_control(path).close()

    def test_one_in_use(self, tmp_path):
        """Somebody listens there: that is not taken away from him."""
        path = tmp_path / "c.sock"
        with (
            startup.bind_control(path),
            pytest.raises(StartupError, match="another process listens on it"),
        ):
            startup.bind_control(path)

    def test_something_else_in_its_place(self, tmp_path):
        """A file is not removed."""
        path = tmp_path / "c.sock"
        path.write_text("mine")
        with pytest.raises(StartupError, match=r"control\.socket: cannot listen on"):
            startup.bind_control(path)

        assert path.read_text() == "mine"

    def test_directory_of_somebody_else(self, locked: Path):
        """The mend is named."""
        with as_nobody(), pytest.raises(StartupError, match="make its directory writable"):
            startup.bind_control(locked / "run" / "c.sock")

    @pytest.fixture
    def locked(self, tmp_path) -> Iterator[Path]:
        """A directory that others may enter, but not write."""
        for part in (tmp_path, *tmp_path.parents[:2]):
            part.chmod(0o755)
        yield tmp_path
        tmp_path.chmod(0o700)
