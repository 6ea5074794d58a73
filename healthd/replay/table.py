"""The published figures of four rules, and whether a new simulation contradicts them. Pure.

The figures chose the defaults: a node that loses probes at random must hardly ever be called down,
and one that loses many must be found. Here they are simulated anew, on the real grid and with the
real machine (see :mod:`healthd.replay.synthetic`), and compared within the error of both sides.

How large the published simulation was is not known; what is assumed of it is read from its figures.
False downs are multiples of a twentieth up to 2 % loss, and of a sixth above: 20 and 6 months. The
medians of the first rule can be computed exactly, as it has no rechecks; the published ones lie
about those as medians of some 500 runs do. The published simulation let the interval vary by 5 %;
the real grid does not. A cell counts as a contradiction when both sides would differ so much once
in a thousand times: with forty cells, one run in 25 finds one by chance alone.

The second rule comes out a little quicker here, in every cell: its medians by about a tenth, and
with some 85 false downs at 10 % loss (any of 86,400 slots may begin three failures) instead of 77.
Each of these cells alone lies within its error. All of them together hardly do: the published rule
was probably not quite this one.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from healthd.config import ProbeConfig, VerdictConfig
from healthd.replay import synthetic
from healthd.replay.synthetic import Dice

RUNS = 100
"""Deaths that are simulated for a median, for each month."""

_Z = 3.29
"""Standard deviations that 99.9 % lie within."""
_LEVEL = 0.001
_PUBLISHED_RUNS = 500


class Kind(StrEnum):
    """What a figure says."""

    FALSE_DOWNS = "false downs per node-month"
    MINUTES = "median minutes to DOWN"


LOSSES: Mapping[Kind, tuple[float, ...]] = {
    Kind.FALSE_DOWNS: (0.005, 0.01, 0.02, 0.05, 0.1),
    Kind.MINUTES: (0.2, 0.3, 0.4, 0.5, 0.7),
}
"""The shares of probes that are lost, by column."""

_PUBLISHED_MONTHS = (20, 20, 20, 6, 6)

ASSUMED = "20 node-months at up to 2 % loss, 6 above, and 500 deaths for a median"
"""What is assumed of the published simulation, in words."""

_WEIGHTS = (16, 8, 4, 2, 1)
"""With less loss a month takes less time and holds less news: so many months for one at 10 %."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, and the figures that were published of it, as they were written."""

    name: str
    probe: ProbeConfig
    verdict: VerdictConfig
    figures: Mapping[Kind, tuple[str, ...]]


def _rule(
    name: str, false_downs: str, minutes: str, probe: Mapping[str, str], **verdict: object
) -> Rule:
    figures = {
        Kind.FALSE_DOWNS: tuple(false_downs.split(" / ")),
        Kind.MINUTES: tuple(minutes.split(" / ")),
    }
    rules = VerdictConfig.model_validate(verdict)
    return Rule(name, ProbeConfig.model_validate(probe), rules, figures)


_THREE = {"fall": 3, "fall_after": "0s", "window": 1, "window_failures": 0}

TABLE: tuple[Rule, ...] = (
    _rule(
        "3 in a row at 30 s",
        "0 / 0 / 0.7 / 9.8 / 77",
        "54 / 17 / 7.7 / 4.9 / 2.4",
        {"fast_interval": "30s"},  # no recheck fits between two slots
        **_THREE,
    ),
    _rule(
        "3 in a row, rechecks at 10 s",
        "0 / 0.05 / 0.45 / 8.3 / 77",
        "49 / 15 / 6.5 / 3.4 / 1.4",
        {"fast_interval": "10s"},
        **_THREE,
    ),
    _rule(
        "4 in a row, rechecks at 5 s, at least 20 s",
        "0 / 0 / 0.05 / 0.83 / 7.7",
        "225 / 46 / 14.5 / 6.7 / 1.8",
        {},
        window=1,
        window_failures=0,
    ),
    _rule(
        "the same, or 5 of the last 10 slots",
        "0 / 0 / 0.15 / 2.5 / 58",
        "36 / 10.5 / 6.2 / 4.0 / 2.1",
        {},
    ),
)
"""The published table; the last rule is ours, the defaults."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of the table, to be simulated anew."""

    rule: int
    """The place of the rule in the table."""
    kind: Kind
    column: int

    @property
    def loss(self) -> float:
        """The share of probes that are lost."""
        return LOSSES[self.kind][self.column]

    @property
    def published(self) -> str:
        """The figure, as it was written."""
        return TABLE[self.rule].figures[self.kind][self.column]


