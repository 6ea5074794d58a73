"""The text of config.toml and of what it includes -> a Config, or every fault at once. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from healthd.config.fleet import NodeConfig
from healthd.config.including import Included, load, place_of
from healthd.config.section import Section
from healthd.config.sections import Config
from healthd.config.words import problems_of
from healthd.errors import ConfigError, Problem

_Model = TypeVar("_Model", bound=Section)


class _File(NamedTuple):
    """One file as TOML has it."""

    path: str
    """Empty for config.toml itself."""
    data: Mapping[str, Any]


def parse(
    text: str,
    path: str = "config.toml",
    included: Mapping[str, str] | None = None,
    unread: Mapping[str, str] | None = None,
) -> Config:
    """Return the configuration that ``text`` describes, with the nodes of the included files.

    Args:
        text: The file's text.
        path: Where it is, for messages; included files lie beside it.
        included: The text of each file that ``include`` names, by that name.
        unread: Why a file that it names could not be read.

    Raises:
        ConfigError: with every problem found, each at its key.
    """
    problems: list[Problem] = []
    main = _loaded(text, "", problems)
    if main is None:
        raise ConfigError(path, problems)
    config = _validated(Config, main, problems)
    others = _others(main, path, included or {}, unread or {}, problems)
    more = [_validated(Included, file, problems) for file in others]
    every = [main, *others]
    problems += _duplicates(every, "nodes", "id")
    for table, key in (("sources", "name"), ("publish", "name"), ("publish", "directory")):
        problems += _duplicates([main], table, key)
    problems += _missing_sections(main, every)
    if problems or config is None:
        raise ConfigError(path, problems)
    nodes = (*config.nodes, *(node for each in more if each for node in each.nodes))
    return config.model_copy(update={"nodes": nodes})


def parse_included(text: str, path: str) -> tuple[NodeConfig, ...]:
    """The nodes of a file that may be included.

    Raises:
        ConfigError: with every problem found, each at its key.
    """
    problems: list[Problem] = []
    file = _loaded(text, path, problems)
    found = None if file is None else _validated(Included, file, problems)
    problems += _duplicates([] if file is None else [file], "nodes", "id")
    if problems or found is None:
        raise ConfigError(path, problems)
    return found.nodes


def _loaded(text: str, path: str, problems: list[Problem]) -> _File | None:
    try:
        return _File(path, load(text))
    except ValueError as why:
        problems.append(Problem("", str(why), path))
        return None


def _others(
    main: _File,
    path: str,
    included: Mapping[str, str],
    unread: Mapping[str, str],
    problems: list[Problem],
) -> list[_File]:
    """The included files that can be looked into."""
    found = []
    for index, name in enumerate(_listed(main, "include")):
        if not isinstance(name, str):
            continue  # told already
        place = place_of(name, path)
        if name in included:
            found.append(_loaded(included[name], place, problems))
        elif name in unread:
            problems.append(Problem(f"include[{index}]", f"{place} {unread[name]}"))
    return [file for file in found if file is not None]


def _validated(model: type[_Model], file: _File, problems: list[Problem]) -> _Model | None:
    try:
        return model.model_validate(file.data)
    except ValidationError as invalid:
        for error in invalid.errors():
            problems += problems_of(error, file.path)
        return None


def _duplicates(files: Sequence[_File], table: str, key: str) -> Iterator[Problem]:
    first: dict[str, tuple[str, int]] = {}
    for file in files:
        for index, entry in enumerate(_listed(file, table)):
            value = entry.get(key) if isinstance(entry, dict) else None
            if not isinstance(value, str):
                continue
            if key == "directory":
                value = str(Path(value))  # a trailing slash makes no other directory
            here = (file.path, index)
            there, other = first.setdefault(value, here)
            if (there, other) != here:
                of = f" of {there or 'the main file'}" if there != file.path else ""
                why = f"{value!r} is already taken by {table}[{other}]{of}"
                yield Problem(f"{table}[{index}].{key}", why, file.path)


def _missing_sections(main: _File, every: Sequence[_File]) -> Iterator[Problem]:
    unknown = len(_listed(main, "include")) >= len(every)  # a file that could not be looked into
    if not (unknown or main.data.get("sources") or any(file.data.get("nodes") for file in every)):
        why = "there are none; add a [[nodes]] table with an id and a link, or a [[sources]] table"
        yield Problem("nodes", why)
    if not main.data.get("publish"):
        yield Problem("publish", "nothing to publish; add a [[publish]] table with a directory")


def _listed(file: _File, table: str) -> Sequence[Any]:
    entries = file.data.get(table)
    return entries if isinstance(entries, list) else []
