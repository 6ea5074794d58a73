"""A publication's directory: generations side by side, and one atomic flip.

    DIR/links.txt   -> .current/links.txt        what nginx serves; these links never change
    DIR/.current    -> .generations/00000042     one rename of this link changes every file at once
    DIR/.generations/00000042/links.txt …        complete and on disk before the flip

A reader sees one whole generation or the next, whatever happens to the writer in between. Files
hold credentials: they are readable by owner and group only, and the group is that of the directory
(give it to nginx's group).

nginx makes its ETag from the time of modification in seconds and the size, so that time rises by at
least a second with every generation, or clients would be told "304 not modified" and keep a stale
file.
"""

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

META = "meta.json"
KEEP = 10
"""Generations kept, the current one included."""

_FILE_MODE = 0o640
_DIRECTORY_MODE = 0o750
_GENERATIONS = ".generations"
_CURRENT = ".current"


@dataclass(frozen=True, slots=True)
class Published:
    """The generation that is being served."""

    generation: int
    published_at: float
    """Wall-clock seconds."""
    nodes: tuple[str, ...]
    mode: str = ""
    """The gate's mode when it was published."""
    removals: tuple[float, ...] = ()
    """Wall-clock seconds at which bad nodes were removed of late: what the brake goes by."""


class PublicationDirectory:
    """One directory of client files. All calls block; one writer at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Make the directory if need be.

        Raises:
            OSError: it cannot be made or written.
        """
        if not self.path.is_dir():
            self.path.mkdir(parents=True)
            self.path.chmod(_DIRECTORY_MODE)  # an operator's own mode on a directory is his
        self._generations.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
        self._own(self._generations, _DIRECTORY_MODE)

    def sweep(self) -> None:
        """Remove what a killed writer left behind. Only while nobody writes.

        Raises:
            OSError: something cannot be removed.
        """
        for left in (*self._generations.glob(".*.tmp"), *self.path.glob(".*.tmp")):
            _remove(left)

    def current(self) -> Published | None:
        """What is being served, as its meta.json tells; None when there is nothing readable."""
        try:
            meta = json.loads((self.path / _CURRENT / META).read_bytes())
            published_at = datetime.fromisoformat(meta["generated_at"]).timestamp()
            nodes = tuple(str(node) for node in meta["nodes"])
            removals = tuple(float(at) for at in meta.get("removals", ()))
            mode = str(meta.get("mode", ""))
            return Published(int(meta["generation"]), published_at, nodes, mode, removals)
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return None

    def holds(self, documents: Mapping[str, bytes]) -> bool:
        """Whether exactly these bytes are being served already, under exactly these names."""
        wanted = {*documents, META}
        try:
            served = {path.name for path in (self.path / _CURRENT).iterdir()}
            return served == wanted == self._names() and all(
                (self.path / name).read_bytes() == document for name, document in documents.items()
            )
        except OSError:
            return False

    def publish(
        self,
        documents: Mapping[str, bytes],
        *,
        nodes: Sequence[str],
        about: Mapping[str, Any],
        now: float,
        removals: Sequence[float] = (),
    ) -> Published:
        """Write a new generation and flip to it.

        Args:
            documents: File names and their bytes.
            nodes: Ids of the nodes in them, in order.
            about: More keys for meta.json.
            now: Wall-clock seconds.
            removals: Kept beside the nodes they brought about, so that both are there or neither.

        Raises:
            OSError: something could not be written. What was served before still is; or the new
                generation is, when only what follows the flip has failed.
        """
        served = self.current()
        number = self._highest(served) + 1
        modified = max(int(now), self._modified(served) + 1)
        generated = datetime.fromtimestamp(modified, UTC)
        meta = {
            "generation": number,
            "generated_at": generated.isoformat().replace("+00:00", "Z"),
            **about,
            "removals": [round(at, 3) for at in removals],
            "nodes": list(nodes),
            "files": {
                name: {"sha256": hashlib.sha256(document).hexdigest(), "bytes": len(document)}
                for name, document in documents.items()
            },
        }
        files = {**documents, META: json.dumps(meta, indent=2, ensure_ascii=False).encode() + b"\n"}
        self._refuse_obstacles(files)
        self._write_generation(number, files, modified)
        self._flip(number, files)
        try:
            _sync(self.path)
        finally:  # even if not: from the flip on, it is being served
            self._link(files)
        self._prune(number)
        mode = str(about.get("mode", ""))
        return Published(number, float(modified), tuple(nodes), mode, tuple(removals))

    @property
    def _generations(self) -> Path:
        return self.path / _GENERATIONS

    def _numbers(self) -> list[int]:
        names = (path.name for path in self._generations.iterdir())
        return sorted(int(name) for name in names if name.isdecimal())

    def _generation(self, number: int) -> Path:
        return self.path / _target(number)

    def _temporary(self, number: int) -> Path:
        """Where a generation is while it comes or goes: only whole ones have numbers for names."""
        return self._generations / f".{number:08d}.tmp"

    def _names(self) -> set[str]:
        """The stable names that are there."""
        return {
            path.name
            for path in self.path.iterdir()
            if path.is_symlink() and str(path.readlink()) == f"{_CURRENT}/{path.name}"
        }

    def _highest(self, served: Published | None) -> int:
        return max([0, *self._numbers(), served.generation if served else 0])

    def _modified(self, served: Published | None) -> int:
        """The time of modification that nginx shows now."""
        try:
            return int((self.path / _CURRENT / META).stat().st_mtime)
        except OSError:
            return int(served.published_at) if served else 0

    def _write_generation(self, number: int, files: Mapping[str, bytes], modified: int) -> None:
        temporary = self._temporary(number)
        _remove(temporary)
        try:
            temporary.mkdir(mode=_DIRECTORY_MODE)
            self._own(temporary, _DIRECTORY_MODE)
            for name, content in files.items():
                self._write(temporary / name, content, modified)
            _sync(temporary)
            temporary.rename(self._generation(number))
            _sync(self._generations)
        except BaseException:
            self._discard(number)  # nobody serves it
            raise

    def _write(self, path: Path, content: bytes, modified: int) -> None:
        with path.open("xb") as file:
            self._own(path, _FILE_MODE)
            file.write(content)
            file.flush()
            os.utime(file.fileno(), (modified, modified))
            os.fsync(file.fileno())

    def _own(self, path: Path, mode: int) -> None:
        """Give the directory's group to a path, and exactly this mode.

        A set-group-ID bit that came from the parent stays: it hands the group on without a chown,
        which a hardened service may not be allowed.
        """
        group, now = self.path.stat().st_gid, path.stat()
        if now.st_gid != group:
            os.chown(path, -1, group)
        wanted = mode | (now.st_mode & stat.S_ISGID)
        if stat.S_IMODE(now.st_mode) != wanted:
            path.chmod(wanted)

    def _refuse_obstacles(self, names: Iterable[str]) -> None:
        """A folder under a stable name must be found before the flip, not after it."""
        for name in names:
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))

    def _flip(self, number: int, names: Iterable[str]) -> None:
        """Serve a generation. Names that it lacks go first, so that none ever leads nowhere."""
        before = set[str]()
        try:
            before = self._names()
            self._unlink(before.difference(names))
            _link(self.path / _CURRENT, _target(number))
        except BaseException:
            if not self._serves(number):  # a network's file system may fail what it has done
                with suppress(OSError):
                    self._link(before)
                self._discard(number)
            raise

    def _serves(self, number: int) -> bool:
        link = self.path / _CURRENT
        return link.is_symlink() and str(link.readlink()) == _target(number)

    def _unlink(self, names: Iterable[str]) -> None:
        """Take away stable names, and have that on disk."""
        gone = sorted(names)
        for name in gone:
            (self.path / name).unlink()
        if gone:
            _sync(self.path)

    def _link(self, names: Iterable[str]) -> None:
        """Make the stable names that are missing, and have them on disk."""
        missing = sorted(set(names) - self._names())
        for name in missing:
            _link(self.path / name, f"{_CURRENT}/{name}")
        if missing:
            _sync(self.path)

    def _discard(self, number: int) -> None:
        """Remove a generation as well as can be: what stays behind is for `sweep`, or for later."""
        with suppress(OSError):
            with suppress(FileNotFoundError):
                self._generation(number).rename(self._temporary(number))
            _remove(self._temporary(number))

    def _prune(self, newest: int) -> None:
        """The last ones stay. The new one is live: that old ones cannot go is no failure of it."""
        with suppress(OSError):
            for number in self._numbers()[:-KEEP]:
                if number != newest:
                    self._discard(number)


def _target(number: int) -> str:
    """Where `.current` leads while this generation is served."""
    return f"{_GENERATIONS}/{number:08d}"


def _link(path: Path, target: str) -> None:
    """Make or change a symbolic link in one step."""
    temporary = path.with_name(f".{path.name.lstrip('.')}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(path)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError, NotADirectoryError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
