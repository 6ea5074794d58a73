"""What is left on this machine, read from the kernel."""

import errno
import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from healthd.probing import figures
from healthd.probing.figures import free_descriptors, free_disks, free_memory
from healthd.probing.resources import DESCRIPTORS, DISK, INODES, judge
from healthd.probing.selfcheck import Fault

MIB = 2**20


def test_this_machine_is_read() -> None:
    """All figures come from the real kernel, and are of the right size."""
    left = figures.read([Path("/")])
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)

    assert left.descriptors is not None
    assert left.descriptors == limit - (psutil.Process().num_fds() - 1), "less psutil's own"
    assert left.memory is not None
    assert 0 < left.memory <= psutil.virtual_memory().total
    (disk,) = left.disks
    assert disk.directory == Path("/")
    assert disk.free == pytest.approx(psutil.disk_usage("/").free, abs=64 * MIB)


def test_looking_leaves_nothing_open() -> None:
    """A watch that looks every two seconds must not eat what it watches."""
    before = free_descriptors()
    for _ in range(20):
        figures.read([Path("/")])

    assert free_descriptors() == before


def child(code: str) -> str:
    """What a Python of its own says to this."""
    given = textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", given], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_low_limit_is_a_shortage() -> None:
    """A soft limit that leaves hardly any descriptor is told, with its mend."""
    said = child(
        f"""
        import resource
        from healthd.probing import figures, resources
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, hard))
        print(resources.judge(figures.read([])))
        """
    )

    assert "descriptors left; raise LimitNOFILE=" in said
    assert "Fault.DESCRIPTORS" in said


def test_last_descriptor_gone_is_zero() -> None:
    """When even looking takes one too many, there is none left: no error, no guess."""
    said = child(
        """
        import os, resource
        from healthd.probing import figures
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, hard))
        held = []
        try:
            while True:
                held.append(os.dup(0))
        except OSError:
            pass
        print(figures.free_descriptors(), figures.read([]))
        """
    )

    assert said.startswith("0 Figures(descriptors=0, memory=")


def test_no_limit_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit there is nothing to run out of. Linux has none such, other kernels do."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda _: unlimited)

    assert free_descriptors() is None


def test_no_proc_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc nothing is known of descriptors; that is not the same as having none."""

    def missing(_: object) -> list[str]:
        raise OSError(errno.ENOENT, "gone")

    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", missing)
        left = free_descriptors()

    assert left is None


# --- memory ---


def proc(
    folder: Path, *, available: str = "MemAvailable:    2048000 kB\n", group: str = ""
) -> Path:
    """A made-up /proc."""
    (folder / "self").mkdir(parents=True)
    (folder / "meminfo").write_text(f"MemTotal:  4096000 kB\n{available}SwapFree:  1 kB\n")
    (folder / "self/cgroup").write_text(f"4:memory:/other\n{group}")
    return folder


def limit(group: Path, most: str, current: int, stat: str = "anon 1\n") -> None:
    """Make a control group with this limit and use."""
    group.mkdir(parents=True, exist_ok=True)
    (group / "memory.max").write_text(f"{most}\n")
    (group / "memory.current").write_text(f"{current}\n")
    (group / "memory.stat").write_text(stat)


MACHINE = 2048000 * 1024
OURS = "0::/system.slice/healthd.service\n"


def test_memory_without_a_limit_is_the_machines(tmp_path: Path) -> None:
    """What the kernel calls available counts; a group of the old kind says nothing."""
    assert free_memory(proc(tmp_path / "proc"), [tmp_path]) == MACHINE
    assert free_memory(proc(tmp_path / "2", group=OURS), [tmp_path]) == MACHINE


def test_memory_limit_of_our_group_counts(tmp_path: Path) -> None:
    """MemoryMax= is where the kernel kills; what it would give back first is no use."""
    root = tmp_path / "cgroup"
    stat = f"anon 5\nfile 9\ninactive_file {30 * MIB}\nactive_file {20 * MIB}\n"
    stat += f"slab_reclaimable {MIB}\nslab 1\n"
    limit(root / "system.slice/healthd.service", str(200 * MIB), 190 * MIB, stat)

    assert free_memory(proc(tmp_path / "proc", group=OURS), [root]) == 61 * MIB


@pytest.mark.parametrize(
    ("ours", "above", "expected"),
    [
        ("max", "max", MACHINE),
        ("max", "50", 40),
        ("30", "max", 20),
        ("30", "50", 20),
        ("90", "50", 40),
    ],
)
def test_tightest_group_counts(tmp_path: Path, ours: str, above: str, expected: int) -> None:
    """A limit on any group above ours kills as well."""
    root = tmp_path / "cgroup"
    limit(root / "system.slice", above, 10)
    limit(root / "system.slice/healthd.service", ours, 10)

    assert free_memory(proc(tmp_path / "proc", group=OURS), [root]) == expected


def test_group_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    """Never less than nothing."""
    root = tmp_path / "cgroup"
    limit(root, "100", 120)

    assert free_memory(proc(tmp_path / "proc", group="0::/\n"), [root]) == 0


def test_machine_has_less_than_the_group_allows(tmp_path: Path) -> None:
    """A generous limit on a full machine helps nobody."""
    root = tmp_path / "cgroup"
    limit(root, str(2**50), 0)

    assert free_memory(proc(tmp_path / "proc", group="0::/\n"), [root]) == MACHINE


def test_unknown_memory_is_no_figure(tmp_path: Path) -> None:
    """An old kernel, or no /proc at all: not known, which is no shortage."""
    assert free_memory(proc(tmp_path / "old", available=""), [tmp_path]) is None
    assert free_memory(tmp_path / "nowhere", [tmp_path]) is None


# --- disks ---


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """A small disk in memory."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_full_disk_is_a_shortage(tmp_path: Path) -> None:
    """A disk that fills up is told, by the directory that we write to; emptied, it is fine."""
    with mounted(tmp_path / "disk", f"size={DISK * 2}") as disk:
        directory = disk / "public"
        directory.mkdir()
        assert judge(figures.read([directory])) == {}
        (disk / "filler").write_bytes(bytes(DISK + MIB))
        found = judge(figures.read([directory]))
        (disk / "filler").unlink()
        after = judge(figures.read([directory]), found)

    assert set(found) == {Fault.DISK}
    assert f"MiB left on the disk of {directory}" in found[Fault.DISK]
    assert after == {}


def test_full_table_of_inodes_is_a_shortage(tmp_path: Path) -> None:
    """Bytes are no use where no file can be made."""
    with mounted(tmp_path / "disk", f"size={DISK * 4},nr_inodes={INODES + 10}") as disk:
        assert judge(figures.read([disk])) == {}
        for number in range(20):
            (disk / str(number)).touch()
        found = judge(figures.read([disk]))

    assert "inodes left" in found[Fault.DISK]
    assert "MiB" not in found[Fault.DISK]


def test_each_disk_is_told_once(tmp_path: Path) -> None:
    """Directories of one file system share what is left of it; the first is named."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    assert [disk.directory for disk in free_disks([tmp_path / "b", tmp_path / "a"])] == [
        tmp_path / "b"
    ]


def test_directory_that_is_not_there_is_no_figure(tmp_path: Path) -> None:
    """Whoever writes there will say so in better words."""
    assert free_disks([tmp_path / "gone"]) == ()
