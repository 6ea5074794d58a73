"""The published figures, and when a simulation contradicts them."""

import random

import pytest

from healthd.config import ProbeConfig, VerdictConfig
from healthd.replay.table import (
    CELLS,
    TABLE,
    Cell,
    Kind,
    judge_count,
    judge_minutes,
    measure,
)

ZERO, FEW, MANY = (Cell(0, Kind.FALSE_DOWNS, column) for column in (0, 2, 4))
"""Three in a row: 0, 0.7 and 77 false downs."""
LONG = Cell(2, Kind.MINUTES, 0)
"""225 minutes."""


def test_the_table():
    """Forty figures; the last rule is what a configuration has without a word about it."""
    assert len(set(CELLS)) == 40
    assert (ProbeConfig(), VerdictConfig()) == (TABLE[-1].probe, TABLE[-1].verdict)
    assert [cell.published for cell in (ZERO, FEW, MANY, LONG)] == ["0", "0.7", "77", "225"]
    assert [cell.loss for cell in (ZERO, FEW, MANY, LONG)] == [0.005, 0.02, 0.1, 0.2]


@pytest.mark.parametrize(
    ("cell", "count", "months", "contradicts"),
    [
        (MANY, 77 * 12, 12, False),
        (MANY, 87 * 12, 12, False),  # as far off as six months may be
        (MANY, 97 * 12, 12, True),
        (MANY, 57 * 12, 12, True),
        (FEW, 34, 48, False),
        (FEW, 60, 48, False),
        (FEW, 100, 48, True),
        (FEW, 3, 48, True),
        (ZERO, 0, 192, False),
        (ZERO, 20, 192, False),  # two are to be expected in twenty months: none may well come
        (ZERO, 120, 192, True),  # twelve
    ],
)
def test_counts(cell, count, months, contradicts):
    """A count contradicts a figure when both would hardly differ so much by chance."""
    found = judge_count(cell, count, months)

    assert found.contradicts is contradicts
    assert found.low <= found.value == count / months <= found.high


def test_interval_of_counts():
    """The interval of a count is Poisson's: about 3.3 standard deviations to either side."""
    found = judge_count(MANY, 1000, 10)

    assert (found.low, found.high) == pytest.approx((89.97, 110.81), abs=0.05)
    assert judge_count(ZERO, 0, 1).high == pytest.approx(7.6, abs=0.3)


@pytest.mark.parametrize(
    ("middle", "contradicts"), [(225, False), (240, False), (180, True), (320, True)]
)
def test_minutes(middle, contradicts):
    """A median contradicts a figure when that lies too far from the middle of the times."""
    times = [middle * (n + 0.5) / 500 for n in range(1000)]

    found = judge_minutes(LONG, times)

    assert found.contradicts is contradicts
    assert found.value == pytest.approx(middle)
    assert found.low < middle < found.high


def test_rounded_medians():
    """A figure of two digits stands for all that is rounded to it."""
    cell = Cell(3, Kind.MINUTES, 4)  # 2.1
    near = [2.06 + n / 1e6 for n in range(1000)]

    assert not judge_minutes(cell, near).contradicts


@pytest.mark.parametrize("kind", Kind)
def test_measuring(kind):
    """A cell is simulated with its own rule and loss; the same dice give the same figure."""
    cell = Cell(3, kind, 4)

    found = [measure(cell, random.Random(5), 0.05) for _ in range(2)]

    assert found[0] == found[1]
    assert found[0].cell == cell
    assert found[0].low < found[0].value < found[0].high
    assert found[0].size == (0.05 if kind is Kind.FALSE_DOWNS else 10)
    assert not found[0].contradicts
