"""Whatever becomes of the database: the daemon says so, goes on, and keeps again when it can."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio

from healthd.demo.fleet import Fleet, open_fleet
from healthd.demo.running import OPEN_GATE, RunningDaemon, start_daemon
from healthd.store.service import FILE
from tests.e2e.client import watching
from tests.e2e.support import (
    FALL_LIMIT,
    healthd,
    swift_config,
    tell,
    wait_for,
    wait_healths,
    wait_mode,
    wait_probed,
)

IDS = ["a", "b", "c"]
STORE_LIMIT = 20.0
"""Seconds within which trouble with the file shows, or its end: it is written every ten."""

WITHOUT_RIGHTS = [
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
]
"""Makes root one whom modes of files bind."""


async def test_troubles_of_the_store(xray, tmp_path):
    """Damaged, removed, forbidden, read-only, locked, full: nothing of it stops the main job."""
    scenarios = [damaged_between_runs, damaged_under_it]
    missing = []
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        missing.append("a file that may not be read (needs setpriv, to run without root's rights)")
    else:
        scenarios.append(forbidden)
    if await can_mount(tmp_path):
        scenarios.append(locked_and_full)
    else:
        missing.append("a full disk (needs the right to mount one)")
    with trio.fail_after(150):
        async with trio.open_nursery() as nursery:
            for scenario in scenarios:
                nursery.start_soon(scenario, xray, tmp_path / scenario.__name__)
    if missing:
        pytest.skip(f"all well, but not shown: {'; '.join(missing)}")


@asynccontextmanager
async def living(xray: str, directory: Path) -> AsyncIterator[tuple[Fleet, Path, Path]]:
    """A fleet, its configuration and its database; users are never left without files."""
    async with open_fleet(xray, IDS, checks=2) as fleet:
        config = swift_config(fleet, directory, {"gate": OPEN_GATE})
        async with watching(directory / "public"):
            yield fleet, config, directory / "state" / FILE


async def works(daemon: RunningDaemon) -> None:
    """All are up and published, and what happens is kept."""
    await wait_mode(daemon, "normal")
    await daemon.wait_until(lambda: daemon.links() == IDS, 10, "published")
    assert await daemon.metric("store_ok") == 1.0
    assert (await daemon.status())["store_problem"] is None
    await kept(daemon.config, "drain", "c")
    await kept(daemon.config, None, "c")
    await daemon.wait_until(lambda: daemon.links() == IDS, 10, "published again")


async def node_dies_and_returns(daemon: RunningDaemon, fleet: Fleet, node_id: str) -> None:
    """The main job: a dead node leaves the files, and comes back."""
    await fleet.kill(node_id)
    rest = [each for each in IDS if each != node_id]
    await daemon.wait_until(lambda: daemon.links() == rest, FALL_LIMIT, "the dead one has gone")
    await fleet.restore(node_id)
    await daemon.wait_until(lambda: daemon.links() == IDS, FALL_LIMIT, "it is back")


async def wait_broken(daemon: RunningDaemon, kind: str) -> None:
    """The trouble shows in log, metric and status, by its kind, with a mend."""
    with trio.fail_after(STORE_LIMIT):
        told = await daemon.wait_event("store_failed", kind=kind)
    assert told["level"] == "error"
    assert told["mend"]
    assert await daemon.metric("store_ok") == 0.0
    assert (await daemon.status())["store_problem"]


async def wait_mended(daemon: RunningDaemon) -> None:
    """Its end shows too."""
    with trio.fail_after(STORE_LIMIT):
        await daemon.wait_event("store_recovered")
    assert await daemon.metric("store_ok") == 1.0
    assert (await daemon.status())["store_problem"] is None


# --- damaged files ---


def truncate(file: Path) -> None:
    """As a disk that was full at the wrong moment leaves it."""
    os.truncate(file, file.stat().st_size // 2)


def overwrite_head(file: Path) -> None:
    """Not even the header is SQLite's."""
    with file.open("r+b") as raw:
        raw.write(b"\xa5" * 4096)


def overwrite_middle(file: Path) -> None:
    """The header is, but the pages are not."""
    size = file.stat().st_size
    with file.open("r+b") as raw:
        raw.seek(4096)
        raw.write(b"\xa5" * (size - 8192))


async def damaged_between_runs(xray: str, directory: Path) -> None:
    """A file that was damaged while no daemon ran is set aside, and another begun at once."""
    async with living(xray, directory) as (_, config, file):
        async with start_daemon(config) as daemon:
            await works(daemon)
        for number, damage in enumerate((truncate, overwrite_head, overwrite_middle), 1):
            damage(file)
            spoilt = file.read_bytes()
            async with start_daemon(config) as daemon:
                told = await daemon.wait_event("store_set_aside")
                assert told["level"] == "error"
                assert Path(told["aside"]).read_bytes() == spoilt
                await daemon.wait_event("store_begun")
                # Nothing is known of the nodes: they are asked, before anything is published.
                assert (await daemon.wait_event("state_restored"))["nodes"] == 0
                await daemon.wait_until(lambda: daemon.links() == IDS, 10, "still published")
                await wait_probed(daemon, IDS, 1, result="success")
                assert not daemon.named("config_published")
                await works(daemon)
            assert len(list(file.parent.glob("*.damaged-*"))) >= number


