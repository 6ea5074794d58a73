"""The last good answers on disk, so that a restart beside a dead panel keeps the fleet.

    STATE/sources/NAME.kept     one line of JSON about the body, then the body as it came

One file, replaced by one rename: body and what is known of it never belong to two answers.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DIRECTORY = "sources"
"""Its name in the state directory."""

_SUFFIX = ".kept"
_UNFINISHED = ".tmp"
_DIRECTORY_MODE = 0o700
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """One good answer, and what is known of it."""

    body: bytes = field(repr=False)
    fetched_at: float
    """Wall-clock seconds."""
    origin: str = ""
    """Stands for the URL or file that it came from."""
    etag: str = ""
    nodes: int = 0
    """How many nodes were read in it."""

    @property
    def digest(self) -> str:
        """Stands for the body."""
        return hashlib.sha256(self.body).hexdigest()


class Shelf:
    """The directory of answers; all calls block. Everything in it is for its owner only."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, name: str, kept: Kept) -> None:
        """Keep an answer in place of the one before.

        Raises:
            OSError: it cannot be written; the one before is still there.
        """
        self._directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        self._directory.chmod(_DIRECTORY_MODE)
        # `mkstemp` makes it readable for the owner only, from the first moment.
        opened, temporary = tempfile.mkstemp(_UNFINISHED, ".", self._directory)
        try:
            with os.fdopen(opened, "wb") as file:
                file.write(_head(kept) + b"\n" + kept.body)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self._path(name))
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _settle(self._directory)

    def take(self, name: str) -> Kept | None:
        """The answer that was kept; None if there is none.

        Raises:
            OSError: it cannot be read.
            ValueError: it is damaged.
        """
        try:
            written = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        head, _, body = written.partition(b"\n")
        return _kept(head, body)

    def keep_only(self, names: Collection[str]) -> None:
        """Forget the answers of all other sources.

        Raises:
            OSError: one cannot be removed.
        """
        wanted = {self._path(name) for name in names}
        for path in self._directory.glob(f"*{_SUFFIX}"):
            if path not in wanted:
                path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a killed writer left behind. Only while nobody writes.

        Raises:
            OSError: something cannot be removed.
        """
        for left in self._directory.glob(f".*{_UNFINISHED}"):
            left.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}{_SUFFIX}"


def _head(kept: Kept) -> bytes:
    return json.dumps(
        {
            "version": _VERSION,
            "fetched_at": kept.fetched_at,
            "origin": kept.origin,
            "etag": kept.etag,
            "nodes": kept.nodes,
            "sha256": kept.digest,
        }
    ).encode()


def _kept(head: bytes, body: bytes) -> Kept:
    try:
        told: dict[str, Any] = json.loads(head)
        kept = Kept(
            body,
            float(told["fetched_at"]),
            str(told["origin"]),
            str(told["etag"]),
            int(told["nodes"]),
        )
        whole = told["version"] == _VERSION and told["sha256"] == kept.digest
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as why:
        raise ValueError("is damaged") from why
    if not whole:
        raise ValueError("is damaged, or a newer healthd wrote it")
    return kept


def _settle(directory: Path) -> None:
    """Bring the rename itself to disk."""
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
