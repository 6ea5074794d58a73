"""Files that hold credentials: whole or not at all, and for their owner's eyes."""

import os
import stat
import tempfile
from pathlib import Path

from healthd.errors import HealthdError


def write_private(path: Path, body: bytes, *, replace: bool) -> None:
    """Write a file that nobody else may read, as a whole or not at all.

    One that is replaced keeps its mode, but for what lets all others read it, and its group.

    Raises:
        HealthdError: it cannot be written, or is there already.
    """
    try:
        _put(path.resolve(), body, replace=replace)  # behind a symbolic link lies what was meant
    except FileExistsError as why:
        raise HealthdError(f"{path} is there already") from why
    except OSError as why:
        raise HealthdError(f"{path}: cannot be written: {why.strerror}") from why


def _put(target: Path, body: bytes, *, replace: bool) -> None:
    # `mkstemp` makes it readable for the owner only, from the first moment.
    opened, temporary = tempfile.mkstemp(".tmp", f".{target.name[:100]}.", target.parent)
    try:
        with os.fdopen(opened, "wb") as file:
            if replace and target.exists():
                _as_before(opened, target)
            file.write(body)
            file.flush()
            os.fsync(opened)
        if replace:
            Path(temporary).replace(target)
        else:
            target.hardlink_to(temporary)  # unlike a rename, never in place of another file
    finally:
        Path(temporary).unlink(missing_ok=True)


def _as_before(opened: int, target: Path) -> None:
    was = target.stat()
    os.fchown(opened, -1, was.st_gid)
    os.fchmod(opened, stat.S_IMODE(was.st_mode) & 0o660)
