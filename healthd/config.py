"""config.toml -> one frozen :class:`Config`, or every fault in it at once.

Pure: takes the file's text, returns values. Each fault names its key, what is wrong and the mend;
a value is quoted only where it cannot be a secret. Durations are strings ("30s", "1h30m"), in
seconds once parsed.
"""

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from healthd.errors import ConfigError, LinkError, Problem
from healthd.fleet import links
from healthd.model import Node, Role, Vless

GSTATIC = "https://www.gstatic.com/generate_204"
CLOUDFLARE = "https://cp.cloudflare.com/generate_204"

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_LONGEST = 400 * 86400.0


def parse_duration(value: object) -> float:
    """Return seconds for "30s", "250ms" or "1h30m".

    Raises:
        ValueError: the text is not a duration.
    """
    if isinstance(value, float) and not isinstance(value, bool):
        return value  # a default, already in seconds; TOML floats are refused by the model
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise ValueError('must be a duration in quotes, such as "30s", "250ms" or "1h30m"')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(value))
    if seconds > _LONGEST:
        raise ValueError("is longer than 400 days")
    return seconds


def _duration_from_toml(value: object) -> float:
    if not isinstance(value, str):
        raise ValueError('must be a duration in quotes, such as "30s", "250ms" or "1h30m"')
    return parse_duration(value)


def _at_least_100_ms(seconds: float) -> float:
    # 100 ms: far below anything a real fleet wants, yet enough to keep a typo from busy-looping.
    if seconds < 0.1:
        raise ValueError('must be at least "100ms"')
    return seconds


Duration = Annotated[float, BeforeValidator(_duration_from_toml)]
"""Seconds; zero is allowed."""
Period = Annotated[float, BeforeValidator(lambda v: _at_least_100_ms(_duration_from_toml(v)))]
"""Seconds; at least 100 ms."""


