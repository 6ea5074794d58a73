"""Slots counted by the hour, and what they say of availability."""

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.verdict import ledger
from healthd.verdict.ledger import (
    HOUR,
    Availability,
    HourOf,
    Kind,
    Ledger,
    SlotVerdict,
    Tally,
    hour_of,
    summed,
)

NODE, PUBLICATION = Kind.NODE, Kind.PUBLICATION
GOOD, BAD = SlotVerdict.GOOD, SlotVerdict.BAD
EXCLUDED, UNKNOWN = SlotVerdict.EXCLUDED, SlotVerdict.UNKNOWN

FIRST = 500_000
"""An hour, and the wall-clock second at which it begins."""
BEGIN = FIRST * HOUR


def tally(good: int = 0, bad: int = 0, excluded: int = 0, unknown: int = 0) -> Tally:
    return Tally(good, bad, excluded, unknown)


def full(hour: int = FIRST, **counts: int) -> HourOf:
    """An hour of 30 s slots, the good ones filled up to 120."""
    good = 120 - sum(counts.values())
    return HourOf(hour, 30.0, tally(good, **counts))


def answer(good: int = 0, bad: int = 0, excluded: int = 0, unknown: int = 0) -> Availability:
    return Availability(good, bad, excluded, unknown, None, None)


def over(*hours: HourOf, begin: float = BEGIN, end: float, interval: float = 30.0) -> Availability:
    return summed(hours, begin=begin, end=end, interval=interval)


class TestTally:
    @pytest.mark.parametrize("verdict", SlotVerdict, ids=str)
    def test_note(self, verdict):
        """A slot counts as exactly one of the four."""
        here = Tally()
        here.note(verdict)

        assert asdict(here) == asdict(Tally()) | {verdict: 1}
        assert here.slots == 1

    def test_latencies(self):
        """Their sum, their number and the largest; a slot without one counts as a slot only."""
        here = Tally()
        for verdict, latency in ((GOOD, 0.5), (GOOD, 1.25), (BAD, None), (GOOD, 0.25)):
            here.note(verdict, latency)

        assert here == Tally(3, 1, 0, 0, 2.0, 3, 1.25)
        assert here.slots == 4


class TestLedger:
    @pytest.mark.parametrize(
        ("wall", "hour", "why"),
        [
            (BEGIN, FIRST, "its first second"),
            (BEGIN + 3599.999, FIRST, "its last"),
            (BEGIN + 3600.0, FIRST + 1, "the next one's first"),
            (BEGIN - 0.001, FIRST - 1, "the last of the one before"),
        ],
    )
    def test_hours(self, wall, hour, why):
        """A slot belongs to the hour in which it was scheduled."""
        book = Ledger()
        book.note(NODE, "hk-1", wall, GOOD)

        assert (hour_of(wall), why) == (hour, why)
        assert list(book.take()) == [(NODE, "hk-1", hour)]

    def test_each_on_its_own(self):
        """Nodes, publications and hours are counted apart, though they share a name."""
        book = Ledger()
        book.note(NODE, "users", BEGIN, GOOD, 0.5)
        book.note(NODE, "users", BEGIN + 30, BAD)
        book.note(PUBLICATION, "users", BEGIN, UNKNOWN)
        book.note(NODE, "hk-1", BEGIN, EXCLUDED)
        book.note(NODE, "users", BEGIN + HOUR, GOOD)

        assert book.take() == {
            (NODE, "users", FIRST): Tally(1, 1, 0, 0, 0.5, 1, 0.5),
            (PUBLICATION, "users", FIRST): tally(unknown=1),
            (NODE, "hk-1", FIRST): tally(excluded=1),
            (NODE, "users", FIRST + 1): tally(good=1),
        }

    def test_taken_once(self):
        """What was taken is not there any more, and is not touched by what comes later."""
        book = Ledger()
        book.note(NODE, "hk-1", BEGIN, GOOD)
        taken = book.take()
        book.note(NODE, "hk-1", BEGIN, BAD)

        assert taken == {(NODE, "hk-1", FIRST): tally(good=1)}
        assert book.take() == {(NODE, "hk-1", FIRST): tally(bad=1)}
        assert book.take() == {}

    def test_put_back(self):
        """What could not be kept is counted again, with what came since."""
        book = Ledger()
        for verdict, latency in ((GOOD, 0.5), (BAD, None), (EXCLUDED, None), (UNKNOWN, None)):
            book.note(NODE, "hk-1", BEGIN, verdict, latency)
        book.note(NODE, "old", BEGIN, GOOD)
        taken = book.take()
        book.note(NODE, "hk-1", BEGIN, GOOD, 0.25)
        book.put_back(taken)

        assert book.take() == {
            (NODE, "hk-1", FIRST): Tally(2, 1, 1, 1, 0.75, 2, 0.5),
            (NODE, "old", FIRST): tally(good=1),
        }

    def test_put_back_and_on(self):
        """What was put back is counted on, with what came meanwhile: nothing lost, or twice."""
        book = Ledger()
        book.note(NODE, "hk-1", BEGIN, GOOD)
        taken = book.take()
        book.note(NODE, "hk-1", BEGIN, GOOD)
        book.put_back(taken)
        book.note(NODE, "hk-1", BEGIN, GOOD)

        assert book.take() == {(NODE, "hk-1", FIRST): tally(good=3)}
        assert book.take() == {}


