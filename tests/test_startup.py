"""What the machine must offer: each lack has its own message, with the key and the mend."""

import json
import os
import socket

import pytest

from healthd import startup
from healthd.config import parse
from healthd.errors import ConfigError, StartupError

LINK = "vless://u@127.0.0.1:1?type=tcp"


def config(tmp_path, probe=""):
    return parse(
        f'[probe]\n{probe}\n[[nodes]]\nid = "a"\nlink = "{LINK}"\n'
        f'[[publish]]\nname = "users"\ndirectory = "{tmp_path}/public"\n'
    )


def test_unreadable_config(tmp_path):
    """Missing, a directory, or not text: the path and the cause."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, why in (
        ("none", "cannot be read: No such file or directory"),
        ("", "cannot be read: Is a directory"),
        ("binary", "is not UTF-8: byte 0"),
    ):
        with pytest.raises(ConfigError, match=why):
            startup.read_config(tmp_path / name)


def write_including(tmp_path, *names):
    path = tmp_path / "config.toml"
    path.touch(0o600)
    path.write_text(
        f"include = {json.dumps(names)}\n"
        f'[[publish]]\nname = "users"\ndirectory = "{tmp_path}/public"\n'
    )
    return path


def test_included_files(tmp_path):
    """Beside the file or anywhere; read anew each time; readable by all is warned about."""
    path = write_including(tmp_path, "nodes.toml", str(tmp_path / "more" / "nodes.toml"))
    (tmp_path / "more").mkdir()
    for place, name in ((tmp_path, "a"), (tmp_path / "more", "b")):
        (place / "nodes.toml").touch(0o600)
        (place / "nodes.toml").write_text(f'[[nodes]]\nid = "{name}"\nlink = "{LINK}"\n')

    found = startup.read_config(path)
    assert [node.id for node in found.fleet()] == ["a", "b"]
    assert list(startup.warnings(path, found)) == ["nodes 'a' and 'b' are the same endpoint"]

    (tmp_path / "more" / "nodes.toml").chmod(0o644)
    (tmp_path / "nodes.toml").write_text(f'[[nodes]]\nid = "c"\nlink = "{LINK}"\n')
    again = startup.read_config(path)
    assert [node.id for node in again.fleet()] == ["c", "b"]
    assert f"{tmp_path}/more/nodes.toml holds credentials" in "".join(startup.warnings(path, again))


def test_included_files_that_cannot_be_read(tmp_path):
    """Missing, or not text: all of them at once, with where they were looked for."""
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(ConfigError) as refused:
        startup.read_config(write_including(tmp_path, "none.toml", "binary"))
    assert [str(problem) for problem in refused.value.problems] == [
        f"include[0]: {tmp_path}/none.toml cannot be read: No such file or directory",
        f"include[1]: {tmp_path}/binary is not UTF-8: byte 0",
    ]


def test_state_directory(tmp_path):
    """It is made with its parents, for us alone; what stands in the way is named."""
    os.close(startup.claim_state(tmp_path / "a" / "state"))
    assert (tmp_path / "a" / "state").stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match=r"paths\.state: cannot use .*file/state"):
        startup.claim_state(tmp_path / "file" / "state")


def test_one_daemon_per_state(tmp_path):
    """The second one is refused, until the first has ended."""
    lock = startup.claim_state(tmp_path)
    with pytest.raises(StartupError, match="another healthd is running"):
        startup.claim_state(tmp_path)
    os.close(lock)
    os.close(startup.claim_state(tmp_path))


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_bind(host):
    """IPv4 and IPv6; a port that is taken, and an address that is not ours."""
    try:
        listener = startup.bind(f"{host}:0")
    except StartupError:
        if host != "[::1]":
            raise
        pytest.skip("no IPv6 on loopback here")
    with listener:
        port = listener.getsockname()[1]
        with pytest.raises(StartupError, match="Address already in use; stop what uses it"):
            startup.bind(f"{host}:{port}")


def test_bind_elsewhere():
    """An address of another machine (TEST-NET) cannot be listened on."""
    with pytest.raises(StartupError, match=r"http\.listen: cannot listen on 192\.0\.2\.1:0"):
        startup.bind("192.0.2.1:0")
    assert socket.has_ipv6 in {True, False}


@pytest.mark.parametrize(
    ("content", "why"), [(None, "cannot read"), ("no certificate", "holds no PEM certificate")]
)
def test_ca_file(tmp_path, content, why):
    """A CA file that is missing or holds none."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(StartupError, match=rf"probe\.ca_file: .*{why}|probe\.ca_file: {why}"):
        startup.load_tls(config(tmp_path, f'ca_file = "{path}"'))


def test_directories(tmp_path):
    """Looking makes nothing; a file in the way is told with the key."""
    sound = config(tmp_path)
    startup.check_directories(sound)
    assert not (tmp_path / "public").exists()
    startup.prepare_directories(sound)
    assert (tmp_path / "public").is_dir()
    (tmp_path / "public" / ".generations").rmdir()
    (tmp_path / "public").rmdir()
    (tmp_path / "public").write_text("")
    for look in (startup.check_directories, startup.prepare_directories):
        with pytest.raises(StartupError, match=r"publish\[0\]\.directory: cannot write"):
            look(sound)


def test_warnings(tmp_path):
    """Legal but hardly meant: readable by all, the same endpoint twice, one check URL."""
    path = tmp_path / "config.toml"
    path.touch(0o644)
    path.chmod(0o644)
    made = parse(
        f'[probe]\nurls = ["http://a.test/"]\n[[nodes]]\nid = "a"\nlink = "{LINK}"\n'
        f'[[nodes]]\nid = "b"\nlink = "{LINK}#other"\n'
        f'[[publish]]\nname = "users"\ndirectory = "{tmp_path}"\n'
    )
    found = list(startup.warnings(path, made))
    assert len(found) == 3
    assert "world-readable" in found[0]
    assert found[1] == "nodes 'a' and 'b' are the same endpoint"
    assert "one check URL" in found[2]
    path.chmod(0o640)
    assert list(startup.warnings(path, config(tmp_path))) == []
