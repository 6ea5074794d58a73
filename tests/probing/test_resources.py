"""Is there enough left to judge others?"""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import trio

from healthd.probing.figures import Disk, Figures
from healthd.probing.resources import DESCRIPTORS, DISK, INODES, MEMORY, ResourceWatch, judge
from healthd.probing.selfcheck import Fault
from tests.fakes import wait_until

HERE = Path("/srv/public")
MIB = 2**20


def disk(free: int = DISK, inodes: int | None = INODES) -> Figures:
    """One disk."""
    return Figures(disks=(Disk(HERE, free, inodes),))


@pytest.mark.parametrize(
    ("left", "fault"),
    [
        (Figures(), None),
        (Figures(descriptors=DESCRIPTORS), None),
        (Figures(descriptors=DESCRIPTORS - 1), Fault.DESCRIPTORS),
        (Figures(descriptors=0), Fault.DESCRIPTORS),
        (Figures(memory=MEMORY), None),
        (Figures(memory=MEMORY - 1), Fault.MEMORY),
        (Figures(memory=0), Fault.MEMORY),
        (disk(), None),
        (disk(inodes=None), None),
        (disk(free=DISK - 1), Fault.DISK),
        (disk(free=0), Fault.DISK),
        (disk(inodes=INODES - 1), Fault.DISK),
        (disk(inodes=0), Fault.DISK),
    ],
)
def test_limits(left: Figures, fault: Fault | None) -> None:
    """Below its limit each is short; at the limit, or unknown, it is not."""
    assert set(judge(left)) == ({fault} if fault else set())


@pytest.mark.parametrize(
    ("kind", "figures", "least"),
    [
        (Fault.DESCRIPTORS, lambda left: Figures(descriptors=left), DESCRIPTORS),
        (Fault.MEMORY, lambda left: Figures(memory=left), MEMORY),
        (Fault.DISK, lambda left: disk(free=left, inodes=None), DISK),
        (Fault.DISK, lambda left: disk(free=10 * DISK, inodes=left), INODES),
    ],
)
def test_shortage_ends_with_a_quarter_more(kind, figures, least) -> None:
    """What hovers around the limit does not come and go; another shortage changes nothing."""
    ample = least * 5 // 4
    others = set(Fault) - {kind}

    assert judge(figures(least), {kind}).keys() == {kind}
    assert judge(figures(ample - 1), {kind}).keys() == {kind}
    assert judge(figures(ample), {kind}) == {}
    assert judge(figures(least), others) == {}


def test_words_name_figure_place_and_mend() -> None:
    """An operator knows from the words alone what to do."""
    left = Figures(3, 20 * MIB, (Disk(HERE, MIB, 5), Disk(Path("/var/lib/healthd"), 0, None)))

    assert judge(left) == {
        Fault.DESCRIPTORS: "3 descriptors left; raise LimitNOFILE= (ulimit -n)",
        Fault.MEMORY: "20.0 MiB of memory left; add memory, or raise MemoryMax=",
        Fault.DISK: (
            "1.0 MiB left on the disk of /srv/public; 5 inodes left on the disk of /srv/public; "
            "0.0 MiB left on the disk of /var/lib/healthd; remove files there, or enlarge it"
        ),
    }


# --- the watch ---

AMPLE = Figures(10_000, 2**30)


class FakeMachine:
    """A machine whose figures a test sets; notes what it was asked for, and in which thread."""

    def __init__(self, left: Figures = AMPLE) -> None:
        self.left = left
        self.asked: list[tuple[Path, ...]] = []
        self.threads: set[int] = set()

    def __call__(self, directories: Sequence[Path]) -> Figures:
        """Read."""
        self.asked.append(tuple(directories))
        self.threads.add(threading.get_ident())
        return self.left

    async def looked(self) -> None:
        """Wait until a look that began after this call is over."""
        looks = len(self.asked)
        await wait_until(lambda: len(self.asked) >= looks + 3)


async def test_watch_tells_what_it_sees(nursery: trio.Nursery) -> None:
    """Each look is told; what is short is there to be asked for."""
    machine = FakeMachine()
    told: list[Mapping[Fault, str]] = []
    watch = ResourceWatch([HERE], told.append, period=0.001, read=machine)
    nursery.start_soon(watch.run)
    await machine.looked()
    assert watch.shortages == {}
    assert told[-1] == {}
    machine.left = Figures(3, 2**30, (Disk(HERE, 0, None),))
    await machine.looked()

    assert set(watch.shortages) == {Fault.DESCRIPTORS, Fault.DISK}
    assert told[-1] == watch.shortages
    assert set(machine.asked) == {(HERE,)}


async def test_watch_does_not_block_the_loop(nursery: trio.Nursery) -> None:
    """A disk may be somebody's network: it is looked at from another thread."""
    machine = FakeMachine()
    nursery.start_soon(ResourceWatch([HERE], period=0.001, read=machine).run)
    await machine.looked()

    assert threading.get_ident() not in machine.threads


async def test_hanging_disk_does_not_hold_up_the_end() -> None:
    """The daemon ends though a look never does."""
    hanging, begun = threading.Event(), threading.Event()

    def read(_: Sequence[Path]) -> Figures:
        begun.set()
        hanging.wait(10)
        return AMPLE

    try:
        with trio.fail_after(2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ResourceWatch([HERE], read=read).run)
                await wait_until(begun.is_set)
                nursery.cancel_scope.cancel()
    finally:
        hanging.set()


async def test_directories_may_change(nursery: trio.Nursery) -> None:
    """A reload may move a publication."""
    machine = FakeMachine()
    watch = ResourceWatch([HERE], period=0.001, read=machine)
    nursery.start_soon(watch.run)
    await machine.looked()
    watch.directories = (Path("/elsewhere"),)
    await machine.looked()

    assert machine.asked[-1] == (Path("/elsewhere"),)


async def test_shortage_excuses_whoever_began_under_it(nursery: trio.Nursery) -> None:
    """A probe is excused when there was too little at any time of it, even if that is over."""
    machine = FakeMachine()
    watch = ResourceWatch([HERE], period=0.001, read=machine)
    nursery.start_soon(watch.run)
    await machine.looked()
    assert watch.short_of(0.0) is None, "there never was a shortage"
    machine.left = Figures(3, MIB)
    await machine.looked()
    words = watch.short_of(trio.current_time())
    assert words is not None
    assert "3 descriptors left" in words
    assert "1.0 MiB of memory left" in words
    during = trio.current_time()
    machine.left = AMPLE
    await machine.looked()

    assert watch.short_of(during) == words
    assert watch.short_of(trio.current_time()) is None


async def test_full_disk_excuses_no_node(nursery: trio.Nursery) -> None:
    """No probe writes to a disk."""
    machine = FakeMachine(disk(free=0))
    watch = ResourceWatch([HERE], period=0.001, read=machine)
    nursery.start_soon(watch.run)
    await machine.looked()

    assert Fault.DISK in watch.shortages
    assert watch.short_of(0.0) is None
