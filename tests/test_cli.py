"""The command line: clear messages, exit codes of the contract, data only on stdout."""

import fcntl
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from healthd import __version__
from healthd.cli import cli
from healthd.demo.fleet import open_fleet
from healthd.demo.running import start_daemon, write_config
from healthd.sourcing.shelf import Kept, Shelf

USER = "b831381d-6324-4d53-ad4f-8cda48b30811"
LINK = f"vless://{USER}@127.0.0.1:1?type=tcp&security=none#a"


def write(directory: Path, *, extra: str = "", **change: str) -> Path:
    """A small sound configuration, with some text of it replaced."""
    text = f"""
[paths]
state = "{directory}/state"
[http]
listen = "127.0.0.1:0"
[[publish]]
name = "users"
directory = "{directory}/public"
[[nodes]]
id = "a"
link = "{LINK}"
{extra}
"""
    for old, new in change.items():
        text = text.replace(f"{old} = ", f"{new} = ")
    path = directory / "config.toml"
    path.touch(0o600)
    path.write_text(text)
    return path


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def run_healthd(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the real command; it is expected to give up by itself."""
    return subprocess.run(
        [sys.executable, "-m", "healthd", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_version():
    """--version tells the package's version."""
    assert __version__ in invoke("--version").output


@pytest.mark.parametrize("command", ["run", "check-config", "probe", "status"])
def test_missing_file(tmp_path, command):
    """A missing configuration file: its path, and exit code 2."""
    result = invoke(command, "-c", tmp_path / "none.toml")
    assert result.exit_code == 2
    assert result.output == (
        f"healthd: {tmp_path}/none.toml: cannot be read: No such file or directory\n"
    )


def test_toml_syntax(tmp_path):
    """A syntax error: line and column."""
    path = tmp_path / "config.toml"
    path.write_text("[probe]\ninterval = 30s\n")
    result = invoke("run", "-c", path)
    assert result.exit_code == 2
    assert "config.toml: not TOML:" in result.output
    assert "line 2" in result.output


def test_all_faults_at_once(tmp_path):
    """Every fault is told in one go, each at its key, and no link is quoted."""
    path = write(tmp_path, extra='rol = "x"\n[[nodes]]\nid = "a"\nlink = "vless://u@h:0?type=tcp"')
    result = invoke("check-config", "-c", path)
    assert result.exit_code == 2
    assert "nodes[0].rol: unknown key; did you mean 'role'?" in result.output
    assert "nodes[1].link: malformed link, port: must be a number" in result.output
    assert "nodes[1].id: 'a' is already taken by nodes[0]" in result.output
    assert USER not in result.output


def test_directory_that_cannot_be_written(tmp_path, xray):
    """A publication below a plain file: which key, which path, and the mend."""
    (tmp_path / "public").write_text("a file")
    for command in ("run", "check-config"):
        done = run_healthd(command, "-c", write(tmp_path))
        assert done.returncode == 2
        assert "publish[0].directory: cannot write" in done.stderr
        assert "set another one" in done.stderr


def test_no_engine(tmp_path):
    """No Xray: how to get one."""
    path = write(tmp_path, extra='[engines]\nxray = "/nowhere/xray"')
    for command in ("run", "check-config", "probe"):
        result = invoke(command, "-c", path)
        assert result.exit_code == 2
        assert "run 'healthd engines install'" in result.output


def test_port_in_use(tmp_path, xray):
    """A taken HTTP address: which key, which address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = write(tmp_path)
        path.write_text(path.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        done = run_healthd("run", "-c", path)
    assert done.returncode == 2
    assert f"http.listen: cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr


def test_second_daemon_on_the_same_state(tmp_path, xray):
    """Two daemons would publish against each other: the second one gives up."""
    path = write(tmp_path)
    (tmp_path / "state").mkdir()
    with (tmp_path / "state" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run_healthd("run", "-c", path)
    assert done.returncode == 2
    assert "another healthd is running" in done.stderr


def test_check_config_sound(tmp_path, xray):
    """A sound file: one line, exit code 0; the world-readable one is warned about."""
    path = write(tmp_path)
    result = invoke("check-config", "-c", path)
    assert result.exit_code == 0
    assert "sound; 1 nodes, 1 publications, Xray" in result.output
    path.chmod(0o644)
    assert "world-readable" in invoke("check-config", "-c", path).output
    assert not (tmp_path / "public").exists()  # looking changes nothing


def test_check_config_asks_the_engine(tmp_path, xray):
    """A node that Xray refuses is named with Xray's words, without its secrets."""
    bad = "vless://" + USER + "@127.0.0.1:1?type=tcp&security=reality&pbk=AAAA&sid=zz"
    path = write(tmp_path, extra=f'[[nodes]]\nid = "bad"\nlink = "{bad}"')
    result = invoke("check-config", "-c", path)
    assert result.exit_code == 2
    assert "node 'bad': Xray refuses it" in result.output
    assert "AAAA" not in result.output


def test_probe_unknown_node(tmp_path, xray):
    """A node that is not in the file: usage error, with the nodes there are."""
    result = invoke("probe", "-c", write(tmp_path), "nobody")
    assert result.exit_code == 2
    assert "there are: a" in result.output


def test_probe_malformed_link(tmp_path, xray):
    """A malformed --link: which part; the link is not repeated."""
    result = CliRunner().invoke(cli, ["probe", "--link", "-"], input="vless://secret@h?type=tcp")
    assert result.exit_code == 2
    assert "--link: malformed link, " in result.output
    assert "secret" not in result.output


def test_status_without_daemon(tmp_path):
    """Status without a daemon: says so."""
    path = write(tmp_path)
    path.write_text(path.read_text().replace("127.0.0.1:0", "127.0.0.1:1"))
    result = invoke("status", "-c", path)
    assert result.exit_code == 2
    assert "no healthd answers on 127.0.0.1:1" in result.output


def test_engines(xray):
    """Engines tells what is found, for people and for programs."""
    assert invoke("engines").output.startswith("xray ")
    found = json.loads(invoke("engines", "--json").output)
    assert set(found["xray"]) == {"path", "version"}


async def test_probe_nodes_of_a_source(xray, tmp_path):
    """What a source gave last is probed too, all at once or by id; its panel is not asked."""
    with trio.fail_after(60):
        async with open_fleet(xray, ["a"], checks=1) as fleet:
            config = write_config(fleet, tmp_path)
            with config.open("a") as file:
                file.write('\n[[sources]]\nname = "panel"\nurl = "http://127.0.0.1:1/"\n')
            fleet.add("b")
            await fleet.start("b")
            body = fleet.servers["b"].link.encode()
            Shelf(tmp_path / "state" / "sources").put("panel", Kept(body, 0.0, nodes=1))

            async def probed(*names: str) -> list[Any]:
                words = ("probe", "-c", str(config), "--json", *names)
                answer = await trio.to_thread.run_sync(lambda: run_healthd(*words))
                assert answer.returncode == 0
                return json.loads(answer.stdout)

            own, from_source = await probed()
            assert own["id"] == "a"
            assert from_source["id"].startswith("panel-")
            (alone,) = await probed(from_source["id"])
            assert (alone["id"], alone["outcome"]) == (from_source["id"], "success")


async def test_probe_and_status_of_a_fleet(xray, tmp_path):
    """Probe and status: table or JSON, exit code 1 when a node does not carry traffic."""
    with trio.fail_after(60):
        async with open_fleet(xray, ["a", "b"], checks=1) as fleet:
            config = write_config(fleet, tmp_path)
            link = fleet.servers["a"].link

            async def call(*arguments: str) -> subprocess.CompletedProcess[str]:
                return await trio.to_thread.run_sync(lambda: run_healthd(*arguments))

            well = await call("probe", "-c", str(config), "--json")
            assert well.returncode == 0
            assert [(r["id"], r["outcome"]) for r in json.loads(well.stdout)] == [
                ("a", "success"),
                ("b", "success"),
            ]
            alone = await call("probe", "-c", str(config), "--link", link)
            assert alone.returncode == 0
            await fleet.kill("b")
            ill = await call("probe", "-c", str(config), "b")
            assert ill.returncode == 1
            assert "refused" in ill.stdout
            async with start_daemon(config) as daemon:
                listen = (await daemon.wait_event("daemon_started"))["listen"]
                config.write_text(config.read_text().replace("127.0.0.1:0", listen))
                await daemon.wait_event("node_up", node="a")
                shown = await call("status", "-c", str(config))
                assert shown.returncode == 1  # b is not in service
                assert "users: generation" in shown.stdout
                rows = json.loads((await call("status", "-c", str(config), "--json")).stdout)
                assert [node["id"] for node in rows["nodes"]] == ["a", "b"]
                ready = await daemon.get("/readyz")
                alive = await daemon.get("/healthz")
                assert alive.status_code == 200
                assert ready.status_code in {200, 503}
                said = json.dumps(rows) + (await daemon.get("/metrics")).text
                assert not [
                    s for n in fleet.servers.values() for s in n.endpoint.secrets() if s in said
                ]
