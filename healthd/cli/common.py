"""What all commands share: options, the two consoles, and how an error is told."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from healthd.config import parse_duration
from healthd.errors import HealthdError

DEFAULT_CONFIG = Path("/etc/healthd/config.toml")

STYLES = {
    "up": "green",
    "success": "green",
    "suspect": "yellow",
    "recovering": "yellow",
    "inconclusive": "yellow",
    "held": "yellow",
    "unknown": "dim",
    "down": "red",
    "failure": "red",
    "invalid": "magenta",
}
"""How a health, or the outcome of a probe, is coloured."""


def duration(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Any:  # noqa: ANN401 - click's way
    """A click callback: seconds for "36h", None for nothing."""
    try:
        return None if text is None else parse_duration(text)
    except ValueError as why:
        raise click.BadParameter(str(why)) from None


errors = Console(stderr=True, highlight=False)
data = Console(highlight=False)


def clear_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Our own errors are for people: their words and exit code 2, no traceback."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever click passes
        try:
            command(*args, **kwargs)
        except HealthdError as why:
            give_up(str(why))

    return wrapped


def give_up(words: str) -> NoReturn:
    """Say why, and end with exit code 2."""
    for line in words.splitlines():
        click.echo(f"healthd: {line}", err=True)
    sys.exit(2)


config_option = click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="The configuration file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
