"""Xray: endpoints become a client configuration, its words become reasons. Pure.

The configuration speaks the dialect that every Xray from v26.3.27 to v26.7.28 takes: `network`,
flat outbounds, `publicKey`. Later names (`method`, `raw`, `password`) came after v26.3.27.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from healthd.endpoints import Endpoint, Reality, Tls, Vless
from healthd.model import Reason

CONTROL = "control"
"""The account that goes straight out, past every node: our own line, asked when a probe fails."""

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


def outbound(endpoint: Endpoint, tag: str) -> dict[str, Any]:
    """The outbound that reaches this endpoint."""
    assert isinstance(endpoint, Vless)  # noqa: S101
    stream: dict[str, Any] = {"network": "tcp"}
    match endpoint.security:
        case Reality() as reality:
            stream |= {"security": "reality", "realitySettings": _reality(reality)}
        case Tls() as tls:
            stream |= {"security": "tls", "tlsSettings": _tls(tls)}
        case _:
            pass
    if endpoint.finalmask:
        stream["finalmask"] = json.loads(endpoint.finalmask)
    user = {
        "id": endpoint.user,
        "encryption": endpoint.encryption,
        **_given(flow=endpoint.flow),
    }
    return {
        "tag": tag,
        "protocol": "vless",
        "settings": {"address": endpoint.address, "port": endpoint.port, **user},
        "streamSettings": stream,
    }


def _reality(reality: Reality) -> dict[str, Any]:
    return _given(
        serverName=reality.server_name,
        # Only Chrome's hello still satisfies every server (X25519MLKEM768 first).
        fingerprint=reality.fingerprint or "chrome",
        publicKey=reality.public_key,
        shortId=reality.short_id,
        spiderX=reality.spider_x,
        mldsa65Verify=reality.mldsa65_verify,
    )


def _tls(tls: Tls) -> dict[str, Any]:
    return _given(
        serverName=tls.server_name,
        fingerprint=tls.fingerprint or "chrome",
        alpn=list(tls.alpn),
        echConfigList=tls.ech,
        verifyPeerCertByName=tls.verify_names,
        pinnedPeerCertSha256=tls.pinned_sha256,
    )


def _given(**settings: object) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if value}


_REJECTED = re.compile(r"failed to build outbound config with tag (\S+) > (.*)")


def rejected_tag(output: str) -> tuple[str, str] | None:
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
    rb"|[^\n]*?failed to process outbound traffic(?P<words>[^\n]*))"
)


class LogReader:
    """Reads a client's log and tells which node failed, and why.

    Xray numbers each connection; `taking detour [tag]` ties the number to a node, a later failure
    with the same number is that node's. The log drops lines when its buffer of 128 is full, so a
    reason may be missing, never wrong.
    """

    def __init__(self) -> None:
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
                words = event["words"].decode(errors="replace").strip(" >")
                self.failures[tag] = (classify(words), words)
                found = True
        return found


# Host names may hold any word: phrases that no name can contain come first, and the marks of TLS
# and REALITY carry their colon.
_CLUES: tuple[tuple[str, Reason], ...] = (
    ("connection refused", Reason.REFUSED),
    ("network is unreachable", Reason.UNREACHABLE),
    ("no route to host", Reason.UNREACHABLE),
    ("no such host", Reason.DNS),
    ("failed to lookup", Reason.DNS),
    ("server misbehaving", Reason.RESOLVER),
    ("i/o timeout", Reason.TIMEOUT),
    ("deadline exceeded", Reason.TIMEOUT),
    ("reality: ", Reason.REALITY),
    ("received real certificate", Reason.REALITY),
    ("x509: ", Reason.TLS),
    ("tls: ", Reason.TLS),
)


_RESOLVER_TIMEOUT = re.compile(r"lookup [^ ]+( on [^ ]+)?: .*(i/o timeout|deadline exceeded)")
"""The resolver was silent, not the node."""


def classify(words: str) -> Reason:
    """The reason in Xray's words. What is not recognised is a closed connection."""
    lowered = words.lower()
    if _RESOLVER_TIMEOUT.search(lowered):
        return Reason.RESOLVER
    for clue, reason in _CLUES:
        if clue in lowered:
            return reason
    return Reason.AUTH_OR_RESET
