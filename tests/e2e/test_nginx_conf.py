"""deploy/nginx/healthd.conf, as it is delivered, in a real nginx: the right file for each app."""

import itertools
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from healthd.engines.ports import reserve_port
from healthd.publishing.directory import PublicationDirectory

DELIVERED = Path(__file__).parents[2] / "deploy" / "nginx" / "healthd.conf"
TOKEN = "q7Yx-2mWc_9KfLrVbN4tZg"
OTHER_TOKEN = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
SECRET = "9f86d081884c7d659a2feaa0c55ad015"

NGINX = """
daemon off; master_process off; pid {root}/pid; error_log {root}/main.log; {user}
events {{}}
http {{
    client_body_temp_path {root}; proxy_temp_path {root}; fastcgi_temp_path {root};
    uwsgi_temp_path {root}; scgi_temp_path {root};
    default_type application/octet-stream; server_names_hash_bucket_size 64;
    include {root}/healthd.conf;
}}
"""

LINKS, CLASH, SINGBOX, XRAY = "links.txt", "clash.yaml", "sing-box.json", "xray.json"
TYPES = {
    LINKS: "text/plain; charset=utf-8",
    CLASH: "application/yaml; charset=utf-8",
    SINGBOX: "application/json; charset=utf-8",
    XRAY: "application/json; charset=utf-8",
}
AGENTS = [
    ("v2rayN/7.24.8", XRAY),
    ("v2rayN/6.40", XRAY),
    ("v2rayN/6.39", LINKS),
    ("v2rayN/5.12", LINKS),
    ("v2rayNG/2.0.7", XRAY),
    ("v2rayNG/1.10.2", XRAY),
    ("v2rayNG/1.8.29", XRAY),
    ("v2rayNG/1.8.28", LINKS),
    ("v2rayNG/1.8.5", LINKS),
    ("Streisand/1.6.57", XRAY),
    ("Happ/3.8.1/ios", XRAY),
    ("HiddifyNext/2.5.7 (android) like ClashMeta v2ray sing-box", SINGBOX),
    ("Hiddify/3.1.0 (windows)", LINKS),
    ("SFA/1.12.8 (572; sing-box 1.12.8; language de_DE)", SINGBOX),
    ("SFI/1.12.8 (1; sing-box 1.12.8)", SINGBOX),
    ("SFM/1.12.8", SINGBOX),
    ("SFT/1.12.8", SINGBOX),
    ("Karing/1.2.3", SINGBOX),
    ("sing-box 1.14.4", SINGBOX),
    ("SFANS/1", LINKS),
    ("clash-verge/v2.4.2", CLASH),
    ("ClashMetaForAndroid/2.11.18.Meta", CLASH),
    ("clash.meta/v1.19.14", CLASH),
    ("mihomo/1.19.14", CLASH),
    ("FlClash/v0.8.90", CLASH),
    ("ClashX Pro/1.97", CLASH),
    ("Stash/3.2.0 Clash/1.9.0", CLASH),
    ("curl/7.88.1", LINKS),
    ("Shadowrocket/2070 CFNetwork", LINKS),
    ("Mozilla/5.0 (X11; Linux x86_64) like v2rayN/7 mihomo SFA", LINKS),
    ("", LINKS),
]


class Stage:
    """A publication's directory and the nginx in front of it."""

    _addresses = itertools.count(2)

    def __init__(self, root: Path, base: str) -> None:
        self.root = root
        self.base = base
        self.directory = PublicationDirectory(root / "public")
        self.directory.prepare()
        self.published: dict[str, bytes] = {}

    def publish(self, files: Mapping[str, bytes]) -> None:
        """Flip to a generation with exactly these files."""
        self.published = dict(files)
        self.directory.publish(files, nodes=["a"], about={"mode": "normal"}, now=time.time())

    def client(self) -> httpx.Client:
        """One more user: with an address of its own, so that no limit is shared."""
        address = f"127.0.0.{next(self._addresses)}"
        transport = httpx.HTTPTransport(local_address=address)
        return httpx.Client(base_url=self.base, transport=transport, trust_env=False)

    def get(self, path: str, agent: str = "curl/8", **headers: str) -> httpx.Response:
        """What a user who has not asked before is given."""
        with self.client() as client:
            return client.get(path, headers={"user-agent": agent, **headers})

    def body(self, name: str) -> bytes:
        """The bytes that must be served under this name now."""
        return self.published[name]


