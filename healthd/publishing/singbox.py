"""sing-box.json: a whole configuration of sing-box, which fails over on the device. Pure.

A `urltest` group takes the fastest node that works and looks every minute; a `selector` on top of
it lets people choose. SFA, SFI, SFM and SFT run what they are given and add nothing: without the
`tun` inbound they would carry no traffic, and with it there must be an answer to DNS. On a desktop
a tun needs root; whoever has none removes that inbound and uses the proxy on port 2080.

Every field is known to sing-box 1.12 to 1.14. Unknown ones are errors to it.
"""

import json
from collections.abc import Sequence
from typing import Any

from healthd.engines.singbox_outbound import outbound, why_not
from healthd.model import Node
from healthd.publishing.about import About, unique_names

__all__ = ["FILE", "render", "verify", "why_not", "without_utls"]

FILE = "sing-box.json"

SELECT, AUTO, DIRECT = "proxy", "auto", "direct"
_TAKEN = {SELECT, AUTO, DIRECT}

_PORT = 2080
_INTERVAL = "1m"
"""How often a device measures its nodes."""
_TOLERANCE = 50
"""Milliseconds by which another node must be faster."""

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

_LOCAL, _REMOTE = "local", "remote"
_BEFORE = {
    "log": {"level": "warn"},
    # Names of nodes are asked where the device is, all others behind the node.
    "dns": {
        "servers": [
            {"type": "local", "tag": _LOCAL},
            {"type": "https", "tag": _REMOTE, "server": "1.1.1.1", "detour": SELECT},
        ],
        "final": _REMOTE,
    },
    "inbounds": [
        {
            "type": "tun",
            "tag": "tun",
            "address": ["172.19.0.1/30", "fdfe:dcba:9876::1/126"],
            "auto_route": True,
            "strict_route": True,
        },
        {"type": "mixed", "tag": "mixed", "listen": "127.0.0.1", "listen_port": _PORT},
    ],
}
_AFTER = {
    "route": {
        "rules": [{"action": "sniff"}, {"protocol": "dns", "action": "hijack-dns"}],
        "final": SELECT,
        "default_domain_resolver": _LOCAL,
        "auto_detect_interface": True,
    },
}
# They are the same in every document: written once.
_HEAD, _TAIL = _encode(_BEFORE)[:-1], _encode(_AFTER)[1:]


def render(nodes: Sequence[Node], about: About) -> bytes:
    """The document for these nodes, in failover order. At least one; all pass :func:`why_not`."""
    outbounds = _outbounds(nodes, about.check_url)
    return f'{_HEAD},"outbounds":{_encode(outbounds)},{_TAIL}\n'.encode()


def verify(document: bytes, nodes: Sequence[Node]) -> None:
    """Read the document as a client would; it must hold exactly these nodes, in both groups.

    Raises:
        ValueError: it does not.
    """
    try:
        found = json.loads(document)
        url = found["outbounds"][1]["url"]
    except (ValueError, LookupError, TypeError) as why:
        raise ValueError(f"{FILE} is not a configuration of sing-box") from why
    if found != {**_BEFORE, "outbounds": _outbounds(nodes, url), **_AFTER}:
        raise ValueError(f"{FILE} does not read back as the nodes it was written from")


def without_utls(document: bytes) -> bytes:
    """The document as a build of sing-box without uTLS can judge it: REALITY is beyond it, too."""
    found = json.loads(document)
    for each in found["outbounds"]:
        for part in ("utls", "reality"):
            each.get("tls", {}).pop(part, None)
    return _encode(found).encode()


def _outbounds(nodes: Sequence[Node], check_url: str) -> list[dict[str, Any]]:
    tags = unique_names(nodes, _TAKEN)
    select = {
        "type": "selector",
        "tag": SELECT,
        "outbounds": [AUTO, *tags],
        "default": AUTO,
        "interrupt_exist_connections": True,
    }
    auto = {
        "type": "urltest",
        "tag": AUTO,
        "outbounds": tags,
        "url": check_url,
        "interval": _INTERVAL,
        "tolerance": _TOLERANCE,
        "interrupt_exist_connections": True,
    }
    each = [outbound(node.endpoint, tag) for node, tag in zip(nodes, tags, strict=True)]
    return [select, auto, *each, {"type": DIRECT, "tag": DIRECT}]
