"""Sources that are files: written by somebody else, so only regular ones, and under a limit."""

import os
import stat
from pathlib import Path

from healthd.config import SourceConfig
from healthd.errors import SourceError
from healthd.fleet import guard, subscriptions
from healthd.fleet.subscriptions import Reading, Unreadable


def read_file(source: SourceConfig) -> bytes:
    """The bytes of a source's file; blocks.

    Raises:
        SourceError: it cannot be read, is no regular file, or larger than it may be.
    """
    path = source.file or Path()
    try:
        return read_regular(path, source.max_bytes)
    except OSError as why:
        raise SourceError(source.name, f"{path}: {why.strerror}") from why
    except ValueError as why:
        raise SourceError(source.name, f"{path}: {why}") from why


def look(source: SourceConfig) -> Reading:
    """What a source's file holds, for whoever checks a configuration; blocks.

    Raises:
        SourceError: it would not be taken up.
    """
    try:
        reading = subscriptions.read(read_file(source), max_nodes=source.max_nodes)
    except Unreadable as why:
        raise SourceError(source.name, f"{source.file}: {why.why}") from why
    if (words := guard.refusal(0, reading, source.name)) is not None:
        raise SourceError(source.name, f"{source.file}: {words}")
    return reading


def read_regular(path: Path, most: int) -> bytes:
    """The bytes of a file; blocks.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, or has more than ``most`` bytes.
    """
    # Else opening a pipe would wait for somebody to write to it.
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise ValueError("is no regular file")
        with os.fdopen(opened, "rb", closefd=False) as file:
            body = file.read(most + 1)
    finally:
        os.close(opened)
    if len(body) > most:
        raise ValueError(f"is larger than max_bytes = {most}; raise it if that is meant")
    return body
