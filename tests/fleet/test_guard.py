"""Which answers may replace what is in force."""

import pytest

from healthd.endpoints import Trojan
from healthd.fleet.guard import refusal
from healthd.fleet.reading import Entry, LeftOut, Outcome, Reading

ENDPOINT = Trojan(address="192.0.2.1", port=443, password="secret")


def reading(nodes, *others):
    entries = tuple(Entry(ENDPOINT, "n", f"line {number}") for number in range(nodes))
    return Reading(entries, tuple(LeftOut("line x", outcome, "why") for outcome in others))


@pytest.mark.parametrize(
    ("before", "now"),
    [
        *((0, 1), (0, 900), (1, 1), (2, 1), (3, 1), (4, 2), (10, 900)),
        *((5, 3), (7, 4), (8, 5), (100, 51)),
    ],
)
def test_taken(before, now):
    """More nodes are taken, and fewer as long as less than half, or less than three, are gone."""
    assert refusal(before, reading(now), "panel") is None


@pytest.mark.parametrize(("before", "now"), [(4, 1), (5, 2), (6, 3), (8, 4), (100, 50), (900, 1)])
def test_shrunken(before, now):
    """Half or more gone, and at least three: refused, with the numbers and the mend."""
    nodes = "1 node" if now == 1 else f"{now} nodes"
    assert refusal(before, reading(now), "panel") == (
        f"the answer holds {nodes} where {before} are in force, half or more of them are gone; "
        "if that is right, run 'healthd source accept panel'"
    )


@pytest.mark.parametrize("before", [0, 1, 2, 900])
def test_empty(before):
    """No node at all is refused always: the first time, and when there were only two."""
    assert refusal(before, reading(0), "panel") == (
        "the answer holds no node that can be used; see what it sends"
    )


def test_what_else_was_in_it():
    """The words tell what became of the other entries: perhaps all of them are unsupported now."""
    others = (Outcome.UNSUPPORTED, Outcome.MALFORMED, Outcome.UNSUPPORTED, Outcome.DUPLICATE)

    assert refusal(8, reading(0, *others[:2]), "panel") == (
        "the answer holds no node that can be used (1 unsupported, 1 malformed); see what it sends"
    )
    assert (refusal(8, reading(2, *others), "p") or "").startswith(
        "the answer holds 2 nodes (1 duplicate, 2 unsupported, 1 malformed) where 8 are in force,"
    )
