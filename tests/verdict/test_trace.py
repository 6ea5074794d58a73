"""Recorded results: what goes into a block comes out of it."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.model import Outcome, Reason, Result, failure, inconclusive, success
from healthd.verdict.trace import Recorded, decode, encode

_NOON = 1_764_000_000.0

_seconds = st.integers(0, 10_000_000).map(lambda ms: ms / 1000)
_bad = st.builds(
    Result,
    st.sampled_from([Outcome.FAILURE, Outcome.INCONCLUSIVE]),
    st.none() | st.sampled_from(Reason),
)
_results = st.just(Result(Outcome.SUCCESS)) | st.builds(success, _seconds) | _bad


@st.composite
def recordings(draw: st.DrawFn) -> list[Recorded]:
    """Some results of one node; now and then the clock was set, by up to a century."""
    at, found = draw(st.floats(0.0, 4e9)), []
    for gap in draw(st.lists(st.floats(0.0, 100.0) | st.floats(-3e9, 3e9), min_size=1)):
        found.append(Recorded(at, draw(_seconds), draw(_results), draw(st.booleans())))
        at += gap
    return found


@given(recordings())
def test_round_trip(results):
    """Every outcome, reason, latency and time to a millisecond, whatever the clock did."""
    again = list(decode(encode(results)))

    assert [each.result for each in results] == [each.result for each in again]
    assert [(each.slot, each.took) for each in results] == [(e.slot, e.took) for e in again]
    assert [each.began for each in again] == pytest.approx(
        [each.began for each in results], rel=0, abs=0.0006
    )


def test_long_block():
    """Rounding to a millisecond does not add up, however many results a block holds."""
    results = [Recorded(_NOON + 30.0004 * n, 0.1, success(0.1), True) for n in range(5000)]

    last = list(decode(encode(results)))[-1]
    assert last.began == pytest.approx(results[-1].began, rel=0, abs=0.0006)


def test_what_is_left_out():
    """Details, and the latency of what is no success, do not go into a block."""
    told = [
        Recorded(_NOON, 0.1, failure(Reason.TLS, "certificate has expired"), True),
        Recorded(_NOON + 1, 0.1, Result(Outcome.INCONCLUSIVE, Reason.SPAWN, latency=0.5), False),
    ]

    assert [Result(Outcome.FAILURE, Reason.TLS), Result(Outcome.INCONCLUSIVE, Reason.SPAWN)] == [
        each.result for each in decode(encode(told))
    ]


def test_numbers_beyond_the_columns():
    """What no column can hold becomes the nearest that it can."""
    told = [Recorded(_NOON, 1e9, success(1e9), True), Recorded(_NOON, -1.0, success(-1.0), True)]

    most = 0xFFFFFFFE / 1000
    assert [(most, most), (0.0, 0.0)] == [(e.took, e.result.latency) for e in decode(encode(told))]


def test_size():
    """A day of slots of a quiet node takes a few bytes a result."""
    results = [
        Recorded(_NOON + 30 * n + n % 7 / 1000, 0.1 + n % 50 / 1000, success(0.1), True)
        for n in range(2880)
    ]

    assert len(encode(results)) < 5 * len(results)


def test_known_block():
    """The format: what an older healthd has written is read for ever."""

    def planes(size: int, *numbers: bytes) -> bytes:
        """Each number's lowest byte first, then each one's second, and so on."""
        return bytes(number[place] for place in range(size) for number in numbers)

    columns = [
        planes(8, *(struct.pack("<q", gap) for gap in (0, 30_000, -5_000))),
        planes(4, *(struct.pack("<I", took) for took in (310, 10_000, 20))),
        planes(4, *(struct.pack("<I", latency) for latency in (240, 0xFFFFFFFF, 0xFFFFFFFF))),
        bytes([0x80, 0x80 | 5, 28]),
    ]
    block = zlib.compress(struct.pack("<dI", _NOON, 3) + b"".join(columns))

    assert [
        Recorded(_NOON, 0.31, success(0.24), True),
        Recorded(_NOON + 30, 10.0, failure(Reason.DEADLINE), True),
        Recorded(_NOON + 25, 0.02, inconclusive(Reason.CONTROL_FAILED), False),
    ] == list(decode(block))


_ONE = zlib.decompress(encode([Recorded(_NOON, 0.1, success(0.1), True)]))


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (b"garbage", "not a block of results: Error -3"),
        (zlib.compress(b"short"), "not a block of results: unpack_from requires"),
        (zlib.compress(_ONE + b"\0"), "not a block of results: its length is wrong"),
        (zlib.compress(_ONE[:-1] + b"\x7a"), "unknown code 122: written by a newer healthd?"),
    ],
    ids=["not compressed", "no head", "too long", "unknown reason"],
)
def test_damaged_block(block, why):
    """What is no block is refused at once, before a first result of it is believed."""
    with pytest.raises(ValueError, match=why):
        decode(block)


def test_every_reason_has_a_code():
    """A reason that is added to the model must be added to the format."""
    results = [Recorded(_NOON, 0.0, failure(reason), True) for reason in Reason]

    assert list(Reason) == [each.result.reason for each in decode(encode(results))]
