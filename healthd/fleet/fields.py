"""The settings of one entry of a JSON or YAML subscription, taken out one by one. Pure.

What is left when a reader is done is something it does not know: it may matter, so the entry is
refused rather than read as something weaker than it is. Programs write the same thing in many ways
(443 and "443", lists and comma lists, ``null`` and nothing): those are all one.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from healthd.errors import LinkError, Unsupported

DEEPEST = 64
"""Levels of nesting that are read; honest ones have fewer than ten."""

_ON = {"true", "1", "yes", "on"}
_OFF = {"false", "0", "no", "off"}
_TELLING = re.compile(r"[A-Za-z][A-Za-z_.-]{0,39}")
"""Names that may be shown: without digits they are nobody's key or UUID."""


class Alias:
    """Stands for a YAML alias, which is not followed: a few of them can unfold into gigabytes."""


Json = str | int | float | bool | list[Any] | dict[str, Any] | Alias | None


def is_nothing(value: Json) -> bool:
    """Whether a setting says nothing: absent, empty, switched off."""
    return not value or (isinstance(value, str) and value.lower() in _OFF)


class Fields:
    """The settings in one JSON object or YAML mapping. ``path`` says where it lies in its entry."""

    def __init__(self, given: Json, path: str = "") -> None:
        if isinstance(given, Alias):
            raise Unsupported(path or "entry", "is a YAML alias, which is not followed")
        if not isinstance(given, dict):
            raise LinkError(path or "entry", "must be a group of settings")
        self._left: dict[str, Any] = dict(given)
        self._path = path

    def part(self, name: str) -> str:
        """How errors call a setting in here."""
        shown = name if _TELLING.fullmatch(name) else "a setting"
        return f"{self._path}.{shown}" if self._path else shown

    def take(self, *names: str) -> Json:
        """Take out a setting that may have several names.

        Raises:
            LinkError: two of them are given, and differ.
        """
        found = [self._left.pop(name, None) for name in names]
        given = [value for value in found if value is not None and value != ""]
        if any(value != given[0] for value in given):
            raise LinkError(self.part(names[0]), "is given twice, with different values")
        value: Json = given[0] if given else None
        if isinstance(value, Alias):
            raise Unsupported(self.part(names[0]), "is a YAML alias, which is not followed")
        return value

    def text(self, *names: str) -> str:
        """Text, or a number as text; empty if not given.

        Raises:
            LinkError: it is something else.
        """
        value = self.take(*names)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise LinkError(self.part(names[0]), "must be text")
        return str(value)

    def number(self, *names: str) -> int:
        """A whole number, perhaps in quotes; 0 if not given.

        Raises:
            LinkError: it is something else.
        """
        text = self.text(*names)
        if not text:
            return 0
        if not (text.isascii() and text.isdecimal() and len(text) <= 9):
            raise LinkError(self.part(names[0]), "must be a whole number")
        return int(text)

    def flag(self, *names: str) -> bool:
        """A switch; off if not given.

        Raises:
            LinkError: it is something else.
        """
        value = self.take(*names)
        if value is None or isinstance(value, bool):
            return bool(value)
        word = str(value).lower() if isinstance(value, str | int) else ""
        if word not in _ON | _OFF:
            raise LinkError(self.part(names[0]), "must be true or false")
        return word in _ON

    def texts(self, *names: str) -> tuple[str, ...]:
        """A list of text, or a comma list; empty ones are dropped.

        Raises:
            LinkError: it is something else.
        """
        value = self.take(*names)
        return self._texts(names[0], value.split(",") if isinstance(value, str) else value)

    def values(self, name: str) -> tuple[str, ...]:
        """A list of text, or one text alone, commas and all.

        Raises:
            LinkError: it is something else.
        """
        value = self.take(name)
        return self._texts(name, [value] if isinstance(value, str) else value)

    def _texts(self, name: str, found: Json) -> tuple[str, ...]:
        if found is None:
            return ()
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise LinkError(self.part(name), "must be a list of text")
        return tuple(filter(None, found))

    def inner(self, *names: str) -> "Fields":
        """A group of settings inside this one; empty if not given.

        Raises:
            LinkError: it is something else.
        """
        value = self.take(*names)
        return Fields({} if value is None else value, self.part(names[0]))

    def single(self, name: str) -> "Fields":
        """The only element of a list.

        Raises:
            LinkError: it is no list, or empty.
            Unsupported: it has several: one node has one place and one user.
        """
        value = self.take(name)
        if not isinstance(value, list) or not value:
            raise LinkError(self.part(name), "must be a list")
        if len(value) > 1:
            raise Unsupported(self.part(name), "has several elements; only one is supported")
        return Fields(value[0], self.part(name))

    def document(self, *names: str) -> str:
        """A JSON object to be passed on, as text; empty if there is nothing in it.

        Raises:
            LinkError: it is something else, or nested too deeply.
        """
        value = self.take(*names)
        if is_nothing(value):
            return ""
        if not isinstance(value, dict) or not _is_shallow(value, DEEPEST):
            raise LinkError(self.part(names[0]), "must be a JSON object")
        return json.dumps(value)

    def rest(self) -> dict[str, Any]:
        """Take out all that is left."""
        left, self._left = self._left, {}
        return left

    def peek(self, name: str) -> Json:
        """A setting, without taking it out."""
        value: Json = self._left.get(name)
        return value

    def names(self) -> tuple[str, ...]:
        """What is left."""
        return tuple(self._left)

    def __contains__(self, name: str) -> bool:
        return not is_nothing(self._left.get(name))

    def refuse(self, reasons: Mapping[str, str]) -> None:
        """Settings that cannot be honoured, each with the reason.

        Raises:
            Unsupported: one of them is given.
        """
        for name, why in reasons.items():
            if not is_nothing(self._left.pop(name, None)):
                raise Unsupported(self.part(name), why)

    def ignore(self, *names: str) -> None:
        """Drop settings that change nothing about the node itself."""
        for name in names:
            self._left.pop(name, None)

    def end(self) -> None:
        """Say that all is read.

        Raises:
            Unsupported: something is left that says anything.
        """
        for name, value in self._left.items():
            if not is_nothing(value):
                raise Unsupported(self.part(name), "is not known here, and might matter")


def _is_shallow(value: Json, levels: int) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return True
    return levels > 0 and all(_is_shallow(each, levels - 1) for each in value)
