"""The words every room uses. Plain frozen data; no behaviour beyond asking it about itself.

How a node is reached is the business of :mod:`healthd.endpoints`.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from healthd.endpoints import Endpoint


class Role(StrEnum):
    """A primary is published before every failover."""

    PRIMARY = "primary"
    FAILOVER = "failover"


class Outcome(StrEnum):
    """What one probe says about a node. Inconclusive means: the fault may be ours."""

    SUCCESS = "success"
    FAILURE = "failure"
    INCONCLUSIVE = "inconclusive"


class Reason(StrEnum):
    """Why a probe did not succeed: a small fixed set, because it becomes a metric label."""

    # The node, or the way to it.
    REFUSED = "refused"
    """The node's port answers with a reset: nothing listens."""
    TIMEOUT = "timeout"
    """The engine gave up waiting for the node."""
    DEADLINE = "deadline"
    """Our own deadline passed without an answer."""
    UNREACHABLE = "unreachable"
    """No route to the node."""
    DNS = "dns"
    """The node's host name does not resolve."""
    TLS = "tls"
    """The node's TLS handshake or certificate is wrong."""
    REALITY = "reality"
    """REALITY authentication failed: wrong public key, or versions or names that do not fit."""
    AUTH_OR_RESET = "auth_or_reset"
    """The node closed the connection without an answer: wrong credentials look like this."""
    # The answer that came through the tunnel.
    CHECK_TLS = "check_tls"
    """The check URL's certificate did not verify through the tunnel."""
    HTTP_PROTOCOL = "http_protocol"
    """The answer was not HTTP."""
    HTTP_STATUS = "http_status"
    """Another status than the expected one: a captive portal or a block page."""
    HTTP_BODY = "http_body"
    """The right status, but with a body."""
    TRUNCATED = "truncated"
    """The small answer came, a larger one was cut: censors freeze a connection after some 16 KB."""
    # The engine's verdict on the node's settings.
    ENGINE_REJECTED = "engine_rejected"
    """The engine refuses the node's settings."""
    # Ours: these make a result inconclusive.
    CONTROL_FAILED = "control_failed"
    """The direct request through the same client failed too: the monitor is offline."""
    ENGINE_EXIT = "engine_exit"
    """The client process died under the probe."""
    SPAWN = "spawn"
    """The client process did not start."""
    FOREIGN_PORT = "foreign_port"
    """Something that is not our client answered on its port."""
    RESOURCES = "resources"
    """No descriptors, ports or memory left on the monitor."""
    RESOLVER = "resolver"
    """The monitor's resolver did not answer for the node's host name."""
    LOOP_LAG = "loop_lag"
    """The monitor itself stood still for a while."""


class Health(StrEnum):
    """What the verdict machine thinks of a node; see :mod:`healthd.verdict.machine`."""

    UNKNOWN = "unknown"
    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"
    RECOVERING = "recovering"
    HELD = "held"
    INVALID = "invalid"


class AdminMode(StrEnum):
    """What an operator wants of a node. Laid over its health, never mixed into it."""

    ENABLED = "enabled"
    DRAIN = "drain"
    """Out of the files; still probed and counted."""
    MAINTENANCE = "maintenance"
    """Out of the files; still probed, but its slots are excluded, and it must requalify."""
    FORCE_UP = "force-up"
    """In the files, whatever the probes say."""
    FORCE_DOWN = "force-down"
    """Out of the files, whatever the probes say."""


TAKEN_OUT = frozenset({AdminMode.DRAIN, AdminMode.MAINTENANCE, AdminMode.FORCE_DOWN})
"""Modes in which a node is not published, by an operator's will."""


IN_SERVICE = frozenset({Health.UP, Health.SUSPECT})
"""Health in which a node is good enough to be published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of the fleet. ``id`` is the operator's and never changes; the rest may."""

    id: str
    name: str
    endpoint: Endpoint
    fingerprint: str = field(repr=False)
    """A hash over all that matters in the endpoint; see :func:`healthd.endpoints.fingerprint`."""
    role: Role = Role.FAILOVER
    tags: frozenset[str] = frozenset()

    def selected_by(self, tags: Collection[str]) -> bool:
        """Whether it bears one of these tags; where none are asked for, every node does."""
        return not tags or not self.tags.isdisjoint(tags)


@dataclass(frozen=True, slots=True)
class Result:
    """What one probe found. A bad node is a value, not an exception."""

    outcome: Outcome
    reason: Reason | None = None
    latency: float | None = None
    """Seconds from a ready client to the end of the answer; successes only."""
    detail: str = ""
    """A few redacted words for people."""

    def __str__(self) -> str:
        words = [str(self.outcome)]
        if self.reason is not None:
            words.append(f"({self.reason})")
        if self.latency is not None:
            words.append(f"{self.latency * 1000:.0f} ms")
        return " ".join(words)


def success(latency: float) -> Result:
    """The node carried the request; ``latency`` in seconds."""
    return Result(Outcome.SUCCESS, latency=latency)


def failure(reason: Reason, detail: str = "") -> Result:
    """The node did not carry the request, and the monitor is not to blame."""
    return Result(Outcome.FAILURE, reason, detail=detail)


def inconclusive(reason: Reason, detail: str = "") -> Result:
    """No answer about the node: the fault may be ours."""
    return Result(Outcome.INCONCLUSIVE, reason, detail=detail)


def secrets_of(nodes: Iterable[Node]) -> list[str]:
    """What of these nodes must never be shown to anybody."""
    return [secret for node in nodes for secret in node.endpoint.secrets()]


def redact(text: str, secrets: Iterable[str], limit: int = 200) -> str:
    """Foreign text made fit for a log: secrets out, one line, at most ``limit`` characters."""
    for secret in sorted(secrets, key=len, reverse=True):  # one may lie within another
        if len(secret) >= 2:
            text = text.replace(secret, "•••")
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
