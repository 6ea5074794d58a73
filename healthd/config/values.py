"""What a single value of config.toml may be: durations, URLs, addresses. Pure."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import idna
from pydantic import AfterValidator, BeforeValidator

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_LONGEST = 400 * 86400.0


def parse_duration(value: object) -> float:
    """Return seconds for "30s", "250ms" or "1h30m".

    Raises:
        ValueError: it is no duration.
    """
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise ValueError('must be a duration in quotes, such as "30s", "250ms" or "1h30m"')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(value))
    if seconds > _LONGEST:
        raise ValueError("is longer than 400 days")
    return seconds


def _at_least_100_ms(seconds: float) -> float:
    # 100 ms: far below anything a real fleet wants, yet enough to keep a typo from busy-looping.
    if seconds < 0.1:
        raise ValueError('must be at least "100ms"')
    return seconds


Duration = Annotated[float, BeforeValidator(parse_duration)]
"""Seconds; zero is allowed."""
Period = Annotated[float, BeforeValidator(lambda v: _at_least_100_ms(parse_duration(v)))]
"""Seconds; at least 100 ms."""


def _check_url(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a URL in quotes")
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None  # its own words would quote the value, and a password in it
    if host is None or not host or port == 0 or parts.scheme not in {"http", "https"}:
        raise ValueError("must be a URL such as https://www.gstatic.com/generate_204")
    if parts.username is not None:
        raise ValueError("must not carry a user name or password")
    if not value.isascii() or any(char.isspace() for char in value):
        raise ValueError("must be plain ASCII without blanks")
    if len(host) > 255:
        raise ValueError("has a host name longer than SOCKS5 can carry (255 bytes)")
    if not _is_host(host, bracketed="[" in parts.netloc):
        raise ValueError("has a host that is neither a name nor an IP address")
    return value


def _is_host(host: str, *, bracketed: bool) -> bool:
    """What every library on a request's way takes: a sound name, or an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return not bracketed and _is_name(host)
    return "%" not in host  # a zone names an interface of one machine


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    if not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdecimal():
        return False
    try:
        for label in labels:
            if label.startswith("xn--"):
                idna.decode(label)
    except UnicodeError:  # httpx would decode it on the way
        return False
    return True


Url = Annotated[str, BeforeValidator(_check_url)]


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    if "\0" in str(path):
        raise ValueError("holds a NUL character")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


def _file_name(name: str) -> str:
    if not name or "\0" in name:
        raise ValueError("must be the path of a file")
    return name


IncludedFile = Annotated[str, AfterValidator(_file_name)]
"""As the operator wrote it: absolute, or relative to the file it is named in."""


def split_listen(listen: str) -> tuple[str, int]:
    """Return host and port of "127.0.0.1:9477" or "[::1]:9477"."""
    host, _, port = listen.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def join_listen(host: str, port: int) -> str:
    """Return the text that :func:`split_listen` takes apart."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
