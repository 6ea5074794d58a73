"""A daemon that is killed at any moment: what it was told to be in the file is there."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.support import rows, stage

CHILD = """
import sys
from pathlib import Path
import trio
from tests.store.support import FELL, WALL, running, stage

async def main():
    here = stage(Path(sys.argv[1]))
    async with running(here.store):
        for number in range(100_000):
            here.store.note_transition("a", FELL, WALL + number, "x" * 2000)
            assert await here.store.flush()
            print(number + 1, flush=True)

trio.run(main)
"""


@pytest.mark.parametrize("after", [1, 40])
def test_killed_while_writing(tmp_path: Path, after: int) -> None:
    """SIGKILL between or within batches: no row that was confirmed is lost, and none is half."""
    path = tmp_path / "healthd.db"
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        confirmed = 0
        for line in child.stdout:
            if line.strip().isdecimal():
                confirmed = int(line)
            if confirmed >= after:
                break
        child.kill()
        confirmed = max(
            [confirmed, *(int(n) for n in child.stdout.read().split() if n.isdecimal())]
        )
    here = stage(path)

    assert here.loaded.problem is None
    ((found, largest),) = rows(path, "SELECT count(*), max(at) - min(at) + 1 FROM transitions")
    assert found == largest >= confirmed >= after
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
