"""Finding Xray, and obtaining it: the cache, the pinned checksum, the build."""

import hashlib
import io
import platform
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from healthd.engines import find
from healthd.errors import EngineMissing

SCRIPT = "#!/bin/sh\necho 'Xray 26.3.27 (Xray, Penetrates Everything.) test'\n"


def make_script(path, text=SCRIPT):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and nothing on PATH."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


@pytest.fixture
def release(tmp_path):
    """A loopback server that offers a release archive; gives its URL and the right checksum."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("xray", SCRIPT)
        packed.writestr("geoip.dat", "not wanted")
    content = archive.getvalue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found = self.path == "/xray.zip"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(content if found else b"")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", hashlib.sha256(content).hexdigest()
        server.shutdown()
        thread.join()


def test_path_before_cache(cache):
    """An Xray on PATH is used as it is; the cache comes after it."""
    in_cache = make_script(find.cached_xray())
    assert find.find_xray().path == str(in_cache)
    on_path = make_script(cache / "bin" / "xray")
    assert find.find_xray() == find.Engine(str(on_path), "26.3.27")


def test_none_says_how_to_get_one(cache):
    """Without any Xray the message names the command that obtains one."""
    with pytest.raises(EngineMissing, match="run 'healthd engines install'"):
        find.find_xray()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("#!/bin/sh\necho 'sing-box version 1.14.4'\n", "does not answer as Xray does"),
        ("#!/bin/sh\nexit 1\n", "cannot be run"),
        ("#!/nowhere/sh\n", "cannot be run"),
    ],
)
def test_not_an_xray(cache, script, why):
    """A binary that is something else, or broken, is told apart from none at all."""
    path = make_script(cache / "bin" / "xray", script)
    with pytest.raises(EngineMissing, match=why) as missing:
        find.find_xray(str(path))
    assert str(path) in str(missing.value)


def test_download(cache, release):
    """The release is unpacked when its checksum is the pinned one; only the binary is kept."""
    base, checksum = release
    target = find.cached_xray()
    target.parent.mkdir(parents=True)
    told: list[str] = []
    find.download(base, {platform.machine(): ("xray.zip", checksum)}, target, told.append)
    assert find.find_xray().path == str(target)
    assert [path.name for path in target.parent.iterdir()] == ["xray"]
    assert told == [f"fetching {base}xray.zip"]


def test_download_with_another_checksum(cache, release):
    """Anything but the pinned file is refused, and nothing is left behind."""
    base, _ = release
    target = find.cached_xray()
    target.parent.mkdir(parents=True)
    with pytest.raises(EngineMissing, match="not the pinned 0000"):
        find.download(base, {platform.machine(): ("xray.zip", "0000")}, target, print)
    assert list(target.parent.iterdir()) == []


def test_download_not_found(cache, release):
    """A release that is not there: which URL, and how it failed."""
    base, checksum = release
    with pytest.raises(EngineMissing, match=r"cannot fetch .*none\.zip \(HTTPStatusError"):
        find.download(base, {platform.machine(): ("none.zip", checksum)}, cache / "x", print)


def test_download_for_another_machine(cache):
    """No pinned release for this machine: says so, and the other way."""
    with pytest.raises(EngineMissing, match="install Go instead"):
        find.download("http://127.0.0.1:1/", {}, cache / "x", print)


def test_build_with_go(cache):
    """With Go at hand the pinned module is built; its binary `main` becomes `xray`."""
    make_script(
        cache / "bin" / "go",
        f"""#!/bin/sh
[ "$5" = "{find.GO_MODULE}" ] || exit 1
/bin/cat > "$GOBIN/main" <<'SCRIPT'
{SCRIPT}SCRIPT
/bin/chmod 755 "$GOBIN/main"
""",
    )
    told: list[str] = []
    target = find.cached_xray()
    target.parent.mkdir(parents=True)
    assert find.build(str(cache / "bin" / "go"), target, told.append)
    assert [path.name for path in target.parent.iterdir()] == ["xray"]
    assert len(told) == 1
    # Once it is there, installing again is nothing but looking.
    assert find.install_xray(told.append) == find.Engine(str(target), "26.3.27")
    assert len(told) == 1


def test_a_failed_build_falls_back(cache):
    """When the build fails, its last words are told and the release is tried."""
    make_script(cache / "bin" / "go", "#!/bin/sh\necho 'go: module lookup disabled' >&2\nexit 1\n")
    told: list[str] = []
    assert not find.build(str(cache / "bin" / "go"), cache / "xray", told.append)
    assert told[1] == "the build failed: go: module lookup disabled"


def test_too_old_on_path(cache):
    """An Xray that today's servers turn away is refused, or the cached one is used instead."""
    make_script(cache / "bin" / "xray", SCRIPT.replace("26.3.27", "25.12.8"))
    with pytest.raises(EngineMissing, match=r"is version 25\.12\.8; servers want 26\.3\.27"):
        find.find_xray()
    in_cache = make_script(find.cached_xray())
    assert find.find_xray().path == str(in_cache)