def files(mark: str = "1", folder: str = "", leave_out: str = "") -> dict[str, bytes]:
    """One generation's documents; all marks make the same size."""
    names = [name for name in TYPES if name != leave_out]
    return {f"{folder}{name}": f"{name} of {folder} {mark}\n".encode() for name in names}


def delivered(root: Path, port: int) -> str:
    """The delivered file with this machine's paths and port, and no other change."""
    text = DELIVERED.read_text(encoding="utf-8")
    for there, here in {
        "listen 127.0.0.1:8080;": f"listen 127.0.0.1:{port} reuseport;",
        "root /var/lib/healthd/public;": f"root {root}/public;",
        "/var/log/nginx/": f"{root}/",
    }.items():
        assert there in text
        text = text.replace(there, here)
    return text


@pytest.fixture
def nginx():
    """The nginx of this machine."""
    binary = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if binary is None:
        pytest.skip("nginx is not installed (Debian: nginx-light)")
    return binary


@pytest.fixture
def secret() -> str:
    """The secret path that an operator has set; none."""
    return ""


@pytest.fixture
def stage(tmp_path, nginx, secret):
    """A running nginx with the delivered configuration, in front of an empty publication."""
    with reserve_port() as held:
        port = held.getsockname()[1]
        user = f"user {pwd.getpwuid(os.getuid()).pw_name};" if os.getuid() == 0 else ""
        text = delivered(tmp_path, port)
        if secret:
            text = with_secret(text, secret)
        (tmp_path / "healthd.conf").write_text(text, encoding="utf-8")
        (tmp_path / "nginx.conf").write_text(NGINX.format(root=tmp_path, user=user))
        stage = Stage(tmp_path, f"http://127.0.0.1:{port}")
        server = subprocess.Popen([nginx, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)])
        try:
            _wait_until_it_answers(stage.base)
            yield stage
        finally:
            server.terminate()
            server.wait(10)


def with_secret(text: str, secret: str) -> str:
    """What the comment tells the operator to do: the secret's line in, the other out."""
    lines = text.splitlines()
    (mine,) = (i for i, line in enumerate(lines) if line.lstrip().startswith('# "~^/sub/9f86'))
    lines[mine] = lines[mine].replace("# ", "", 1)
    (open_one,) = (i for i, line in enumerate(lines) if line.lstrip().startswith('"~^/sub(/'))
    del lines[open_one]
    assert secret in lines[mine]
    return "\n".join(lines)