CELLS: tuple[Cell, ...] = tuple(
    Cell(rule, kind, column)
    for kind in Kind
    for rule in range(len(TABLE))
    for column in range(len(LOSSES[kind]))
)
"""Every figure of the table."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a simulation of one cell found. In 99.9 % of cases the truth lies in ``low..high``."""

    cell: Cell
    value: float
    low: float
    high: float
    size: float
    """Node-months, or deaths."""
    contradicts: bool
    """Whether it differs from the published figure by more than chance would make it."""


def measure(cell: Cell, dice: Dice, months: float) -> Measured:
    """Simulate one cell.

    Args:
        cell: Which one.
        dice: Chance.
        months: Node-months at 10 % loss; more at less loss, and for medians :data:`RUNS` deaths
            for each.
    """
    rule = TABLE[cell.rule]
    if cell.kind is Kind.FALSE_DOWNS:
        size = months * _WEIGHTS[cell.column]
        count = synthetic.false_downs(dice, cell.loss, size, probe=rule.probe, rules=rule.verdict)
        return judge_count(cell, count, size)
    found = [
        synthetic.minutes_to_down(dice, cell.loss, probe=rule.probe, rules=rule.verdict)
        for _ in range(max(10, round(months * RUNS)))
    ]
    return judge_minutes(cell, found)


def judge_count(cell: Cell, count: int, months: float) -> Measured:
    """So many false downs in so many months, and the odds that the published figure is of them."""
    low, high = _poisson(count)
    theirs = _PUBLISHED_MONTHS[cell.column]
    least, most = (max(0, edge * theirs) for edge in _rounded(cell.published))
    # Of the counts that are written like this, the one that fits best.
    near = min(max(count / months * theirs, math.ceil(least)), max(math.floor(most), 0))
    odds = _odds(round(near), count, months / (months + theirs))
    return Measured(
        cell, count / months, low / months, high / months, months, contradicts=odds < _LEVEL
    )


def judge_minutes(cell: Cell, minutes: Sequence[float]) -> Measured:
    """Times to DOWN, in minutes, and whether the published median has its place among them."""
    ranked, count = sorted(minutes), len(minutes)
    reach = _Z / 2 * math.sqrt(count)
    low = ranked[max(0, math.floor(count / 2 - reach))]
    high = ranked[min(count - 1, math.ceil(count / 2 + reach))]
    least, most = _rounded(cell.published)
    place = min(max(0.5, bisect_left(ranked, least) / count), bisect_right(ranked, most) / count)
    allowed = _Z / 2 * math.sqrt(1 / count + 1 / _PUBLISHED_RUNS)
    return Measured(cell, median(ranked), low, high, count, contradicts=abs(place - 0.5) > allowed)


def _rounded(written: str) -> tuple[float, float]:
    """What may have been rounded to this figure; a bare 0 means that there was none."""
    if written == "0":
        return 0.0, 0.0
    half = 0.5 * 10 ** -len(written.partition(".")[2])
    return float(written) - half, float(written) + half


def _poisson(count: int) -> tuple[float, float]:
    """The means that a count goes with (Wilson and Hilferty's approximation)."""
    low = 1 - 1 / (9 * count) - _Z / (3 * math.sqrt(count)) if count else 0.0
    more = count + 1
    high = 1 - 1 / (9 * more) + _Z / (3 * math.sqrt(more))
    return count * max(0.0, low) ** 3, more * high**3


def _odds(theirs: int, ours: int, share: float) -> float:
    """How likely two counts of the same rate differ at least as much; ``share`` of time is ours.

    Of all events, each is one of ours with this probability: a binomial test.
    """
    total = theirs + ours
    rate = (math.log(share), math.log1p(-share))

    def chance(hits: int) -> float:
        ways = math.lgamma(total + 1) - math.lgamma(hits + 1) - math.lgamma(total - hits + 1)
        return math.exp(ways + hits * rate[0] + (total - hits) * rate[1])

    below = math.fsum(chance(hits) for hits in range(ours + 1))
    above = math.fsum(chance(hits) for hits in range(ours, total + 1))
    return min(1.0, 2 * min(below, above))
