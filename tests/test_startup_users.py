"""The users file as the daemon and the commands find it: all sound, or nothing changes."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from healthd import startup
from healthd.cli import cli
from healthd.config import Config, parse
from healthd.errors import ConfigError
from tests.builders import USER

TOKEN = "f3b1c7d9e0a24586f3b1c7d9e0a24586"
ANNA = f'[[users]]\nname = "anna"\ntoken = "{TOKEN}"\nuuid = "{USER}"\n'


def text_of(folder: Path, *, tiers: str = "") -> str:
    """A configuration with a users file."""
    return f"""
[users]
file = "{folder}/users.toml"
{tiers}
[paths]
state = "{folder}/state"
[[nodes]]
id = "de-1"
link = "vless://{USER}@192.0.2.10:443?security=none"
[[publish]]
name = "main"
directory = "{folder}/public"
"""


def config_of(folder: Path, users: str | None, *, tiers: str = "") -> Config:
    """The same, read; the users file beside it."""
    if users is not None:
        (folder / "users.toml").write_text(users)
        (folder / "users.toml").chmod(0o640)
    return parse(text_of(folder, tiers=tiers))


def test_users_are_read_with_the_tiers_of_the_configuration(tmp_path: Path) -> None:
    """What makes a Ground has them; without a file there is nobody."""
    config = config_of(tmp_path, f'{ANNA}tier = "gold"\n', tiers="tiers = { gold = [] }\n")

    (anna,) = startup.read_users(config)
    assert (anna.name, anna.token, anna.tier) == ("anna", TOKEN, "gold")
    assert startup.read_users(config.model_copy(update={"users": Config().users})) == ()
    ground = startup.prepare(config)
    assert ground.users is not None
    assert ground.users.tokens == {TOKEN}
    assert ground.users.tiers == {"gold": ()}


@pytest.mark.parametrize(
    ("users", "words"),
    [
        (None, "cannot be read: No such file or directory (users.file names it)"),
        ("", "users: there are none; add a [[users]] table with a name and a token"),
        (f'{ANNA}tier = "silver"\n', "users[0].tier: 'silver' is no tier of [users.tiers]: gold"),
    ],
)
def test_faulty_users_file_is_told_with_its_path(
    tmp_path: Path, users: str | None, words: str
) -> None:
    """And nothing is prepared: a reload changes nothing then."""
    config = config_of(tmp_path, users, tiers="tiers = { gold = [] }\n")
    with pytest.raises(ConfigError) as caught:
        startup.prepare(config)

    assert str(caught.value) == f"{tmp_path}/users.toml: {words}"
    assert not (tmp_path / "public").exists()


def test_file_that_is_no_text(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are told by their place."""
    config = config_of(tmp_path, ANNA)
    (tmp_path / "users.toml").write_bytes(b"[[users]]\xff")

    with pytest.raises(ConfigError, match=r"is not UTF-8: byte 9 \(users.file names it\)"):
        startup.read_users(config)


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o640, False), (None, False)])
def test_world_readable_users_file_is_warned_of(
    tmp_path: Path, mode: int | None, warned: bool
) -> None:
    """It holds everybody's credentials; that it is missing is told elsewhere."""
    path = tmp_path / "config.toml"
    path.write_text(text_of(tmp_path))
    path.chmod(0o640)
    config = config_of(tmp_path, None if mode is None else ANNA)
    if mode is not None:
        (tmp_path / "users.toml").chmod(mode)
    found = [each for each in startup.warnings(path, config) if "world-readable" in each]

    file = tmp_path / "users.toml"
    expected = f"{file} holds credentials and is world-readable; chmod o-r {file}"
    assert found == ([expected] if warned else [])


def test_check_config_reads_the_users(tmp_path: Path) -> None:
    """It counts them, or says what is wrong, without any secret."""
    path = tmp_path / "config.toml"
    path.write_text(text_of(tmp_path))
    (tmp_path / "public").mkdir()
    (tmp_path / "users.toml").write_text(ANNA)
    sound = CliRunner().invoke(cli, ["check-config", "-c", str(path)])
    (tmp_path / "users.toml").write_text(ANNA + ANNA)
    faulty = CliRunner().invoke(cli, ["check-config", "-c", str(path)])

    assert (sound.exit_code, faulty.exit_code) == (0, 2)
    assert ", 1 users, " in sound.output
    assert "users[1].token: is that of users[0] already" in faulty.output
    assert TOKEN not in sound.output + faulty.output


@pytest.mark.parametrize(
    ("credential", "tier", "words"),
    [
        (f'uuid = "{USER}"', "gold", None),
        ('password = "hunter2hunter2"', "gold", "de-1 needs a uuid, which the user has not"),
        (f'uuid = "{USER}"', "basic", "tier and tags allow none"),
    ],
)
def test_check_config_warns_of_users_without_nodes(
    tmp_path: Path, credential: str, tier: str, words: str | None
) -> None:
    """A user whom no node fits is named with the reason: nothing else would tell before he asks."""
    path = tmp_path / "config.toml"
    path.write_text(text_of(tmp_path, tiers='tiers = { gold = [], basic = ["basic"] }'))
    (tmp_path / "public").mkdir()
    user = f'[[users]]\nname = "anna"\ntoken = "{TOKEN}"\n{credential}\ntier = "{tier}"\n'
    (tmp_path / "users.toml").write_text(user)

    result = CliRunner().invoke(cli, ["check-config", "-c", str(path)])

    assert result.exit_code == 0
    told = [line for line in result.output.splitlines() if "gets no node" in line]
    assert told == ([f"warning: user 'anna' gets no node: {words}"] if words else [])
    assert "hunter2" not in result.output
