"""Xray: endpoints become a client configuration, its words become reasons. Pure.

The configuration speaks the dialect that every Xray from v26.3.27 to v26.7.28 takes: `network`,
flat outbounds, `publicKey`. Later names (`method`, `raw`, `password`) came after v26.3.27.
"""

import json
import re
from collections.abc import Mapping, Sequence

from healthd.endpoints import Endpoint, Hysteria2
from healthd.engines.dialect import CONTROL, Dialect, EngineName
from healthd.engines.reasons import classify
from healthd.engines.xray_outbound import outbound, why_not
from healthd.model import Reason

EXIT_BAD_CONFIG = 23
"""Xray's exit code for a configuration it refuses (`main/run.go`)."""


def client_config(nodes: Mapping[str, Endpoint], *, port: int, password: str) -> bytes:
    """One client for many nodes: one SOCKS port, one account and one outbound per tag.

    The first outbound is a blackhole, because Xray sends what no rule matches to the first one:
    a probe must never leave past its node.
    """
    accounts = [{"user": user, "pass": password} for user in (*nodes, CONTROL)]
    config = {
        # Failure reasons are logged at info; without "access" the access log would be on.
        "log": {"loglevel": "info", "access": "none"},
        "inbounds": [
            {
                "tag": "in",
                "listen": "127.0.0.1",
                "port": port,
                "protocol": "socks",
                "settings": {"auth": "password", "accounts": accounts, "udp": False},
            }
        ],
        "outbounds": [
            {"tag": "block", "protocol": "blackhole"},
            *(outbound(endpoint, tag) for tag, endpoint in nodes.items()),
            # Since v26.5.3 a freedom outbound blocks private addresses unless told otherwise.
            {
                "tag": CONTROL,
                "protocol": "freedom",
                "settings": {"finalRules": [{"action": "allow"}]},
            },
        ],
        "routing": {
            "domainStrategy": "AsIs",
            "rules": [{"user": [tag], "outboundTag": tag} for tag in (*nodes, CONTROL)],
        },
    }
    return json.dumps(config, separators=(",", ":")).encode()


_REJECTED = re.compile(r"failed to build outbound config with tag (\S+) > (.*)")


def rejected_tag(output: str, _: Sequence[str] = ()) -> tuple[str, str] | None:
    """The tag that Xray names when it refuses a configuration, and its reason in its own words."""
    found = _REJECTED.search(output)
    return (found[1], found[2].strip()) if found else None


def last_words(output: str) -> str:
    """The line in which Xray says why it ended."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    failed = [line for line in lines if line.startswith("Failed to start")]
    return (failed or lines or ["no output"])[-1].removeprefix("Failed to start: ")


_EVENT = re.compile(
    rb"\[(?P<session>\d+)\] (?:app/dispatcher: taking detour \[(?P<tag>[^\]]+)\]"
    # XHTTP has its own word for a failure, and none follows it.
    rb"|transport/internet/splithttp: failed to [A-Z]+ \S+ >(?P<xhttp>[^\n]*)"
    rb"|[^\n]*?failed to process outbound traffic(?P<words>[^\n]*))"
)

_URL_PATH = re.compile(r"((?:wss?|https?)://[^/\s\")]+)/[^\s\")]*")
"""A node's path is a secret among those who know it: whoever does not gets an empty answer."""


class LogReader:
    """Reads a client's log and tells which node failed, and why.

    Xray numbers each connection; `taking detour [tag]` ties the number to a node, a later failure
    with the same number is that node's. The log drops lines when its buffer of 128 is full, so a
    reason may be missing, never wrong.
    """

    def __init__(self) -> None:
        self.port = 0  # it is told one, and keeps to it
        self._rest = b""
        self._tags: dict[bytes, str] = {}
        self.failures: dict[str, tuple[Reason, str]] = {}
        """The latest failure of each tag: its reason, and Xray's words."""

    def feed(self, chunk: bytes) -> bool:
        """Read some output; return whether a new failure was in it."""
        complete, newline, self._rest = (self._rest + chunk).rpartition(b"\n")
        if not newline:
            return False
        found = False
        for event in _EVENT.finditer(complete):
            if event["tag"] is not None:
                self._tags[event["session"]] = event["tag"].decode(errors="replace")
            elif tag := self._tags.pop(event["session"], None):
                said = event["words"] or event["xhttp"] or b""
                words = _URL_PATH.sub(r"\1/…", said.decode(errors="replace").strip(" >"))
                self.failures[tag] = (classify(words), words)
                found = True
        return found


def refuses(code: int, _: str) -> bool:
    """Whether it ended because of its configuration."""
    return code == EXIT_BAD_CONFIG


def _conflict(endpoint: Endpoint) -> str | None:
    """Xray keeps Hysteria2 connections by address and port only (v26.3.27 at least).

    A second node there would be probed with the first one's password and certificate: measured, a
    good one failed for a bad one's sake, and the reverse would be worse.
    """
    return f"{endpoint.address}:{endpoint.port}" if isinstance(endpoint, Hysteria2) else None


DIALECT = Dialect(
    name=EngineName.XRAY,
    title="Xray",
    client_config=client_config,
    why_not=why_not,
    conflict=_conflict,
    run=("run", "-c", "stdin:"),
    check=("run", "-test", "-c", "stdin:"),
    refuses=refuses,
    rejected_tag=rejected_tag,
    last_words=last_words,
    log_reader=LogReader,
    one_write=True,
    chooses_port=False,
)
"""Xray, as healthd drives it. It sets SO_REUSEPORT on its listeners: a port can be held for it."""
