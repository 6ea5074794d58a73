"""`healthd render` and `healthd link`: what would be published; one node's link."""

import base64
import http.server
import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from healthd.cli import cli
from healthd.fleet import links
from healthd.sourcing.shelf import Kept, Shelf

USER = "b831381d-6324-4d53-ad4f-8cda48b30811"
OWN = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
TOKEN = "9f86d081884c7d659a2feaa0c55ad015"
HYSTERIA2 = "hysteria2://hunter2hunter2@192.0.2.9:443?sni=a.test#HY"


def vless(number: int) -> str:
    return f"vless://{USER}@192.0.2.{number}:443?type=tcp&security=none#N{number}"


def write(directory: Path, *, listen: str = "127.0.0.1:1", extra: str = "") -> Path:
    """A configuration of nodes n1 (failover), n2 (primary) and n3, and two publications."""
    nodes = "".join(
        f'[[nodes]]\nid = "n{number}"\nlink = "{vless(number)}"\n'
        f'role = "{"primary" if number == 2 else "failover"}"\ntags = ["t{number}"]\n'
        for number in (1, 2, 3)
    )
    path = directory / "config.toml"
    path.touch(0o600)
    path.write_text(
        f'[paths]\nstate = "{directory}/state"\n[http]\nlisten = "{listen}"\n{nodes}'
        f'[[publish]]\nname = "all"\ndirectory = "{directory}/public"\ntitle = "VPN"\n'
        f'[[publish]]\nname = "some"\ndirectory = "{directory}/some"\nselect = ["t1", "t3"]\n'
        f'formats = ["links"]\nlimit = 1\n{extra}'
    )
    return path


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def addresses(document: bytes) -> list[str]:
    """The last numbers of the addresses in a list of links, in order."""
    lines = base64.b64decode(document).decode().splitlines()
    found = [links.parse(line)[0] for line in lines if not line.startswith("#")]
    return [each.address.rpartition(".")[2] for each in found]


