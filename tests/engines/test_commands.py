"""What the commands say of two engines, or of one."""

import json
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from healthd import oneshot, startup
from healthd.cli import cli
from healthd.config import Config, parse
from healthd.demo.fleet import open_fleet
from healthd.engines.dialect import EngineName
from healthd.errors import StartupError
from healthd.model import Outcome
from tests.engines.scripts import SING_BOX, make_script
from tests.fakes import make_node

USER = "b831381d-6324-4d53-ad4f-8cda48b30811"
TUIC = f"tuic://{USER}:s3cret-password@127.0.0.1:1?sni=node.test&alpn=h3#t"
VLESS = f"vless://{USER}@127.0.0.1:1?type=tcp&security=none#v"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def write(folder: Path, engines: str = "", *, url: str = "http://127.0.0.1:1/204") -> Path:
    """Two nodes, one for each engine."""
    path = folder / "config.toml"
    path.touch(0o600)
    path.write_text(
        f"""
[paths]
state = "{folder}/state"
[probe]
deadline = "2s"
urls = ["{url}"]
[engines]
{engines}
[[publish]]
name = "users"
directory = "{folder}/public"
[[nodes]]
id = "v"
link = "{VLESS}"
[[nodes]]
id = "t"
link = "{TUIC}"
"""
    )
    return path


def config_of(path: Path) -> Config:
    return parse(path.read_text(), str(path))


def test_engines_tells_both(xray, sing_box):
    """Name, version and place of each, for people and for programs."""
    result = invoke("engines", "-c", "/none.toml")
    found = json.loads(invoke("engines", "-c", "/none.toml", "--json").output)

    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == ["xray", "sing-box"]
    assert found["xray"]["path"] == xray
    assert found["sing-box"]["path"] == sing_box


def test_engines_without_sing_box(cache, xray):
    """It may be missing: said on stderr, with what will not work and how to get it."""
    result = invoke("engines", "-c", write(cache, f'xray = "{xray}"'), "--json")

    assert result.exit_code == 0
    assert list(json.loads(result.stdout)) == ["xray"]
    assert "TUIC cannot be probed" in result.stderr
    assert "run 'healthd engines install', or set engines.sing_box to its path" in result.stderr


def test_check_config_asks_both(tmp_path, xray, sing_box):
    """Both are named in the verdict."""
    result = invoke("check-config", "-c", write(tmp_path))

    assert "Xray 26" in result.output
    assert "sing-box 1." in result.output
    assert result.exit_code == 0


def test_check_config_without_sing_box(cache, xray):
    """The node that needs it is named, with what would help; nothing secret is."""
    result = invoke("check-config", "-c", write(cache, f'xray = "{xray}"'))

    assert result.exit_code == 2
    assert "node 't': no sing-box here, which this node needs; run " in result.output
    assert "node 'v'" not in result.output
    assert "s3cret" not in result.output


def test_probe_of_a_link_needs_sing_box_for_tuic(cache, xray):
    """`probe --link` says the same as the daemon would, as the node's result."""
    config = write(cache, f'xray = "{xray}"')
    result = invoke("probe", "-c", config, "--json", "--link", TUIC)

    (row,) = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (row["outcome"], row["reason"]) == ("failure", "engine_rejected")
    assert "run 'healthd engines install'" in row["detail"]
    assert "s3cret" not in result.output


async def test_probe_through_both_engines(xray, sing_box):
    """One batch, a node of each engine: both carry it, by a certificate that is ours."""
    kinds = {"t": "tuic", "v": "vless-reality-vision"}
    with trio.fail_after(20):
        async with open_fleet(xray, list(kinds), sing_box=sing_box, kinds=kinds) as fleet:
            config = config_of(
                write(
                    fleet.directory,
                    f'ca_file = "{fleet.ca_file}"',
                    url=fleet.checks[0].url,
                )
            )
            nodes = [make_node(name, server.endpoint) for name, server in fleet.servers.items()]
            results = await oneshot.probe(
                nodes, config, startup.prepare_engines(config), lambda: None
            )

    assert [(node.id, result.outcome) for node, result in results] == [
        (node.id, Outcome.SUCCESS) for node in nodes
    ]


@pytest.mark.parametrize(
    ("content", "why"), [(None, "cannot read"), ("no certificate", "holds no PEM certificate")]
)
def test_authorities_that_cannot_be_used(tmp_path, content, why):
    """``engines.ca_file`` is looked at before anything starts; the key is named."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    config = config_of(write(tmp_path, f'ca_file = "{path}"'))

    with pytest.raises(StartupError, match=rf"engines\.ca_file: .*{why}|engines\.ca_file: {why}"):
        startup.prepare_engines(config)


def test_ground_has_xray_and_perhaps_sing_box(cache, xray):
    """What the daemon stands on."""
    config = config_of(write(cache, f'xray = "{xray}"'))
    alone = startup.prepare(config)
    make_script(cache / "bin" / "sing-box", SING_BOX)
    both = startup.prepare(config)

    assert alone.engine.path == xray
    assert list(alone.engines) == [EngineName.XRAY]
    assert list(both.engines) == [EngineName.XRAY, EngineName.SING_BOX]


async def test_refused_names_each_engine(tmp_path, xray, sing_box):
    """A sound fleet is refused by nobody."""
    config = config_of(write(tmp_path))
    engines = startup.prepare_engines(config)

    assert await oneshot.refused(config.fleet(), config, engines) == {}
    assert await oneshot.refused([make_node("x")], config, engines) == {}
