"""config.toml -> one frozen :class:`Config`, or every fault in it at once.

Pure: takes the file's text, returns values. Each fault names its key, what is wrong and the mend;
a value is quoted only where it cannot be a secret. Durations are strings ("30s", "1h30m"), in
seconds once parsed.
"""

from healthd.config.parsing import parse
from healthd.config.sections import (
    CLOUDFLARE,
    GSTATIC,
    Config,
    GateConfig,
    GateMode,
    LogConfig,
    ProbeConfig,
    PublishConfig,
    StoreConfig,
    VerdictConfig,
)
from healthd.config.values import join_listen, parse_duration, split_listen

__all__ = [
    "CLOUDFLARE",
    "GSTATIC",
    "Config",
    "GateConfig",
    "GateMode",
    "LogConfig",
    "ProbeConfig",
    "PublishConfig",
    "StoreConfig",
    "VerdictConfig",
    "join_listen",
    "parse",
    "parse_duration",
    "split_listen",
]
