"""``--set verdict.fall=3``: parameters of a replay that differ from the configuration. Pure."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from pydantic import BaseModel, BeforeValidator

from healthd import config
from healthd.config import Config
from healthd.errors import ConfigError, Problem
from healthd.replay.running import Rules

_REPLAYED = ("verdict", "gate")

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")


def changed(rules: Rules, settings: Iterable[str]) -> Rules:
    """The rules with some parameters changed.

    Args:
        rules: What they are so far.
        settings: Such as "verdict.fall=3" or "gate.panic_hold=5m".

    Raises:
        ConfigError: a setting is wrong; every one that is.
    """
    tables = {"verdict": _written(rules.verdict), "gate": _written(rules.gate)}
    problems = []
    for setting in settings:
        key, equals, value = (part.strip() for part in setting.partition("="))
        section, _, name = key.partition(".")
        if not equals or not name:
            problems.append(Problem(key, "must be KEY=VALUE, such as verdict.fall=3"))
        elif section not in _REPLAYED:
            problems.append(Problem(key, "cannot be replayed; only verdict.* and gate.* can"))
        else:
            tables[section][name] = value if _NUMBER.fullmatch(value) else json.dumps(value)
    return _parsed(rules, tables, problems)


def _parsed(
    rules: Rules, tables: Mapping[str, Mapping[str, str]], problems: list[Problem]
) -> Rules:
    """Checked as a configuration is, and told in its words."""
    lines = []
    for section, values in tables.items():
        lines += [f"[{section}]", *(f"{json.dumps(name)} = {values[name]}" for name in values)]
    text = "\n".join(lines)
    try:
        config.parse(text)
    except ConfigError as why:  # always: there are no nodes in it
        problems += [each for each in why.problems if each.key.startswith(_REPLAYED)]
    if problems:
        raise ConfigError("--set", problems)
    found = Config.model_validate(tomllib.loads(text))
    return replace(rules, verdict=found.verdict, gate=found.gate)


def _written(section: BaseModel) -> dict[str, str]:
    """What was given in a section, as it is written in the file."""
    return {
        name: _literal(section, name)
        for name in type(section).model_fields
        if name in section.model_fields_set
    }


def _literal(section: BaseModel, name: str) -> str:
    value = getattr(section, name)
    metadata = type(section).model_fields[name].metadata
    is_duration = any(isinstance(each, BeforeValidator) for each in metadata)
    return json.dumps(f"{value}s" if is_duration else value)
