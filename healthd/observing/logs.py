"""Logging: transitions, not repetitions; constant event names; never a secret.

Three forms. On a terminal: colours. Under systemd: `<N>` in front of each line, so that journald
keeps the level (`journalctl -p err` is empty otherwise), and no timestamp of our own. Elsewhere:
JSON, one object per line. All of them go to stderr: stdout is for data.
"""

import logging
import os
import re
import sys
from typing import Any, TextIO

import structlog

from healthd.config import LogConfig

_JOURNAL_LEVELS = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""syslog priorities, see sd-daemon(3)."""

_SECRETS = re.compile(
    r"(?:vless|vmess|trojan|ss|hysteria2|hy2|tuic)://[^\s\"']+"
    r"|(?<![0-9a-f])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-f])",
    re.IGNORECASE,
)


def configure(config: LogConfig, stream: TextIO = sys.stderr) -> None:
    """Set logging up for the process; may be called again after a reload."""
    form = _auto(stream) if config.format == "auto" else config.format
    chain: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
    ]
    if form == "journald":
        chain += [structlog.processors.LogfmtRenderer(key_order=["event"]), _prefix_level]
    elif form == "json":
        chain += [
            structlog.processors.TimeStamper(fmt="iso", key="time"),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    else:
        chain += [
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=stream.isatty()),
        ]
    structlog.configure(
        processors=[*chain, scrub],
        wrapper_class=structlog.make_filtering_bound_logger(config.level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    for name in ("httpx", "httpcore", "hypercorn"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _auto(stream: TextIO) -> str:
    if _is_journal(stream):
        return "journald"
    return "console" if stream.isatty() else "json"


def _is_journal(stream: TextIO) -> bool:
    """Whether the stream is the one that JOURNAL_STREAM names; see systemd.exec(5)."""
    try:
        about = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"


def scrub(_logger: object, _method: str, line: object) -> str:
    """The last line of defence: no share link and no UUID leaves in a rendered line."""
    return _SECRETS.sub("•••", str(line))


def _prefix_level(_logger: object, method: str, line: object) -> str:
    """Put journald's level in front of every line, also of a traceback's."""
    level = _JOURNAL_LEVELS.get(method, 6)
    return "\n".join(f"<{level}>{part}" for part in str(line).splitlines())
