"""The text of config.toml -> a Config, or every fault in it in the operator's words. Pure."""

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from healthd.config.sections import SECTIONS, Config
from healthd.errors import ConfigError, Problem


def parse(text: str, path: str = "config.toml") -> Config:
    """Return the configuration that ``text`` describes.

    Raises:
        ConfigError: with every problem found, each at its key.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        raise ConfigError(path, [Problem("", f"not TOML: {why}")]) from None
    except (ValueError, RecursionError) as why:  # a number of 5,000 digits, 1,000 brackets
        raise ConfigError(path, [Problem("", f"not TOML: {type(why).__name__}")]) from None
    problems: list[Problem] = []
    config = None
    try:
        config = Config.model_validate(data)
    except ValidationError as invalid:
        problems += [problem for error in invalid.errors() for problem in _problems(error)]
    problems += _duplicates(data, "nodes", "id")
    problems += _duplicates(data, "sources", "name")
    problems += _duplicates(data, "publish", "name")
    problems += _duplicates(data, "publish", "directory")
    problems += _missing_sections(data)
    if problems or config is None:
        raise ConfigError(path, problems)
    return config


def _duplicates(data: Mapping[str, Any], table: str, key: str) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, entry in enumerate(_entries(data, table)):
        value = entry.get(key)
        if isinstance(value, str) and key == "directory":
            value = str(Path(value))  # a trailing slash makes no other directory
        if isinstance(value, str) and first.setdefault(value, index) != index:
            where = f"{table}[{index}].{key}"
            yield Problem(where, f"{value!r} is already taken by {table}[{first[value]}]")


def _missing_sections(data: Mapping[str, Any]) -> Iterator[Problem]:
    if not any(data.get(table) for table in ("nodes", "include", "sources")):
        why = "there are none; add a [[nodes]] table with an id and a link, or a [[sources]] table"
        yield Problem("nodes", why)
    if not data.get("publish"):
        yield Problem("publish", "nothing to publish; add a [[publish]] table with a directory")


def _entries(data: Mapping[str, Any], table: str) -> Sequence[Mapping[str, Any]]:
    entries = data.get(table)
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


_WORDS = {
    "missing": "is required",
    "int_type": "must be a whole number, without quotes",
    "int_from_float": "must be a whole number, without quotes",
    "float_type": "must be a number, without quotes",
    "string_type": "must be text in quotes",
    "path_type": "must be a path in quotes",
    "tuple_type": 'must be a list, such as ["a", "b"]',
    "string_pattern_mismatch": (
        "must be 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
    ),
}
"""Pydantic's kinds of faults in the operator's words."""

_TABLES = {"nodes", "sources", "publish"}


def _problems(error: ErrorDetails) -> list[Problem]:
    """One of pydantic's faults in the operator's words. Its ``input`` is never shown."""
    location, context, kind = error["loc"], error.get("ctx", {}), error["type"]
    if kind == "healthd":
        return [Problem(_dotted((*location, key)), why) for key, why in context["found"]]
    return [Problem(_dotted(location), _why(kind, location, context, error["msg"]))]


def _why(kind: str, location: Sequence[int | str], context: Mapping[str, Any], message: str) -> str:
    table = str(location[0])
    match kind:
        case "extra_forbidden":
            return _unknown_key(location)
        case "model_type" | "dict_type":
            head = f"[[{table}]]" if table in _TABLES else f"[{table}]"
            return f"must be a table, headed {head}"
        case "tuple_type" if len(location) == 1:
            return f"must be tables, each headed [[{table}]]"
        case "value_error" if location[-1] == "listen":
            return 'must be an IP address and port, such as "127.0.0.1:9477"'
        case "value_error":
            words = str(context.get("error", message))
        case "literal_error" | "enum":
            words = f"must be {context['expected']}"
        case _:
            words = _WORDS.get(kind, message[:1].lower() + message[1:])
    return words


def _dotted(location: Sequence[int | str]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _unknown_key(location: Sequence[int | str]) -> str:
    known = _keys_at(location[:-1])
    near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    return f"unknown key; {hint}"


def _keys_at(location: Sequence[int | str]) -> list[str]:
    """The keys that the section at this place may have."""
    model = SECTIONS[str(location[0])] if location else Config
    return list(model.model_fields)