class TestAvailability:
    @pytest.mark.parametrize(
        ("counts", "availability", "coverage", "sufficient", "why"),
        [
            ((0, 0, 0, 0), None, None, False, "nothing at all"),
            ((0, 0, 9, 0), None, None, False, "only what does not count"),
            ((0, 0, 0, 9), None, 0.0, False, "nothing judged"),
            ((9, 0, 0, 0), 1.0, 1.0, True, "all good"),
            ((0, 9, 0, 0), 0.0, 1.0, True, "all bad"),
            ((3, 1, 0, 0), 0.75, 1.0, True, "good of what was judged"),
            ((3, 1, 96, 0), 0.75, 1.0, True, "what is excluded touches neither"),
            ((57, 19, 0, 4), 0.75, 0.95, True, "just enough"),
            ((570, 189, 0, 41), 570 / 759, 759 / 800, False, "one slot too few"),
            ((3, 1, 0, 4), 0.75, 0.5, False, "half of it unknown: it lowers coverage only"),
        ],
    )
    def test_figures(self, counts, availability, coverage, sufficient, why):
        """Good of judged; judged of what counts; below 95 % there is nothing to speak of."""
        found = answer(*counts)

        assert (availability, coverage, why) == (found.availability, found.coverage, why)
        assert sufficient is found.is_sufficient

    def test_budget(self):
        """99.9 % of 30 days of 30 s slots leaves 86 bad ones; what is excluded leaves none."""
        month = 30 * 24 * 120

        assert answer(good=month - 100, bad=60, unknown=40).budget() == pytest.approx(86.4)
        assert answer(good=month, excluded=9999).budget() == pytest.approx(86.4)
        assert answer(good=900, bad=100).budget(0.99) == pytest.approx(10)
        assert answer(excluded=9).budget() == 0
        assert pytest.approx(0.999) == ledger.TARGET


