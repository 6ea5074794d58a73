"""JSON and YAML from strangers: read with limits, refused in words. Pure.

YAML is read event by event: nothing is built but the proxies, one at a time. All scalars stay text
(a short id of ``0123`` or ``1e5`` is no number), aliases are not followed, and nesting ends early,
so that no file costs more than its length.
"""

import json
from collections.abc import Iterator
from typing import Any

import yaml

from healthd.fleet.fields import DEEPEST, Alias, Json
from healthd.fleet.reading import Unreadable

_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""libyaml's if PyYAML was built with it, as its wheels are: the other is 30 times as slow."""

MOST_EVENTS = 1_000_000
"""YAML events outside of the proxies (rules and groups), about 15 MB of them."""
MOST_IN_A_PROXY = 2000
"""YAML events inside one proxy; honest ones have about 30, two for each setting."""

_NULLS = {"", "~", "null", "Null", "NULL"}


def parse_json(text: str) -> Json:
    """A JSON document.

    Raises:
        Unreadable: it is none, or one that programs would understand differently.
    """
    try:
        value: Json = json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_constant, parse_int=_integer
        )
    except RecursionError:
        raise Unreadable("the answer is JSON that is nested too deeply") from None
    except json.JSONDecodeError as why:
        raise Unreadable(f"the answer is broken JSON (line {why.lineno})") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Unreadable("the answer is JSON with a key that is given twice")
    return found


def _no_constant(_name: str) -> None:
    raise Unreadable("the answer is JSON with NaN or Infinity in it, which is JavaScript")


def _integer(digits: str) -> int:
    if len(digits) > 20:  # no setting is beyond 64 bits, and int() takes quadratic time
        raise Unreadable("the answer is JSON with a number of too many digits")
    return int(digits)


def proxies(text: str) -> Iterator[Json]:
    """What stands under ``proxies`` in a YAML document, one by one.

    Raises:
        Unreadable: it is no YAML, has no proxies, or unreasonable ones.
    """
    try:
        yield from _proxies(_Events(text))
    except yaml.MarkedYAMLError as why:
        line = f" (line {why.problem_mark.line + 1})" if why.problem_mark else ""
        raise Unreadable(f"the answer is broken YAML{line}") from None
    except yaml.YAMLError:  # a character that YAML does not allow
        raise Unreadable("the answer is YAML with control characters in it") from None


def _proxies(events: "_Events") -> Iterator[Json]:
    event = events.begin()
    if not isinstance(event, yaml.MappingStartEvent):
        raise Unreadable("the answer is YAML, but no Clash configuration")
    found = False
    while (key := events.key()) is not None:
        if key != "proxies":
            events.skip(events.next())
            continue
        if found:
            raise Unreadable("the answer is YAML with a key that is given twice")
        found = True
        yield from _elements(events, events.next())
    if not found:
        raise Unreadable("the answer is a Clash configuration without proxies")


def _elements(events: "_Events", event: yaml.Event) -> Iterator[Json]:
    if isinstance(event, yaml.ScalarEvent) and event.value in _NULLS:
        return
    if not isinstance(event, yaml.SequenceStartEvent):
        raise Unreadable("the answer is a Clash configuration whose proxies are no list")
    while not isinstance(event := events.next(), yaml.SequenceEndEvent):
        events.left = MOST_IN_A_PROXY
        yield events.value(event, DEEPEST)
    events.left = MOST_EVENTS


class _Events:
    """The events of a YAML document, of which only so many are ``left`` to be taken."""

    def __init__(self, text: str) -> None:
        self.left = MOST_EVENTS
        self._events = yaml.parse(text, Loader=_LOADER)

    def begin(self) -> yaml.Event:
        """The first event of the first document's content."""
        event = self.next()
        while isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            event = self.next()
        return event

    def next(self) -> yaml.Event:
        """The next event."""
        self.left -= 1
        if self.left < 0:
            raise Unreadable("the answer is YAML of unreasonable size")
        event: yaml.Event = next(self._events)
        return event

    def key(self) -> str | None:
        """The next key of a mapping; None at its end."""
        event = self.next()
        if isinstance(event, yaml.MappingEndEvent):
            return None
        if not isinstance(event, yaml.ScalarEvent):
            raise Unreadable("the answer is YAML with a key that is no text")
        return str(event.value)

    def skip(self, event: yaml.Event) -> None:
        """Leave out the value that begins with this event."""
        depth = 0
        while True:
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > DEEPEST:
                raise Unreadable("the answer is YAML that is nested too deeply")
            if depth == 0:
                return
            event = self.next()

    def value(self, event: yaml.Event, levels: int) -> Json:
        """The value that begins with this event; may be nested by so many levels."""
        if isinstance(event, yaml.ScalarEvent):
            plain = event.implicit[0]
            return None if plain and event.value in _NULLS else str(event.value)
        if isinstance(event, yaml.AliasEvent):
            return Alias()
        if levels == 0:
            raise Unreadable("the answer is YAML that is nested too deeply")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(levels - 1)
        return self._mapping(levels - 1)

    def _list(self, levels: int) -> list[Json]:
        found = []
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            found.append(self.value(event, levels))
        return found

    def _mapping(self, levels: int) -> dict[str, Json]:
        found: dict[str, Json] = {}
        while (key := self.key()) is not None:
            if key in found:
                raise Unreadable("the answer is YAML with a key that is given twice")
            found[key] = self.value(self.next(), levels)
        return found
