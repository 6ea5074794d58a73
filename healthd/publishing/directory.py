"""A publication's directory: generations side by side, and one atomic flip.

    DIR/links.txt   -> .current/links.txt        what nginx serves; these links never change
    DIR/TOKEN       -> .current/TOKEN            one user's own files: TOKEN/links.txt …
    DIR/.current    -> .generations/00000042     one rename of this link changes every file at once
    DIR/.generations/00000042/links.txt …        complete and on disk before the flip

A reader sees one whole generation or the next, whatever happens to the writer in between. Files
hold credentials: they are readable by owner and group only, and the group is that of the directory
(give it to nginx's group). Whoever knows a user's folder has its files, so its name is a secret
too: no error shows it, and meta.json tells of folders in sums only.

nginx makes its ETag from the time of modification in seconds and the size, so that time rises by at
least a second when a document changes, or clients would be told "304 not modified" and keep a stale
file. One that has not changed keeps its time; see :mod:`healthd.publishing.generation`.
"""

import errno
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from healthd.publishing.disk import link, own, remove, sync
from healthd.publishing.generation import FOLDER_MODE, Scribe
from healthd.publishing.hiding import hidden_names
from healthd.publishing.meta import META, meta_of

KEEP = 10
"""Generations kept, the current one included."""

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
    """One directory of client files. All calls block; one writer at a time.

    Documents go by their names below it: "links.txt", or one folder deep, "TOKEN/links.txt".
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Make the directory if need be.

        Raises:
            OSError: it cannot be made or written.
        """
        if not self.path.is_dir():
            self.path.mkdir(parents=True)
            self.path.chmod(FOLDER_MODE)  # an operator's own mode on a directory is his
        self._generations.mkdir(mode=FOLDER_MODE, exist_ok=True)
        own(self._generations, FOLDER_MODE, self._group())

    def sweep(self) -> None:
        """Remove what a killed writer left behind. Only while nobody writes.

        Raises:
            OSError: something cannot be removed.
        """
        with hidden_names(self.path):
            for left in (*self._generations.glob(".*.tmp"), *self.path.glob(".*.tmp")):
                remove(left)

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

    def read(self, name: str) -> bytes | None:
        """A document that is being served; None when there is none of that name."""
        try:
            return (self.path / _CURRENT / name).read_bytes()
        except OSError:
            return None

    def holds(self, documents: Mapping[str, bytes]) -> bool:
        """Whether exactly these bytes are being served already, under exactly these names."""
        wanted = {*documents, META}
        try:
            return (
                self._names() == _tops(wanted)
                and _files_in(self.path / _CURRENT) == wanted
                and all(self.read(name) == document for name, document in documents.items())
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
            documents: Names and their bytes.
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
        meta = meta_of(documents, number, modified, nodes=nodes, about=about, removals=removals)
        files = {**documents, META: meta}
        names = _tops(files)
        with hidden_names(self.path):
            self._refuse_obstacles(names)
            self._write_generation(number, files, modified)
            self._flip(number, names)
            try:
                sync(self.path)
            finally:  # even if not: from the flip on, it is being served
                self._link(names)
            self._prune(number)
        mode = str(about.get("mode", ""))
        return Published(number, float(modified), tuple(nodes), mode, tuple(removals))

    def withdraw(self, folders: Collection[str]) -> int:
        """Serve no folder but these from now on, whatever else is published; return how many went.

        Raises:
            OSError: one could not be taken away.
        """
        if not self.path.exists():
            return 0
        with hidden_names(self.path):
            gone = {name for name in self._names() if (self.path / name).is_dir()}
            gone.difference_update(folders)
            self._unlink(gone)
        return len(gone)

    @property
    def _generations(self) -> Path:
        return self.path / _GENERATIONS

    def _group(self) -> int:
        return self.path.stat().st_gid

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
        with os.scandir(self.path) as entries:
            return {
                entry.name
                for entry in entries
                if entry.is_symlink() and str(Path(entry).readlink()) == f"{_CURRENT}/{entry.name}"
            }

    def _highest(self, served: Published | None) -> int:
        return max([0, *self._numbers(), served.generation if served else 0])

    def _modified(self, served: Published | None) -> int:
        """The latest time of modification that nginx shows now: meta.json is always new."""
        try:
            return int((self.path / _CURRENT / META).stat().st_mtime)
        except OSError:
            return int(served.published_at) if served else 0

    def _write_generation(self, number: int, files: Mapping[str, bytes], modified: int) -> None:
        temporary = self._temporary(number)
        scribe = Scribe(self.path / _CURRENT, modified, self._group())
        remove(temporary)
        try:
            scribe.write(temporary, files)
            temporary.rename(self._generation(number))
            sync(self._generations)
        except BaseException:
            self._discard(number)  # nobody serves it
            raise

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
            link(self.path / _CURRENT, _target(number))
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
            sync(self.path)

    def _link(self, names: Iterable[str]) -> None:
        """Make the stable names that are missing, and have them on disk."""
        missing = sorted(set(names) - self._names())
        for name in missing:
            link(self.path / name, f"{_CURRENT}/{name}")
        if missing:
            sync(self.path)

    def _discard(self, number: int) -> None:
        """Remove a generation as well as can be: what stays behind is for `sweep`, or for later."""
        with suppress(OSError):
            with suppress(FileNotFoundError):
                self._generation(number).rename(self._temporary(number))
            remove(self._temporary(number))

    def _prune(self, newest: int) -> None:
        """The last ones stay. The new one is live: that old ones cannot go is no failure of it."""
        with suppress(OSError):
            for number in self._numbers()[:-KEEP]:
                if number != newest:
                    self._discard(number)


def _target(number: int) -> str:
    """Where `.current` leads while this generation is served."""
    return f"{_GENERATIONS}/{number:08d}"


def _tops(names: Iterable[str]) -> set[str]:
    """The names that lie directly in the directory."""
    return {name.partition("/")[0] for name in names}


def _files_in(place: Path) -> set[str]:
    """The files of a generation, by their names in it; an empty folder counts as a file."""
    found = set[str]()
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                found.update(f"{entry.name}/{name}" for name in os.listdir(entry))  # noqa: PTH208
            else:
                found.add(entry.name)
    return found
