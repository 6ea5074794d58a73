"""Finding the Xray binary, and obtaining one.

Looked for: the configured path or name on PATH, then the user's cache. Obtained, in this order:
built from the Go module (needs Go), else the official release, verified by a pinned checksum. Both
land in the cache, one folder per version.
"""

import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from healthd.errors import EngineMissing

VERSION = "26.3.27"
"""The version healthd installs: the oldest one that current servers admit (REALITY's empty
`minClientVer` means this very version since v26.7.11), and the one that was measured."""

GO_MODULE = "github.com/xtls/xray-core/main@v1.260327.0"
"""The same version as a Go module: its `vYY.M.D` tags are not valid for Go."""

RELEASES = f"https://github.com/XTLS/Xray-core/releases/download/v{VERSION}/"
CHECKSUMS = {
    "x86_64": (
        "Xray-linux-64.zip",
        "23cd9af937744d97776ee35ecad4972cf4b2109d1e0fe6be9930467608f7c8ae",
    ),
    "aarch64": (
        "Xray-linux-arm64-v8a.zip",
        "4d30283ae614e3057f730f67cd088a42be6fdf91f8639d82cb69e48cde80413c",
    ),
}
"""SHA-256 of the official archives, by machine."""

_MAX_ARCHIVE = 100 * 2**20


@dataclass(frozen=True, slots=True)
class Engine:
    """A binary that answered when asked for its version."""

    path: str
    version: str


def cache_directory() -> Path:
    """Where obtained engines are kept."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "healthd" / "engines"


def cached_xray() -> Path:
    """Where the installed Xray of this version lies, if it was installed."""
    return cache_directory() / f"xray-{VERSION}" / "xray"


def find_xray(name: str = "xray") -> Engine:
    """Return the Xray to use.

    Args:
        name: A name to look for on PATH and then in the cache, or a path.

    Raises:
        EngineMissing: there is none, it is too old, or it does not answer as Xray.
    """
    cached = "/" not in name and cached_xray().is_file()
    if path := shutil.which(name):
        engine = _ask(path)
        if _number(engine.version) >= _number(VERSION):
            return engine
        if not cached:
            raise EngineMissing(
                "xray", f"{path} is version {engine.version}; servers want {VERSION} or later"
            )
    if cached:
        return _ask(str(cached_xray()))
    raise EngineMissing("xray", f"{name!r} is not an executable, nor on PATH or in the cache")


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _ask(path: str) -> Engine:
    try:
        answer = subprocess.run(
            [path, "version"], capture_output=True, timeout=5, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError) as why:
        raise EngineMissing("xray", f"{path} cannot be run ({type(why).__name__})") from why
    found = re.match(rb"Xray (\d+(?:\.\d+)+)", answer.stdout)
    if found is None:
        raise EngineMissing("xray", f"{path} does not answer as Xray does")
    return Engine(str(Path(path).resolve()), found[1].decode())


def install_xray(tell: Callable[[str], None]) -> Engine:
    """Obtain Xray into the cache, unless it is there already.

    Args:
        tell: Told each step, in words.

    Raises:
        EngineMissing: neither way worked; says why.
    """
    target = cached_xray()
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        go = shutil.which("go")
        built = go is not None and build(go, target, tell)
        if not built:
            download(RELEASES, CHECKSUMS, target, tell)
    return _ask(str(target))


def build(go: str, target: Path, tell: Callable[[str], None]) -> bool:
    """Build the pinned module to ``target``; False when that did not work, the reason told."""
    tell(f"building Xray {VERSION} from {GO_MODULE} (about a minute)")
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        environment = os.environ | {"GOBIN": folder, "CGO_ENABLED": "0", "GOFLAGS": ""}
        try:
            subprocess.run(
                [go, "install", "-trimpath", "-ldflags", "-s -w", GO_MODULE],
                env=environment,
                check=True,
                timeout=1800,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
        except subprocess.CalledProcessError as why:
            lines = str(why.stderr).strip().splitlines() or ["no output"]
            tell(f"the build failed: {lines[-1]}")
            return False
        except (OSError, subprocess.TimeoutExpired) as why:
            tell(f"the build failed: {why}")
            return False
        (Path(folder) / "main").replace(target)
    return True


def download(
    base: str, checksums: dict[str, tuple[str, str]], target: Path, tell: Callable[[str], None]
) -> None:
    """Fetch the release for this machine, verify its checksum, and unpack `xray` to ``target``.

    Raises:
        EngineMissing: no release for this machine, no network, or not the file that was pinned.
    """
    machine = platform.machine()
    if machine not in checksums:
        raise EngineMissing("xray", f"there is no pinned release for {machine}; install Go instead")
    name, wanted = checksums[machine]
    tell(f"fetching {base}{name}")
    archive = _fetch(base + name)
    found = hashlib.sha256(archive).hexdigest()
    if found != wanted:
        raise EngineMissing("xray", f"{name} has checksum {found}, not the pinned {wanted}")
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        try:
            file.write(zipfile.ZipFile(io.BytesIO(archive)).read("xray"))
            Path(file.name).chmod(0o755)
            Path(file.name).replace(target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _fetch(url: str) -> bytes:
    body = bytearray()
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=60) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > _MAX_ARCHIVE:
                    raise EngineMissing("xray", f"{url} is larger than any release")
    except httpx.HTTPError as why:
        raise EngineMissing("xray", f"cannot fetch {url} ({type(why).__name__}: {why})") from why
    return bytes(body)
