"""`healthd import`: foreign text becomes [[nodes]] tables; nothing lost, shown or overwritten."""

import base64
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from healthd.cli import cli, importing
from healthd.cli.imported import Harvest, slug, tables, text_of
from healthd.config import parse_included
from healthd.endpoints import fingerprint
from healthd.errors import ConfigError
from healthd.fleet import links
from healthd.fleet.naming import clean_name
from healthd.fleet.reading import Entry, Outcome, Reading
from healthd.model import Role
from tests.strategies import any_endpoint

USER = "b831381d-6324-4d53-ad4f-8cda48b30811"


def vless(host: str, name: str = "") -> str:
    return f"vless://{USER}@{host}:443?type=tcp&security=none#{name}"


def invoke(*arguments: object, text: str = "") -> Result:
    return CliRunner().invoke(cli, ["import", *map(str, arguments)], input=text)


def nodes_in(text: str) -> dict[str, str]:
    """Id -> address, by the rules of an included file."""
    return {n.id: n.node().endpoint.address for n in parse_included(text, "x.toml")}


def entries(*names: str) -> list[Entry]:
    made = [links.parse(vless(f"192.0.2.{number}"))[0] for number in range(1, len(names) + 1)]
    return [Entry(each, name, "") for each, name in zip(made, names, strict=True)]


def ids(found: list[Entry], taken: tuple[str, ...] = (), prefix: str = "") -> list[str]:
    made = tables(found, taken=taken, prefix=prefix, role=Role.FAILOVER, tags=())
    return [table["id"] for table in made]


class TestIds:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("Germany 1", "germany-1"),
            ("🇩🇪 Frankfurt | REALITY", "de-frankfurt-reality"),
            ("Zürich", "zurich"),
            ("  --a__b..c--  ", "a__b..c"),
            ("香港", ""),
            ("🚀", ""),
            ("", ""),
        ],
    )
    def test_slug(self, name, expected):
        """A name in an id's letters: accents off, flags as countries, the rest as dashes."""
        assert expected == slug(name)

    def test_nameless(self):
        """Without a usable name, it is named by where it is."""
        assert ids(entries("香港", "")) == ["vless-192.0.2.1-443", "vless-192.0.2.2-443"]

    def test_shared_name(self):
        """Nodes of one name get a part of their fingerprint, so that no order changes an id."""
        found = entries("A", "a", "b")
        marks = [fingerprint(each.endpoint)[:6] for each in found]

        there, back = ids(found), ids(found[::-1])

        assert there == [f"a-{marks[0]}", f"a-{marks[1]}", "b"]
        assert there == back[::-1]

    def test_taken(self):
        """An id that is taken, by whatever, is left alone."""
        (one,) = entries("a")
        mark = fingerprint(one.endpoint)
        taken = ("a", f"a-{mark[:6]}", f"a-{mark}", f"a-{mark}-2")

        assert [ids([one], taken[:n])[0] for n in range(5)] == [*taken, f"a-{mark}-3"]

    @given(
        st.lists(st.tuples(any_endpoint, st.text()), max_size=6),
        st.sampled_from(["", "p-", "p" * 32]),
    )
    @settings(max_examples=100)
    def test_whatever_is_found_can_be_included(self, found, prefix):
        """Any nodes of any names become a file that healthd reads back as the same nodes."""
        unique = {fingerprint(e): Entry(e, clean_name(name), "") for e, name in found}
        everyone = list(unique.values())
        made = list(tables(everyone, taken=(), prefix=prefix, role=Role.PRIMARY, tags=["x"]))

        back = parse_included(text_of(made), "x.toml")

        assert [node.id for node in back] == [table["id"] for table in made]
        assert all(node.id.startswith(prefix) and node.tags == ("x",) for node in back)
        assert [node.node().endpoint for node in back] == [
            each.endpoint for each in unique.values()
        ]

    def test_longest_link(self):
        """One node with long keys does not cost all others the import."""
        long = links.parse(f"trojan://{'%25' * 8000}@192.0.2.9:443")[0]
        made = list(tables([Entry(long, "", "")], taken=(), prefix="", role=Role.FAILOVER, tags=()))

        assert len(made[0]["link"]) > 24_000
        assert parse_included(text_of(made), "x.toml")[0].node().endpoint == long

    def test_names_stay_as_users_know_them(self):
        """Emoji that are joined of several stay whole, as they do in a source."""
        result = invoke("-", text=vless("192.0.2.1", "👨‍👩‍👧 DE"))

        (node,) = parse_included(result.stdout, "x.toml")
        assert (node.id, node.name) == ("de", "👨‍👩‍👧 DE")

    def test_harvest_takes_each_node_once(self):
        """What an earlier input held, or the target, is a duplicate in a later one."""
        one, two = entries("a", "b")
        harvest = Harvest({fingerprint(one.endpoint)})

        for label in ("x", "y"):
            harvest.add(label, Reading((one, two)))

        assert harvest.entries == [two]
        assert harvest.counts[Outcome.DUPLICATE] == 3


