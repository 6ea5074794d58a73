"""Recorded results: what was observed of a node, compact enough to keep for a month. Pure.

A block is the results of one node, in their order, in columns (milliseconds between beginnings,
milliseconds taken, latency, what came, slot or recheck) and compressed: 4 to 5 bytes a result. Each
column is written byte by byte, all lowest ones first: high bytes hardly differ, and next to each
other they take nothing. Times are kept to a millisecond, however long the block; a wall clock that
was set back or far ahead is kept too. The codes of reasons are part of the format: they are only
ever added to.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from healthd.model import Outcome, Reason, Result

_CODES: tuple[Reason, ...] = (
    Reason.REFUSED,
    Reason.TIMEOUT,
    Reason.DEADLINE,
    Reason.UNREACHABLE,
    Reason.DNS,
    Reason.TLS,
    Reason.REALITY,
    Reason.AUTH_OR_RESET,
    Reason.CHECK_TLS,
    Reason.HTTP_PROTOCOL,
    Reason.HTTP_STATUS,
    Reason.HTTP_BODY,
    Reason.ENGINE_REJECTED,
    Reason.CONTROL_FAILED,
    Reason.ENGINE_EXIT,
    Reason.SPAWN,
    Reason.FOREIGN_PORT,
    Reason.RESOURCES,
    Reason.RESOLVER,
    Reason.LOOP_LAG,
    Reason.TRUNCATED,
)
"""A reason's code is its place. Never reorder, only append."""

_UNNAMED = 62
"""The place of no reason at all: a recorder other than ours may not know one."""

_HEAD = struct.Struct("<dI")
"""Wall-clock second of the first beginning; how many results follow."""

_ROW = 8 + 4 + 4 + 1
"""Bytes of one result in the four columns."""

_NO_LATENCY = 0xFFFFFFFF
_MOST_MS = 0xFFFFFFFE
_SLOT = 0x80


@dataclass(frozen=True, slots=True)
class Recorded:
    """One result as it was observed."""

    began: float
    """Wall-clock seconds."""
    took: float
    """Seconds, waiting for a client included."""
    result: Result
    slot: bool


_PLACES: tuple[tuple[int, Reason | None], ...] = (*enumerate(_CODES), (_UNNAMED, None))

_KNOWN: dict[int, Result] = {0: Result(Outcome.SUCCESS)} | {
    1 + 2 * place + ours: Result(outcome, reason)
    for place, reason in _PLACES
    for ours, outcome in enumerate((Outcome.FAILURE, Outcome.INCONCLUSIVE))
}
"""What each code stands for, without latency and details."""

_CODE_OF = {(result.outcome, result.reason): code for code, result in _KNOWN.items()}


def encode(results: Sequence[Recorded]) -> bytes:
    """A block of these results, in the order of their beginnings; at least one.

    Details are left out, and so is the latency of what is no success.
    """
    first = results[0].began
    # Measured from the first one: rounded gaps would add up to seconds within a block.
    marks = [0, *(round((each.began - first) * 1000) for each in results)]
    columns = (
        _planes("q", [later - earlier for earlier, later in pairwise(marks)]),
        _planes("I", [_ms(each.took) for each in results]),
        _planes("I", [_latency(each.result) for each in results]),
        bytes(_code(each) for each in results),
    )
    return zlib.compress(_HEAD.pack(first, len(results)) + b"".join(columns), 6)


def decode(block: bytes) -> Iterator[Recorded]:
    """The results of a block.

    Raises:
        ValueError: it is no such block; told at once, before the first result is asked for.
    """
    try:
        raw = zlib.decompress(block)
        first, count = _HEAD.unpack_from(raw)
    except (zlib.error, struct.error) as why:
        raise ValueError(f"not a block of results: {why}") from None
    if len(raw) != _HEAD.size + _ROW * count:
        raise ValueError("not a block of results: its length is wrong")
    codes = raw[len(raw) - count :]
    if unknown := {code & ~_SLOT for code in codes} - _KNOWN.keys():
        raise ValueError(f"unknown code {min(unknown)}: written by a newer healthd?")
    at, ends = _HEAD.size, _HEAD.size + 8 * count
    return _rows(
        first,
        _column("q", raw[at:ends]),
        _column("I", raw[ends : ends + 4 * count]),
        _column("I", raw[ends + 4 * count : ends + 8 * count]),
        codes,
    )


def _rows(
    first: float, gaps: Iterable[int], taken: Iterable[int], latencies: Iterable[int], codes: bytes
) -> Iterator[Recorded]:
    mark = 0
    for gap, took, latency, code in zip(gaps, taken, latencies, codes, strict=True):
        mark += gap
        if latency == _NO_LATENCY or code & ~_SLOT:
            result = _KNOWN[code & ~_SLOT]
        else:
            result = Result(Outcome.SUCCESS, None, latency / 1000)
        yield Recorded(first + mark / 1000, took / 1000, result, code >= _SLOT)


def _planes(kind: Literal["q", "I"], numbers: Sequence[int]) -> bytes:
    """The numbers, all their lowest bytes first, all their highest last."""
    raw = struct.pack(f"<{len(numbers)}{kind}", *numbers)
    size = struct.calcsize(f"<{kind}")
    return b"".join(raw[place::size] for place in range(size))


def _column(kind: Literal["q", "I"], planes: bytes) -> tuple[int, ...]:
    """What :func:`_planes` made of some numbers, undone."""
    size = struct.calcsize(f"<{kind}")
    count = len(planes) // size
    raw = bytearray(len(planes))
    for place in range(size):
        raw[place::size] = planes[place * count : (place + 1) * count]
    return struct.unpack(f"<{count}{kind}", raw)


def _ms(seconds: float) -> int:
    return min(max(0, round(seconds * 1000)), _MOST_MS)


def _latency(result: Result) -> int:
    if result.latency is None or result.outcome is not Outcome.SUCCESS:
        return _NO_LATENCY
    return _ms(result.latency)


def _code(each: Recorded) -> int:
    result, slot = each.result, _SLOT if each.slot else 0
    if result.outcome is Outcome.SUCCESS:
        return slot
    return slot | _CODE_OF[result.outcome, result.reason]
