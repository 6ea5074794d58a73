"""What is kept of a record: every field, on another clock, and never a crash on reading it."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.model import AdminMode, Health, Reason
from healthd.store import states
from healthd.store.states import Saved
from healthd.verdict.board import Record
from healthd.verdict.damping import Penalty
from healthd.verdict.machine import State
from healthd.verdict.overrides import Override
from healthd.verdict.quality import Speed
from tests.builders import node, vless

times = st.floats(-1e10, 1e10)
maybe_times = st.none() | times
counts = st.integers(0, 10**6)

state_fields: dict[str, st.SearchStrategy[Any]] = {
    "health": st.sampled_from(Health),
    "since": times,
    "failures": counts,
    "failing_since": maybe_times,
    "successes": counts,
    "counted_at": maybe_times,
    "slots": st.lists(st.booleans(), max_size=12).map(tuple),
    "down_since": maybe_times,
    "confirmed": st.booleans(),
    "probation_until": maybe_times,
    "penalty": st.builds(Penalty, points=times, at=times, held=st.booleans()),
    "reason": st.none() | st.sampled_from(Reason),
    "detail": st.text(max_size=20),
}
speed_fields: dict[str, st.SearchStrategy[Any]] = {
    "average": maybe_times,
    "slow": st.booleans(),
    "run": counts,
    "samples": st.lists(times, max_size=5).map(tuple),
    "sampled_at": maybe_times,
    "usual": times,
}
all_saved = st.builds(
    Saved,
    fingerprint=st.text(max_size=16),
    state=st.builds(State, **state_fields),
    speed=st.builds(Speed, **speed_fields),
    last_good=maybe_times,
    changed=maybe_times,
    evidence=st.text(max_size=20),
    admin=st.sampled_from(AdminMode),
)


@given(all_saved)
def test_round_trip(kept):
    """Whatever a record may hold comes back as it was, to the last bit."""
    assert states.parse(states.write(kept)) == kept


def test_strategies_know_every_field():
    """A field that is added to the verdict's types is part of the round trip."""
    assert {each.name for each in fields(State)} == state_fields.keys()
    assert {each.name for each in fields(Speed)} == speed_fields.keys()


def test_moved():
    """Every time of state and speed moves with the clock; wall-clock seconds and counts stay."""
    state = State(
        health=Health.DOWN,
        since=1.0,
        failures=4,
        failing_since=2.0,
        counted_at=3.0,
        down_since=4.0,
        probation_until=5.0,
        penalty=Penalty(1000.0, 6.0, True),
    )
    kept = Saved("f", state, Speed(0.2, samples=(0.1,), sampled_at=7.0), 8.0, 9.0)

    assert kept.moved(100.0) == Saved(
        "f",
        replace(
            state,
            since=101.0,
            failing_since=102.0,
            counted_at=103.0,
            down_since=104.0,
            probation_until=105.0,
            penalty=Penalty(1000.0, 106.0, True),
        ),
        Speed(0.2, samples=(0.1,), sampled_at=107.0),
        8.0,
        9.0,
    )


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{}",
        "[]",
        "nonsense",
        "[" * 10_000,
        '{"fingerprint": "f", "state": {}, "speed": {}}',
        '{"fingerprint": "f", "state": {"since": 1, "health": "fine"}, "speed": {}}',
        '{"fingerprint": "f", "state": {"since": 1, "slots": ["x"]}, "speed": {}}',
        '{"fingerprint": "f", "state": {"since": 1}, "speed": {"samples": 3}}',
    ],
)
def test_unreadable(document):
    """What cannot be read is a ValueError, whatever it is."""
    with pytest.raises(ValueError, match=r"."):
        states.parse(document)


def test_older_and_newer_documents():
    """A field that a document lacks has its default, one that we do not know is passed over."""
    document = '{"fingerprint": "f", "state": {"since": 1.5, "mood": 1}, "speed": {}, "more": [1]}'

    assert states.parse(document) == Saved("f", State(since=1.5), Speed())


LAID = Override(pattern="*", mode=AdminMode.DRAIN, reason="r", author="a", created=1.0)


@pytest.mark.parametrize(
    "change",
    [
        {"state": State(since=2.0)},
        {"speed": Speed(0.5)},
        {"last_good": 5.0},
        {"changed": 6.0},
        {"override": LAID},
        {"node": node("de-1", endpoint=vless(address="h", port=1))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_news(change):
    """A record is news when one thing of it is another, and only then."""
    record = Record(node("de-1"), State(since=1.0))
    kept = states.saved(record)
    assert kept.is_still(record)
    for name, value in change.items():
        setattr(record, name, value)

    assert not kept.is_still(record)
    assert states.saved(record).is_still(record)
