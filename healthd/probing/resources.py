"""Is there enough left on this machine to judge others? Limits, judgement, and the watch.

The limits are flat, not shares: what matters is what the next seconds take, and that does not grow
with the machine. Five per cent of half a million descriptors would be a false alarm.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import trio

from healthd.probing import figures
from healthd.probing.figures import Disk, Figures
from healthd.probing.selfcheck import Fault

DESCRIPTORS = 64
"""The least free descriptors. A probe takes two or three, an engine client six: this is about what
a thousand silent nodes take between two looks. Failures for want of one are seen by themselves."""

MEMORY = 64 * 2**20
"""The least bytes of memory. An Xray client takes 28 MiB, or 32 with 1,000 nodes; a shift and a
recheck may start at the same moment, and the kernel kills without asking."""

DISK = 8 * 2**20
"""The least bytes on a disk: a few generations of 5,000 nodes, and the database's next commits."""

INODES = 100
"""The least free inodes: a generation has a handful of files and a directory, and ten are kept."""

AMPLE = 1.25
"""A shortage is over at this many times the limit, lest it comes and goes with each probe."""

PERIOD = 2.0
"""Seconds between two looks, which take about a millisecond."""

_MIB = 2**20


def judge(left: Figures, before: Collection[Fault] = ()) -> dict[Fault, str]:
    """What there is too little of, each with its mend.

    Args:
        left: What is left.
        before: The shortages so far; these end only when there is amply enough again.
    """

    def short(fault: Fault, value: int | None, least: int) -> bool:
        return value is not None and value < least * (AMPLE if fault in before else 1.0)

    found = {}
    if short(Fault.DESCRIPTORS, left.descriptors, DESCRIPTORS):
        words = f"{left.descriptors} descriptors left; raise LimitNOFILE= (ulimit -n)"
        found[Fault.DESCRIPTORS] = words
    if short(Fault.MEMORY, left.memory, MEMORY):
        size = _mib(left.memory or 0)
        found[Fault.MEMORY] = f"{size} of memory left; add memory, or raise MemoryMax="
    disks = [
        words
        for disk in left.disks
        for value, least, words in _needs(disk)
        if short(Fault.DISK, value, least)
    ]
    if disks:
        found[Fault.DISK] = "; ".join([*disks, "remove files there, or enlarge it"])
    return found


def _needs(disk: Disk) -> tuple[tuple[int | None, int, str], ...]:
    where = f"left on the disk of {disk.directory}"
    return (
        (disk.free, DISK, f"{_mib(disk.free)} {where}"),
        (disk.inodes, INODES, f"{disk.inodes} inodes {where}"),
    )


def _mib(size: int) -> str:
    return f"{size / _MIB:.1f} MiB"


class ResourceWatch:
    """Looks every few seconds.

    Args:
        directories: Whose disks are looked at.
        on_look: Told the shortages after each look, whether or not they changed.
        period: Seconds between looks.
        read: Reads what is left for some directories; blocks.
    """

    def __init__(
        self,
        directories: Sequence[Path],
        on_look: Callable[[Mapping[Fault, str]], None] = lambda _: None,
        period: float = PERIOD,
        read: Callable[[Sequence[Path]], Figures] = figures.read,
    ) -> None:
        self.directories = tuple(directories)
        """May be replaced at any time."""
        self.shortages: Mapping[Fault, str] = {}
        """What there is too little of now, in words."""
        self._on_look = on_look
        self._period = period
        self._read = read
        self._last_short: tuple[float, str] | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            # In a thread, for a disk may be somebody's network. It is left behind at the end.
            look = partial(self._read, self.directories)
            self._note(await trio.to_thread.run_sync(look, abandon_on_cancel=True))
            await trio.sleep(self._period)

    def short_of(self, since: float) -> str | None:
        """What was short at any time since then (monotonic seconds) that a probe needs, in words.

        A full disk is no excuse for a node: no probe writes.
        """
        if self._last_short is None:
            return None
        at, words = self._last_short
        return words if at >= since or self._needed() else None

    def _needed(self) -> str:
        needed = (Fault.DESCRIPTORS, Fault.MEMORY)
        return "; ".join(self.shortages[fault] for fault in needed if fault in self.shortages)

    def _note(self, left: Figures) -> None:
        before = self._needed()
        self.shortages = judge(left, self.shortages.keys())
        # What is over now lasted until a moment ago, for all we know.
        if words := self._needed() or before:
            self._last_short = (trio.current_time(), words)
        self._on_look(self.shortages)