async def damaged_under_it(xray: str, directory: Path) -> None:
    """Damage under a running daemon stops nothing, and is told by the next run at the latest.

    SQLite works from its memory and its log, and looks at the file itself only when it must. That
    a file was removed shows at once.
    """
    async with living(xray, directory) as (fleet, config, file):
        async with start_daemon(config) as daemon:
            await works(daemon)
        async with start_daemon(config) as daemon:
            await wait_mode(daemon, "normal")
            overwrite_head(file)
            await node_dies_and_returns(daemon, fleet, "a")
            told = daemon.named("store_set_aside")
        async with start_daemon(config) as daemon:
            assert told or await daemon.wait_event("store_set_aside")
            await works(daemon)
            file.unlink()
            await node_dies_and_returns(daemon, fleet, "a")
            await daemon.wait_event("store_removed")
            await works(daemon)
            known = (await healthd(config, "history", "a", "--json")).json["transitions"]
            assert [each["after"] for each in known][-3:] == ["down", "recovering", "up"]


# --- rights ---


async def forbidden(xray: str, directory: Path) -> None:
    """A file that may not be read, or not written: told with the mend, and used when it may."""
    through = WITHOUT_RIGHTS if os.getuid() == 0 else []
    async with living(xray, directory) as (fleet, config, file):
        async with start_daemon(config, through=through) as daemon:
            await works(daemon)

        file.chmod(0o000)
        async with start_daemon(config, through=through) as daemon:
            await wait_broken(daemon, "denied")
            assert (await daemon.wait_event("state_restored"))["nodes"] == 0
            await wait_healths(daemon, dict.fromkeys(IDS, "up"))
            await node_dies_and_returns(daemon, fleet, "a")
            await not_kept(config, "drain", "b")
            file.chmod(0o600)
            # The next change is written soon, and all that waits with it.
            await kept(config, "drain", "c")
            await wait_mended(daemon)

        file.chmod(0o400)
        async with start_daemon(config, through=through) as daemon:
            await wait_broken(daemon, "read-only")
            # It can be read still: the nodes are known, and what an operator wanted holds.
            restored = await daemon.wait_event("state_restored")
            assert (restored["nodes"], restored["overrides"]) == (3, 2)
            await wait_probed(daemon, IDS, 1, result="success")
            await daemon.wait_until(lambda: daemon.links() == ["a"], 10, "the other two are out")
            file.chmod(0o600)
            await kept(config, None, "c")
            await wait_mended(daemon)


async def not_kept(config: Path, command: str, node_id: str) -> None:
    """It is done, but it would not outlive this run, and the operator is told so."""
    done = await healthd(config, command, node_id, "--reason", "x")
    assert done.code == 0, done.err
    assert "not kept" in done.err


async def kept(config: Path, mode: str | None, node_id: str) -> None:
    """It is done, and in the file. As the commands ask it, but without a process for each."""
    about = {"pattern": node_id, "author": "test", "reason": "x"}
    done = (
        await tell(config, "resume", about)
        if mode is None
        else await tell(config, "overrides", {**about, "mode": mode, "allow_below_floor": True})
    )
    assert done["kept"] is True


# --- locks and space ---


async def can_mount(directory: Path) -> bool:
    place = directory / "may-i-mount"
    place.mkdir()
    done = await trio.run_process(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)],
        check=False,
        stderr=subprocess.DEVNULL,
    )
    if done.returncode == 0:
        await trio.run_process(["umount", str(place)])
    return done.returncode == 0


@asynccontextmanager
async def small_disk(place: Path) -> AsyncIterator[None]:
    """A disk of four MiB at this place."""
    place.mkdir(parents=True)
    await trio.run_process(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)])
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await trio.run_process(["umount", "--lazy", str(place)])


async def locked_and_full(xray: str, directory: Path) -> None:
    """Somebody holds the file, then its disk is full: what happened meanwhile is kept later."""
    async with (
        small_disk(directory / "state"),
        living(xray, directory) as (fleet, config, file),
        start_daemon(config) as daemon,
    ):
        await works(daemon)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            await fleet.kill("a")
            await daemon.wait_until(lambda: "a" not in daemon.links(), FALL_LIMIT, "it left")
            await wait_broken(daemon, "locked")
        await fleet.restore("a")
        await wait_mended(daemon)
        await daemon.wait_until(lambda: daemon.links() == IDS, FALL_LIMIT, "it is back")

        filler = file.with_name("filler")
        fill(filler)
        await fleet.kill("b")
        await daemon.wait_until(lambda: "b" not in daemon.links(), FALL_LIMIT, "it left")
        await wait_broken(daemon, "full")
        await wait_probed(daemon, IDS, 2)
        filler.unlink()
        await fleet.restore("b")
        await wait_for(lambda: mended(daemon, 2), STORE_LIMIT, "it keeps again")
        for node_id in ("a", "b"):
            known = (await healthd(config, "history", node_id, "--json")).json["transitions"]
            assert "down" in [each["after"] for each in known]


async def mended(daemon: RunningDaemon, times: int) -> bool:
    return len(daemon.named("store_recovered")) >= times


def fill(file: Path) -> None:
    """Leave no byte of the disk."""
    with file.open("wb", buffering=0) as raw:
        try:
            while True:
                raw.write(bytes(4096))
        except OSError:
            pass