def _wait_until_it_answers(base: str) -> None:
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        try:
            httpx.get(base, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(base)


class TestForms:
    @pytest.mark.parametrize("place", ["", f"{TOKEN}/"], ids=["common", "user"])
    def test_by_user_agent(self, stage, place):
        """Each app gets the form that it reads, at one and the same address."""
        stage.publish(files(folder=place))

        found = {agent: stage.get(f"/sub/{place}".rstrip("/"), agent) for agent, _ in AGENTS}

        assert {agent: answer.content for agent, answer in found.items()} == {
            agent: stage.body(place + name) for agent, name in AGENTS
        }
        assert [found[agent].headers["content-type"] for agent, _ in AGENTS] == [
            TYPES[name] for _, name in AGENTS
        ]

    @pytest.mark.parametrize("place", ["", f"{TOKEN}/"], ids=["common", "user"])
    def test_by_name(self, stage, place):
        """A form asked for by name is given whatever the app; one that is not there is not."""
        stage.publish(files(folder=place, leave_out=CLASH))

        for name, kind in TYPES.items():
            answer = stage.get(f"/sub/{place}{name}", "mihomo/1")
            if name == CLASH:
                assert answer.status_code == 404
            else:
                assert (answer.content, answer.headers["content-type"]) == (
                    stage.body(place + name),
                    kind,
                )

    @pytest.mark.parametrize(
        ("agent", "form"), [("mihomo/1", CLASH), ("SFA/1", SINGBOX), ("Happ/4", XRAY)]
    )
    def test_a_form_that_is_not_published(self, stage, agent, form):
        """An app whose form is not there gets links, and its form as soon as it is."""
        stage.publish(files(leave_out=form))
        before = stage.get("/sub", agent)
        stage.publish(files())
        after = stage.get("/sub", agent)

        assert (before.content, before.headers["content-type"]) == (files()[LINKS], TYPES[LINKS])
        assert after.content == files()[form]

    def test_headers(self, stage):
        """What apps show, how long they wait, that they ask again, and nothing about the server."""
        stage.publish(files())

        answer = stage.get("/sub", "Hiddify/3")

        assert {
            name: answer.headers.get(name)
            for name in (
                *("profile-title", "profile-update-interval", "content-disposition"),
                *("cache-control", "vary", "server"),
            )
        } == {
            "profile-title": "VPN",
            "profile-update-interval": "1",
            "content-disposition": 'attachment; filename="VPN"',
            "cache-control": "private, no-cache",
            "vary": "User-Agent",
            "server": "nginx",
        }
        with stage.client() as client:
            head = client.head("/sub")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == len(stage.body(LINKS))


class TestRevalidation:
    @pytest.mark.parametrize("place", ["", f"{TOKEN}/"], ids=["common", "user"])
    def test_the_new_body_right_after_a_flip(self, stage, place):
        """304 as long as nothing changes; after the flip the new body, even of the same size."""
        url = f"/sub/{place}".rstrip("/")
        stage.publish(files("1", place))
        with stage.client() as client:
            for mark in ("2", "3", "4"):
                first = client.get(url)
                again = client.get(url, headers={"if-none-match": first.headers["etag"]})
                stage.publish(files(mark, place))
                flipped = client.get(url, headers={"if-none-match": first.headers["etag"]})

                assert (again.status_code, again.content) == (304, b"")
                assert again.headers["vary"] == "User-Agent"
                assert (flipped.status_code, flipped.content) == (200, stage.body(place + LINKS))
                assert len(first.content) == len(flipped.content)

    def test_another_form_is_another_entity(self, stage):
        """An app's ETag means its own form: the same one sent for another form changes nothing."""
        stage.publish(files())
        with stage.client() as client:
            links = client.get("/sub")
            clash = client.get(
                "/sub",
                headers={"user-agent": "mihomo/1", "if-none-match": links.headers["etag"]},
            )

        assert (clash.status_code, clash.content) == (200, stage.body(CLASH))


class TestUsers:
    def test_each_token_its_own_files(self, stage):
        """A token opens its own folder; with users, there is nothing at the common address."""
        mine, others = files(folder=f"{TOKEN}/"), files(folder=f"{OTHER_TOKEN}/")
        stage.publish(mine | others)

        assert stage.get(f"/sub/{TOKEN}").content == mine[f"{TOKEN}/{LINKS}"]
        assert stage.get(f"/sub/{TOKEN}/").content == mine[f"{TOKEN}/{LINKS}"]
        assert stage.get(f"/sub/{OTHER_TOKEN}").content == others[f"{OTHER_TOKEN}/{LINKS}"]
        assert stage.get("/sub").status_code == 404

    def test_a_token_that_is_unknown_or_no_longer_known(self, stage):
        """A wrong token is 404, and so is a right one from the flip on that removes its user."""
        stage.publish(files(folder=f"{TOKEN}/") | files(folder=f"{OTHER_TOKEN}/"))
        known = stage.get(f"/sub/{TOKEN}").status_code
        stage.publish(files(folder=f"{OTHER_TOKEN}/"))

        assert known == 200
        for token in (TOKEN, "A" * 22, TOKEN[:-1], f"{OTHER_TOKEN}x"):
            for name in ("", f"/{LINKS}"):
                assert stage.get(f"/sub/{token}{name}").status_code == 404

    def test_no_log_holds_a_token(self, stage):
        """The logs tell that somebody came, but no token: not of a user, not of a guesser."""
        stage.publish(files(folder=f"{TOKEN}/"))
        with stage.client() as client:
            agent = {"user-agent": "curl/8"}
            statuses = [client.get(f"/sub/{TOKEN}?x={TOKEN}", headers=agent).status_code]
            while statuses[-1] != 429:  # limited requests are what nginx likes to tell of
                statuses.append(client.get(f"/sub/{TOKEN}/{LINKS}", headers=agent).status_code)
            client.get(f"/SUB/{TOKEN}", headers=agent)

        logs = {path.name: path.read_text() for path in stage.root.glob("*.log")}
        assert "] GET /sub/*** 200 " in logs["healthd.log"]
        assert "] GET /sub/*** 429 " in logs["healthd.log"]
        assert 'curl/8"' in logs["healthd.log"]
        assert [name for name, text in logs.items() if TOKEN in text] == []


class TestDenied:
    def test_what_is_not_public(self, stage):
        """Its own files, dotfiles, listings, other roads to what is public: nothing is there."""
        stage.publish(files() | files(folder=f"{TOKEN}/"))
        (stage.root / "secret.txt").write_text("secret")
        assert stage.get("/sub").status_code == 200

        denied = [
            *("/", "/links.txt", "/meta.json", "/sub/meta.json", f"/sub/{TOKEN}/meta.json"),
            *("/.current/links.txt", "/sub/.current/links.txt", "/sub/.generations/", "/subx"),
            *(f"/{TOKEN}/links.txt", f"/{TOKEN}/", f"/sub/{TOKEN}/../../meta.json"),
            *("/sub/../meta.json", "/sub/..%2fmeta.json", "/sub/%2e%2e/%2e%2e/secret.txt"),
            *("/sub//../../secret.txt", "/sub/links.txt/", "/sub/links.txt%00", "/sub/links.txt~"),
            *(f"/sub/{'.' * 22}", f"/sub/{'A' * 22}%0a", "/.nothing/links.txt"),
        ]
        found = {path: raw_status(stage, path) for path in denied}

        assert {path: s for path, s in found.items() if s not in {400, 404}} == {}

    def test_methods(self, stage):
        """Nothing but GET and HEAD."""
        stage.publish(files())
        with stage.client() as client:
            found = {
                method: client.request(method, "/sub").status_code
                for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
            }

        assert found.pop("GET") == found.pop("HEAD") == 200
        assert set(found.values()) == {405}

    @pytest.mark.parametrize("path", ["/sub", f"/sub/{'A' * 22}"], ids=["sound", "guess"])
    def test_rate(self, stage, path):
        """Whoever asks on and on, rightly or guessing, gets 429; all others are served."""
        stage.publish(files())
        with stage.client() as client:
            found = [client.get(path).status_code for _ in range(60)]

        assert found[0] == found[29] == (200 if path == "/sub" else 404)
        assert found[-1] == 429
        assert stage.get("/sub").status_code == 200


def test_rate_behind_a_terminator(stage):
    """Behind something that speaks TLS on this machine, each user has a limit of his own still.

    Nobody else is believed who he is.
    """
    stage.publish(files())
    with httpx.Client(base_url=stage.base, trust_env=False) as terminator:
        found = [
            terminator.get("/sub", headers={"x-forwarded-for": f"192.0.2.{n}"}).status_code
            for n in range(1, 81)
        ]
    with stage.client() as liar:
        lied = [
            liar.get("/sub", headers={"x-forwarded-for": f"198.51.100.{n}"}).status_code
            for n in range(1, 81)
        ]

    assert set(found) == {200}
    assert lied[-1] == 429


@pytest.mark.parametrize("secret", [SECRET])
def test_secret_path(stage, secret):
    """With a secret path set, as the comment tells, the common files are there and nowhere else."""
    stage.publish(files() | files(folder=f"{TOKEN}/"))

    assert stage.get(f"/sub/{secret}", "mihomo/1").content == stage.body(CLASH)
    assert stage.get(f"/sub/{secret}/{XRAY}").content == stage.body(XRAY)
    assert stage.get(f"/sub/{TOKEN}").content == stage.body(f"{TOKEN}/{LINKS}")
    assert {stage.get(path).status_code for path in ("/sub", "/sub/", "/sub/links.txt")} == {404}


def raw_status(stage: Stage, path: str) -> int:
    """The status of a path that no client may tidy up on the way."""
    with stage.client() as client:
        url = httpx.URL(stage.base).copy_with(raw_path=path.encode())
        return client.get(url).status_code