class TestInputs:
    def test_all_kinds_at_once(self, tmp_path):
        """Files, links and standard input, plain or base64; what is there twice is taken once."""
        (tmp_path / "a.txt").write_text(vless("192.0.2.1", "One") + "\n")
        coded = base64.b64encode(f"{vless('192.0.2.2', 'Two')}\n{vless('192.0.2.1')}".encode())

        result = invoke(tmp_path / "a.txt", "-", vless("192.0.2.3", "3"), text=coded.decode())

        assert nodes_in(result.stdout) == {"one": "192.0.2.1", "two": "192.0.2.2", "3": "192.0.2.3"}
        assert "3 taken, 1 duplicate, 0 unsupported, 0 malformed" in result.stderr
        assert result.exit_code == 0

    def test_what_could_not_be_taken(self):
        """Each is told with its place and why, without its secrets; the others are taken: 1."""
        text = f"{vless('192.0.2.1', 'a')}\nwireguard://hunter2@h:1\n{vless('h', 'b')[:30]}\n"

        result = invoke("-", text=text)

        assert nodes_in(result.stdout) == {"a": "192.0.2.1"}
        assert "standard input, line 2: unsupported: " in result.stderr
        assert "standard input, line 3: malformed: " in result.stderr
        assert "1 taken, 0 duplicate, 1 unsupported, 1 malformed" in result.stderr
        assert not [secret for secret in ("hunter2", USER[:13]) if secret in result.stderr]
        assert result.exit_code == 1

    @pytest.mark.parametrize("text", ["<html>hunter2</html>", "", "vless://hunter2"])
    def test_nothing_usable(self, tmp_path, text):
        """No node in it at all: 2, and no file is made."""
        result = invoke("-", "-o", tmp_path / "n.toml", text=text)

        assert result.exit_code == 2
        assert "0 taken" in result.stderr
        assert "hunter2" not in result.output
        assert list(tmp_path.iterdir()) == []

    def test_a_file_that_is_not_there(self, tmp_path):
        """One unusable input among others is told, and they are taken."""
        result = invoke(tmp_path / "none", "-", text=vless("192.0.2.1", "a"))

        assert f"{tmp_path}/none: cannot be read: No such file or directory" in result.stderr
        assert "1 inputs unusable" in result.stderr
        assert nodes_in(result.stdout) == {"a": "192.0.2.1"}
        assert result.exit_code == 1

    def test_a_directory(self, tmp_path):
        """What is no file is told."""
        result = invoke(tmp_path)

        assert (result.exit_code, result.stdout) == (2, "")
        assert f"{tmp_path}: is no regular file" in result.stderr

    def test_endless_input(self, monkeypatch):
        """Standard input is read up to a limit."""
        monkeypatch.setattr(importing, "_MOST_BYTES", 100)

        result = invoke("-", text=vless("192.0.2.1", "a" * 100))

        assert result.exit_code == 2
        assert "standard input: is larger than 100 bytes" in result.stderr

    def test_url(self, panel):
        """A URL is fetched as sources are; its path is a secret, and in no message."""
        url, answers = panel
        answers["/sub/hunter2"] = vless("192.0.2.1", "a").encode()

        good, bad = invoke(f"{url}/sub/hunter2"), invoke(f"{url}/sub/hunter3")

        assert (good.exit_code, nodes_in(good.stdout)) == (0, {"a": "192.0.2.1"})
        assert bad.exit_code == 2
        assert "input 1: 127.0.0.1: answers 404" in bad.stderr
        assert "hunter" not in bad.stderr

    def test_url_with_a_password(self):
        """A URL that no source may have is refused, and not shown."""
        result = invoke("http://me:hunter2@127.0.0.1:1/")

        assert result.exit_code == 2
        assert "is no URL that can be asked" in result.stderr
        assert "hunter2" not in result.output

    def test_many_oddities(self):
        """Of very many faults the first are told, and how many more there are."""
        result = invoke("-", text="vless://\n" * 60 + vless("192.0.2.1", "a"))

        assert "and 10 more" in result.stderr
        assert len(result.stderr.splitlines()) == 52


