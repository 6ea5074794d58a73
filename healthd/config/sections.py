"""The sections of config.toml: every key, its default and its limits. Pure."""

import ipaddress
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from healthd.config.values import Duration, Period, Url, split_listen
from healthd.errors import LinkError
from healthd.fleet import links
from healthd.model import Node, Role, Vless

GSTATIC = "https://www.gstatic.com/generate_204"
CLOUDFLARE = "https://cp.cloudflare.com/generate_204"


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

    @field_validator("urls")
    @classmethod
    def _some(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        if not urls:
            raise ValueError("must name at least one check URL")
        if len(urls) > 2 or len(set(urls)) < len(urls):
            raise ValueError("must name one check URL, or two different ones")
        return urls

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = []
        if self.deadline >= self.interval:
            faults.append(("deadline", "must be shorter than probe.interval, or slots overlap"))
        least = self.shift_clients + 1
        if self.max_clients < least:
            why = (
                f"must be at least {least}: with this deadline and shift, {least - 1} clients "
                "overlap and one more is needed for rechecks"
            )
            faults.append(("max_clients", why))
        if faults:
            raise _faults(*faults)
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
            why = "cannot exceed verdict.window: it would never be met"
            raise _faults(("window_failures", why))
        return self


class GateConfig(_Section):
    """[gate]: when verdicts become a publication."""

    debounce: Duration = 2.0
    spacing: Duration = 5.0


class NodeConfig(_Section):
    """[[nodes]]: one node, as the operator names it."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    link: str = Field(repr=False, max_length=8192)
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

    @field_validator("name")
    @classmethod
    def _name_is_text(cls, name: str | None) -> str | None:
        if name is not None and "\0" in name:
            raise ValueError("holds a NUL character")
        return name

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
    formats: tuple[FormatName, ...] = ("links", "xray")
    select: tuple[str, ...] = ()
    title: str = Field("", max_length=100)

    @field_validator("formats")
    @classmethod
    def _some(cls, formats: tuple[FormatName, ...]) -> tuple[FormatName, ...]:
        if not formats:
            raise ValueError("must name at least one format")
        return formats

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


SECTIONS: dict[str, type[BaseModel]] = {
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
"""The tables of the file, by name."""


def _faults(*found: tuple[str, str]) -> PydanticCustomError:
    """Faults between keys of one section: each key, and what is wrong with it."""
    return PydanticCustomError("healthd", "several keys do not fit together", {"found": found})
