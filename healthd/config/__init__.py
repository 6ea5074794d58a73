"""config.toml -> one frozen :class:`Config`, or every fault in it at once.

Pure: takes the file's text, returns values. Each fault names its key, what is wrong and the mend;
a value is quoted only where it cannot be a secret. Durations are strings ("30s", "1h30m"), in
seconds once parsed.
"""

from healthd.config.fleet import NodeConfig, SourceConfig, UsersConfig
from healthd.config.including import included_names
from healthd.config.judging import (
    CLOUDFLARE,
    GSTATIC,
    GateConfig,
    GateMode,
    ProbeConfig,
    VerdictConfig,
)
from healthd.config.parsing import parse, parse_included
from healthd.config.sections import Config, FormatName, LogConfig, PublishConfig, StoreConfig
from healthd.config.values import join_listen, parse_duration, split_listen

__all__ = [
    "CLOUDFLARE",
    "GSTATIC",
    "Config",
    "FormatName",
    "GateConfig",
    "GateMode",
    "LogConfig",
    "NodeConfig",
    "ProbeConfig",
    "PublishConfig",
    "SourceConfig",
    "StoreConfig",
    "UsersConfig",
    "VerdictConfig",
    "included_names",
    "join_listen",
    "parse",
    "parse_duration",
    "parse_included",
    "split_listen",
]
