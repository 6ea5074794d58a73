"""Tokens kept out of what people read: they are names of folders, and errors quote paths."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HIDDEN = "•••"

_TOKEN = re.compile(r"[A-Za-z0-9_-]{22,}")
"""What may be a token: no other name in a publication's directory is as long without a dot."""


@contextmanager
def hidden_names(directory: Path) -> Iterator[None]:
    """In this block, no ``OSError`` shows a token in its paths below the directory."""
    try:
        yield
    except OSError as why:
        for which in ("filename", "filename2"):
            name = getattr(why, which)
            if isinstance(name, str | Path):  # it may be a descriptor, or nothing
                setattr(why, which, _shown(str(name), directory))
        raise


def _shown(name: str, directory: Path) -> str:
    head = f"{directory}/"
    below = name.removeprefix(head)
    return name if below == name else head + _TOKEN.sub(HIDDEN, below)