@pytest.fixture
def daemon() -> Iterator[tuple[str, dict[str, list[str]]]]:
    """What stands for a running daemon: its API, with the order that the test gives."""
    orders: dict[str, list[str]] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = [{"name": name, "nodes": nodes} for name, nodes in orders.items()]
            body = json.dumps({"publications": found}).encode()
            self.send_response(200 if self.path == "/api/v1/status" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", orders
        server.shutdown()


class TestRender:
    def test_without_a_daemon(self, tmp_path):
        """All nodes in failover order, and it says so; nothing but the document on stdout."""
        path = write(tmp_path)

        result = invoke(
            *("render", "-c", path, "--publication", "all", "--format", "links"),
        )

        assert result.exit_code == 0
        assert addresses(result.stdout_bytes) == ["2", "1", "3"]
        assert "no daemon answers" in result.stderr
        assert USER not in result.stderr

    def test_in_the_order_of_the_daemon(self, tmp_path, daemon):
        """What the daemon publishes, in its order; a node that is not known here is told."""
        listen, orders = daemon
        orders |= {"all": ["n3", "gone", "n2"], "some": []}
        path = write(tmp_path, listen=listen)

        result = invoke("render", "-c", path, "--publication", "all", "--format", "links")

        assert addresses(result.stdout_bytes) == ["3", "2"]
        assert result.stderr == "healthd: not known here, so left out: gone\n"

    def test_selection_and_limit(self, tmp_path):
        """A publication's own selection and limit hold."""
        path = write(tmp_path)

        result = invoke("render", "-c", path, "--publication", "some", "--format", "links")

        assert addresses(result.stdout_bytes) == ["1"]

    def test_directories(self, tmp_path):
        """Every file of every publication, for the owner only; the publication is left alone."""
        path = write(tmp_path)

        result = invoke("render", "-c", path, "-o", tmp_path / "out")

        found = {str(file.relative_to(tmp_path / "out")): file for file in walk(tmp_path / "out")}
        assert (result.exit_code, result.stdout) == (0, "")
        assert set(found) == {
            *("all/links.txt", "all/clash.yaml", "all/sing-box.json", "all/xray.json"),
            "some/links.txt",
        }
        assert {file.stat().st_mode & 0o777 for file in found.values()} == {0o600}
        assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
        assert not (tmp_path / "public").exists()
        assert not (tmp_path / "some").exists()

    def test_one_publication_into_a_directory(self, tmp_path):
        """A single publication's files lie in the directory itself; again means anew."""
        path = write(tmp_path)
        for _ in range(2):
            result = invoke(
                *("render", "-c", path, "--publication", "some", "-o", tmp_path / "out")
            )
            assert result.exit_code == 0

        assert [file.name for file in walk(tmp_path / "out")] == ["links.txt"]

    @pytest.mark.parametrize("place", ["public", "public/x", "some"])
    def test_never_into_a_publication(self, tmp_path, place):
        """Nothing is written where users download."""
        result = invoke("render", "-c", write(tmp_path), "-o", tmp_path / place)

        assert result.exit_code == 2
        assert "choose another one" in result.stderr
        assert not list(walk(tmp_path / place))

    def test_a_format_that_cannot_express_enough(self, tmp_path):
        """Which node is left out of which file, and why; too few of them: exit code 1."""
        tuic = f"tuic://{USER}:hunter2@192.0.2.9:443?sni=a.test#T"
        path = write(tmp_path)
        path.write_text(path.read_text().replace(vless(1), tuic).replace(vless(3), tuic + "2"))

        result = invoke("render", "-c", path, "--publication", "all", "--format", "xray")

        assert (result.exit_code, result.stdout) == (1, "")
        assert "all/xray.json: without n1: " in result.stderr
        assert "all/xray.json: not rendered: " in result.stderr
        assert "hunter2" not in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            ((), "say either --format FORMAT or -o DIRECTORY"),
            (("--format", "links", "-o", "x"), "say either --format FORMAT or -o DIRECTORY"),
            (("--format", "links"), "say which --publication; there are: all, some"),
            (("--format", "links", "--publication", "x"), "no publication 'x'; there are: all"),
            (("-o", "/proc/x"), "/proc/x: cannot be made: "),
            (("-o", "x", "--user", "ann"), "the configuration has no users.file"),
        ],
    )
    def test_usage(self, tmp_path, arguments, why):
        """What is missing or makes no sense is told."""
        result = invoke("render", "-c", write(tmp_path), *arguments)

        assert result.exit_code == 2
        assert why in result.stderr

    def test_user(self, tmp_path):
        """A user's files: his nodes, with his credentials; the probes' are not in them."""
        (tmp_path / "users.toml").write_text(
            f'[[users]]\nname = "ann"\ntoken = "{TOKEN}"\nuuid = "{OWN}"\ntier = "basic"\n'
        )
        users = (
            f'[users]\nfile = "{tmp_path}/users.toml"\ntiers = {{ basic = ["t2", "t3", "hy"] }}\n'
        )
        hysteria2 = f'[[nodes]]\nid = "hy"\nlink = "{HYSTERIA2}"\ntags = ["hy"]\n'
        path = write(tmp_path, extra=users + hysteria2)
        asked = ("render", "-c", path, "--publication", "all", "--format", "links")

        result = invoke(*asked, "--user", "ann")
        nobody, unknown = invoke(*asked), invoke(*asked, "--user", "bob")

        assert addresses(result.stdout_bytes) == ["2", "3"]
        assert OWN in base64.b64decode(result.stdout_bytes).decode()
        assert USER not in base64.b64decode(result.stdout_bytes).decode()
        assert "without hy: it needs a password" in result.stderr
        assert (nobody.exit_code, unknown.exit_code) == (2, 2)
        assert "say --user" in nobody.stderr
        assert "no user 'bob'" in unknown.stderr
        assert TOKEN not in result.stderr + nobody.output + unknown.output
        (tmp_path / "users.toml").unlink()
        assert "users.toml: cannot be read: No such file" in invoke(*asked, "--user", "ann").stderr


