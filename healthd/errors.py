"""The exceptions of healthd: one small tree, and each error carries its data.

    HealthdError
    ├── ConfigError         config.toml is wrong; ``problems`` names every key
    ├── LinkError           a share link is malformed; ``part`` names which part
    │   └── Unsupported     it may be sound, but nothing here can honour it
    ├── SourceError         a subscription cannot be used; ``name`` and ``why``
    ├── EngineError
    │   ├── EngineMissing   no usable binary; says how to get one
    │   ├── EngineFailed    a client did not start or died: our fault, never a node's
    │   └── EngineRejected  the engine refuses one node's settings
    ├── TunnelError         one request through a tunnel got no answer
    ├── PublishError        a document was refused, or could not be written
    ├── StoreError          the database cannot be used; ``kind`` says in which way
    ├── OverrideError       an override was refused
    ├── ReplayError         recorded results cannot be used; ``where`` names the file and the line
    └── StartupError        the daemon cannot start here (port taken, directory not writable …)

A node that does not work is a value (:class:`healthd.model.Result`), never an exception.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from healthd.model import Reason


class HealthdError(Exception):
    """Base of everything healthd raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in the configuration: where it is, and what to do about it."""

    key: str
    why: str
    file: str = ""
    """Which file, when it is not the one that the error speaks of."""

    def __str__(self) -> str:
        return f"{self.key}: {self.why}" if self.key else self.why


class ConfigError(HealthdError):
    """The configuration is unusable. ``problems`` holds every fault found, not only the first."""

    def __init__(self, path: str, problems: Sequence[Problem]) -> None:
        self.path = path
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{each.file or path}: {each}" for each in self.problems))


class LinkError(HealthdError):
    """A share link is malformed or asks for what cannot be honoured. Never quotes the link."""

    def __init__(self, part: str, why: str) -> None:
        self.part = part
        self.why = why
        super().__init__(f"{part}: {why}")


class Unsupported(LinkError):
    """A node that may be sound, but asks for what nothing here can honour."""


class SourceError(HealthdError):
    """A subscription cannot be used. Its last good answer stays in force. Never quotes it."""

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self.why = why
        super().__init__(f"source {name!r}: {why}")


class EngineError(HealthdError):
    """Base of what can go wrong with Xray or another engine."""


class EngineMissing(EngineError):
    """There is no usable engine binary."""

    def __init__(self, engine: str, why: str) -> None:
        self.engine = engine
        key = f"engines.{engine.replace('-', '_')}"
        mend = f"run 'healthd engines install', or set {key} to its path"
        super().__init__(f"{engine}: {why}; {mend}")


class EngineFailed(EngineError):
    """An engine process did not start, or ended early. The fault is ours, never a node's."""

    def __init__(self, reason: Reason, words: str) -> None:
        self.reason = reason
        self.words = words
        super().__init__(f"{reason}: {words}")


class EngineRejected(EngineError):
    """The engine refuses the settings of one node. ``words`` are the engine's own, redacted."""

    def __init__(self, words: str) -> None:
        self.words = words
        super().__init__(words)


class TunnelError(HealthdError):
    """A request through a tunnel ended without a usable answer."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}" if detail else str(reason))


class PublishError(HealthdError):
    """A publication was not written; what was published before is still there."""

    def __init__(self, publication: str, outcome: str, why: str) -> None:
        self.publication = publication
        self.outcome = outcome
        self.why = why
        super().__init__(f"publication {publication!r}: {why}")


class OverrideError(HealthdError):
    """An override was refused. ``below_floor``: because too few nodes would be left."""

    def __init__(self, why: str, *, below_floor: bool = False) -> None:
        self.why = why
        self.below_floor = below_floor
        super().__init__(why)


class StoreFault(StrEnum):
    """In which way a database cannot be used. Probing and publishing go on without it."""

    MISSING = "missing"
    DAMAGED = "damaged"
    LOCKED = "locked"
    READ_ONLY = "read-only"
    FULL = "full"
    DENIED = "denied"
    NEWER = "newer"
    """A newer healthd wrote it."""
    FAILED = "failed"


_STORE_MENDS = {
    StoreFault.MISSING: "has healthd run with this configuration?",
    StoreFault.DAMAGED: "move it away, or bring back a copy of it",
    StoreFault.LOCKED: "end the other program that holds it",
    StoreFault.READ_ONLY: "let healthd's user write to it, and to its directory",
    StoreFault.FULL: "make room on its file system",
    StoreFault.DENIED: "use the user that healthd runs as, and give it the file and its directory",
    StoreFault.NEWER: "install the healthd that wrote it, or move it away",
    StoreFault.FAILED: "see what the kernel says about its disk",
}


class StoreError(HealthdError):
    """The database cannot be used. ``why`` is SQLite's or the system's word for it."""

    def __init__(self, path: str, kind: StoreFault, why: str) -> None:
        self.path = path
        self.kind = kind
        self.why = why
        self.mend = _STORE_MENDS[kind]
        """What an operator can do about it."""
        super().__init__(f"{path}: {why}; {self.mend}")


class ReplayError(HealthdError):
    """Recorded results, or the truth about them, cannot be used. ``where`` is a file and line."""

    def __init__(self, where: str, why: str) -> None:
        self.where = where
        self.why = why
        super().__init__(where, why)  # both, so that another process can hand it over

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


class StartupError(HealthdError):
    """The daemon cannot start on this machine as configured; the text names the mend."""
