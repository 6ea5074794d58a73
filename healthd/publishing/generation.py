"""One generation's files: what is new is written, what has not changed is linked. It all blocks.

nginx makes its ETag from the time of modification in seconds and the size, so an unchanged document
keeps its time: a hard link to the file of the generation before. Clients are then told "304 not
modified". A changed one gets the time of its generation, which the caller lets rise.
"""

import errno
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from healthd.publishing.disk import own, sync

FILE_MODE = 0o640
FOLDER_MODE = 0o750

_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}
"""What file systems and hardened kernels say when a file cannot have one more name."""


@dataclass(frozen=True, slots=True)
class Scribe:
    """Writes the files of one generation.

    Args:
        before: The generation that is served; it may be missing.
        modified: The time of modification of what is new (wall-clock seconds).
        group: The group that everything is given to.
    """

    before: Path
    modified: int
    group: int

    def write(self, place: Path, files: Mapping[str, bytes]) -> None:
        """Make a folder with these files, and have all of it on disk.

        Args:
            place: The folder; it must not be there yet.
            files: Names, with at most one folder in front ("a/links.txt"), and bytes.

        Raises:
            OSError: something could not be written.
        """
        folders = [place, *(place / name for name in sorted(folders_of(files)))]
        for folder in folders:
            make_folder(folder, self.group)
        # Plain strings: this is the inner loop of thousands of files.
        old, new = f"{self.before}/", f"{place}/"
        for name, content in files.items():
            if not self._take_over(old + name, new + name, content):
                self._write(new + name, content, self.modified * 10**9)
        for folder in reversed(folders):
            sync(folder)

    def _take_over(self, old: str, new: str, content: bytes) -> bool:
        """Give a file that holds these bytes already its place in the new generation."""
        if (status := _status_if_same(old, content)) is None:
            return False
        if status.st_gid == self.group and stat.S_IMODE(status.st_mode) == FILE_MODE:
            try:
                os.link(old, new, follow_symlinks=False)
            except OSError as why:
                if why.errno not in _NO_LINKS:
                    raise
            else:
                return True
        self._write(new, content, status.st_mtime_ns)
        return True

    def _write(self, path: str, content: bytes, modified: int) -> None:
        """Write a file; ``modified`` in nanoseconds."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(path, flags, FILE_MODE), "wb", buffering=0) as file:  # noqa: PTH123
            own(file.fileno(), FILE_MODE, self.group)
            rest = memoryview(content)
            while rest:  # a disk that is nearly full takes a part
                rest = rest[file.write(rest) :]
            os.utime(file.fileno(), ns=(modified, modified))
            os.fsync(file.fileno())


def folders_of(names: Mapping[str, object]) -> set[str]:
    """The folders that lie in front of names."""
    return {folder for name in names if (folder := name.rpartition("/")[0])}


def make_folder(path: Path, group: int) -> None:
    """Make a folder for owner and group.

    Raises:
        OSError: it cannot be made, or is there.
    """
    path.mkdir(mode=FOLDER_MODE)
    own(path, FOLDER_MODE, group)


def _status_if_same(path: str, content: bytes) -> os.stat_result | None:
    """The status of a regular file that holds exactly these bytes; what cannot be read does not."""
    with suppress(OSError):
        # Non-blocking: whatever somebody has put there must not make the publisher wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123
            status = os.fstat(descriptor)
            same_size = stat.S_ISREG(status.st_mode) and status.st_size == len(content)
            if same_size and file.readall() == content:
                return status
    return None