class TestSummed:
    def test_nothing_kept(self):
        """A subject of which nothing was kept was never watched: all of it is unknown."""
        assert over(end=BEGIN + 2 * HOUR) == answer(unknown=240)

    def test_whole_hours(self):
        """Hours add up, each count with its like."""
        hours = [full(bad=2, unknown=1), full(FIRST + 1, bad=1, excluded=20)]

        assert over(*hours, end=BEGIN + 2 * HOUR) == answer(216, 3, 20, 1)

    def test_latencies(self):
        """The mean is over all successes, not over hours; the largest is the largest."""
        hours = [
            HourOf(FIRST, 30.0, Tally(1, 119, 0, 0, 1.0, 1, 1.0)),
            HourOf(FIRST + 1, 30.0, Tally(3, 117, 0, 0, 0.6, 3, 0.3)),
        ]
        found = over(*hours, end=BEGIN + 2 * HOUR)

        assert found.latency_mean == pytest.approx(0.4)
        assert found.latency_max == 1.0

    @pytest.mark.parametrize(
        ("hours", "span", "unknown", "why"),
        [
            ([full()], HOUR, 0, "all there"),
            ([HourOf(FIRST, 30.0, tally(100))], HOUR, 20, "the daemon did not run for ten minutes"),
            ([full(), full(FIRST + 2)], 3 * HOUR, 120, "nor for the whole second hour"),
            ([full(FIRST + 2)], 3 * HOUR, 240, "nor for the first two"),
            ([full()], 3 * HOUR, 240, "nor for the last two"),
            ([HourOf(FIRST, 30.0, tally(60))], HOUR / 2, 0, "an hour that is not over"),
            ([full(), HourOf(FIRST + 1, 30.0, tally(1))], HOUR + 44.9, 0, "a slot and a half"),
            ([full(), HourOf(FIRST + 1, 30.0, tally(1))], HOUR + 45.0, 1, "is two from there on"),
            ([full()], HOUR + 14.9, 0, "less than half a slot is none"),
            ([full()], HOUR + 15.0, 1, "half a slot is one"),
            ([HourOf(FIRST, 30.0, tally(121))], HOUR, 0, "one more than expected: the clock moved"),
            ([HourOf(FIRST, 30.0, tally(121)), HourOf(FIRST + 1, 30.0, tally(119))], 2 * HOUR, 1,
             "which makes no other hour whole"),
            ([HourOf(FIRST, 60.0, tally(60))], HOUR, 0, "slots were longer then"),
            ([HourOf(FIRST, 60.0, tally(50)), full(FIRST + 1)], 2 * HOUR, 10, "each by its own"),
            ([HourOf(FIRST, 10.0, tally(300))], HOUR, 60, "or shorter"),
        ],
    )  # fmt: skip
    def test_what_is_missing(self, hours, span, unknown, why):
        """Slots that are not there, though they should be, are unknown: nobody ran to see them."""
        found = over(*hours, end=BEGIN + span)

        assert (unknown, why) == (found.unknown, why)
        assert found.good == sum(each.tally.good for each in hours)

    @pytest.mark.parametrize(
        ("begin", "end", "unknown", "why"),
        [
            (BEGIN + 1800, BEGIN + HOUR, 60, "watched from half past"),
            (BEGIN + 1800, BEGIN + 2 * HOUR + 900, 210, "over the hours, up to a quarter past"),
            (BEGIN + 600, BEGIN + 660, 2, "a minute within an hour"),
            (BEGIN, BEGIN, 0, "no time at all"),
            (BEGIN + 60, BEGIN, 0, "the clock went back"),
            (BEGIN + HOUR - 30, BEGIN + HOUR + 30, 2, "a slot on each side of the hour"),
        ],
    )
    def test_part_of_an_hour(self, begin, end, unknown, why):
        """Of the first and the last hour only what lies in the span is expected."""
        assert (unknown, why) == (over(begin=begin, end=end).unknown, why)

    def test_interval_of_what_is_missing(self):
        """Hours of which nothing was kept are counted in slots as they are now."""
        assert over(full(), end=BEGIN + 2 * HOUR, interval=60.0) == answer(120, unknown=60)

    def test_a_new_node_in_its_first_hour(self):
        """Watched since 40 minutes past, every slot seen: covered in full."""
        found = over(HourOf(FIRST, 30.0, tally(39, 1)), begin=BEGIN + 2400, end=BEGIN + HOUR)

        assert (found.coverage, found.availability) == (1.0, 39 / 40)


verdicts = st.lists(st.sampled_from(SlotVerdict), max_size=300)


@given(verdicts, verdicts, st.integers(0, 119), st.booleans())
def test_every_slot_is_counted_once(before, after, away, fails):
    """Slots on the grid, a time away, a store that fails once: all slots are there, each once."""
    book, kept = Ledger(), {}
    walls = [BEGIN + 15 + 30 * slot for slot in range(len(before) + away + len(after))]
    for wall, verdict in zip(walls, before, strict=False):
        book.note(NODE, "n", wall, verdict)
    taken = book.take()
    if fails:
        book.put_back(taken)
    else:
        kept = taken
    for wall, verdict in zip(walls[len(before) + away :], after, strict=True):
        book.note(NODE, "n", wall, verdict)
    book.put_back(kept)
    hours = [HourOf(hour, 30.0, found) for (_, _, hour), found in book.take().items()]

    found = over(*hours, end=BEGIN + 30 * len(walls))

    seen = [*before, *after]
    assert (found.good, found.bad) == (seen.count(GOOD), seen.count(BAD))
    assert found.excluded == seen.count(EXCLUDED)
    assert found.unknown == seen.count(UNKNOWN) + away
