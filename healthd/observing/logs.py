"""Logging: transitions, not repetitions; constant event names; never a secret.

Three forms. On a terminal: colours. Under systemd: `<N>` in front of each line, so that journald
keeps the level (`journalctl -p err` is empty otherwise), and no timestamp of our own. Elsewhere:
JSON, one object per line. All of them go to stderr: stdout is for data.
"""

import logging
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from healthd.config import LogConfig

_JOURNAL_LEVELS = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""syslog priorities, see sd-daemon(3)."""

_SECRETS = re.compile(
    r"(?:vless|vmess|trojan|ss|hysteria2|hy2|tuic)://\S+"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
    re.IGNORECASE,
)

Event = MutableMapping[str, Any]


def configure(config: LogConfig, stream: TextIO = sys.stderr) -> None:
    """Set logging up for the process; may be called again after a reload."""
    form = _auto(stream) if config.format == "auto" else config.format
    chain: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        scrub,
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
        processors=chain,
        wrapper_class=structlog.make_filtering_bound_logger(config.level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    for name in ("httpx", "httpcore", "hypercorn"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _auto(stream: TextIO) -> str:
    if "JOURNAL_STREAM" in os.environ:
        return "journald"
    return "console" if stream.isatty() else "json"


def scrub(_logger: object, _method: str, event: Event) -> Event:
    """The last line of defence: no share link and no UUID leaves through a log."""
    for key, value in event.items():
        if isinstance(value, str) and ("://" in value or "-" in value):
            event[key] = _SECRETS.sub("•••", value)
    return event


def _prefix_level(_logger: object, method: str, line: Any) -> str:  # noqa: ANN401 - structlog's type
    """Put journald's level in front of every line, also of a traceback's."""
    level = _JOURNAL_LEVELS.get(method, 6)
    return "\n".join(f"<{level}>{part}" for part in str(line).splitlines())