class TestSources:
    SOURCE = '[[sources]]\nname = "panel"\nurl = "http://127.0.0.1:1/sub/hunter2"\n'

    def test_nodes_of_sources(self, tmp_path):
        """What a source gave last is part of the fleet, without asking it anew."""
        path = write(tmp_path, extra=self.SOURCE)
        Shelf(tmp_path / "state" / "sources").put(
            "panel", Kept(f"{vless(7)}\n{vless(1)}".encode(), 0.0, nodes=2)
        )

        result = invoke("render", "-c", path, "--publication", "all", "--format", "links")

        assert addresses(result.stdout_bytes) == ["2", "1", "3", "7"]
        assert "missing" not in result.stderr

    @pytest.mark.parametrize("body", [None, b"no answer", b"{}\n"])
    def test_a_source_that_gave_nothing(self, tmp_path, body):
        """Its nodes are missing, and that is told; its URL is not."""
        path = write(tmp_path, extra=self.SOURCE)
        if body is not None:
            (tmp_path / "state" / "sources").mkdir(parents=True)
            (tmp_path / "state" / "sources" / "panel.kept").write_bytes(body)

        result = invoke("render", "-c", path, "--publication", "all", "--format", "links")

        assert addresses(result.stdout_bytes) == ["2", "1", "3"]
        assert "the nodes of source 'panel' are missing here" in result.stderr
        assert "hunter2" not in result.stderr


class TestLink:
    def test_nothing_but_the_link(self, tmp_path):
        """The node's link on stdout, with the name that users see; no code off a terminal."""
        result = invoke("link", "n1", "-c", write(tmp_path))

        (line,) = result.stdout.splitlines()
        assert links.parse(line) == (links.parse(vless(1))[0], "n1")
        assert (result.exit_code, result.stderr) == (0, "")

    def test_unknown_node(self, tmp_path):
        """What there is is told."""
        result = invoke("link", "x", "-c", write(tmp_path))

        assert result.exit_code == 2
        assert "no node 'x'; there are: n2, n1, n3" in result.stderr

    def test_code_on_stderr(self, tmp_path):
        """Asked for, the code is shown, and stdout holds the link alone."""
        result = invoke("link", "n1", "--qr", "-c", write(tmp_path))

        assert len(result.stdout.splitlines()) == 1
        assert "█" in result.stderr or "▀" in result.stderr

    def test_code_on_a_terminal(self, tmp_path):
        """On a terminal the code is there by itself; --no-qr leaves it out."""
        path = write(tmp_path)

        assert len(on_terminal("link", "n1", "-c", path).splitlines()) > 10
        assert len(on_terminal("link", "n1", "--no-qr", "-c", path).splitlines()) == 1

    def test_images(self, tmp_path):
        """Images are for their owner only, and replace nothing."""
        asked = ("link", "n1", "-c", write(tmp_path), "--png", tmp_path / "a.png")

        result = invoke(*asked, "--svg", tmp_path / "a.svg")
        again = invoke(*asked)

        assert result.exit_code == 0
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (tmp_path / "a.svg").read_bytes()
        assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o600
        assert again.exit_code == 2
        assert "is there already" in again.stderr

    def test_a_link_that_fits_no_code(self, tmp_path):
        """It is said how long it is; the link is printed all the same."""
        path = write(tmp_path)
        path.write_text(path.read_text().replace("security=none", f"security=none&x={'y' * 3000}"))

        result = invoke("link", "n1", "--qr", "-c", path)

        assert result.exit_code == 2
        assert len(result.stdout.splitlines()) == 1
        assert "too long for a QR code" in result.stderr
        assert USER not in result.stderr


def on_terminal(*arguments: object) -> str:
    """What the command shows on a terminal."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "healthd", *map(str, arguments)],
        stdout=follower,
        stderr=follower,
        stdin=subprocess.DEVNULL,
    ) as process:
        os.close(follower)
        shown = b""
        try:
            while part := os.read(leader, 65536):
                shown += part
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(leader)
        assert process.wait(30) == 0
    return shown.decode().strip()


def walk(directory: Path) -> Iterator[Path]:
    return (path for path in sorted(directory.rglob("*")) if path.is_file())