@pytest.fixture
def panel() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A small HTTP server on loopback, and what it answers by path."""
    answers: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", answers
        server.shutdown()


class TestTarget:
    def test_written_for_its_owner_only(self, tmp_path):
        """Mode 0600 from the first moment, with role, tags and prefix; told what to do next."""
        path = tmp_path / "nodes.toml"

        result = invoke(
            *("-", "-o", path, "--role", "primary", "--tag", "x", "--tag", "y"),
            *("--id-prefix", "p-"),
            text=vless("192.0.2.1", "Germany 1"),
        )

        assert (result.exit_code, result.stdout) == (0, "")
        assert path.stat().st_mode & 0o777 == 0o600
        (node,) = parse_included(path.read_text(), "x")
        assert (node.id, node.name, node.role, node.tags) == (
            *("p-germany-1", "Germany 1"),
            *(Role.PRIMARY, ("x", "y")),
        )
        assert 'include = ["nodes.toml"]' in result.stderr
        assert list(tmp_path.iterdir()) == [path]

    def test_never_overwritten_unasked(self, tmp_path):
        """A file that is there stays as it is unless --append or --replace is said."""
        path = tmp_path / "nodes.toml"
        path.write_text("# mine\n")

        refused = invoke("-", "-o", path, text=vless("192.0.2.1", "a"))

        assert (refused.exit_code, path.read_text()) == (2, "# mine\n")
        assert "say --append or --replace" in refused.stderr
        assert invoke("-", "-o", path, "--replace", text=vless("192.0.2.2", "b")).exit_code == 0
        assert nodes_in(path.read_text()) == {"b": "192.0.2.2"}

    def test_append(self, tmp_path):
        """What is there stays, comments, mode and ids; only nodes that are new come behind it."""
        path = tmp_path / "nodes.toml"
        before = f'# mine\n[[nodes]]\nid = "a"\nlink = "{vless("192.0.2.1")}"  # good\n'
        path.write_text(before)
        path.chmod(0o644)
        text = "\n".join([vless("192.0.2.1", "other"), vless("192.0.2.2", "a")])

        first = invoke("-", "-o", path, "--append", text=text)
        once = path.read_text()
        second = invoke("-", "-o", path, "--append", text=text)

        mark = fingerprint(links.parse(vless("192.0.2.2"))[0])[:6]
        assert first.exit_code == second.exit_code == 0
        assert once.startswith(before)
        assert nodes_in(once) == {"a": "192.0.2.1", f"a-{mark}": "192.0.2.2"}
        assert path.read_text() == once
        assert "0 taken, 2 duplicate" in second.stderr
        assert path.stat().st_mode & 0o777 == 0o640  # nobody else may read it any more

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("[probe]\n", "only [[nodes]] tables may be in an included file"),
            ("nodes = [\n", "not TOML"),
            ('[[nodes]]\nid = "a"\n', "nodes[0].link: is required"),
        ],
    )
    def test_append_to_what_is_no_list_of_nodes(self, tmp_path, text, why):
        """A file with faults is told and stays as it is: nothing is lost."""
        path = tmp_path / "config.toml"
        path.write_text(text)

        result = invoke("-", "-o", path, "--append", text=vless("192.0.2.1", "a"))

        assert (result.exit_code, path.read_text()) == (2, text)
        assert why in result.stderr

    def test_append_to_what_is_no_text(self, tmp_path):
        """It is told, and stays as it is."""
        path = tmp_path / "nodes.toml"
        path.write_bytes(b"\xff")
        (tmp_path / "loop").symlink_to("loop")

        for target, why in ((path, "is not UTF-8"), (tmp_path / "loop", "cannot be read: ")):
            result = invoke("-", "-o", target, "--append", text=vless("192.0.2.1", "a"))
            assert result.exit_code == 2
            assert f"{target}: {why}" in result.stderr
        assert path.read_bytes() == b"\xff"

    def test_a_link_to_the_file(self, tmp_path):
        """A symbolic link stays one; the file behind it is written."""
        (tmp_path / "real.toml").write_text("")
        (tmp_path / "nodes.toml").symlink_to("real.toml")

        invoke("-", "-o", tmp_path / "nodes.toml", "--replace", text=vless("192.0.2.1", "a"))

        assert (tmp_path / "nodes.toml").is_symlink()
        assert nodes_in((tmp_path / "real.toml").read_text()) == {"a": "192.0.2.1"}

    @pytest.mark.parametrize(
        "arguments",
        [("--append",), ("--id-prefix", "a b"), ("--id-prefix", "p" * 33), ("--role", "boss")],
    )
    def test_usage(self, arguments):
        """What makes no sense is a usage error."""
        assert invoke("-", *arguments, text=vless("192.0.2.1")).exit_code == 2

    def test_a_place_that_cannot_be_written(self, tmp_path):
        """It is named, with the cause."""
        path = tmp_path / "none" / "nodes.toml"

        result = invoke("-", "-o", path, text=vless("192.0.2.1", "a"))

        assert result.exit_code == 2
        assert f"{path}: cannot be written: No such file or directory" in result.stderr


def test_included_file_is_checked_as_in_a_configuration(tmp_path: Path):
    """An id twice in the file is found there too."""
    with pytest.raises(ConfigError, match=r"nodes\[1\]\.id: 'a' is already taken by nodes\[0\]"):
        parse_included(f'[[nodes]]\nid = "a"\nlink = "{vless("h")}"\n' * 2, "x.toml")
