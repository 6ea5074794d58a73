"""Recorded results: what was observed of a node, compact enough to keep for a month. Pure.

A block is the results of one node, in their order, in columns (seconds between beginnings, seconds
taken, latency, what came, slot or recheck) and compressed: about 4 bytes a result. Times are kept
to a millisecond. The codes of reasons are part of the format: they are only ever added to.
"""

import struct
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

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

_HEAD = struct.Struct("<dI")
"""Wall-clock second of the first beginning; how many results follow."""

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


def encode(results: Sequence[Recorded]) -> bytes:
    """A block of these results, oldest first; at least one. Details are left out."""
    gaps = [0, *(_ms(later.began - earlier.began) for earlier, later in pairwise(results))]
    columns = (
        array("I", gaps),
        array("I", [_ms(each.took) for each in results]),
        array("I", [_latency(each.result) for each in results]),
        array("B", [_code(each) for each in results]),
    )
    body = b"".join(column.tobytes() for column in columns)
    return zlib.compress(_HEAD.pack(results[0].began, len(results)) + body, 6)


def decode(block: bytes) -> Iterator[Recorded]:
    """The results of a block.

    Raises:
        ValueError: it is no such block.
    """
    try:
        raw = zlib.decompress(block)
        began, count = _HEAD.unpack_from(raw)
    except (zlib.error, struct.error) as why:
        raise ValueError(f"not a block of results: {why}") from None
    if len(raw) != _HEAD.size + 13 * count:
        raise ValueError("not a block of results: its length is wrong")
    columns = [_column(raw, _HEAD.size + 4 * count * index, count) for index in range(3)]
    codes = raw[_HEAD.size + 12 * count :]
    for gap, took, latency, code in zip(*columns, codes, strict=True):
        began += gap / 1000
        seconds = None if latency == _NO_LATENCY else latency / 1000
        yield Recorded(began, took / 1000, _result(code & ~_SLOT, seconds), bool(code & _SLOT))


def _column(raw: bytes, at: int, count: int) -> "array[int]":
    found = array("I")
    found.frombytes(raw[at : at + 4 * count])
    return found


def _ms(seconds: float) -> int:
    return min(max(0, round(seconds * 1000)), _MOST_MS)


def _latency(result: Result) -> int:
    return _NO_LATENCY if result.latency is None else _ms(result.latency)


def _code(each: Recorded) -> int:
    result, slot = each.result, _SLOT if each.slot else 0
    if result.outcome is Outcome.SUCCESS or result.reason is None:
        return slot
    ours = result.outcome is Outcome.INCONCLUSIVE
    return slot | (1 + 2 * _CODES.index(result.reason) + ours)


def _result(code: int, latency: float | None) -> Result:
    if code == 0:
        return Result(Outcome.SUCCESS, latency=latency)
    place, ours = divmod(code - 1, 2)
    if place >= len(_CODES):
        raise ValueError(f"unknown code {code}: written by a newer healthd?")
    return Result(Outcome.INCONCLUSIVE if ours else Outcome.FAILURE, _CODES[place])
