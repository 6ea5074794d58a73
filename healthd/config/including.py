"""Files named by `include`: their names, their text, and what may be in them. Pure."""

import tomllib
from pathlib import Path
from typing import Any

from healthd.config.fleet import NodeConfig
from healthd.config.section import Section


class Included(Section):
    """All that an included file may hold."""

    nodes: tuple[NodeConfig, ...] = ()


def load(text: str) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ValueError: it is not TOML; says why.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        raise ValueError(f"not TOML: {why}") from None
    except (ValueError, RecursionError) as why:  # a number of 5,000 digits, 1,000 brackets
        raise ValueError(f"not TOML: {type(why).__name__}") from None


def included_names(text: str) -> tuple[str, ...]:
    """What `include` names in the text of a config.toml; nothing where that is malformed.

    Says nothing of faults: :func:`healthd.config.parse` names them all.
    """
    try:
        names = load(text).get("include")
    except ValueError:
        return ()
    listed = names if isinstance(names, list) else []
    return tuple(name for name in listed if isinstance(name, str) and name and "\0" not in name)


def place_of(name: str, path: str) -> str:
    """Where the file is that the one at ``path`` names so."""
    return str(Path(path).parent / name)
