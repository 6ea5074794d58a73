"""Pydantic's faults in the operator's words. Pure."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from healthd.config.sections import SECTIONS, Config
from healthd.errors import Problem

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

_TABLES = {"nodes", "sources", "publish", "users"}
"""What can be a list of tables. [users] of config.toml is none, [[users]] of its file is."""

_MODELS: Mapping[str, type[BaseModel]] = {"": Config, **SECTIONS}


def problems_of(
    error: ErrorDetails, file: str = "", models: Mapping[str, type[BaseModel]] = _MODELS
) -> list[Problem]:
    """One of pydantic's faults in the operator's words. Its ``input`` is never shown.

    Args:
        error: As pydantic tells it.
        file: The included file that it was found in; empty for the main file itself.
        models: The model of each table, and under "" that of the file.
    """
    location, context, kind = error["loc"], error.get("ctx", {}), error["type"]
    if kind == "healthd":
        return [Problem(_dotted((*location, key)), why, file) for key, why in context["found"]]
    if kind == "extra_forbidden" and file and len(location) == 1:
        why = "only [[nodes]] tables may be in an included file; put it into the main file"
    else:
        why = _why(kind, location, context, error["msg"], models)
    return [Problem(_dotted(location), why, file)]


def _why(
    kind: str,
    location: Sequence[int | str],
    context: Mapping[str, Any],
    message: str,
    models: Mapping[str, type[BaseModel]],
) -> str:
    table = str(location[0])
    match kind:
        case "extra_forbidden":
            return _unknown_key(location, models)
        case "dict_type":  # a table that is a value: the tiers of [users]
            return f'must be a table, such as {location[-1]} = {{ gold = [], basic = ["basic"] }}'
        case "model_type":
            head = f"[[{table}]]" if len(location) > 1 else f"[{table}]"
            return f"must be a table, headed {head}"
        case "tuple_type" if len(location) == 1 and table in _TABLES:
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


def _unknown_key(location: Sequence[int | str], models: Mapping[str, type[BaseModel]]) -> str:
    table = str(location[0]) if len(location) > 1 else ""
    known = list(models[table].model_fields)
    near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    return f"unknown key; {hint}"