def _check_url(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a URL in quotes")
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be a URL such as https://www.gstatic.com/generate_204")
    if parts.username is not None:
        raise ValueError("must not carry a user name or password")
    _ = parts.port  # raises ValueError when it is no port
    if not value.isascii() or any(char.isspace() for char in value):
        raise ValueError("must be plain ASCII without blanks")
    if len(parts.hostname) > 255:
        raise ValueError("has a host name longer than SOCKS5 can carry (255 bytes)")
    return value


Url = Annotated[str, BeforeValidator(_check_url)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ProbeConfig(_Section):
    """[probe]: how a node is asked."""

    interval: Period = 30.0
    deadline: Period = 10.0
    fast_interval: Period = 5.0
    urls: tuple[Url, ...] = (GSTATIC, CLOUDFLARE)
    expect_status: int = Field(204, strict=True, ge=200, le=599)
    ca_file: Path | None = None
    shift: Period = 5.0
    max_clients: int = Field(8, strict=True, ge=1, le=1000)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.urls:
            raise _fault("urls", "must name at least one check URL")
        if self.deadline >= self.interval:
            raise _fault("deadline", "must be shorter than probe.interval, or slots overlap")
        least = self.shift_clients + 1
        if self.max_clients < least:
            raise _fault(
                "max_clients",
                f"must be at least {least}: with this deadline and shift, {least - 1} clients "
                "overlap and one more is needed for rechecks",
            )
        return self

    @property
    def shift_length(self) -> float:
        """Seconds of one shift; never longer than the interval."""
        return min(self.shift, self.interval)

    @property
    def shift_clients(self) -> int:
        """How many shift clients overlap when every node is silent for the whole deadline."""
        return int(-(-(self.shift_length + self.deadline) // self.shift_length))


class SelfCheckConfig(_Section):
    """[self_check]: what the monitor asks directly when a probe fails."""

    urls: tuple[Url, ...] = ()


class VerdictConfig(_Section):
    """[verdict]: when results become a verdict; see :mod:`healthd.verdict.machine`."""

    fall: int = Field(4, strict=True, ge=1, le=100)
    fall_after: Duration = 20.0
    window: int = Field(10, strict=True, ge=1, le=1000)
    window_failures: int = Field(5, strict=True, ge=1, le=1000)
    rise: int = Field(3, strict=True, ge=1, le=100)
    rise_interval: Period = 10.0
    min_down: Duration = 60.0
    down_interval: Period = 15.0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.window_failures > self.window:
            raise _fault("window_failures", "cannot exceed verdict.window: it would never be met")
        return self


class GateConfig(_Section):
    """[gate]: when verdicts become a publication."""

    debounce: Duration = 2.0
    spacing: Duration = 5.0


class NodeConfig(_Section):
    """[[nodes]]: one node, as the operator names it."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    link: str = Field(repr=False)
    name: str | None = Field(None, min_length=1, max_length=200)
    role: Role = Role.FAILOVER
    tags: tuple[str, ...] = ()

    @field_validator("link")
    @classmethod
    def _link_is_sound(cls, link: str) -> str:
        try:
            links.parse(link)
        except LinkError as why:
            raise PydanticCustomError("link", "{why}", {"why": f"malformed link, {why}"}) from None
        return link

    def node(self) -> Node:
        """The node this entry describes."""
        endpoint: Vless = links.parse(self.link)[0]
        return Node(
            id=self.id,
            name=self.name or self.id,
            endpoint=endpoint,
            fingerprint=links.fingerprint(endpoint),
            role=self.role,
            tags=frozenset(self.tags),
        )


FormatName = Literal["links", "xray"]


class PublishConfig(_Section):
    """[[publish]]: one directory of client files."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    directory: Path
    formats: tuple[FormatName, ...] = Field(("links", "xray"), min_length=1)
    select: tuple[str, ...] = ()
    title: str = Field("", max_length=100)

    @field_validator("directory")
    @classmethod
    def _is_absolute(cls, directory: Path) -> Path:
        if not directory.is_absolute():
            raise ValueError("must be an absolute path")
        return directory


class PathsConfig(_Section):
    """[paths]: where healthd keeps its own state."""

    state: Path = Path("/var/lib/healthd")

    @field_validator("state")
    @classmethod
    def _is_absolute(cls, state: Path) -> Path:
        if not state.is_absolute():
            raise ValueError("must be an absolute path")
        return state


class EnginesConfig(_Section):
    """[engines]: names on PATH, or absolute paths."""

    xray: str = Field("xray", min_length=1)


class HttpConfig(_Section):
    """[http]: metrics, health and API."""

    listen: str = "127.0.0.1:9477"

    @field_validator("listen")
    @classmethod
    def _is_address(cls, listen: str) -> str:
        host, port = split_listen(listen)
        ipaddress.ip_address(host)
        if not 0 <= port <= 65535:
            raise ValueError
        return listen


class LogConfig(_Section):
    """[log]: how loud, and in which form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json", "journald"] = "auto"


class Config(_Section):
    """Everything config.toml says."""

    probe: ProbeConfig = ProbeConfig()
    self_check: SelfCheckConfig = SelfCheckConfig()
    verdict: VerdictConfig = VerdictConfig()
    gate: GateConfig = GateConfig()
    nodes: tuple[NodeConfig, ...] = ()
    publish: tuple[PublishConfig, ...] = ()
    paths: PathsConfig = PathsConfig()
    engines: EnginesConfig = EnginesConfig()
    http: HttpConfig = HttpConfig()
    log: LogConfig = LogConfig()

    def fleet(self) -> tuple[Node, ...]:
        """The nodes in failover order: primaries first, each group in the order of the file."""
        nodes = [entry.node() for entry in self.nodes]
        return tuple(sorted(nodes, key=lambda node: node.role is not Role.PRIMARY))

    @property
    def self_check_urls(self) -> tuple[str, ...]:
        """What the control request asks; the check URLs unless told otherwise."""
        return self.self_check.urls or self.probe.urls


def split_listen(listen: str) -> tuple[str, int]:
    """Return host and port of "127.0.0.1:9477" or "[::1]:9477"."""
    host, _, port = listen.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def parse(text: str, path: str = "config.toml") -> Config:
    """Return the configuration that ``text`` describes.

    Raises:
        ConfigError: with every problem found, each at its key.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        raise ConfigError(path, [Problem("", f"not TOML: {why}")]) from None
    problems: list[Problem] = []
    config = None
    try:
        config = Config.model_validate(data)
    except ValidationError as invalid:
        problems += [_problem(error) for error in invalid.errors()]
    problems += _duplicates(data, "nodes", "id")
    problems += _duplicates(data, "publish", "name")
    problems += _duplicates(data, "publish", "directory")
    problems += _missing_sections(data)
    if problems or config is None:
        raise ConfigError(path, problems)
    return config


def _duplicates(data: Mapping[str, Any], table: str, key: str) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, entry in enumerate(_entries(data, table)):
        value = entry.get(key)
        if isinstance(value, str) and first.setdefault(value, index) != index:
            where = f"{table}[{index}].{key}"
            yield Problem(where, f"{value!r} is already taken by {table}[{first[value]}]")


def _missing_sections(data: Mapping[str, Any]) -> Iterator[Problem]:
    if not data.get("nodes"):
        yield Problem("nodes", "there are none; add a [[nodes]] table with an id and a link")
    if not data.get("publish"):
        yield Problem("publish", "nothing to publish; add a [[publish]] table with a directory")


def _entries(data: Mapping[str, Any], table: str) -> Sequence[Mapping[str, Any]]:
    entries = data.get(table)
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def _fault(key: str, why: str) -> PydanticCustomError:
    """A fault between keys of one section, to be reported at ``key``."""
    return PydanticCustomError("healthd", "{why}", {"why": why, "key": key})


def _problem(error: ErrorDetails) -> Problem:
    """One of pydantic's faults in the operator's words. Its ``input`` is never shown."""
    location, context = error["loc"], error.get("ctx", {})
    kind, why = error["type"], error["msg"]
    if kind == "healthd":
        location = (*location, context["key"])
    elif kind == "extra_forbidden":
        why = _unknown_key(location)
    elif kind == "missing":
        why = "is required"
    elif kind == "value_error" and location and location[-1] == "listen":
        why = 'must be an IP address and port, such as "127.0.0.1:9477"'
    elif kind == "value_error":
        why = str(context.get("error", why))
    elif kind == "string_pattern_mismatch":
        why = "must be 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
    elif kind in {"int_type", "int_from_float"}:
        why = "must be a whole number, without quotes"
    elif kind == "string_type":
        why = "must be text in quotes"
    elif kind == "tuple_type":
        why = 'must be a list, such as ["a", "b"]'
    elif kind in {"literal_error", "enum"}:
        why = f"must be {context['expected']}"
    else:
        why = why[:1].lower() + why[1:]
    return Problem(_dotted(location), why)


def _dotted(location: Sequence[int | str]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _unknown_key(location: Sequence[int | str]) -> str:
    known = _keys_at(location[:-1])
    near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    return f"unknown key; {hint}"


def _keys_at(location: Sequence[int | str]) -> list[str]:
    model: type[BaseModel] = Config
    for part in location:
        if isinstance(part, str):
            model = _SECTIONS[part]
    return list(model.model_fields)


_SECTIONS: dict[str, type[BaseModel]] = {
    "probe": ProbeConfig,
    "self_check": SelfCheckConfig,
    "verdict": VerdictConfig,
    "gate": GateConfig,
    "nodes": NodeConfig,
    "publish": PublishConfig,
    "paths": PathsConfig,
    "engines": EnginesConfig,
    "http": HttpConfig,
    "log": LogConfig,
}
