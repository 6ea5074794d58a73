"""A replay beside the truth."""

import pytest

from healthd.replay.judging import Judgement, Outage, Spread, judge, spread
from healthd.replay.running import Replayed, Rules, run
from tests.replay.stories import fleet, story, told
from tests.replay.test_running import GENTLE


def replayed(signs: str) -> Replayed:
    """What came of node b, beside one that works."""
    trace = told(story("a", "." * len(signs)), story("b", signs))
    return run(trace, fleet("a", "b"), Rules(gate=GENTLE))


DIES = replayed("..xxxxxx" + "." * 20)
"""Node b falls at 150.5 s, leaves at 152.5 s, and is up again at 300.5 s."""


def test_found():
    """An outage that was found: no false down, and the minutes from death to DOWN and removal."""
    outage = Outage("b", 30.5, 239.0)

    assert judge(DIES, [outage]) == Judgement(
        outages=1, false_downs=(), missed=(), to_down=(2.0,), to_removal=(122 / 60,)
    )


def test_false_down():
    """Without an outage of that node at that time, the down was false."""
    for truth in ([], [Outage("a", 30.0, 240.0)], [Outage("b", 0.0, 149.9)]):
        assert judge(DIES, truth).false_downs == DIES.downs


def test_death_during_the_last_probe():
    """A node that came back while the probe that ended it was under way was not wronged."""
    assert judge(DIES, [Outage("b", 60.0, 150.2)]).false_downs == ()


def test_missed():
    """An outage that ended before the node was called down, or while nobody looked, was missed."""
    short = Outage("b", 400.0, 420.0)

    judged = judge(DIES, [short])

    assert judged.missed == (short,)
    assert (judged.to_down, judged.to_removal) == ((), ())


def test_down_before_it_died():
    """A node that was down, and not published, when it died was found at once."""
    judged = judge(DIES, [Outage("b", 200.0, 290.0)])

    assert (judged.to_down, judged.to_removal) == ((0.0,), (0.0,))


def test_down_but_published():
    """What keeps a dead node in the publication shows: it was found, but never removed."""
    trace = told(story("a", "..xxxxxx"), story("b", "..xxxxxx", begin=1))
    both = run(trace, fleet("a", "b"), Rules())

    judged = judge(both, [Outage("b", 31.0, 220.0)])

    assert len(judged.to_down) == 1
    assert judged.to_removal == ()


def test_published_before_it_died():
    """A publication that holds the node, between its death and its removal, is no removal."""
    stories = (story("b", "..xxxxxx" + "." * 20), story("c", "." * 28, begin=1))
    late = story("d", "." * 20, begin=95)
    found = run(told(*stories, late), fleet("b", "c", "d"), Rules(gate=GENTLE))

    assert judge(found, [Outage("b", 30.5, 239.0)]).to_removal == (122 / 60,)


def test_end_without_removal():
    """A node that is still published when the recording ends was not removed."""
    found = replayed("..xx")

    judged = judge(found, [Outage("b", 30.5, 500.0)])

    assert (len(judged.missed), judged.to_removal) == (1, ())


def test_still_down_when_it_died_again():
    """Two deaths within one down: the second one is found at once."""
    judged = judge(DIES, [Outage("b", 30.5, 160.0), Outage("b", 200.0, 239.0)])

    assert judged.to_down == (2.0, 0.0)
    assert judged.false_downs == ()


@pytest.mark.parametrize("outage", [Outage("b", -500.0, -1.0), Outage("b", 5000.0, 6000.0)])
def test_outside_the_recording(outage):
    """An outage that was not recorded is not counted."""
    assert judge(DIES, [outage]).outages == 0


def test_spread():
    """Median, the minutes that nine of ten do not exceed, and the most."""
    assert spread([3.0, 1.0, 2.0, 10.0]) == Spread(4, 2.5, 10.0, 10.0)
    assert spread([float(n) for n in range(1, 11)]) == Spread(10, 5.5, 9.0, 10.0)
    assert spread([]) is None
