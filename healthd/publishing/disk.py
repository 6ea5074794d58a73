"""Small steps on the disk that a publication is made of."""

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path


def own(path: Path | int, mode: int, group: int) -> None:
    """Give a path, or an open file, this group and exactly this mode.

    A set-group-ID bit that came from the parent stays: it hands the group on without a chown,
    which a hardened service may not be allowed.
    """
    now = os.stat(path)  # noqa: PTH116 - of descriptors too
    if now.st_gid != group:
        os.chown(path, -1, group)
    wanted = mode | (now.st_mode & stat.S_ISGID)
    if stat.S_IMODE(now.st_mode) != wanted:
        os.chmod(path, wanted)  # noqa: PTH101


def sync(folder: Path) -> None:
    """Have a folder's entries on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link(path: Path, target: str) -> None:
    """Make or change a symbolic link in one step."""
    temporary = path.with_name(f".{path.name.lstrip('.')}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(path)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it; nothing if it is not there."""
    with suppress(FileNotFoundError, NotADirectoryError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
