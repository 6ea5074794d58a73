"""What the commands are told: history, and availability against figures worked out by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from healthd.config import VerdictConfig
from healthd.errors import StoreError, StoreFault
from healthd.model import AdminMode, Health, Reason, Result, failure, inconclusive, success
from healthd.store import queries
from healthd.store.queries import Change, Standing
from healthd.verdict.board import Board, slot_verdict
from healthd.verdict.ledger import Availability, Kind, SlotVerdict
from healthd.verdict.overrides import Override
from tests.builders import node
from tests.store.support import FELL, WALL, change, running, stage

HOUR = 3600.0
SLOT = 30.0
MAINTENANCE = Override(
    pattern="a",
    mode=AdminMode.MAINTENANCE,
    reason="kernel",
    author="eve",
    created=WALL + HOUR,
    expires=WALL + HOUR + 1200,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "healthd.db"


def standing(path: Path, name: str, *, now: float, since: float = WALL) -> Standing:
    """How one subject stands."""
    found = {each.name: each for each in queries.sla(path, since=since, now=now, interval=SLOT)}
    return found[name]


def probed(second: float) -> Result | None:
    """What came of the probe in the slot at this second of the trace; None: nobody asked.

    hour 0      two failures, 1,000 s in
    hour 1      maintenance for the first 20 minutes, while nothing works; then four inconclusive
    hour 2      the daemon is down for the first half
    hours 3-23  all is well
    """
    if second in {990.0, 1020.0}:
        return failure(Reason.TIMEOUT)
    if HOUR <= second < HOUR + 1200:
        return failure(Reason.REFUSED)
    if HOUR + 1200 <= second < HOUR + 1320:
        return inconclusive(Reason.CONTROL_FAILED)
    if 2 * HOUR <= second < 2 * HOUR + 1800:
        return None
    return success(0.2 if second else 1.4)


async def record(path: Path, probe: Callable[[float], Result | None], hours: int) -> None:
    """Let a node live through the trace, as the daemon does: board, ledger, store."""
    here, board, rules = stage(path), Board(), VerdictConfig()
    board.replace([node("a")], 0.0)
    async with running(here.store, board):
        here.store.watched_are(["a"], ["users"], WALL)
        for number in range(int(hours * HOUR / SLOT)):
            at = number * SLOT
            laid = [MAINTENANCE] if at >= HOUR else []
            board.lay(laid, now=at, wall=WALL + at, rules=rules)
            if (result := probe(at)) is None:
                continue
            board.observe("a", result, slot=True, began=at, now=at, wall=WALL + at, rules=rules)
            verdict = slot_verdict(board["a"], result)
            here.store.ledger.note(Kind.NODE, "a", WALL + at, verdict, result.latency)
        assert await here.store.flush()


async def test_trace_by_hand(path):
    """A day of slots, worked out by hand.

    24 h x 120 slots            = 2,880
    excluded: 20 min of maintenance, 1200 / 30          =    40
    unknown:  4 inconclusive + 1800 / 30 daemon down    =    64
    bad:                                                =     2
    good:     2,880 - 40 - 64 - 2                       = 2,774

    availability 2,774 / 2,776           = 0.99928
    coverage     2,776 / (2,880 - 40)    = 0.97746: sufficient
    budget       0.001 x (2,880 - 40)    = 2.84 slots
    latency      (2,773 x 0.2 + 1.4) / 2,774
    """
    await record(path, probed, 24)
    found = standing(path, "a", now=WALL + 24 * HOUR).figures

    assert (found.good, found.bad, found.excluded, found.unknown) == (2774, 2, 40, 64)
    assert found.availability == pytest.approx(0.999280, abs=1e-6)
    assert found.coverage == pytest.approx(0.977465, abs=1e-6)
    assert found.is_sufficient
    assert found.budget(0.999) == pytest.approx(2.84)
    assert found.latency_mean == pytest.approx(0.200433, abs=1e-6)
    assert found.latency_max == 1.4


async def test_four_hours_of_it_are_insufficient(path):
    """Only hours 0 to 3.

    480 slots, 40 excluded, 64 unknown, 2 bad, 374 good
    coverage 376 / 440 = 0.8545
    """
    await record(path, probed, 4)
    found = standing(path, "a", now=WALL + 4 * HOUR).figures

    assert (found.good, found.bad, found.excluded, found.unknown) == (374, 2, 40, 64)
    assert found.coverage == pytest.approx(0.854545, abs=1e-6)
    assert not found.is_sufficient


async def test_span_begins_at_the_whole_hour(path):
    """From 2 h 59 min on: hour 2 counts in full, 60 good and 60 with the daemon down."""
    await record(path, probed, 4)
    found = standing(path, "a", since=WALL + 3 * HOUR - 60, now=WALL + 4 * HOUR)

    assert found.begin == WALL + 2 * HOUR
    assert (found.figures.good, found.figures.unknown) == (60 + 120, 60)


async def test_daemon_that_is_down_now(path):
    """From its end until now all slots are unknown: two hours are 240."""
    await record(path, lambda _: success(0.2), 4)
    found = standing(path, "a", now=WALL + 6 * HOUR).figures

    # 480 slots, of which 20 minutes of maintenance are 40.
    assert (found.good, found.excluded, found.unknown) == (440, 40, 240)


async def test_nothing_counts_before_a_node_came_and_after_it_left(path):
    """A node of one hour in a window of a month has 120 slots, not 86,400."""
    here = stage(path)
    async with running(here.store):
        for names, at in ((["a"], 1000 * HOUR), ([], 1001 * HOUR)):
            here.store.watched_are(names, [], WALL + at)
            assert await here.store.flush()
        for number in range(120):
            at = WALL + 1000 * HOUR + number * SLOT
            here.store.ledger.note(Kind.NODE, "a", at, SlotVerdict.GOOD)
    found = standing(path, "a", since=WALL, now=WALL + 2000 * HOUR)

    assert (found.begin, found.end) == (WALL + 1000 * HOUR, WALL + 1001 * HOUR)
    assert found.figures == Availability(120, 0, 0, 0, None, None)


async def test_time_out_of_the_configuration_does_not_count(path):
    """Two hours in, ten days out, one hour in: three hours of slots, and no gap in the coverage."""
    here, back = stage(path), 242.0
    async with running(here.store):
        for names, hour in ((["a"], 0.0), ([], 2.0), (["a"], back)):
            here.store.watched_are(names, [], WALL + hour * HOUR)
            assert await here.store.flush()
        for hour in (0.0, 1.0, back):
            for number in range(120):
                at = WALL + hour * HOUR + number * SLOT
                here.store.ledger.note(Kind.NODE, "a", at, SlotVerdict.GOOD)
    found = standing(path, "a", now=WALL + (back + 1) * HOUR).figures

    assert (found.good, found.unknown) == (360, 0)


async def test_interval_that_was_changed(path):
    """An hour counts with the slots that it had then: 60 of a minute, then 120 of half a minute."""
    here = stage(path)
    async with running(here.store):
        here.store.watched_are(["a"], [], WALL)
        for number in range(120):
            at = WALL + HOUR + number * SLOT
            here.store.ledger.note(Kind.NODE, "a", at, SlotVerdict.GOOD)
        assert await here.store.flush()
    change(path, "INSERT INTO ledger VALUES (472223, 'node', 'a', 60, 59, 0, 0, 0, 0, 0, 0)")

    found = standing(path, "a", now=WALL + 2 * HOUR).figures
    assert (found.good, found.unknown) == (179, 1)


async def test_publications_come_first(path):
    """Services, then nodes, each by name; one without a single slot is there, and all unknown."""
    here = stage(path)
    async with running(here.store):
        here.store.watched_are(["b", "a"], ["users", "staff"], WALL)
        here.store.ledger.note(Kind.PUBLICATION, "users", WALL, SlotVerdict.GOOD)
        here.store.ledger.note(Kind.NODE, "nobody", WALL, SlotVerdict.GOOD)
    found = queries.sla(path, since=WALL, now=WALL + HOUR, interval=SLOT)

    assert [(each.kind, each.name, each.figures.unknown) for each in found] == [
        (Kind.PUBLICATION, "staff", 120),
        (Kind.PUBLICATION, "users", 119),
        (Kind.NODE, "a", 120),
        (Kind.NODE, "b", 120),
    ]


async def test_history(path):
    """The transitions of one node in their order, and the overrides that match and hold."""
    here = stage(path)
    over = Override(
        pattern="x", mode=AdminMode.DRAIN, reason="", author="", created=1.0, expires=WALL - 1
    )
    drained = Override(pattern="a*", mode=AdminMode.DRAIN, reason="r", author="e", created=2.0)
    async with running(here.store):
        for name, at in (("a1", 5.0), ("a2", 6.0), ("a1", 7.0), ("a1", -5.0)):
            here.store.note_transition(name, FELL, WALL + at, "no answer")
        here.store.set_overrides([over, drained])
        here.store.watched_are(["new"], ["users"], WALL)
    found = queries.history(path, "a1", since=WALL, now=WALL + 9)

    fell = (Health.SUSPECT, Health.DOWN, Reason.TIMEOUT, "4 failures in 20 s", "no answer")
    assert found.changes == (Change(WALL + 5, *fell), Change(WALL + 7, *fell))
    assert found.overrides == (drained,)
    assert queries.history(path, "x", since=WALL, now=WALL).overrides == ()
    assert queries.known_nodes(path) == {"a1", "a2", "new"}


@pytest.mark.parametrize(
    "script",
    [
        "UPDATE transitions SET after = 'sideways'",
        "UPDATE transitions SET at = 'noon'",
        "UPDATE ledger SET interval = 'long'",
        "UPDATE watched SET kind = 'thing'",
    ],
)
async def test_values_that_make_no_sense(path, script):
    """They are the file's damage, not a traceback."""
    here = stage(path)
    async with running(here.store):
        here.store.watched_are(["a"], [], WALL)
        here.store.note_transition("a", FELL, WALL)
        here.store.ledger.note(Kind.NODE, "a", WALL, SlotVerdict.GOOD)
    change(path, script)
    with pytest.raises(StoreError) as caught:  # noqa: PT012 - one of the two
        queries.history(path, "a", since=0, now=WALL)
        queries.sla(path, since=WALL, now=WALL + HOUR, interval=SLOT)

    assert caught.value.kind is StoreFault.DAMAGED


async def test_reading_does_not_disturb_the_daemon(path):
    """Somebody reads while the store writes: both go on."""
    here = stage(path)
    async with running(here.store):
        for number in range(5):
            here.store.note_transition("a", FELL, WALL + number)
            assert await here.store.flush()
            assert len(queries.history(path, "a", since=0, now=WALL).changes) == number + 1
