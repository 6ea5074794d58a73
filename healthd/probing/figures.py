"""What is left on this machine, read from the kernel. Blocks, though hardly ever for long."""

import errno
import os
import re
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_CGROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
_RECLAIMABLE = {"inactive_file", "active_file", "slab_reclaimable"}
"""Lines of `memory.stat` that the kernel gives back before it kills anybody."""


@dataclass(frozen=True, slots=True)
class Disk:
    """What is left on the file system of one directory."""

    directory: Path
    free: int
    """Bytes that this user may still write."""
    inodes: int | None
    """Files it may still make; None where the file system does not count them."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is left. None: not known, or not limited."""

    descriptors: int | None = None
    """Descriptors this process may still open."""
    memory: int | None = None
    """Bytes of memory the machine, or the control group we live in, can still give."""
    disks: tuple[Disk, ...] = ()


def read(directories: Sequence[Path]) -> Figures:
    """Read all figures; those of the disks for these directories, each file system once."""
    return Figures(
        descriptors=free_descriptors(), memory=free_memory(), disks=free_disks(directories)
    )


def free_descriptors() -> int | None:
    """How many descriptors this process may still open."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        opened = len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208 - names are all we want
    except OSError as why:
        # To look takes a descriptor. Without /proc nothing is known.
        return 0 if why.errno in {errno.EMFILE, errno.ENFILE} else None
    return max(0, limit - opened)


def free_memory(proc: Path = Path("/proc"), cgroups: Sequence[Path] = _CGROUPS) -> int | None:
    """Bytes of memory left: what the machine has, or less where a control group limits us."""
    try:
        rooms = _machine_memory((proc / "meminfo").read_text())
        group = re.search(r"^0::/(.*)$", (proc / "self/cgroup").read_text(), re.MULTILINE)
    except OSError:
        return None
    if group is not None:
        for root in cgroups:
            rooms += _group_memory(root, root / group[1])
    return min(rooms, default=None)


def _machine_memory(meminfo: str) -> list[int]:
    found = re.findall(r"^MemAvailable:\s+(\d+) kB$", meminfo, re.MULTILINE)
    return [int(amount) * 1024 for amount in found]


def _group_memory(root: Path, group: Path) -> list[int]:
    """What each limited group has left, from ours to the root: the tightest one kills."""
    rooms = []
    while group.is_relative_to(root):
        try:
            most = (group / "memory.max").read_text().strip()
            if most != "max":
                used = int((group / "memory.current").read_text())
                stat = dict(map(str.split, (group / "memory.stat").read_text().splitlines()))
                used -= sum(int(stat.get(name, 0)) for name in _RECLAIMABLE)
                rooms.append(max(0, int(most) - used))
        except OSError:
            pass  # the root has no limit, and another kind of hierarchy no such files
        group = group.parent
    return rooms


def free_disks(directories: Sequence[Path]) -> tuple[Disk, ...]:
    """What is left for each directory; of two on one file system the first is told."""
    found: dict[int, Disk] = {}
    for directory in directories:
        try:
            device, about = directory.stat().st_dev, os.statvfs(directory)
        except OSError:
            continue  # whoever wants to write there will tell, with better words
        inodes = about.f_favail if about.f_files else None
        found.setdefault(device, Disk(directory, about.f_bavail * about.f_frsize, inodes))
    return tuple(found.values())
