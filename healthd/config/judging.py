"""[probe], [self_check], [verdict] and [gate]: how nodes are asked and judged. Pure."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from healthd.config.section import Section, faults_between
from healthd.config.values import Duration, Period, Url

GSTATIC = "https://www.gstatic.com/generate_204"
CLOUDFLARE = "https://cp.cloudflare.com/generate_204"

_MOST_URLS = 4
"""Check URLs: one asks, one confirms, the others confirm only what many nodes fail at once."""


class ProbeConfig(Section):
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
            raise faults_between(*faults)
        return self

    @property
    def shift_length(self) -> float:
        """Seconds of one shift; never longer than the interval."""
        return min(self.shift, self.interval)

    @property
    def shift_clients(self) -> int:
        """How many shift clients overlap when every node is silent for the whole deadline."""
        return int(-(-(self.shift_length + self.deadline) // self.shift_length))


class SelfCheckConfig(Section):
    """[self_check]: what the monitor asks directly when a probe fails."""

    urls: tuple[Url, ...] = ()


class VerdictConfig(Section):
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
            raise faults_between(*faults)
        return self


GateMode = Literal["top-up", "freeze", "all", "strict"]


class GateConfig(Section):
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
