"""What every engine must tell us about itself, whatever it is called. Pure.

A driver (:mod:`healthd.engines.xray`, :mod:`healthd.engines.singbox`) is one :class:`Dialect`: a
few functions and facts, without any state of their own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from healthd.endpoints import Endpoint
from healthd.model import Reason

CONTROL = "control"
"""The account that goes straight out, past every node: our own line, asked when a probe fails."""


class EngineName(StrEnum):
    """The engines healthd can drive. Also a metric label."""

    XRAY = "xray"
    SING_BOX = "sing-box"


@dataclass(frozen=True, slots=True)
class Engine:
    """A binary that answered when asked for its version."""

    path: str
    version: str
    tags: frozenset[str] = frozenset()
    """What it was built with, as ``sing-box version`` lists it; Xray lists nothing."""

    @property
    def has_utls(self) -> bool:
        """Whether a sing-box can do REALITY and imitate browsers' TLS."""
        return "with_utls" in self.tags


class LogReader(Protocol):
    """Reads the log of one client while it comes."""

    failures: dict[str, tuple[Reason, str]]
    """The latest failure of each tag: its reason, and the engine's words."""
    port: int
    """The port the engine chose for itself, once it listens and has started; 0 before that."""

    def feed(self, chunk: bytes) -> bool:
        """Read some output; return whether anything in it was news."""


class ClientConfig(Protocol):
    """Makes the configuration of one client for many nodes."""

    def __call__(self, nodes: Mapping[str, Endpoint], *, port: int, password: str) -> bytes:
        """One SOCKS port, one account per tag and one for the control; what is no one's is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one engine is spoken to."""

    name: EngineName
    title: str
    """Its name in sentences."""
    client_config: ClientConfig
    why_not: Callable[[Endpoint], str | None]
    """Why it cannot reach an endpoint, in short words; None when it can."""
    conflict: Callable[[Endpoint], str | None]
    """What two endpoints in one process must not have in common; None: it shares with all."""
    run: tuple[str, ...]
    """Arguments that run a configuration read from standard input."""
    check: tuple[str, ...]
    """Arguments that only judge one."""
    refuses: Callable[[int, str], bool]
    """Whether this exit code and output mean: the configuration is bad."""
    rejected_tag: Callable[[str, Sequence[str]], tuple[str, str] | None]
    """Which of the tags (in the order of the configuration) its output blames, and its words."""
    last_words: Callable[[str], str]
    """Where the output says why it ended."""
    log_reader: Callable[[], LogReader]
    one_write: bool
    """Whether the request may follow the SOCKS handshake in the same write."""
    chooses_port: bool
    """Whether it listens on a port of its own choice, instead of one that we hold for it."""
