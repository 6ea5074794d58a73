"""The service's own slots."""

from types import SimpleNamespace
from typing import Any

import pytest
import trio

from healthd import accounting
from healthd.publishing.directory import Published
from healthd.verdict.board import Board
from healthd.verdict.ledger import SlotVerdict
from tests.fakes import make_node

GOOD, BAD, UNKNOWN = SlotVerdict.GOOD, SlotVerdict.BAD, SlotVerdict.UNKNOWN


def publication(*served: str) -> Any:
    """A publication that serves these nodes."""
    published = Published(1, 0.0, served) if served else None
    return SimpleNamespace(config=SimpleNamespace(name="users"), published=published)


def board_of(**usable: bool | None) -> Board:
    board = Board()
    board.replace([make_node(node_id) for node_id in usable], 0.0)
    for record in board:
        record.usable = usable[record.node.id]
    return board


@pytest.mark.parametrize(
    ("usable", "served", "expected", "why"),
    [
        ({"a": True, "b": False}, "ab", GOOD, "one that works is enough"),
        ({"a": True, "b": None}, "ab", GOOD, "whatever is not known of the others"),
        ({"a": False, "b": False}, "ab", BAD, "all that users have is broken"),
        ({"a": False, "b": True}, "a", BAD, "a good node that nobody was given helps nobody"),
        ({"a": False, "b": None}, "ab", UNKNOWN, "the one that is not known may work"),
        ({"a": None, "b": None}, "ab", UNKNOWN, "nothing to go by"),
        ({"a": True}, "", UNKNOWN, "nothing is served yet"),
        ({"a": True}, "z", UNKNOWN, "what is served is no longer watched"),
    ],
)
def test_verdict(usable, served, expected, why):
    """A slot is good when at least one published node was truly usable."""
    assert (expected, why) == (accounting.verdict(board_of(**usable), publication(*served)), why)


async def test_counts_once_an_interval(nursery, autojump_clock):
    """At each multiple of the interval by the wall clock, none left out, none twice."""
    told: list[tuple[str, float, SlotVerdict]] = []
    start = trio.current_time()
    nursery.start_soon(
        accounting.count,
        board_of(a=True),
        lambda: [publication("a")],
        lambda: 30.0,
        lambda *slot: told.append(slot),
        lambda: 1_800_000_011.0 + trio.current_time() - start,
    )
    await trio.sleep(300.5)

    assert [(name, verdict) for name, _, verdict in told] == [("users", GOOD)] * 10
    assert [wall for _, wall, _ in told] == [1_800_000_030.0 + 30.0 * k for k in range(10)]
