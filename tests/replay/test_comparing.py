"""Two replays side by side, as figures."""

from healthd.config import VerdictConfig
from healthd.replay.comparing import difference, differing, figures
from healthd.replay.judging import Outage
from healthd.replay.running import Rules, run
from tests.replay.stories import fleet, story, told
from tests.replay.test_running import GENTLE

TRACE = told(
    story("a", "." * 30),
    story("b", "..xxx" + "." * 25),
    story("c", "..xxxxxx" + "." * 22, begin=1),
)
"""Node b fails three times in a row, c six times."""


def replay(fall: int):
    rules = Rules(verdict=VerdictConfig(fall=fall, window_failures=0), gate=GENTLE)
    return run(TRACE, fleet("a", "b", "c"), rules)


FOUR, THREE = replay(4), replay(3)
TRUTH = [Outage("c", 31.5, 240.0)]


def test_figures():
    """Downs and their minutes, publications, removals, and the modes that are not ordinary."""
    assert figures(FOUR, None) == {
        "downs": 1,
        "minutes down": 2.5,
        "publications": 3,
        "removals": 1,
        "minutes in mode top-up": 0.0,
        "minutes in mode freeze": 0.0,
        "minutes in mode all": 0.0,
        "minutes in mode strict": 0.0,
        "minutes in mode last-good": 0.0,
        "minutes in mode offline": 0.0,
    }


def test_figures_with_the_truth():
    """When the truth is known: what was false or missed, and the minutes to find out.

    Two of three fell at once, so the brake waited for one more failure before the removal.
    """
    found = figures(THREE, TRUTH)

    assert {name: found[name] for name in list(found)[10:]} == {
        "outages": 1,
        "false downs": 1,
        "missed outages": 0,
        "minutes to DOWN, median": 1.5,
        "minutes to DOWN, p90": 1.5,
        "minutes to DOWN, max": 1.5,
        "minutes to removal, median": 121 / 60,
        "minutes to removal, p90": 121 / 60,
        "minutes to removal, max": 121 / 60,
    }


def test_nothing_to_tell():
    """Without an outage there are no minutes to tell."""
    assert figures(FOUR, [])["minutes to DOWN, median"] is None


def test_difference():
    """By how much the second is more; nothing where one of them has nothing to say."""
    found = difference(figures(FOUR, TRUTH), figures(THREE, TRUTH))

    assert (found["downs"], found["false downs"], found["minutes to DOWN, max"]) == (1, 1, -0.5)
    assert difference({"x": None, "y": 1.0}, {"x": 1.0, "y": None}) == {"x": None, "y": None}


def test_differing():
    """Nodes that were down at other times, by name; one that was never down differs too."""
    found = differing(FOUR, THREE)

    assert [(each.node, len(each.configured), len(each.changed)) for each in found] == [
        ("b", 0, 1),
        ("c", 1, 1),
    ]
    assert differing(FOUR, FOUR) == []
