"""Recorded results are small: 30 days of 100 nodes in less than 100 MB, measured."""

import random
from pathlib import Path

from healthd.model import Reason, Result, failure, success
from healthd.verdict.trace import Recorded
from tests.store.support import WALL, rows, running, stage

DAY = 86400.0
NODES = 20
"""Of a hundred: a fifth of the fleet for a day."""


def lived(chance: random.Random, begin: float) -> list[Recorded]:
    """A day of one node: a slot each 30 s, latencies that vary, and 2 % failures with rechecks."""
    usual = chance.uniform(0.08, 0.6)
    made: list[Recorded] = []
    for number in range(2880):
        began = begin + number * 30 + chance.uniform(0, 0.02)
        result = outcome(chance, usual)
        made.append(Recorded(began, took(chance, result), result, True))
        while result.latency is None and began < begin + number * 30 + 20:
            began += 5 + chance.uniform(0, 0.02)
            result = outcome(chance, usual)
            made.append(Recorded(began, took(chance, result), result, False))
    return made


def outcome(chance: random.Random, usual: float) -> Result:
    if chance.random() < 0.02:
        return failure(chance.choice([Reason.TIMEOUT, Reason.DEADLINE, Reason.REFUSED]))
    return success(chance.lognormvariate(0, 0.2) * usual)


def took(chance: random.Random, result: Result) -> float:
    """A little longer than the latency; a failure takes any time up to the deadline."""
    if result.latency is None:
        return chance.uniform(0.05, 10)
    return result.latency + chance.uniform(0.001, 0.02)


async def test_a_month_of_a_hundred_nodes(tmp_path: Path):
    """Measured on a fifth of the fleet for a day, written as the daemon writes it."""
    path, chance = tmp_path / "healthd.db", random.Random(7)
    here = stage(path)
    async with running(here.store):
        assert await here.store.flush()
        empty = path.stat().st_size
        days = {f"node-{number:03d}": lived(chance, WALL) for number in range(NODES)}
        for half_hours in range(48):
            end = WALL + (half_hours + 1) * 1800
            for name, results in days.items():
                while results and results[0].began < end:
                    here.store.note_result(name, results.pop(0))
            assert await here.store.flush()
    written = rows(path, "SELECT count(*) FROM results")[0][0]
    month = (path.stat().st_size - empty) * (100 / NODES) * 30

    assert written >= NODES * 2880 / 70
    assert month < 100e6, f"{month / 1e6:.0f} MB"
