"""Readers of foreign text under fire: sound input, broken in every way, must be refused in time.

A reader may refuse an input with an exception of its own, or read it; it may neither raise anything
else nor think for long. ``python -m tests.fleet.fuzzing links 1000000`` runs for minutes.
"""

import base64
import binascii
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from healthd.errors import LinkError
from healthd.fleet import links, subscriptions
from healthd.fleet.reading import Unreadable
from tests.fleet.link_examples import LINKS
from tests.fleet.subscription_corpus import CORPUS

SLOWEST = 0.05
"""CPU seconds for each KB of an input; as much for any smaller one."""

_MOST = 64 * 1024
_MARKS = re.compile(rb"([?&#@:=,%/{}\"\n\[\]-]+)")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
_BAIT = (
    *(b"", b"\0", b"\xff", b"\n", b"%", b"%00", b"%ff", b"%ud800", b"\xed\xa0\x80", b"=", b"&"),
    *(b"@", b"#", b"?", b"[", b"]", b"::", b"://", b"0", b"-1", b"65536", b"1e9", b"9" * 5000),
    *(b"[" * 5000, b'{"a":' * 2000, b"null", b"true", b"NaN", b'"\\ud800"', b"\xd9\xa1"),
    *(b"type=kcp", b"security=reality", b"mport=1-9", b"vmess://", b"a,b,,c", b"=" * 3),
)


@dataclass(frozen=True)
class Target:
    """A reader, sound inputs for it, and the exceptions by which it may refuse others."""

    name: str
    corpus: Sequence[bytes]
    feed: Callable[[bytes], None]
    refusals: tuple[type[Exception], ...]


@dataclass
class Tally:
    """What became of the inputs."""

    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    """CPU seconds for a KB, of the input that took longest for its size."""


def fire(target: Target, inputs: int, seed: int) -> Tally:
    """Feed so many broken inputs to a reader.

    Raises:
        AssertionError: one took too long.
        Exception: one was neither read nor refused.
    """
    chance = random.Random(seed)
    tally = Tally()
    for _ in range(inputs):
        data = broken(target.corpus, chance)
        began = time.thread_time()
        try:
            target.feed(data)
            tally.read += 1
        except target.refusals as refused:
            tally.refused[type(refused).__name__] += 1
        except BaseException:
            print("raised at", ascii(data)[:2000], file=sys.stderr)  # noqa: T201 - nobody else saw it
            raise
        pace = (time.thread_time() - began) / max(1.0, len(data) / 1024)
        tally.slowest = max(tally.slowest, pace)
        assert pace < SLOWEST, f"{pace:.3f} s for a KB: {ascii(data)[:2000]}"
    return tally


def broken(corpus: Sequence[bytes], chance: random.Random) -> bytes:
    """A sound input, broken once or several times."""
    data = chance.choice(corpus)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        data = chance.choice(_MUTATIONS)(data, corpus, chance)[:_MOST]
    return data


def _cut(data: bytes, chance: random.Random) -> tuple[int, int]:
    start = chance.randint(0, len(data))
    return start, min(len(data), start + chance.choice((1, 2, 4, 16, 64)))


def _flip(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    start, end = _cut(data, chance)
    return data[:start] + chance.randbytes(end - start) + data[end:]


def _insert(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    start, _end = _cut(data, chance)
    return data[:start] + chance.choice(_BAIT) + data[start:]


def _delete(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    start, end = _cut(data, chance)
    return data[:start] + data[end:]


def _truncate(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    return data[: chance.randint(0, len(data))]


def _repeat(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    start, end = _cut(data, chance)
    return data[:end] + data[start:end] * chance.choice((1, 2, 300, 5000)) + data[end:]


def _swap(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    pieces = _MARKS.split(data)
    one, other = chance.randrange(len(pieces)), chance.randrange(len(pieces))
    pieces[one], pieces[other] = pieces[other], pieces[one]
    return b"".join(pieces)


def _replace(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    pieces = _MARKS.split(data)
    pieces[chance.randrange(len(pieces))] = chance.choice(_BAIT)
    return b"".join(pieces)


def _splice(data: bytes, corpus: Sequence[bytes], chance: random.Random) -> bytes:
    other = chance.choice(corpus)
    return data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]


def _inside(data: bytes, corpus: Sequence[bytes], chance: random.Random) -> bytes:
    """Break what lies in base64, not the base64."""
    found = _BASE64.search(data)
    if not found:
        return _flip(data, corpus, chance)
    try:
        inner = base64.b64decode(found[0] + b"==")
    except binascii.Error:
        return _flip(data, corpus, chance)
    inner = chance.choice(_MUTATIONS)(inner, corpus, chance)
    return data[: found.start()] + base64.b64encode(inner) + data[found.end() :]


_MUTATIONS = (_flip, _insert, _delete, _truncate, _repeat, _swap, _replace, _splice, _inside)


def _feed_link(data: bytes) -> None:
    read = links.parse(data.decode("utf-8", "surrogateescape"))
    assert read == links.parse(links.write(*read))


def _feed_subscription(data: bytes) -> None:
    """Whatever a subscription brings is published as links: it must fit one."""
    for entry in subscriptions.read(data, max_nodes=1000).entries:
        read = (entry.endpoint, entry.name[:200])  # longer names are cut when they join the fleet
        assert read == links.parse(links.write(*read))


TARGETS = [
    Target(
        name="links",
        corpus=[
            *(link.encode() for link, _, _ in LINKS.values()),
            *(again.encode() for _, _, again in LINKS.values() if again),
        ],
        feed=_feed_link,
        refusals=(LinkError,),
    ),
    Target("subscriptions", CORPUS, _feed_subscription, (Unreadable,)),
]


if __name__ == "__main__":
    wanted, count, *given = sys.argv[1:]
    (chosen,) = (target for target in TARGETS if target.name == wanted)
    print(fire(chosen, int(count), int(given[0]) if given else 0))  # noqa: T201
