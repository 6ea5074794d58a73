"""Reading the configuration again, while the one before is in force."""

from pathlib import Path

from healthd import startup
from healthd.config import Config
from healthd.errors import ConfigError, Problem
from healthd.factory import Factory


def read_again(path: Path, before: Config) -> Factory:
    """What the file asks for now, ready to be taken up; blocks, and changes nothing in force.

    Raises:
        ConfigError: it is faulty, or changes what holds for the life of the process.
        EngineMissing: there is no Xray any more.
        StartupError: the machine lacks something else.
    """
    config = startup.read_config(path)
    _refuse_fixed(path, before, config)
    return Factory(config, startup.prepare(config))


def _refuse_fixed(path: Path, before: Config, after: Config) -> None:
    """Some keys hold for the life of the process."""
    fixed = {
        "http.listen": (before.http, after.http),
        "control.socket": (before.control, after.control),
        "paths.state": (before.paths, after.paths),
    }
    problems = [
        Problem(key, "cannot change while healthd runs; restart it, or undo the change")
        for key, (old, new) in fixed.items()
        if old != new
    ]
    if problems:
        raise ConfigError(str(path), problems)
