"""The sections of config.toml: every key, its default and its limits. Pure."""

import ipaddress
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from healthd import endpoints
from healthd.config.values import AbsolutePath, Duration, Period, Url, split_listen
from healthd.errors import LinkError
from healthd.fleet import links
from healthd.model import Node, Role

GSTATIC = "https://www.gstatic.com/generate_204"
CLOUDFLARE = "https://cp.cloudflare.com/generate_204"

_LONGEST_SOCKET = 107
"""Bytes of `sun_path`, see unix(7), without its NUL."""

_MOST_URLS = 4
"""Check URLs: one asks, one confirms, the others confirm only what many nodes fail at once."""


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
    bulk_url: Url | None = None
    bulk_bytes: int = Field(65536, strict=True, ge=1024, le=16 * 2**20)
    bulk_every: int = Field(10, strict=True, ge=1, le=10_000)

    @field_validator("urls")
    @classmethod
    def _some(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        if not urls:
            raise ValueError("must name at least one check URL")
        if len(urls) > _MOST_URLS or len(set(urls)) < len(urls):
            raise ValueError("must name one to four check URLs, all different")
        return urls

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = []
        if self.deadline >= self.interval:
            faults.append(("deadline", "must be shorter than probe.interval, or slots overlap"))
        if self.fast_interval > self.interval:
            why = "cannot exceed probe.interval: a recheck would come later than the next slot"
            faults.append(("fast_interval", why))
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
    window_failures: int = Field(5, strict=True, ge=0, le=1000)
    """0 switches the window rule off."""
    rise: int = Field(3, strict=True, ge=1, le=100)
    rise_interval: Period = 10.0
    min_down: Duration = 60.0
    probation: Duration = 600.0
    down_interval: Period = 15.0
    down_fast_for: Duration = 300.0
    down_slow_after: Duration = 3600.0
    down_slow_interval: Period = 60.0
    damping_half_life: Period = 900.0
    damping_hold: int = Field(2500, strict=True, ge=0, le=100_000)
    """Points; 0 switches damping off."""
    damping_release: int = Field(1000, strict=True, ge=1, le=100_000)
    damping_cap: int = Field(4000, strict=True, ge=1000, le=100_000)
    slow_above: Period = 1.5
    slow_factor: float = Field(3.0, strict=True, ge=1.0, le=100.0)
    slow_slots: int = Field(5, strict=True, ge=0, le=1000)
    """0 switches slowness off."""
    slow_clear: float = Field(0.8, strict=True, gt=0.0, le=1.0)
    slow_clear_slots: int = Field(10, strict=True, ge=1, le=1000)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = []
        if self.window_failures > self.window:
            why = "cannot exceed verdict.window: it would never be met"
            faults.append(("window_failures", why))
        if self.damping_hold > self.damping_cap:
            why = "cannot exceed verdict.damping_cap: no node would ever be held"
            faults.append(("damping_hold", why))
        if self.damping_hold and self.damping_release >= self.damping_hold:
            why = "must be below verdict.damping_hold, or a held node is let go at once"
            faults.append(("damping_release", why))
        if self.down_slow_after < self.down_fast_for:
            why = "cannot be shorter than verdict.down_fast_for"
            faults.append(("down_slow_after", why))
        if faults:
            raise _faults(*faults)
        return self


GateMode = Literal["top-up", "freeze", "all", "strict"]


class GateConfig(_Section):
    """[gate]: what verdicts may do to a publication; see :mod:`healthd.verdict.gate`."""

    floor: float = Field(0.5, strict=True, ge=0.0, le=1.0)
    min_nodes: int = Field(2, strict=True, ge=1, le=100_000)
    mode: GateMode = "top-up"
    panic_hold: Duration = 120.0
    max_removals: float = Field(0.25, strict=True, gt=0.0, le=1.0)
    removal_period: Period = 300.0
    mass_failure: float = Field(0.25, strict=True, gt=0.0, le=1.0)
    mass_failure_within: Period = 120.0
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
        endpoint = links.parse(self.link)[0]
        return Node(
            id=self.id,
            name=self.name or self.id,
            endpoint=endpoint,
            fingerprint=endpoints.fingerprint(endpoint),
            role=self.role,
            tags=frozenset(self.tags),
        )


class SourceConfig(_Section):
    """[[sources]]: a subscription whose nodes join the fleet."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    url: Url | None = Field(None, repr=False)
    file: AbsolutePath | None = None
    refresh: Period = 300.0
    timeout: Period = 20.0
    max_bytes: int = Field(8 * 2**20, strict=True, ge=1024, le=64 * 2**20)
    max_nodes: int = Field(1000, strict=True, ge=1, le=100_000)
    user_agent: str = Field("healthd", min_length=1, max_length=200, pattern=r"^[ -~]+$")
    header: str | None = Field(None, repr=False, max_length=4096, pattern=r"^[!-9;-~]+: ?[ -~]+$")
    """One more header, such as "Authorization: Bearer …"."""
    role: Role = Role.FAILOVER
    tags: tuple[str, ...] = ()
    id_prefix: str | None = Field(None, pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,39})?$")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.url is None) == (self.file is None):
            raise _faults(("url", "give either url or file"))
        return self

    @property
    def prefix(self) -> str:
        """What the ids of its nodes begin with."""
        return f"{self.name[:39]}-" if self.id_prefix is None else self.id_prefix


class UsersConfig(_Section):
    """[users]: files of their own for each user; see :mod:`healthd.publishing.users`."""

    file: AbsolutePath | None = None
    tiers: dict[str, tuple[str, ...]] = {}
    """Tier -> the tags of nodes it may use; an empty list: all nodes."""


FormatName = Literal["links", "clash", "sing-box", "xray"]


class PublishConfig(_Section):
    """[[publish]]: one directory of client files."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
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
        return formats


class PathsConfig(_Section):
    """[paths]: where healthd keeps its own state."""

    state: AbsolutePath = Path("/var/lib/healthd")


class EnginesConfig(_Section):
    """[engines]: names on PATH, or absolute paths."""

    xray: str = Field("xray", min_length=1)
    sing_box: str = Field("sing-box", min_length=1)
    hysteria2: Literal["xray", "sing-box"] = "xray"
    """Which of them carries Hysteria2."""
    ca_file: Path | None = None
    """PEM certificates that nodes may bear besides those of the system's authorities."""


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


class ControlConfig(_Section):
    """[control]: where the commands that change something reach the daemon."""

    socket: AbsolutePath = Path("/run/healthd/control.sock")

    @field_validator("socket")
    @classmethod
    def _fits_an_address(cls, socket: Path) -> Path:
        if len(str(socket).encode()) > _LONGEST_SOCKET:
            raise ValueError(f"is longer than a socket's path can be ({_LONGEST_SOCKET} bytes)")
        return socket


class StoreConfig(_Section):
    """[store]: how long the database keeps what."""

    keep: Period = 400 * 86400.0
    """Transitions, publications and the ledger."""
    results: Duration = 30 * 86400.0
    """Single results, for `healthd replay`; 0 records none."""


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
    include: tuple[str, ...] = ()
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
                raise _faults(*faults)
        return self

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


def _faults(*found: tuple[str, str]) -> PydanticCustomError:
    """Faults between keys of one section: each key, and what is wrong with it."""
    return PydanticCustomError("healthd", "several keys do not fit together", {"found": found})
