"""What operators want of nodes, and for how long."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.model import AdminMode
from healthd.verdict import overrides
from healthd.verdict.overrides import Override

ENABLED, DRAIN, MAINTENANCE = AdminMode.ENABLED, AdminMode.DRAIN, AdminMode.MAINTENANCE
FORCE_UP, FORCE_DOWN = AdminMode.FORCE_UP, AdminMode.FORCE_DOWN

WALL = 1_800_000_000.0
HOUR = 3600.0
IDS = ("hk-1", "hk-2", "jp-1", "jp-2")


def override(pattern: str, mode: AdminMode = DRAIN, expires: float | None = None) -> Override:
    return Override(
        pattern=pattern, mode=mode, reason="disk", author="ann", created=WALL, expires=expires
    )


def lift(pattern: str) -> Override:
    return override(pattern, ENABLED)


def modes(laid: Sequence[Override], wall: float = WALL, ids: Sequence[str] = IDS) -> dict[str, Any]:
    """What holds for whom, the enabled ones left out."""
    found = {node_id: overrides.holding(laid, node_id, wall) for node_id in ids}
    return {node_id: o.mode for node_id, o in found.items() if o and o.mode is not ENABLED}


class TestMatches:
    @pytest.mark.parametrize(
        ("pattern", "node_id", "expected", "why"),
        [
            ("hk-1", "hk-1", True, "a name is itself"),
            ("hk-1", "hk-10", False, "and no beginning"),
            ("hk-1", "xhk-1", False, "nor an end"),
            ("HK-1", "hk-1", False, "case matters, on every system"),
            ("*", "hk-1", True, "everything"),
            ("hk-*", "hk-1", True, "a star is any text"),
            ("hk-*", "hk-", True, "none, too"),
            ("hk-*", "jp-1", False, "but the rest must fit"),
            ("*-1", "jp-1", True, "at the beginning"),
            ("*k-*", "hk-1", True, "and twice"),
            ("hk-?", "hk-1", True, "a question mark is one sign"),
            ("hk-?", "hk-10", False, "not two"),
            ("hk-?", "hk-", False, "nor none"),
            ("hk-[12]", "hk-2", True, "one of these"),
            ("hk-[12]", "hk-3", False, "and no other"),
            ("hk-[1-3]", "hk-3", True, "a range"),
            ("hk-[!1]", "hk-2", True, "any but this"),
            ("hk-[!1]", "hk-1", False, "this not"),
            ("hk.1", "hk-1", False, "a dot is a dot"),
            ("hk-1.eu", "hk-1.eu", True, "even in a name"),
            ("hk-[1", "hk-1", False, "a bracket that is never closed is a bracket"),
            ("", "hk-1", False, "nothing matches nobody"),
        ],
    )
    def test_glob(self, pattern, node_id, expected, why):
        """Globs as in a shell, over whole ids."""
        assert (expected, why) == (override(pattern).matches(node_id), why)


class TestHolds:
    def test_until_it_expires(self):
        """At its last second it is over."""
        limited, unlimited = override("*", expires=WALL + 60), override("*")

        assert [limited.holds(WALL + at) for at in (0, 59.9, 60, 61)] == [True, True, False, False]
        assert unlimited.holds(WALL * 2)

    def test_unexpired(self):
        """Those that are over are left out; the others keep their order."""
        laid = (override("a", expires=WALL), override("b"), override("c", expires=WALL + 1))

        assert overrides.unexpired(laid, WALL) == laid[1:]


class TestExpiry:
    @pytest.mark.parametrize("mode", [m for m in AdminMode if m is not DRAIN], ids=str)
    def test_default(self, mode):
        """Unless told otherwise it ends after four hours."""
        assert overrides.expiry(mode, None, WALL) == WALL + 4 * HOUR

    def test_drain_stays(self):
        """Only a drain may stay for good."""
        assert overrides.expiry(DRAIN, None, WALL) is None

    @pytest.mark.parametrize("mode", AdminMode, ids=str)
    def test_asked_for(self, mode):
        """What is asked for is what one gets, up to a week, a drain too."""
        week = 7 * 24 * HOUR

        assert overrides.expiry(mode, 0.5, WALL) == WALL + 0.5
        assert overrides.expiry(mode, week, WALL) == WALL + week

    @pytest.mark.parametrize("asked", [0.0, -1.0, 7 * 24 * HOUR + 1, float("inf"), float("nan")])
    def test_refused(self, asked):
        """Longer than a week, or no time at all, is a slip of the finger."""
        with pytest.raises(ValueError, match="at most 7 days"):
            overrides.expiry(FORCE_UP, asked, WALL)


class TestHolding:
    def test_nobody(self):
        """Without an override that matches, nothing holds."""
        assert overrides.holding([override("jp-*")], "hk-1", WALL) is None

    def test_latest_wins(self):
        """Of several that match, the last that was made holds, however wide it is."""
        laid = [override("hk-1", FORCE_UP), override("*", MAINTENANCE), override("jp-*")]

        assert modes(laid) == dict.fromkeys(IDS, MAINTENANCE) | {"jp-1": DRAIN, "jp-2": DRAIN}

    def test_what_lies_below_comes_through(self):
        """When the latest expires, the one before it holds again."""
        laid = [override("*"), override("hk-1", FORCE_UP, WALL + 60)]

        assert modes(laid)["hk-1"] is FORCE_UP
        assert modes(laid, WALL + 60)["hk-1"] is DRAIN


class TestAdded:
    def test_of_the_same_pattern(self):
        """It gives way to the new one, whichever ends first."""
        laid = overrides.added([override("hk-*"), override("jp-1")], override("hk-*", FORCE_UP))

        assert laid == (override("jp-1"), override("hk-*", FORCE_UP))

    def test_of_another(self):
        """It stays, below the new one."""
        laid = overrides.added([override("hk-*")], override("hk-1", FORCE_UP))

        assert modes(laid) == {"hk-1": FORCE_UP, "hk-2": DRAIN}

    @pytest.mark.parametrize("mode", [DRAIN, MAINTENANCE, FORCE_UP, FORCE_DOWN], ids=str)
    def test_over_a_resume(self, mode):
        """A node that was let go from a wider drain is not drained when a later override ends."""
        laid = overrides.resumed([override("hk-*")], lift("hk-1"), IDS)
        laid = overrides.added(laid, override("hk-1", mode, WALL + 60))

        assert modes(laid) == {"hk-1": mode, "hk-2": DRAIN}
        assert modes(laid, WALL + 60) == {"hk-2": DRAIN}

    def test_a_wider_one_again(self):
        """An operator who drains all of them again means all of them."""
        laid = overrides.resumed([override("hk-*")], lift("hk-1"), IDS)

        assert modes(overrides.added(laid, override("hk-*"))) == {"hk-1": DRAIN, "hk-2": DRAIN}


class TestResumed:
    @pytest.mark.parametrize(
        ("laid", "pattern", "left", "why"),
        [
            ([override("hk-1")], "hk-1", (), "the same pattern"),
            ([override("hk-*")], "hk-*", (), "the same, with a star"),
            ([override("hk-*")], "*", (), "a wider one"),
            ([override("hk-*")], "hk-?", (), "another for the same nodes"),
            ([override("hk-1"), override("hk-2")], "hk-*", (), "each of them"),
            ([override("hk-1"), override("hk-1", FORCE_UP)], "hk-1", (), "all that lies there"),
            ([override("hk-1"), override("jp-1")], "hk-1", (override("jp-1"),), "others stay"),
            ([override("us-*")], "*", (override("us-*"),), "it is about no node of these"),
            ([override("us-*")], "us-*", (), "but may be lifted by its name"),
            ([override("jp-1")], "hk-9", (override("jp-1"),), "nobody to let go"),
            ([], "hk-1", (), "nothing there"),
        ],
    )
    def test_without_a_trace(self, laid, pattern, left, why):
        """Where nothing for others lies there, nothing is left behind."""
        assert (left, why) == (overrides.resumed(laid, lift(pattern), IDS), why)

    def test_one_of_many(self):
        """The others of its pattern stay as they are; the node is let go."""
        laid = overrides.resumed([override("hk-*"), override("hk-1", FORCE_UP)], lift("hk-1"), IDS)

        assert laid == (override("hk-*"), lift("hk-1"))
        assert modes(laid) == {"hk-2": DRAIN}

    def test_mode_is_enabled_whatever_it_says(self):
        """What lets a node go never takes it out."""
        laid = overrides.resumed([override("*")], override("hk-1", FORCE_DOWN), IDS)

        assert "hk-1" not in modes(laid)

    def test_trace_ends_with_what_it_covers(self):
        """It lasts as long as the longest of those below it, and no longer."""
        below = [override("*", MAINTENANCE, WALL + 60), override("hk-*", DRAIN, WALL + 90)]
        laid = overrides.resumed(below, lift("hk-1"), IDS)

        assert laid[-1].expires == WALL + 90
        for wall in (WALL, WALL + 59, WALL + 60, WALL + 89, WALL + 90):
            assert "hk-1" not in modes(laid, wall)
        assert overrides.unexpired(laid, WALL + 90) == ()

    def test_trace_over_one_for_good(self):
        """Over a drain without an end it has none either."""
        below = [override("*", MAINTENANCE, WALL + 60), override("hk-*")]
        laid = overrides.resumed(below, lift("hk-1"), IDS)

        assert laid[-1].expires is None
        assert "hk-1" not in modes(laid, WALL * 2)

    def test_what_does_not_lie_there_does_not_count(self):
        """An override for other nodes neither leaves a trace nor makes one last."""
        below = [override("jp-*"), override("hk-*", DRAIN, WALL + 60)]
        laid = overrides.resumed(below, lift("hk-1"), IDS)

        assert laid[-1].expires == WALL + 60

    def test_twice(self):
        """To resume once more changes nothing."""
        once = overrides.resumed([override("hk-*")], lift("hk-1"), IDS)

        assert overrides.resumed(once, lift("hk-1"), IDS) == once

    def test_one_by_one(self):
        """Let go one by one all are free, and the traces go when all are let go at once."""
        laid = overrides.resumed([override("hk-*")], lift("hk-1"), IDS)
        laid = overrides.resumed(laid, lift("hk-2"), IDS)
        assert modes(laid) == {}

        assert overrides.resumed(laid, lift("hk-*"), IDS) == ()


# --- properties ---

patterns = st.sampled_from(["*", "hk-*", "jp-*", "*-1", "hk-1", "hk-2", "jp-[12]", "us-?", "jp-1"])
steps = st.tuples(
    st.sampled_from([DRAIN, MAINTENANCE, FORCE_UP, FORCE_DOWN, None]),
    patterns,
    st.none() | st.integers(1, 9).map(float),
)


def matching(pattern: str) -> set[str]:
    """Independent of fnmatch: whom a pattern of these is about."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    expression = expression.replace(r"\[12\]", "[12]")
    return {node_id for node_id in IDS if re.fullmatch(expression, node_id)}


@given(st.lists(steps, max_size=8))
def test_layers(taken):
    """After any steps, what holds for a node is the latest about it, until it expires.

    The model keeps a stack of layers a node; a resume empties it, and what expires leaves it.
    """
    laid: tuple[Override, ...] = ()
    stacks: dict[str, list[tuple[str, AdminMode, float]]] = {node_id: [] for node_id in IDS}
    for mode, pattern, seconds in taken:
        ends = None if seconds is None else WALL + seconds
        if mode is None:
            laid = overrides.resumed(laid, lift(pattern), IDS)
        else:
            laid = overrides.added(laid, override(pattern, mode, ends))
        for node_id, stack in stacks.items():
            if mode is not None:
                stack[:] = [layer for layer in stack if layer[0] != pattern]
            if node_id in matching(pattern):
                if mode is None:
                    stack.clear()
                else:
                    stack.append((pattern, mode, WALL * 2 if ends is None else ends))
        for wall in (WALL, WALL + 3, WALL + 9):
            model = {
                node_id: [m for _, m, end in stack if wall < end][-1:]
                for node_id, stack in stacks.items()
            }
            assert {n: m[0] for n, m in model.items() if m} == modes(laid, wall)
