"""What waits: blocks by length and age, and bounds with an honest count of what was given up."""

import pytest
from structlog.testing import capture_logs

from healthd.model import success
from healthd.store.health import Health
from healthd.store.pending import (
    BLOCK,
    BLOCK_AGE,
    MOST_EVENTS,
    MOST_RESULTS,
    Lost,
    Pending,
    Results,
)
from healthd.store.writing import NotedPublication, NotedTransition
from healthd.verdict.ledger import Kind, Tally
from healthd.verdict.trace import Recorded
from tests.store.support import FELL, WALL


def recorded(began: float) -> Recorded:
    return Recorded(began, 0.2, success(0.1), True)


def gathered(results: Results, wall: float, *, everything: bool = False) -> list[tuple[str, int]]:
    """Nodes and lengths of the blocks that are to be written."""
    return [(node, len(block)) for node, block in results.take(wall, everything=everything)]


class TestBlocks:
    def test_full_block(self):
        """A block is written when it has its 60 results."""
        results = Results()
        for number in range(BLOCK - 1):
            results.note("a", recorded(WALL + number))
        results.note("b", recorded(WALL))
        assert gathered(results, WALL + BLOCK) == []
        results.note("a", recorded(WALL + BLOCK))

        assert gathered(results, WALL + BLOCK) == [("a", BLOCK)]
        assert gathered(results, WALL + BLOCK) == []

    def test_old_block(self):
        """Or when its first result is half an hour old."""
        results = Results()
        results.note("a", recorded(WALL))
        results.note("b", recorded(WALL + 1))

        assert gathered(results, WALL + BLOCK_AGE) == [("a", 1)]

    def test_last_blocks(self):
        """Or when the daemon ends."""
        results = Results()
        results.note("a", recorded(WALL))
        results.note("b", recorded(WALL))

        assert gathered(results, WALL, everything=True) == [("a", 1), ("b", 1)]

    def test_clock_that_goes_back(self):
        """A block's times only rise; with the clock set back another one begins."""
        results = Results()
        for began in (WALL, WALL + 30, WALL - 3600, WALL - 3570):
            results.note("a", recorded(began))
        blocks = results.take(WALL, everything=True)

        assert [[each.began for each in block] for _, block in blocks] == [
            [WALL, WALL + 30],
            [WALL - 3600, WALL - 3570],
        ]

    def test_large_fleet_writes_shorter_ones(self):
        """A fleet near the bound does not hold half an hour of results in memory."""
        results = Results(most=2000)
        for number in range(100):
            for second in range(10):
                results.note(f"n{number}", recorded(WALL + second))

        assert set(gathered(results, WALL + 10)) == {(f"n{n}", 10) for n in range(100)}


class TestBounds:
    def test_results(self):
        """Beyond the bound new results are given up, and the oldest blocks when some come back."""
        results = Results(most=100)
        for number in range(90):
            results.note("a", recorded(WALL + number))
        taken = results.take(WALL, everything=True)
        for number in range(60):
            results.note("b", recorded(WALL + number))
        taken += results.take(WALL, everything=True)
        for number in range(30):
            results.note("c", recorded(WALL + number))
        results.put_back(taken)  # 180 in all: the oldest block goes

        assert results.lost == 90
        for number in range(20):
            results.note("d", recorded(WALL + number))
        assert results.lost == 90 + 10
        assert gathered(results, WALL, everything=True) == [("b", 60), ("c", 30), ("d", 10)]

    def test_events(self):
        """Ten thousand transitions wait, and as many publications; the oldest go first."""
        waiting = Pending()
        for number in range(MOST_EVENTS + 5):
            waiting.note_transition(NotedTransition("a", FELL, WALL + number, ""))
        transitions, publications = waiting.take_events()
        for number in range(3):
            waiting.note_transition(NotedTransition("b", FELL, WALL + number, ""))
            waiting.note_publication(NotedPublication("users", number, "normal", (), (), {}, WALL))
        waiting.put_back_events(transitions, publications)
        kept, published = waiting.take_events()

        assert len(kept) == MOST_EVENTS
        assert kept[0].wall == WALL + 8
        assert [each.node for each in kept[-3:]] == ["b"] * 3
        assert [each.generation for each in published] == [0, 1, 2]
        assert waiting.take_lost() == Lost(transitions=8)
        assert waiting.take_lost() == Lost()

    def test_tallies(self):
        """Of too many hours the oldest are given up, and their slots counted."""
        waiting = Pending(most_tallies=2)
        tallies = {(Kind.NODE, "a", hour): Tally(good=hour) for hour in (7, 9, 8)}

        assert waiting.bounded(tallies).keys() == {(Kind.NODE, "a", 9), (Kind.NODE, "a", 8)}
        assert waiting.take_lost() == Lost(slots=7)
        few = {(Kind.NODE, "a", 1): Tally()}
        assert waiting.bounded(few) is few

    def test_the_bounds(self):
        """The numbers that operators are told."""
        assert (MOST_RESULTS, MOST_EVENTS) == (200_000, 10_000)


@pytest.mark.parametrize("rounds", [1, 3])
def test_loss_is_told_once(tmp_path, rounds):
    """The first loss of an outage is told, and all of it at its end."""
    waiting, health = Pending(), Health(tmp_path / "healthd.db", lambda _: None)
    with capture_logs() as logs:
        for _ in range(rounds):
            waiting.lost.slots += 2
            health.note_lost(waiting)

    assert [line["event"] for line in logs] == ["store_overflowed"]
