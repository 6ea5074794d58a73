"""The sections of config.toml, all together: every key, its default and its limits. Pure."""

import ipaddress
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from healthd.config.fleet import NodeConfig, SourceConfig, UsersConfig
from healthd.config.judging import GateConfig, ProbeConfig, SelfCheckConfig, VerdictConfig
from healthd.config.section import NAME, Section, faults_between
from healthd.config.values import AbsolutePath, Duration, IncludedFile, Period, split_listen
from healthd.model import Node, Role

_LONGEST_SOCKET = 107
"""Bytes of `sun_path`, see unix(7), without its NUL."""


FormatName = Literal["links", "clash", "sing-box", "xray"]


class PublishConfig(Section):
    """[[publish]]: one directory of client files."""

    name: str = Field(pattern=NAME)
    directory: AbsolutePath
    formats: tuple[FormatName, ...] = ("links", "clash", "sing-box", "xray")
    select: tuple[str, ...] = ()
    limit: int = Field(0, strict=True, ge=0, le=100_000)
    title: str = Field("", max_length=100)
    client_refresh: Duration = 3600.0
    """What clients are asked to refresh by; they know whole hours only."""

    @field_validator("title")
    @classmethod
    def _title_is_one_line(cls, title: str) -> str:
        if not title.isprintable():
            raise ValueError("must be one line of printable text")
        return title

    @field_validator("formats")
    @classmethod
    def _some(cls, formats: tuple[FormatName, ...]) -> tuple[FormatName, ...]:
        if not formats:
            raise ValueError("must name at least one format")
        if len(set(formats)) < len(formats):
            raise ValueError("must name each format once")
        return formats


class PathsConfig(Section):
    """[paths]: where healthd keeps its own state."""

    state: AbsolutePath = Path("/var/lib/healthd")


class EnginesConfig(Section):
    """[engines]: names on PATH, or absolute paths."""

    xray: str = Field("xray", min_length=1)
    sing_box: str = Field("sing-box", min_length=1)
    hysteria2: Literal["xray", "sing-box"] = "xray"
    """Which of them carries Hysteria2."""
    ca_file: AbsolutePath | None = None
    """PEM certificates that nodes may bear besides those of the system's authorities."""


class HttpConfig(Section):
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


class ControlConfig(Section):
    """[control]: where the commands that change something reach the daemon."""

    socket: AbsolutePath = Path("/run/healthd/control.sock")

    @field_validator("socket")
    @classmethod
    def _fits_an_address(cls, socket: Path) -> Path:
        if len(str(socket).encode()) > _LONGEST_SOCKET:
            raise ValueError(f"is longer than a socket's path can be ({_LONGEST_SOCKET} bytes)")
        return socket


class StoreConfig(Section):
    """[store]: how long the database keeps what."""

    keep: Period = 400 * 86400.0
    """Transitions, publications and the ledger."""
    results: Duration = 30 * 86400.0
    """Single results, for `healthd replay`; 0 records none."""


class LogConfig(Section):
    """[log]: how loud, and in which form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json", "journald"] = "auto"


class Config(Section):
    """Everything config.toml says."""

    probe: ProbeConfig = ProbeConfig()
    self_check: SelfCheckConfig = SelfCheckConfig()
    verdict: VerdictConfig = VerdictConfig()
    gate: GateConfig = GateConfig()
    include: tuple[IncludedFile, ...] = ()
    """More files with [[nodes]] tables; a relative path begins at this file's directory."""
    nodes: tuple[NodeConfig, ...] = ()
    sources: tuple[SourceConfig, ...] = ()
    users: UsersConfig = UsersConfig()
    publish: tuple[PublishConfig, ...] = ()
    paths: PathsConfig = PathsConfig()
    engines: EnginesConfig = EnginesConfig()
    http: HttpConfig = HttpConfig()
    control: ControlConfig = ControlConfig()
    store: StoreConfig = StoreConfig()
    log: LogConfig = LogConfig()

    @field_validator("include")
    @classmethod
    def _each_once(cls, include: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(include)) < len(include):
            raise ValueError("must name each file once")
        return include

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        verdict, probe = self.verdict, self.probe
        if verdict.window_failures:
            # With every probe failing, the window rule ends a node at this second.
            first = (verdict.window_failures - 1) * probe.interval
            times = {
                "fall_after": verdict.fall_after,
                "fall": (verdict.fall - 1) * probe.fast_interval,
            }
            faults = [
                (
                    f"verdict.{key}",
                    (
                        f"cannot be reached: it takes {seconds:g} s, but verdict.window_failures "
                        f"ends a node after {first:g} s; make this smaller, or that larger"
                    ),
                )
                for key, seconds in times.items()
                if seconds > first
            ]
            if faults:
                raise faults_between(*faults)
        return self

    def fleet(self) -> tuple[Node, ...]:
        """The nodes in failover order: primaries first, each group in the order of the file."""
        nodes = [entry.node() for entry in self.nodes]
        return tuple(sorted(nodes, key=lambda node: node.role is not Role.PRIMARY))

    @property
    def self_check_urls(self) -> tuple[str, ...]:
        """What the control request asks; the check URLs unless told otherwise."""
        return self.self_check.urls or self.probe.urls


SECTIONS: dict[str, type[Section]] = {
    "probe": ProbeConfig,
    "self_check": SelfCheckConfig,
    "verdict": VerdictConfig,
    "gate": GateConfig,
    "nodes": NodeConfig,
    "sources": SourceConfig,
    "users": UsersConfig,
    "publish": PublishConfig,
    "paths": PathsConfig,
    "engines": EnginesConfig,
    "http": HttpConfig,
    "control": ControlConfig,
    "store": StoreConfig,
    "log": LogConfig,
}
"""The tables of the file, by name."""
